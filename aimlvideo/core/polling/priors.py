"""What is assumed about durations before, or beside, what has been seen of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite, log, sqrt
from statistics import NormalDist

from aimlvideo.core.polling.hazard import EDGES, WIDTHS, AgeHistogram

UNINFORMED_MEDIAN = 120.0
"""The age in seconds by which half of the generations of an unknown model have ended."""

PUBLISHED_JOBS = 2.0  # what a published or documented duration is worth, in generations
DOCUMENTED_SIGMA = 0.5
SHORTEST_MEDIAN = 5.0  # seconds: a published median below this is that of the request, not of the generation


def uninformed_survival(age: float) -> float:
    """Return the share of an unknown model's generations that still run at `age`: heavy-tailed, never surprised."""
    return UNINFORMED_MEDIAN / (UNINFORMED_MEDIAN + age)


def uninformed_prior(jobs: float = 0.5) -> AgeHistogram:
    """Return the evidence of so many generations of an unknown model."""
    evidence = AgeHistogram()
    for i, (start, width) in enumerate(zip(EDGES, WIDTHS, strict=True)):
        lived = log((UNINFORMED_MEDIAN + start + width) / (UNINFORMED_MEDIAN + start)) if isfinite(width) else 1.0
        evidence.add(
            i,
            jobs * (uninformed_survival(start) - uninformed_survival(start + width)),
            jobs * UNINFORMED_MEDIAN * lived,
        )
    return evidence


def prior_from(published: Mapping[float, float] | None, documented: float | None) -> AgeHistogram:
    """Return published percentiles (share to seconds), or else documented seconds, as a few generations seen.

    Both enter as a lognormal law: through the published median, with the sigma that fits the other percentiles best;
    the documented seconds as a median. Empty evidence where nothing believable is said.
    """
    points = {p: q for p, q in (published or {}).items() if 0 < p < 1 and isfinite(q) and q > 0}
    if points.get(0.5, 0.0) >= SHORTEST_MEDIAN:
        return _as_evidence(NormalDist(log(points[0.5]), _sigma(points)))
    if documented and isfinite(documented) and documented > 0:
        return _as_evidence(NormalDist(log(documented), DOCUMENTED_SIGMA))
    return AgeHistogram()


def _sigma(points: Mapping[float, float]) -> float:
    """Return the sigma of the lognormal with the median of `points` that fits them best (least squares)."""
    normal = NormalDist()
    spread = [(normal.inv_cdf(p), log(q / points[0.5])) for p, q in points.items() if p != 0.5]
    if not spread:
        return DOCUMENTED_SIGMA
    return min(max(sum(z * x for z, x in spread) / sum(z * z for z, _ in spread), 0.05), 2.0)


def _as_evidence(logs: NormalDist) -> AgeHistogram:
    surviving = [1.0, *(1 - logs.cdf(log(edge)) for edge in EDGES[1:]), 0.0]
    evidence = AgeHistogram()
    for i, width in enumerate(WIDTHS):
        lived = width * (surviving[i] + surviving[i + 1]) / 2 if isfinite(width) else 0.0
        evidence.add(i, PUBLISHED_JOBS * (surviving[i] - surviving[i + 1]), PUBLISHED_JOBS * lived)
    return evidence


def log_logistic(lower: float, upper: float) -> Callable[[float], float]:
    """Return the hazard, by age in seconds, of the log-logistic law with these lower and upper quartiles."""
    # The odds of the quartiles are 1/3 and 3, hence the 9; a steeper law would bet on a single second.
    shape = min(log(9) / log(upper / lower), 14.0)
    median = sqrt(lower * upper)

    def hazard(age: float) -> float:
        odds: float = (age / median) ** shape
        return max(shape / age * odds / (1 + odds), 1e-12)

    return hazard
