"""A sandbox in a thread of its own, for programs and tests that bring their own event loop, or none."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from aimlvideo.sandbox.behaviour import Behaviour
from aimlvideo.sandbox.server import Sandbox

START = 10.0
"""Seconds in which the server has to be up, and in which it ends."""


@contextmanager
def sandbox_in_thread(behaviour: Behaviour | None = None) -> Iterator[Sandbox]:
    """Give a running sandbox; it ends with the block. Raises what kept it from starting."""
    started = threading.Event()
    sandbox = Sandbox(behaviour)
    failures: list[BaseException] = []
    ends: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        ended = asyncio.Event()
        ends.append((asyncio.get_running_loop(), ended))
        async with sandbox:
            started.set()
            await ended.wait()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            failures.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=run, name="aimlvideo-sandbox", daemon=True)
    thread.start()
    started.wait(START)
    if failures:
        raise failures[0]
    try:
        yield sandbox
    finally:
        for loop, ended in ends:
            loop.call_soon_threadsafe(ended.set)
        thread.join(START)
