"""One worker's part of the limits of all: what another one met holds it up too, and each has a part of the polls."""

from __future__ import annotations

from typing import Any

import pytest

from aimlvideo.distributed.shared_account import AccountLimits
from aimlvideo.distributed.shared_limits import WorkerShares
from aimlvideo.shell import clock

LIMITS = AccountLimits(10, 4.0, 100.0, 30.0, None)
NO_DATABASE: Any = None


@pytest.fixture
def shares() -> WorkerShares:
    return WorkerShares(NO_DATABASE, lambda kind, seconds: None, LIMITS)


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
