"""One account's limits, kept by all workers together.

How many may be outstanding is the engine's business. Here are the submission rate (pyrate-limiter's bucket in
PostgreSQL, of which this file is the one importer) and the news of a refusal, which narrows every worker.
"""

from __future__ import annotations

import logging
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from math import inf

import anyio
import psycopg
from psycopg_pool import ConnectionPool
from pyrate_limiter import Rate as Allowed
from pyrate_limiter import RateItem
from pyrate_limiter.buckets.postgres import PostgresBucket

from aimlvideo.core.limits import COOLDOWN, NARROW, SLOWEST, ConcurrencyLimit, PollBudget, RateLimiter
from aimlvideo.pipeline.limiters import RateGate, SlotLimiter
from aimlvideo.pipeline.pipeline import Pipeline
from aimlvideo.shell.journal.postgres_schema import AGAIN, AWAY

AT_A_TIME = 0.1
"""Seconds' worth of submissions that a worker takes out of the bucket at a time."""
FRESH = 1.0
"""Seconds after which what was taken and not used is void."""

Tell = Callable[[str, float | None], None]
"""Passes a refusal on: what was refused (`submissions`, `outstanding` or `polls`), and for how many seconds."""

log = logging.getLogger("aimlvideo.limits")


class BroadcastingRate(RateLimiter):
    """A rate that tells the other workers of each refusal."""

    def __init__(self, per_second: float, kind: str, tell: Tell) -> None:
        super().__init__(per_second)
        self._heard_at = -inf
        self._kind, self._tell = kind, tell

    def busy(self, now: float, retry_after: float | None = None) -> None:
        """Note a refusal, and tell."""
        super().busy(now, retry_after)
        self._tell(self._kind, retry_after)

    def heard(self, now: float, retry_after: float | None) -> None:
        """Note a refusal that another worker met: pause as long as it does, and narrow by a tenth, once in 5 s."""
        self.paused_until = max(self.paused_until, now + (1.0 if retry_after is None else retry_after))
        if now >= self._heard_at + COOLDOWN:
            self._heard_at = now
            self.per_second = max(NARROW * self.per_second, min(self.ceiling, SLOWEST))

    def stretch(self, factor: float) -> None:
        """Take over a larger part of what the account is known to bear, or leave some to others."""
        if self._refused_rate < inf:
            self.per_second = min(self.ceiling, self.per_second * factor)
            self._refused_rate *= factor


class BroadcastingConcurrency(ConcurrencyLimit):
    """A cap that tells the other workers when the service holds it to be too high."""

    def __init__(self, limit: int, tell: Tell) -> None:
        super().__init__(limit)
        self._tell = tell
        self._heard_at = -inf

    def busy(self, now: float) -> None:
        """Note a refusal, and tell."""
        super().busy(now)
        self._tell("outstanding", None)

    def heard(self, now: float) -> None:
        """Note a refusal that another worker met: narrow by a tenth, once in 5 s."""
        if now >= self._heard_at + COOLDOWN:
            self._heard_at = now
            self._room = max(NARROW * self._room, 1.0)


class Permits:
    """Submissions that the whole account may start."""

    def __init__(self, pool: ConnectionPool, per_second: float) -> None:
        whole = max(1, round(per_second))
        self._bucket = PostgresBucket(pool, "aimlvideo", [Allowed(whole, round(1000 * whole / per_second))])
        self._chunk = max(1, int(AT_A_TIME * per_second))
        self._gap = min(max(self._chunk / per_second / 4, 0.005), 0.25)
        self._left, self._until = 0, 0.0
        self._one = anyio.Lock()

    async def take(self) -> None:
        """Return when one more submission may start; while PostgreSQL is away, none may."""
        async with self._one:
            while self._left < 1 or anyio.current_time() > self._until:
                self._left = self._chunk if await self._granted() else 0
                self._until = anyio.current_time() + FRESH
            self._left -= 1

    async def _granted(self) -> bool:
        try:
            if await anyio.to_thread.run_sync(self._ask):
                return True
        except (*AWAY, psycopg.Error) as error:
            log.warning("the account's rate cannot be asked for: %s", error)
            await anyio.sleep(AGAIN)
        await anyio.sleep(self._gap * random.uniform(0.5, 1.5))
        return False

    def _ask(self) -> bool:
        now = self._bucket.now()  # type: ignore[no-untyped-call]
        assert isinstance(now, int)
        if random.random() < 0.02:
            self._bucket.leak(now)
        return bool(self._bucket.put(RateItem("submission", now, self._chunk)))


class SharedRateGate(RateGate):
    """Turns that wait for the account's permit, and then for their own moment."""

    def __init__(self, rate: RateLimiter, permits: Permits) -> None:
        super().__init__(rate)
        self._permits = permits

    async def turn(self) -> None:
        """Return when the next request may start."""
        await self._permits.take()
        await super().turn()


@asynccontextmanager
async def open_permits(dsn: str, per_second: float) -> AsyncIterator[Permits]:
    """Give the account's bucket, made where it is not there yet."""
    pool = ConnectionPool(dsn, min_size=1, max_size=2, timeout=5, open=False)
    await anyio.to_thread.run_sync(lambda: pool.open(wait=True))
    try:
        yield await anyio.to_thread.run_sync(Permits, pool, per_second)
    finally:
        await anyio.to_thread.run_sync(pool.close)


class WorkerShares:
    """A worker's stations under the limits of all."""

    def __init__(self, row: Pipeline, permits: Permits, tell: Tell, *, rate: float, poll_rate: float, cap: int) -> None:
        self.slots: SlotLimiter = row.slots
        self.submissions = BroadcastingRate(rate, "submissions", tell)
        self.polls = BroadcastingRate(poll_rate, "polls", tell)
        self.outstanding = BroadcastingConcurrency(cap, tell)
        self.budget: PollBudget = row.poll.budget
        self._doubt = row.doubt
        self._poll_rate, self._workers = poll_rate, 1
        self.budget.rate = self.polls
        row.slots.outstanding = self.outstanding
        row.submit.turns = SharedRateGate(self.submissions, permits)

    def shared_by(self, workers: int) -> None:
        """Take this worker's part of the polls, of the log, and of a submission rate that was found to be too high."""
        self.polls.share(self._poll_rate / workers)
        self.submissions.stretch(self._workers / workers)
        self._doubt.shared_by(workers)
        self._workers = workers

    def heard(self, kind: str, seconds: float | None) -> None:
        """Narrow, because another worker was refused."""
        now = anyio.current_time()
        if kind == "outstanding":
            self.outstanding.heard(now)
        else:
            (self.polls if kind == "polls" else self.submissions).heard(now, seconds)
