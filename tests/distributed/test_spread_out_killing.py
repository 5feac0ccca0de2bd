"""Workers die, one freezes, PostgreSQL restarts: everything is saved once, and nothing is bought twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.distributed.killing import Plan, spread_out
from tests.postgres_server import postgres

pytestmark = [pytest.mark.long, pytest.mark.real_time]

SMALL = Plan(
    jobs=20, workers=2, cap=12, rate=40, seconds="uniform:0.2,0.6", settle=3, heartbeat=1, kill_every=(0.3, 0.6),
    events=("crash",), wrong_key_every=60,
)  # fmt: skip


def test_whoever_dies_each_clip_is_bought_once(tmp_path: Path) -> None:
    with postgres() as server:
        outcome = spread_out(tmp_path, SMALL, server)
    assert outcome.stages == {"saved": SMALL.jobs}
    assert outcome.clips == SMALL.jobs
    assert outcome.bought_twice == {}
    assert outcome.stats["accepted"] == SMALL.jobs
    assert outcome.stats["outstanding_peak"] <= SMALL.cap
    assert set(outcome.wrong_keys) <= {2, 3}, "3 where PostgreSQL was away"
    assert outcome.violations == ()
