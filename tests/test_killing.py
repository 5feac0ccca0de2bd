"""The killing, small: see `tests/killing.py` for the whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.killing import Outcome, kill_and_restart

pytestmark = pytest.mark.long


def pays_once(outcome: Outcome) -> bool:
    return outcome.stats["accepted_by_client_request_id"]["max"] <= 1


def test_killed_at_random_moments_every_job_is_saved_once_and_paid_once(tmp_path: Path) -> None:
    outcome = kill_and_restart(tmp_path, jobs=16, kills=2, seed=5)
    assert outcome.exit_code == 0, outcome.said
    assert outcome.stages == {"saved": 16}
    assert outcome.clips == 16
    assert outcome.stats["accepted"] == 16
    assert pays_once(outcome)
    assert outcome.stats["key_leaks"] == 0
    assert outcome.unmatched == ""


def test_a_gateway_that_cannot_be_asked_leaves_jobs_in_doubt_and_never_buys_twice(tmp_path: Path) -> None:
    # Half of the answers, and up to eight that were being sent when it was killed: surely some, and surely not all.
    knobs: dict[str, Any] = {"kling_external_query": False, "dropped": 0.5}
    outcome = kill_and_restart(tmp_path, jobs=30, kills=1, seed=5, service="kling", **knobs)
    assert outcome.exit_code == 3, outcome.said
    assert outcome.stages.keys() == {"saved", "in_doubt"}
    assert len(outcome.rows) == 30
    assert pays_once(outcome)
    assert outcome.stats["accepted"] <= 30
