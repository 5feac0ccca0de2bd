"""A sandbox in a thread of its own, for commands and examples that bring their own event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aimlvideo.sandbox import Behaviour, Sandbox

QUICK: dict[str, Any] = {"seconds": 0.2, "video": "tiny"}


@contextmanager
def sandbox_thread(**knobs: Any) -> Iterator[Sandbox]:
    """Give a running sandbox; it ends with the block."""
    started, ended = threading.Event(), asyncio.Event()
    held: dict[str, Any] = {}

    async def serve() -> None:
        async with Sandbox(Behaviour(**{**QUICK, **knobs}), port=0) as sandbox:
            held.update(sandbox=sandbox, loop=asyncio.get_running_loop())
            started.set()
            await ended.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield held["sandbox"]
    finally:
        held["loop"].call_soon_threadsafe(ended.set)
        thread.join(10)
