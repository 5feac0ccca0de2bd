"""Async concurrency and rate limiters over core.limits."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

import anyio

from aimlvideo.core.limits import ConcurrencyLimit, DownloadLimit, PollBudget, RateLimiter
from aimlvideo.errors import NotAccepted
from aimlvideo.shell import clock


class SlotLimiter:
    """A slot for each outstanding generation: a semaphore whose size the service's answers move."""

    def __init__(self, outstanding: ConcurrencyLimit) -> None:
        self.outstanding = outstanding
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def acquire(self) -> None:
        """Return when one more generation may be outstanding. First come, first served."""
        if self.outstanding.has_room() and not self._waiting:
            return self.outstanding.acquire()
        handed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(handed)
        try:
            await handed
        except BaseException:
            # The slot may be handed over in the very pass in which its waiter is cancelled: it is passed on, else it
            # would be lost for good. One that waits no more is passed over when there is room again.
            if not handed.cancelled():
                self.release()
            raise

    def take_over_limit(self) -> None:
        """Count a generation that is outstanding already, whatever the limit."""
        self.outstanding.acquire()

    def release(self) -> None:
        """Free one slot."""
        self.outstanding.release()
        self._wake()

    def on_accepted(self, now: float) -> None:
        """Note a submission that the service took: there may be room for more."""
        self.outstanding.on_accepted(now)
        self._wake()

    def on_rejected(self, now: float) -> None:
        """Note that the service had too many at once."""
        self.outstanding.on_rejected(now)

    def _wake(self) -> None:
        while self._waiting and self.outstanding.has_room():
            if not (handed := self._waiting.popleft()).done():
                self.outstanding.acquire()
                handed.set_result(None)


class RateGate:
    """The moments at which requests may start."""

    def __init__(self, rate: RateLimiter) -> None:
        self.rate = rate
        self.trouble: NotAccepted | None = None
        """The last answer that asked for patience, or said that nobody was there."""

    async def wait_turn(self) -> None:
        """Return when the next request may start. First come, first served, also after a pause."""
        now = clock.loop()
        start = self.rate.reserve(now)
        try:
            # After the sleep `now` is the moment that was waited for, not the clock's: a busy loop wakes late, and a
            # second reservation by the late clock would push this request behind those that came after it.
            while start > now + clock.TICK:
                await anyio.sleep_until(start)
                now = start
                if self.rate.paused_until > now:
                    start = self.rate.reserve(now)
        except BaseException:
            self.rate.give_back(start)
            raise

    def pause(self, seconds: float) -> None:
        """Let nothing start for a while."""
        self.rate.paused_until = max(self.rate.paused_until, clock.loop() + seconds)


@dataclass(frozen=True, eq=False)
class Limiters:
    """All limiters of one client: what its runs may wait for."""

    slots: SlotLimiter
    rate_gate: RateGate
    polls: PollBudget
    downloads: DownloadLimit = field(default_factory=DownloadLimit)
