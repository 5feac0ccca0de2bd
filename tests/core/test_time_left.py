"""When a run will be through, against runs that are played through."""

from __future__ import annotations

import heapq
import math
import random
from functools import cache
from statistics import mean

import pytest

from aimlvideo.core.eta import Durations, Remaining, time_left
from tests.cases import for_each

MEDIAN, SIGMA = 127.0, 0.35
LAW = Durations(MEDIAN, MEDIAN * math.exp(1.2816 * SIGMA))


def played(jobs: int, slots: int, rate: float, chance: random.Random) -> list[tuple[float, float]]:
    """Return (start, end) of each job of a run."""
    busy: list[float] = []
    run, turn = [], 0.0
    for _ in range(jobs):
        start = max(turn, heapq.heappop(busy) if len(busy) >= slots else 0.0)
        turn = start + 1 / rate
        run.append((start, start + chance.lognormvariate(math.log(MEDIAN), SIGMA)))
        heapq.heappush(busy, run[-1][1])
    return run


@cache
def played_runs(jobs: int, slots: int) -> list[list[tuple[float, float]]]:
    chance = random.Random(7)
    return [played(jobs, slots, 5.0, chance) for _ in range(25)]


def seen(run: list[tuple[float, float]], now: float) -> Remaining:
    """Return what is known of a run at one moment."""
    ages = [now - start for start, end in run if start <= now < end]
    return Remaining(sum(start > now for start, _ in run), len(ages), mean(ages) if ages else 0.0, LAW)


@for_each(("jobs", "slots"), [(600, 20), (100, 20), (400, 300), (20, 20)])
@for_each("share", [0.0, 0.25, 0.5, 0.75])
def test_the_end_is_foretold_to_an_eighth_and_the_latest_end_holds(jobs: int, slots: int, share: float) -> None:
    truths, likely, held = [], [], 0
    for run in played_runs(jobs, slots):
        whole = max(end for _, end in run)
        told = time_left([seen(run, share * whole)], slots, 5.0)
        assert told is not None
        truths.append((1 - share) * whole)
        likely.append(told[0])
        held += truths[-1] <= told[1]
    assert mean(likely) == pytest.approx(mean(truths), rel=0.125)
    assert held >= 20


def test_what_is_all_ready_has_no_end_to_wait_for() -> None:
    assert time_left([Remaining(0, 0, 0.0, LAW)], 20, 5.0) is None
    assert time_left([], 20, 5.0) is None


def test_without_limits_only_the_slowest_counts() -> None:
    told = time_left([Remaining(1000, 0, 0.0, LAW)], math.inf, math.inf)
    assert told is not None
    assert MEDIAN < told[0] < 5 * MEDIAN


def test_a_low_rate_decides_alone() -> None:
    told = time_left([Remaining(1001, 0, 0.0, LAW)], 1000, 0.1)
    assert told is not None
    assert told[0] == pytest.approx(10_000, rel=0.05)
