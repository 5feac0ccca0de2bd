"""How long a run takes."""

from __future__ import annotations

import heapq
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimlvideo.core.eta import Durations, Estimate
from aimlvideo.core.wires.aimlapi_models import _read_metrics
from tests.cases import for_each

STEADY = {"m": Durations(100, 100)}


@for_each(
    ("jobs", "outstanding", "rate", "seconds"),
    [(0, 20, 5, 0), (1, 20, 5, 100), (20, 20, 1000, 100), (40, 20, 1000, 200), (1000, 1000, 1, 1099)],
)
def test_a_run_of_steady_jobs_takes_its_rounds_or_its_starts(
    jobs: int, outstanding: int, rate: float, seconds: float
) -> None:
    found = Estimate.of({"m": jobs}, STEADY, max_outstanding=outstanding, rate=rate)
    assert found.likely == pytest.approx(seconds, rel=0.05)


def test_clips_of_half_a_second_take_half_a_second() -> None:
    found = Estimate.of({"m": 1}, {"m": Durations(0.5, 0.5)}, max_outstanding=20, rate=5)
    assert found.likely == pytest.approx(0.5, rel=0.05)


@given(st.integers(1, 200), st.integers(1, 30), st.floats(0.5, 50))
def test_the_estimate_is_near_to_a_run_played_through(jobs: int, slots: int, rate: float) -> None:
    free = [0.0] * slots
    for number in range(jobs):
        start = max(heapq.heappop(free), number / rate)
        heapq.heappush(free, start + 100)
    found = Estimate.of({"m": jobs}, STEADY, max_outstanding=slots, rate=rate)
    assert found.likely <= 1.05 * max(free) + 1
    assert max(free) <= found.likely + 101


def test_slow_last_jobs_are_foreseen_and_models_nobody_timed_are_named() -> None:
    found = Estimate.of({"m": 5, "new": 1}, {"m": Durations(60, 180)}, max_outstanding=10, rate=5)
    assert found.late > found.likely
    assert found.guessed == ("new",)


def test_the_documented_seconds_are_a_median_that_may_be_off() -> None:
    law = Durations.documented(186)
    assert law.p50 == 186
    assert law.mean > 186


def test_metrics_are_read_and_what_is_no_duration_of_a_clip_is_left_out() -> None:
    def entry(alias: Any, p50: Any, p90: Any) -> Any:
        return {"alias": alias, "metrics": {"duration_ms": {"p50": p50, "p90": p90}}}

    models = [entry("a", 60_000, 90_000), entry("post", 900, 2000), entry("odd", 9e4, 1e4), entry("b", "x", 1), {}, 5]
    models += [entry("slow post", 4_900, 9_000), entry("quick clip", 5_000, 9_000)]
    assert _read_metrics({"models": models}) == {"a": Durations(60, 90), "quick clip": Durations(5, 9)}
    assert _read_metrics(None) == _read_metrics({"models": 5}) == {}
    odd = [entry("nan", float("nan"), 1), entry("inf", 6e4, float("inf")), entry("huge", 10**400, 10**400)]
    assert _read_metrics({"models": odd}) == {}
