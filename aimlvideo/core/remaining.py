"""How much longer a run takes, from how long its models take and the limits, not from what is done so far."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import exp, inf, log, sqrt
from statistics import NormalDist

from aimlvideo.core.estimate import P90, Durations

SHARP = 0.02
"""The least spread (sigma of the lognormal law) that is believed."""

_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Remaining:
    """The jobs of one model that are not ready yet. `age`: mean seconds since the outstanding ones were accepted."""

    planned: int
    outstanding: int
    age: float
    durations: Durations


def time_left(models: Iterable[Remaining], slots: float, rate: float) -> tuple[float, float] | None:
    """Return in how many seconds all will likely be ready, and by when with nine chances in ten; None if all are.

    Jobs start as those before them end, `slots` at a time, at most `rate` a second; after the last start, the slowest
    of those under way decides: the largest of n residual lives, in equilibrium while there is a queue (their
    survival is E[(T-r)+]/E[T]), else given the age.
    """
    rows = [row for row in models if row.planned + row.outstanding > 0]
    if not rows:
        return None
    planned, busy = sum(row.planned for row in rows), sum(row.outstanding for row in rows)
    running = min(slots, planned + busy)
    queued = max(0.0, planned - max(0.0, slots - busy))
    work = sum(row.planned * row.durations.mean for row in rows)
    waiting = queued / planned * work / slots if planned and slots < inf else 0.0
    begun = max(waiting, (planned - 1) / rate if planned else 0.0)
    tails = [_tail(row, running * (row.planned + row.outstanding) / (planned + busy)) for row in rows]
    likely, late = max(tail[0] for tail in tails), max(tail[1] for tail in tails)
    return begun + likely, begun * (1 + P90 / sqrt(queued + 1) / 2) + late


def _tail(row: Remaining, count: float) -> tuple[float, float]:
    """Return the median and the 90th percentile of the longest of `count` residual lives."""
    law = _Lognormal(row.durations)
    survival = law.residual if row.planned and 2 * row.outstanding > count else law.given(row.age)
    longest = 20 * max(row.durations.p90, row.age)
    median, p90 = (_root(survival, 1 - share ** (1 / max(count, 1.0)), longest) for share in (0.5, 0.9))
    return median, p90


class _Lognormal:
    """The law of one model's durations."""

    def __init__(self, durations: Durations) -> None:
        self._mu = log(durations.p50)
        self._sigma = max(log(durations.p90 / durations.p50) / P90, SHARP)
        self._mean = exp(self._mu + self._sigma**2 / 2)

    def survival(self, age: float) -> float:
        """Return the share that still runs at an age."""
        return 1.0 if age <= 0 else _NORMAL.cdf((self._mu - log(age)) / self._sigma)

    def residual(self, left: float) -> float:
        """Return the share of those under way at any moment that have more than `left` seconds to go."""
        if left <= 0:
            return 1.0
        d = (self._mu - log(left)) / self._sigma
        return _NORMAL.cdf(d + self._sigma) - left / self._mean * _NORMAL.cdf(d)

    def given(self, age: float) -> Callable[[float], float]:
        """Return the same for those that have reached an age."""
        reached = max(self.survival(age), 1e-9)
        return lambda left: self.survival(age + left) / reached


def _root(falling: Callable[[float], float], value: float, upper: float) -> float:
    """Return where a falling function comes down to a value, at most `upper`."""
    lower = 0.0
    for _ in range(24):
        middle = (lower + upper) / 2
        lower, upper = (middle, upper) if falling(middle) > value else (lower, middle)
    return upper
