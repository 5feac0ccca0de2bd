"""How long a run will take, from how long its models take. Times are in seconds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from math import erfc, exp, inf, log, sqrt
from typing import NamedTuple, Self

LEAST_SIGMA = 0.02
"""The least spread (sigma of the lognormal law) that is believed."""
DOCUMENTED_SIGMA = 0.5
"""How far the one documented example may be off, as the spread of a lognormal law."""
SHORTEST_MEDIAN = 5.0
"""Seconds: a published median below this is that of the request, not of the generation."""
P90 = 1.2816
"""How many standard deviations above its median the 90th percentile of a normal law lies."""


class Remaining(NamedTuple):
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
    # After the last start there are at most this many lives whose maximum decides; more slots than jobs stay empty.
    running = min(slots, planned + busy)
    queued = max(0.0, planned - max(0.0, slots - busy))
    work = sum(row.planned * row.durations.mean for row in rows)
    waiting = queued / planned * work / slots if planned and slots < inf else 0.0
    begun = max(waiting, (planned - 1) / rate if planned else 0.0)
    tails = [_tail(row, running * (row.planned + row.outstanding) / (planned + busy)) for row in rows]
    likely, late = max(tail[0] for tail in tails), max(tail[1] for tail in tails)
    # The waiting is a sum of many durations, so its spread shrinks with the root of their number.
    return begun + likely, begun * (1 + P90 / sqrt(queued + 1) / 2) + late


def _tail(row: Remaining, count: float) -> tuple[float, float]:
    """Return the median and the 90th percentile of the longest of `count` residual lives."""
    law = _Lognormal(row.durations)
    survival = law.residual if row.planned and 2 * row.outstanding > count else law.survival_after(row.age)
    longest = 20 * max(row.durations.p90, row.age)
    median, p90 = (_root(survival, 1 - share ** (1 / max(count, 1.0)), longest) for share in (0.5, 0.9))
    return median, p90


def _normal_cdf(deviations: float) -> float:
    # `statistics.NormalDist` has it too; importing that takes as long as all else of this module ten times.
    return erfc(-deviations / sqrt(2)) / 2


class _Lognormal:
    """The law of one model's durations."""

    def __init__(self, durations: Durations) -> None:
        self._mu = log(durations.p50)
        self._sigma = max(_sigma(durations), LEAST_SIGMA)
        self._mean = exp(self._mu + self._sigma**2 / 2)

    def survival(self, age: float) -> float:
        """Return the share that still runs at an age."""
        return 1.0 if age <= 0 else _normal_cdf((self._mu - log(age)) / self._sigma)

    def residual(self, seconds_left: float) -> float:
        """Return the share of those under way at any moment that have more than `seconds_left` to go."""
        if seconds_left <= 0:
            return 1.0
        d = (self._mu - log(seconds_left)) / self._sigma
        return _normal_cdf(d + self._sigma) - seconds_left / self._mean * _normal_cdf(d)

    def survival_after(self, age: float) -> Callable[[float], float]:
        """Return the same for those that have reached an age."""
        reached = max(self.survival(age), 1e-9)
        return lambda seconds_left: self.survival(age + seconds_left) / reached


def _root(falling: Callable[[float], float], value: float, upper: float) -> float:
    """Return where a falling function comes down to a value, at most `upper`."""
    lower = 0.0
    for _ in range(24):
        # Bisection: the survival functions have no inverse, and 24 halvings of a few hours are finer than a second.
        middle = (lower + upper) / 2
        lower, upper = (middle, upper) if falling(middle) > value else (lower, middle)
    return upper


class Durations(NamedTuple):
    """Half of a model's generations take no longer than `p50`, nine of ten no longer than `p90`."""

    p50: float
    p90: float

    @property
    def mean(self) -> float:
        """The mean of the lognormal law through both, at most three medians: `p50 exp(sigma^2 / 2)`."""
        sigma = _sigma(self)
        return self.p50 * min(3.0, exp(sigma * sigma / 2))

    @classmethod
    def fitted(cls, seconds: Collection[float], prior: Durations | None, weight: float) -> Self:
        """Return the lognormal law of these durations, and of a prior that counts as much as `weight` of them.

        In logarithms: the weighted mean, and the weighted mean of the squares around it.
        """
        logs = [log(max(value, 1e-3)) for value in seconds]
        mean, spread, weight = (0.0, 0.0, 0.0) if prior is None else (log(prior.p50), _sigma(prior), weight)
        total = weight + len(logs)
        center = (weight * mean + sum(logs)) / total
        variance = (weight * spread**2 + sum((value - center) ** 2 for value in logs)) / total
        return cls(exp(center), exp(center + P90 * sqrt(variance)))

    @classmethod
    def documented(cls, seconds: float) -> Self:
        """Return what the documentation's one example tells: a median that may be off by a factor."""
        return cls(seconds, seconds * exp(P90 * DOCUMENTED_SIGMA))


def _sigma(durations: Durations) -> float:
    return log(max(durations.p90, durations.p50) / durations.p50) / P90


DEFAULT_DURATIONS = Durations(120.0, 300.0)


class Estimate(NamedTuple):
    """A run takes `likely` seconds, `late` when its last jobs are slow ones. `guessed` names models nobody timed."""

    likely: float
    late: float
    guessed: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, jobs: Mapping[str, int], durations: Mapping[str, Durations], *, max_outstanding: int, rate: float
    ) -> Self:
        """Return how long `jobs` (how many of which model) take with so many outstanding and so many started a second.

        It is what `time_left` says of a run that has not begun, so that a run begins with the estimate of its check.
        """
        laws = {model: durations.get(model, DEFAULT_DURATIONS) for model, count in jobs.items() if count}
        seconds_left = time_left(
            (Remaining(jobs[model], 0, 0.0, law) for model, law in laws.items()), max_outstanding, rate
        )
        return cls(*(seconds_left or (0.0, 0.0)), guessed=tuple(model for model in laws if model not in durations))
