"""How long a request may take, by a clock that forgives the time in which this process itself stood still."""

from __future__ import annotations

import asyncio
from io import BytesIO
from types import TracebackType
from typing import Self

DEADLINE = 60.0
"""Seconds for one request and its whole answer; one whose answer trickles on is given up, as any that is lost.

It raises a bare TimeoutError, which counts as a lost answer: whether the request had left, nobody knows.
"""
SLOWEST, LARGE_DEADLINE = 2**14, 900.0
"""Bytes a second that a body is sent with at least, and seconds for a large one."""
LATE = 1.0
"""Seconds after its moment from which on a timer shows that nothing ran here, and so nothing was read."""

GRACE = 5.0
"""Seconds in which an answer that came meanwhile is read."""


class Deadline:
    """Ends its block with TimeoutError after these seconds.

    Where the process stood still as they ended (Ctrl-Z, a paused container, a laptop that slept, an application that
    blocks its event loop), the block gets a moment more, once: the answer may lie in its socket, unread.
    """

    # A class, and one timer: as a generator, or around `asyncio.timeout`, it would take twice the time of all else that
    # a request waits for.
    __slots__ = ("_cancels_before", "_due", "_is_over", "_loop", "_seconds", "_task", "_timer")

    def __init__(self, seconds: float) -> None:
        self._seconds, self._is_over = seconds, False

    @classmethod
    def of(cls, body: bytes | BytesIO | None) -> Self:
        """Return the deadline of a request with this body; a large one is a stream."""
        return cls(LARGE_DEADLINE if isinstance(body, BytesIO) else DEADLINE + len(body or b"") // SLOWEST)

    def __enter__(self) -> None:
        self._loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        self._task, self._cancels_before = task, task.cancelling()
        self._due = self._loop.time() + self._seconds
        self._timer = self._loop.call_at(self._due, self._ring)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        # Whoever else cancelled the task meanwhile wants it to end: then it is no timeout.
        if self._is_over and self._task.uncancel() <= self._cancels_before and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _ring(self) -> None:
        now = self._loop.time()
        if now - self._due > LATE:
            self._timer = self._loop.call_later(GRACE, self._end)
        else:
            self._end()

    def _end(self) -> None:
        self._is_over = True
        self._task.cancel()
