"""What has ended of the jobs that somebody waits for: one query for all who wait, more seldom while nothing ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager

import anyio

from aimlvideo.core.jobs.job import Result

FIRST, LONGEST, GROWTH = 0.1, 2.0, 1.5
"""Seconds between two queries: at first, and at most; and the factor by which they grow while nothing ends."""


class EndWatch:
    """Tells any number of tasks when jobs have ended. `read` returns the results of those among some ids that have."""

    def __init__(self, read: Callable[[list[str]], Awaitable[list[Result]]]) -> None:
        self._read = read
        self._waiters: Counter[str] = Counter()
        self._unread: set[str] = set()
        self._results: dict[str, Result] = {}
        self._lock = anyio.Lock()
        self._pause = FIRST
        self._next_at = 0.0

    @contextmanager
    def waiting(self, ids: Collection[str]) -> Iterator[None]:
        """Watch these jobs until the block is left."""
        self._waiters.update(ids)
        self._unread.update(name for name in ids if name not in self._results)
        try:
            yield
        finally:
            self._waiters.subtract(ids)
            for name in ids:
                # Counted: several callers may wait for one job, and the first to leave must not take the result from
                # the others.
                if self._waiters[name] <= 0:
                    del self._waiters[name]
                    self._results.pop(name, None)
                    self._unread.discard(name)

    async def ended(self, ids: Collection[str]) -> list[Result]:
        """Return the results of those among these jobs that have ended, as soon as there is one."""
        while True:
            async with self._lock:  # whoever comes first asks for all; the others find the answer
                now = anyio.current_time()
                if now >= self._next_at:
                    await self._ask(list(self._waiters), now)
                elif self._unread:
                    await self._ask(list(self._unread), now)
            if results := [self._results[name] for name in ids if name in self._results]:
                return results
            await anyio.sleep_until(self._next_at)

    async def _ask(self, ids: list[str], now: float) -> None:
        is_new = bool(self._unread)
        self._unread.clear()
        results = await self._read([name for name in ids if name not in self._results])
        self._results.update((result.job.id, result) for result in results if result.job.id in self._waiters)
        self._pause = FIRST if results or is_new else min(self._pause * GROWTH, LONGEST)
        self._next_at = now + self._pause
