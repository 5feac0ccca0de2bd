"""How long a run will take, from how long its models take. Times are in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, isfinite, log
from typing import Any

SHORTEST = 5.0  # a shorter published median is that of the request, not of the clip
P90 = 1.2816  # how many standard deviations above its median the 90th percentile of a normal law lies
DOCUMENTED_SIGMA = 0.5  # how far the one documented example may be off, as the spread of a lognormal law


@dataclass(frozen=True, slots=True)
class Durations:
    """Half of a model's generations take no longer than `p50`, nine of ten no longer than `p90`."""

    p50: float
    p90: float

    @property
    def mean(self) -> float:
        """The mean of the lognormal law through both, at most three medians: `p50 exp(sigma^2 / 2)`."""
        sigma = log(max(self.p90, self.p50) / self.p50) / P90
        return self.p50 * min(3.0, exp(sigma * sigma / 2))


@dataclass(frozen=True, slots=True)
class Estimate:
    """A run takes `likely` seconds, `late` when its last jobs are slow ones. `guessed` names models nobody timed."""

    likely: float
    late: float
    guessed: tuple[str, ...] = ()


GUESS = Durations(120.0, 300.0)


def estimate(jobs: Mapping[str, int], known: Mapping[str, Durations], *, max_outstanding: int, rate: float) -> Estimate:
    """Return how long `jobs` (how many of which model) take with so many outstanding and so many started a second.

    All slots are full until the jobs run out: all work shared among the slots, or the time to start them if that is
    longer; then the last one ends. (Graham's bounds for list scheduling, with the mean work.)
    """
    laws = {model: known.get(model, GUESS) for model, count in jobs.items() if count}
    total = sum(jobs[model] for model in laws)
    if not total:
        return Estimate(0.0, 0.0)
    work = sum(jobs[model] * law.mean for model, law in laws.items())
    starting = (total - 1) / rate
    waiting = max(0, total - max_outstanding) / total * work / max_outstanding
    begun = max(starting, waiting)
    return Estimate(
        likely=begun + max(law.p50 for law in laws.values()),
        late=begun + max(law.p90 for law in laws.values()),
        guessed=tuple(model for model in laws if model not in known),
    )


def documented(seconds: float) -> Durations:
    """Return what the documentation's one example tells: a median that may be off by a factor."""
    return Durations(seconds, seconds * exp(P90 * DOCUMENTED_SIGMA))


def read_metrics(answer: Any) -> dict[str, Durations]:
    """Return the durations by model from the answer of `/models/metrics`; broken entries are left out."""
    entries = answer.get("models") if isinstance(answer, Mapping) else None
    found: dict[str, Durations] = {}
    for entry in entries if isinstance(entries, list) else []:
        try:
            duration = entry["metrics"]["duration_ms"]
            law = Durations(float(duration["p50"]) / 1000, float(duration["p90"]) / 1000)
            if isfinite(law.p90) and SHORTEST <= law.p50 <= law.p90:
                found[str(entry["alias"])] = law
        except (KeyError, TypeError, ValueError):
            continue
    return found
