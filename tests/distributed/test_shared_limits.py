"""One worker's part of the limits of all: what another one met holds it up too, and each has a part of the polls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf
from typing import Any

import anyio
import pytest
from psycopg import OperationalError

from aimlvideo.distributed.shared_account import AccountLimits
from aimlvideo.distributed.shared_limits import FRESH, PATIENCE, Permits, WorkerShares
from aimlvideo.errors import SettingsError
from aimlvideo.shell import clock

LIMITS = AccountLimits(10, 4.0, 100.0, 30.0, None)
NO_DATABASE: Any = None


class AccountRate:
    """Stands for a pool of connections to the row of the account's rate, in virtual time; `away` says how it fails."""

    def __init__(self) -> None:
        self.due, self.reservations, self.away = 0.0, 0, ""

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        yield self

    async def execute(self, statement: str, values: tuple[float, float]) -> Any:
        self.reservations += 1
        if self.away == "refuses":
            raise OperationalError("the server is starting up")
        await anyio.sleep(1000 * (self.away == "hangs"))
        now = anyio.current_time()
        self.due = max(self.due, now) + values[0]
        self.wait = self.due - now - values[1]
        return self

    async def fetchone(self) -> tuple[float]:
        return (self.wait,)


@pytest.fixture
def shares() -> WorkerShares:
    return WorkerShares(NO_DATABASE, lambda kind, seconds: None, LIMITS)


async def test_each_refusal_that_a_worker_meets_is_passed_on_to_the_others() -> None:
    told: list[tuple[str, float | None]] = []
    shares, now = WorkerShares(NO_DATABASE, lambda *refusal: told.append(refusal), LIMITS), clock.loop()
    shares.outstanding.on_rejected(now)
    shares.submissions.on_rejected(now, 3.0)
    shares.polls.on_rejected(now, None)
    assert told == [("outstanding", None), ("submissions", 3.0), ("polls", None)]


def test_limits_are_named_as_the_flags_that_set_them() -> None:
    assert str(AccountLimits("auto", 5.0, None, 30.0, inf)) == "--max-outstanding auto --rate 5 --heartbeat 30"
    assert str(AccountLimits(max_spend=12.5)) == "--max-spend 12.5"
    with pytest.raises(SettingsError, match="--poll-rate is 0: expected a number above 0"):
        AccountLimits(poll_rate=0)


async def test_what_another_worker_was_refused_is_left_alone_for_as_long_as_the_service_asked_it(
    shares: WorkerShares,
) -> None:
    now = clock.loop()
    shares.on_rejected_elsewhere("outstanding", 50.0)
    shares.on_rejected_elsewhere("polls", 7.0)
    assert shares.polls.reserve(now) == pytest.approx(now + 7)
    assert shares.submissions.reserve(now) == now
    shares.on_rejected_elsewhere("submissions", None)
    assert shares.submissions.paused_until == pytest.approx(now + 1)
    shares.on_rejected_elsewhere("submissions", 3.0)
    assert shares.submissions.paused_until == pytest.approx(now + 3)
    assert shares.submissions.per_second == pytest.approx(0.9 * 4), "once in 5 s"


async def test_the_polls_are_shared_out_among_the_workers(shares: WorkerShares) -> None:
    shares.shared_by(4, LIMITS)
    assert (shares.polls.per_second, shares.submissions.per_second) == (25.0, 4.0)


async def test_a_rate_that_was_found_to_be_too_high_is_shared_out_too_and_comes_back_with_fewer_workers(
    shares: WorkerShares,
) -> None:
    now = clock.loop()
    shares.submissions.on_rejected(now)
    alone = shares.submissions.per_second
    found = []
    for workers in (2, 4, 1, 1):
        shares.shared_by(workers, LIMITS)
        found.append(alone / shares.submissions.per_second)
    assert found == pytest.approx([2, 4, 1, 1])
    shares.shared_by(2, LIMITS)
    for second in range(30):
        shares.submissions.on_accepted(now + second)
    refused = alone / 0.9
    assert shares.submissions.per_second == pytest.approx(refused / 2, rel=0.02), "beyond, it widens slowly"


async def test_what_is_submitted_starts_a_tenth_of_a_second_s_worth_at_a_time() -> None:
    rate, started = AccountRate(), []
    permits = Permits(rate, 50.0)  # type: ignore[arg-type]

    async def submit() -> None:
        await permits.acquire()
        started.append(round(anyio.current_time(), 6))

    async with anyio.create_task_group() as tasks:
        for _ in range(12):
            tasks.start_soon(submit)
    assert started == [0.0] * 5 + [0.1] * 5 + [0.2] * 2
    assert rate.reservations == 3


@pytest.mark.parametrize(("rest", "reservations"), [(0.9 * FRESH, 1), (1.1 * FRESH, 2)])
async def test_what_was_reserved_and_not_used_soon_is_void(rest: float, reservations: int) -> None:
    rate = AccountRate()
    permits = Permits(rate, 50.0)  # type: ignore[arg-type]
    await permits.acquire()
    await anyio.sleep(rest)
    for _ in range(4):
        await permits.acquire()
    assert rate.reservations == reservations, "the account's rate has gone on without it"


@pytest.mark.parametrize(("away", "tries"), [("refuses", 20), ("hangs", 2)])
async def test_while_the_database_is_away_nothing_starts_and_it_is_asked_again(away: str, tries: int) -> None:
    rate = AccountRate()
    rate.away = away
    permits = Permits(rate, 50.0)  # type: ignore[arg-type]
    with anyio.move_on_after(2 * PATIENCE) as waited:
        await permits.acquire()
    assert (waited.cancelled_caught, rate.reservations) == (True, tries)
    rate.away = ""
    await permits.acquire()


@pytest.mark.parametrize(("ahead", "is_said"), [(59.0, False), (3600.0, True)])
async def test_a_turn_that_is_far_ahead_is_said_and_what_may_have_put_it_there(
    caplog: pytest.LogCaptureFixture, ahead: float, is_said: bool
) -> None:
    rate = AccountRate()
    rate.due = anyio.current_time() + ahead
    await Permits(rate, 50.0).acquire()  # type: ignore[arg-type]
    assert ("may start in 3600 s" in caplog.text) is is_said
    assert anyio.current_time() >= rate.due - 1


async def test_a_slow_account_has_one_submission_at_a_time() -> None:
    permits = Permits(AccountRate(), 0.5)  # type: ignore[arg-type]
    for _ in range(3):
        await permits.acquire()
    assert anyio.current_time() == pytest.approx(4.0)
