"""How a run ends from outside: one way for Ctrl-C, SIGTERM and a closed terminal; and a reader that goes away."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

TOGETHER = 0.5
"""Seconds within which a second signal is the first one, sent on by a launcher."""
INTERRUPTED = 3
"""The exit code of a run that was ended before all its jobs had."""
NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
"""The signals that end a run, of those that the system has."""


@contextmanager
def ended_by_signals(task: asyncio.Task[Any]) -> Iterator[None]:
    """Cancel a task at the first signal, in good order; a later one ends the process at once: all ids are on disk."""
    loop, first = asyncio.get_running_loop(), None

    def on_signal(*_: Any) -> None:
        nonlocal first
        now = time.monotonic()
        if first is None:
            first = now
            # The loop is closed: the run has ended by itself.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(task.cancel)
        elif now - first > TOGETHER:
            # A launcher (npx, uv, a shell in a container) passes Ctrl-C on that the terminal has sent to us too: that
            # is no second wish.
            with suppress(OSError):
                # Not `print`: a signal may come in the middle of another write to the same stream.
                os.write(2, b"ended at once; every id is kept: give the same command again\n")
            # Not `sys.exit`: that waits for threads, one of which may be what the person does not want to wait for.
            os._exit(INTERRUPTED)

    before: dict[int, Any] = {}
    for number in (getattr(signal, name) for name in NAMES if hasattr(signal, name)):
        # `nohup` has SIGHUP ignored.
        if signal.getsignal(number) is not signal.SIG_IGN:
            # Not in the main thread: whoever runs us there sees to its signals.
            with suppress(ValueError):
                before[number] = signal.signal(number, on_signal)
    try:
        yield
    finally:
        # Once a signal came, they stay: a summary and a page are still written, and a signal that comes then must
        # not end that with a traceback.
        for number, handler in before.items() if first is None else ():
            signal.signal(number, handler)


def silence_stdout() -> None:
    """Have what is still written to a standard output that nobody reads go nowhere."""
    with suppress(OSError, ValueError, AttributeError):
        # At exit Python flushes standard output: into a closed pipe that would print an error after everything has been
        # said.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
