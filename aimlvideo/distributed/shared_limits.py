"""One account's limits, kept by all workers together.

How many generations may be outstanding, and what may be spent, is decided in the database with each intent to buy.
Here are the submission rate, which is one row there, and the news of a refusal, which narrows every worker.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from math import inf

import anyio
from psycopg_pool import AsyncConnectionPool

from aimlvideo.core.limits import COOLDOWN, NARROW, SLOWEST, ConcurrencyLimit, PollBudget, RateLimiter
from aimlvideo.distributed.shared_account import AccountLimits
from aimlvideo.pipeline.limiters import Limiters, RateGate, SlotLimiter
from aimlvideo.shell import clock
from aimlvideo.shell.journal.postgres_connection import AGAIN, AWAY, NO_ANSWER, pooled_connection, required_row

AT_A_TIME = 0.1
"""Seconds' worth of submissions that a worker reserves at a time."""
FRESH = 1.0
"""Seconds after which what was reserved and not used is void."""
FAR = 60.0
FAR_AHEAD = (
    "the account's next submission may start in %.0f s: expected less than a minute. Either the rate is that low "
    "(`aimlvideo db limits` shows it), or the service has asked for a pause, or the clock of the database was set back"
)
PATIENCE = 5.0
"""Seconds that a reservation may take: it is tried again then."""
RESERVE = """
    UPDATE aimlvideo_rate SET due = greatest(due, clock_timestamp()) + make_interval(secs => %s)
    RETURNING extract(epoch FROM due - clock_timestamp())::float8 - %s
"""

Broadcast = Callable[[str, float | None], None]
"""Passes a refusal on: what was refused (`submissions`, `outstanding` or `polls`), and for how many seconds."""

log = logging.getLogger("aimlvideo.limits")


class _BroadcastingRate(RateLimiter):
    """A rate that tells the other workers of each refusal."""

    def __init__(self, per_second: float, kind: str, broadcast: Broadcast) -> None:
        super().__init__(per_second)
        self._narrowed_by_others_at = -inf
        self._kind, self._broadcast = kind, broadcast

    def on_rejected(self, now: float, retry_after: float | None = None) -> None:
        """Note a refusal, and tell."""
        super().on_rejected(now, retry_after)
        self._broadcast(self._kind, retry_after)

    def on_rejected_elsewhere(self, now: float, retry_after: float | None) -> None:
        """Note a refusal that another worker met: pause as long as it does, and narrow by a tenth, once in 5 s."""
        self.paused_until = max(self.paused_until, now + (1.0 if retry_after is None else retry_after))
        if now >= self._narrowed_by_others_at + COOLDOWN:
            self._narrowed_by_others_at = now
            self.per_second = max(NARROW * self.per_second, min(self.ceiling, SLOWEST))

    def stretch(self, factor: float) -> None:
        """Take over a larger part of what the account is known to bear, or leave some to others."""
        if self._refused_rate < inf:
            self.per_second = min(self.ceiling, self.per_second * factor)
            self._refused_rate *= factor


class _BroadcastingConcurrency(ConcurrencyLimit):
    """Counts what is outstanding here. How many may be is decided in the database, where a refusal is passed on to."""

    def __init__(self, broadcast: Broadcast) -> None:
        super().__init__(None)
        self._broadcast = broadcast
        self.room = sys.maxsize
        """How many generations all workers together may have outstanding, as it was read last."""

    @property
    def limit(self) -> int:
        """As many may be outstanding here, if no other worker had any."""
        return self.room

    def on_accepted(self, now: float) -> None:
        """Widen nothing: the database does so for all."""

    def on_rejected(self, now: float) -> None:
        """Pass a refusal on."""
        self._broadcast("outstanding", None)


class Permits:
    """Submissions that the whole account may start: one row, one statement, the database's clock (GCRA)."""

    def __init__(self, pool: AsyncConnectionPool, per_second: float) -> None:
        self.per_second = per_second
        self._pool = pool
        self._remaining, self._until = 0, 0.0
        self._lock = anyio.Lock(fast_acquire=True)

    async def acquire(self) -> None:
        """Return when one more submission may start; while PostgreSQL is away, none may."""
        if self._remaining and clock.loop() <= self._until:
            # At once: a turn of a busy event loop for each job would halve what is submitted.
            self._remaining -= 1
            return
        async with self._lock:
            # Permits that were reserved and not used in time are void: the account's rate went on without them.
            while self._remaining < 1 or clock.loop() > self._until:
                await self._reserve()
            self._remaining -= 1

    async def _reserve(self) -> None:
        permits = max(1, int(AT_A_TIME * self.per_second))
        seconds = permits / self.per_second
        try:
            with anyio.fail_after(PATIENCE):
                async with pooled_connection(self._pool) as connection:
                    row = await (await connection.execute(RESERVE, (seconds, seconds))).fetchone()
        except AWAY as error:
            log.warning("the account's rate cannot be read: %s", str(error) or NO_ANSWER)
            await anyio.sleep(AGAIN)
            return
        row = required_row(row, "aimlvideo_rate")
        if row[0] > FAR:
            log.warning(FAR_AHEAD, row[0])
        # The reservation begins when the account's turn comes: that moment is on the database's clock, so only the
        # difference is used.
        await anyio.sleep(max(row[0], 0.0))
        self._remaining, self._until = permits, clock.loop() + FRESH


class _SharedRateGate(RateGate):
    """Turns that wait for the account's permit, and then for their own moment."""

    def __init__(self, rate: RateLimiter, permits: Permits) -> None:
        super().__init__(rate)
        self._permits = permits

    async def wait_turn(self) -> None:
        """Return when the next request may start."""
        await self._permits.acquire()
        await super().wait_turn()


class WorkerShares:
    """One worker's part of the limits of all; its client works under `limiters`."""

    def __init__(self, pool: AsyncConnectionPool, broadcast: Broadcast, limits: AccountLimits) -> None:
        assert limits.rate is not None
        assert limits.poll_rate is not None
        self.submissions = _BroadcastingRate(limits.rate, "submissions", broadcast)
        self.polls = _BroadcastingRate(limits.poll_rate, "polls", broadcast)
        self.outstanding = _BroadcastingConcurrency(broadcast)
        self._permits, self._workers = Permits(pool, limits.rate), 1

    @property
    def limiters(self) -> Limiters:
        """What a job of this worker waits for."""
        gate = _SharedRateGate(self.submissions, self._permits)
        return Limiters(SlotLimiter(self.outstanding), gate, PollBudget(self.polls))

    def shared_by(self, workers: int, limits: AccountLimits) -> None:
        """Take this worker's part of the polls, and of a submission rate that was found to be too high."""
        assert limits.rate is not None
        assert limits.poll_rate is not None
        self._permits.per_second = limits.rate
        if limits.rate != self.submissions.ceiling:
            self.submissions.set_share(limits.rate)
        self.polls.set_share(limits.poll_rate / workers)
        # What was learned by being refused is the account's rate: with more workers each one's part of it is smaller.
        self.submissions.stretch(self._workers / workers)
        self._workers = workers

    def on_rejected_elsewhere(self, kind: str, seconds: float | None) -> None:
        """Narrow, because another worker was refused. What is outstanding is narrowed in the database already."""
        if kind != "outstanding":
            (self.polls if kind == "polls" else self.submissions).on_rejected_elsewhere(clock.loop(), seconds)
