"""How long a request may take, by a clock that forgives the time in which this process itself stood still."""

from __future__ import annotations

import asyncio
from types import TracebackType

LATE = 1.0
"""Seconds after its moment from which on a timer shows that nothing ran here, and so nothing was read."""

GRACE = 5.0
"""Seconds in which an answer that came meanwhile is read."""


class Deadline:
    """Ends its block with TimeoutError after these seconds.

    Where the process stood still as they ended (Ctrl-Z, a paused container, a laptop that slept, an application that
    blocks its event loop), the block gets a moment more, once: the answer may lie in its socket, unread.
    """

    # A class, and one timer: as a generator, or with two, it would take twice the time of all else that a request waits
    # for.
    __slots__ = ("_due", "_loop", "_scope", "_timer")

    def __init__(self, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time() + seconds
        self._scope = asyncio.timeout(None)

    async def __aenter__(self) -> None:
        await self._scope.__aenter__()
        self._timer = self._loop.call_at(self._due, self._ring)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        await self._scope.__aexit__(kind, error, trace)

    def _ring(self) -> None:
        now = self._loop.time()
        if now - self._due > LATE:
            self._timer = self._loop.call_later(GRACE, self._end)
        else:
            self._end()

    def _end(self) -> None:
        self._scope.reschedule(self._loop.time())
