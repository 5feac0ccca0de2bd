"""How long a model takes, estimated from generations that are polled only now and then (interval-censored durations).

A generation that still runs is evidence too (its seconds lived count), and of one that ended only the two polls are
known between which it did. Everything fades with each ending: the estimate is of about the last hundred generations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import expm1, isfinite, log, sqrt
from typing import Any

from aimlvideo.core.eta import DOCUMENTED_SIGMA, SHORTEST_MEDIAN
from aimlvideo.core.polling.hazard import EDGES, WIDTHS, AgeHistogram, PiecewiseHazard, bin_of

UNINFORMED_MEDIAN = 120.0
"""The age in seconds by which half of the generations of an unknown model have ended."""

PUBLISHED_JOBS = 2.0  # what a published or documented duration is worth, in generations


def _uninformed_survival(age: float) -> float:
    """Return the share of an unknown model's generations that still run at `age`: heavy-tailed, never surprised."""
    return UNINFORMED_MEDIAN / (UNINFORMED_MEDIAN + age)


def _uninformed_prior() -> AgeHistogram:
    """Return the evidence of half a generation of an unknown model."""
    evidence = AgeHistogram()
    for i, (start, width) in enumerate(zip(EDGES, WIDTHS, strict=True)):
        lived = log((UNINFORMED_MEDIAN + start + width) / (UNINFORMED_MEDIAN + start)) if isfinite(width) else 1.0
        evidence.add(
            i,
            (_uninformed_survival(start) - _uninformed_survival(start + width)) / 2,
            UNINFORMED_MEDIAN * lived / 2,
        )
    return evidence


def _prior_from(published: Mapping[float, float] | None, documented: float | None) -> AgeHistogram:
    """Return published percentiles (share to seconds), or else documented seconds, as a few generations seen.

    Both enter as a lognormal law: through the published median, with the sigma that fits the other percentiles best;
    the documented seconds as a median. Empty evidence where nothing believable is said.
    """
    points = {p: q for p, q in (published or {}).items() if 0 < p < 1 and isfinite(q) and q > 0}
    if points.get(0.5, 0.0) >= SHORTEST_MEDIAN:
        return _as_evidence(log(points[0.5]), _sigma(points))
    if documented and isfinite(documented) and documented > 0:
        return _as_evidence(log(documented), DOCUMENTED_SIGMA)
    return AgeHistogram()


def _sigma(points: Mapping[float, float]) -> float:
    """Return the sigma of the lognormal with the median of `points` that fits them best (least squares)."""
    from statistics import NormalDist  # noqa: PLC0415 - as below

    normal = NormalDist()
    spread = [(normal.inv_cdf(p), log(q / points[0.5])) for p, q in points.items() if p != 0.5]
    if not spread:
        return DOCUMENTED_SIGMA
    return min(max(sum(z * x for z, x in spread) / sum(z * z for z, _ in spread), 0.05), 2.0)


def _as_evidence(mu: float, sigma: float) -> AgeHistogram:
    from statistics import NormalDist  # noqa: PLC0415 - it imports fractions and decimals, which no start needs

    logs = NormalDist(mu, sigma)
    surviving = [1.0, *(1 - logs.cdf(log(edge)) for edge in EDGES[1:]), 0.0]
    evidence = AgeHistogram()
    for i, width in enumerate(WIDTHS):
        lived = width * (surviving[i] + surviving[i + 1]) / 2 if isfinite(width) else 0.0
        evidence.add(i, PUBLISHED_JOBS * (surviving[i] - surviving[i + 1]), PUBLISHED_JOBS * lived)
    return evidence


def _log_logistic(lower: float, upper: float) -> Callable[[float], float]:
    """Return the hazard, by age in seconds, of the log-logistic law with these lower and upper quartiles."""
    # The odds of the quartiles are 1/3 and 3, hence the 9; a steeper law would bet on a single second.
    shape = log(9) / max(log(upper / lower), log(9) / 14.0)
    median = sqrt(lower * upper)

    def hazard(age: float) -> float:
        odds: float = (age / median) ** shape
        return max(shape / age * odds / (1 + odds), 1e-12)

    return hazard


FADE = 1 - 1 / 100  # what earlier evidence still counts after one more ending
DRIFT_KEEPS = 0.3  # and after each odd ending from the second in a row on: the durations seem to have changed
SURE_OF_DRIFT = 3  # odd endings in a row that make it sure
EARLY, LATE = 0.9, 0.05  # an ending while more, or after fewer, than these shares should still run is odd
ODD_SHARE = 0.1  # how likely an ending is held to follow no law that we know
GROWTH = 0.08  # the law is made anew when the evidence has grown by this share
ENDINGS = 8  # or by so many endings

_VAGUE = _uninformed_prior()
_AGES = [edge + width / 2 if isfinite(width) else edge for edge, width in zip(EDGES, WIDTHS, strict=True)]


class Latency:
    """The durations of one model at one setting: polls go in, `law` comes out. Ages and durations are in seconds."""

    law: PiecewiseHazard
    """The best estimate so far."""

    def __init__(self, published: Mapping[float, float] | None = None, documented: float | None = None) -> None:
        self.endings = 0  # seen since the beginning, or since the durations last changed
        self._prior = _prior_from(published, documented)
        self._prior_weight = 1.0
        self._old = AgeHistogram()  # what is written down somewhere
        self._old_weight = 1.0  # how much of that still counts
        self._recent = AgeHistogram()  # what came in since
        self._odd_streak = 0  # endings in a row that came too early (below 0) or too late
        # Since the law was made.
        self._ended, self._lived = 0, 0.0
        self._make_law()

    def survived(self, lo: float, hi: float) -> None:
        """Count a generation that ran at age `lo` and still ran at age `hi`."""
        for i, seconds in _overlaps(lo, hi):
            self._recent.add(i, 0.0, seconds)
        self._lived += max(hi - lo, 0.0)
        self._learn()

    def ended(self, lo: float, hi: float) -> None:
        """Count a generation that ran at age `lo` and had ended at age `hi`."""
        # Two polls at the same moment give an empty interval, and a density of infinity.
        hi = max(hi, lo + 1e-3)
        # Judged before this ending is counted: a law that has learned from it would call it less odd.
        odd_ones = self._count_odd_streak(lo, hi)
        self._fade(FADE)
        for i, events, seconds in _spread(self.law, lo, hi):
            self._recent.add(i, events, seconds)
        self.endings += 1
        self._ended += 1
        # One odd ending is chance; two in a row on the same side are more likely a service that has changed. The old
        # evidence then goes fast: fading as usual, it would outvote the new one for a hundred endings.
        if odd_ones > 1:
            self._fade(DRIFT_KEEPS)
            self._ended = ENDINGS
        # Counted from one again: the policy is careful until it has seen some endings of the new kind.
        if odd_ones >= SURE_OF_DRIFT:
            self.endings = 1
        self._learn()

    @property
    def evidence(self) -> AgeHistogram:
        """Everything seen that still counts."""
        return self._old.times(self._old_weight).plus(self._recent)

    def merged_state(self, written: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return what to write down: what others have `written` meanwhile, faded, and what came in here since."""
        old = self._old if written is None else AgeHistogram.from_state(written)
        return old.times(self._old_weight).plus(self._recent).to_state()

    def restart_from(self, written: Mapping[str, Any]) -> None:
        """Go on from what is written down now; only what comes in from here on is new."""
        self._old, self._old_weight, self._recent = AgeHistogram.from_state(written), 1.0, AgeHistogram()
        self.endings = max(self.endings, round(sum(self._old.events)))
        self._make_law()

    def _fade(self, share: float) -> None:
        self._old_weight *= share
        self._prior_weight *= share
        self._recent = self._recent.times(share)

    def _count_odd_streak(self, lo: float, hi: float) -> int:
        """Return how many endings in a row, this one the last, the law calls too early, or too late."""
        if self.law.survival(hi) > EARLY:
            self._odd_streak = min(self._odd_streak, 0) - 1
        elif self.law.survival(lo) < LATE:
            self._odd_streak = max(self._odd_streak, 0) + 1
        else:
            self._odd_streak = 0
        return abs(self._odd_streak)

    def _learn(self) -> None:
        if (
            self._ended >= ENDINGS
            or self._ended > GROWTH * self._law_events
            or self._lived > GROWTH * self._law_exposure
        ):
            self._make_law()

    def _make_law(self) -> None:
        evidence = self.evidence.plus(self._prior.times(self._prior_weight))
        self._law_events, self._law_exposure = sum(evidence.events), sum(evidence.exposure)
        self._ended, self._lived = 0, 0.0
        self.law = _law_of(evidence)


def _law_of(evidence: AgeHistogram) -> PiecewiseHazard:
    """Return the law behind the evidence: smoothed, and drawn to a log-logistic where little was seen."""
    smoothed = evidence.smooth().plus(_VAGUE)
    rough = PiecewiseHazard([events / lived for events, lived in zip(smoothed.events, smoothed.exposure, strict=True)])
    centre = _log_logistic(rough.quantile(0.25), rough.quantile(0.75))
    return PiecewiseHazard(
        [
            # 0.05 of a generation: enough to shape what nobody has seen, too little to argue with the first one seen.
            (events + 0.05) / (lived + 0.05 / centre(age))
            for age, events, lived in zip(_AGES, smoothed.events, smoothed.exposure, strict=True)
        ]
    )


def _overlaps(lo: float, hi: float) -> list[tuple[int, float]]:
    """Return the bins that (lo, hi] touches, each with the seconds of it there."""
    touched = [
        (i, min(hi, EDGES[i] + WIDTHS[i]) - max(lo, EDGES[i])) for i in range(bin_of(lo), bin_of(max(lo, hi)) + 1)
    ]
    return [(i, seconds) for i, seconds in touched if seconds > 0]


def _spread(law: PiecewiseHazard, lo: float, hi: float) -> list[tuple[int, float, float]]:
    """Return (bin, events, seconds lived) of one ending somewhere in (lo, hi].

    It is spread by the density of the law so far (the expectation step of the EM algorithm for a censored observation:
    Dempster, Laird and Rubin, 1977), but for a share that is spread evenly: the more of it the less the law had
    expected an ending here at all.
    """
    # `expm1` keeps the digits: far out in the tail the difference of two survivals would be rounding noise.
    ending = -expm1(law.cumulative(lo) - law.cumulative(hi))
    strange = ODD_SHARE * (1 - _uninformed_survival(hi) / _uninformed_survival(lo))
    odd = strange / (strange + (1 - ODD_SHARE) * ending) if ending > 1e-6 else 1.0
    alive, alive_if_even = 1.0, 1.0
    spread = []
    for i, seconds in _overlaps(lo, hi):
        part = seconds / (hi - lo)
        events, lived = odd * part, odd * seconds * (alive_if_even - part / 2)
        if odd < 1:
            gone = -alive * expm1(-law.hazards[i] * seconds)
            events += (1 - odd) * gone / ending
            lived += (1 - odd) * (gone / law.hazards[i] - seconds * (1 - ending)) / ending
            alive -= gone
        spread.append((i, events, lived))
        alive_if_even -= part
    return spread
