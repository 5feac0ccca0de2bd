"""What is known about how long a model takes: learned from generations that are seen only now and then.

Each bin of ages holds events (endings) and exposure (seconds lived in it), so that a generation which still runs tells
something too. Both fade with each ending: the knowledge is that of about the last hundred generations.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import exp, log
from statistics import NormalDist
from typing import Any, Self

from aimlvideo.core.hazard import EDGES, WIDTHS, Law, bin_of

BINS = len(EDGES)
FADE = 1 - 1 / 100
VAGUE = 120.0  # seconds: half of all generations of an unknown model end in this time
PUBLISHED_JOBS = 3.0  # what published percentiles are worth, in generations


def _vague(age: float) -> float:
    return VAGUE / (VAGUE + age)


_VAGUE_EVENTS = [0.5 * (_vague(a) - _vague(a + w)) for a, w in zip(EDGES, WIDTHS, strict=True)]
_VAGUE_EXPOSURE = [
    0.5 * VAGUE * log((VAGUE + a + w) / (VAGUE + a)) for a, w in zip(EDGES[:-1], WIDTHS[:-1], strict=True)
] + [0.5 * VAGUE]


class Latency:
    """The durations of one model: evidence in, a law out."""

    def __init__(
        self, published: Mapping[float, float] | None = None, documented: float | None = None
    ) -> None:
        """Begin with nothing, with published percentiles (share to seconds), or with the documented seconds."""
        self._events = [0.0] * BINS
        self._exposure = [0.0] * BINS
        self._fresh_events = [0.0] * BINS  # of this, what came in since the knowledge was last written down
        self._fresh_exposure = [0.0] * BINS
        self.kept = 1.0  # the share of what was written down that still counts
        self.endings = 0  # seen since the beginning, or since the durations drifted
        self._odd_ones = 0  # endings in a row that came too early (negative) or too late
        self._grown = 0.0
        self._ended = 0
        lognormal = _lognormal(published, documented)
        if lognormal:
            self._believe(*lognormal)
        self.law = self._make()

    # -- evidence ---------------------------------------------------------------------------------------------------

    def survived(self, lo: float, hi: float) -> None:
        """Count a generation seen running at age `lo` and again at age `hi`."""
        for i, seconds in _overlaps(lo, hi):
            self._add(i, 0.0, seconds)
        self._remake()

    def ended(self, lo: float, hi: float) -> None:
        """Count a generation that ended somewhere in (lo, hi]."""
        drifted = self._drifted(lo, hi)
        self._fade(FADE)
        self.endings += 1
        self._ended += 1
        for i, events, exposure in self._spread(lo, max(hi, lo + 1e-3)):
            self._add(i, events, exposure)
        if drifted:
            self._fade(0.1)
            self.endings = 1
            self._ended = 8
        self._remake()

    def _add(self, i: int, events: float, exposure: float) -> None:
        self._events[i] += events
        self._exposure[i] += exposure
        self._fresh_events[i] += events
        self._fresh_exposure[i] += exposure
        self._grown += exposure

    def _fade(self, share: float) -> None:
        self._events = [share * x for x in self._events]
        self._exposure = [share * x for x in self._exposure]
        self._fresh_events = [share * x for x in self._fresh_events]
        self._fresh_exposure = [share * x for x in self._fresh_exposure]
        self.kept *= share

    def _drifted(self, lo: float, hi: float) -> bool:
        """Tell whether this ending is the second in a row that is too early, or too late, to believe the law."""
        if self.law.survival(hi) > 0.9:
            self._odd_ones = min(self._odd_ones, 0) - 1
        elif self.law.survival(lo) < 0.05:
            self._odd_ones = max(self._odd_ones, 0) + 1
        else:
            self._odd_ones = 0
        if abs(self._odd_ones) < 2:
            return False
        self._odd_ones = 0
        return True

    def _spread(self, lo: float, hi: float) -> list[tuple[int, float, float]]:
        """Return (bin, events, exposure) of one ending in (lo, hi], by the law; partly evenly, for the unforeseen."""
        ending = 1 - exp(self.law.passed(lo) - self.law.passed(hi))
        vague = 1 - (VAGUE + lo) / (VAGUE + hi)
        odd = 0.1 * vague / (0.1 * vague + 0.9 * ending)
        left, age, even = 1.0, lo, 1.0
        spread = []
        for i, seconds in _overlaps(lo, hi):
            hazard = self.law.hazards[i]
            gone = left * (1 - exp(-hazard * seconds))
            part = seconds / (hi - lo)
            known = gone / ending if ending > 0 else part
            lived = (gone / hazard - seconds * (1 - ending)) / ending if ending > 1e-6 else seconds * (even - part / 2)
            spread.append((i, odd * part + (1 - odd) * known, odd * seconds * (even - part / 2) + (1 - odd) * lived))
            left, age, even = left - gone, age + seconds, even - part
        return spread

    # -- the law ----------------------------------------------------------------------------------------------------

    def _remake(self) -> None:
        if self._ended >= 8 or self._ended > 0.08 * sum(self._events) or self._grown > 0.08 * sum(self._exposure):
            self.law = self._make()
            self._ended, self._grown = 0, 0.0

    def _make(self) -> Law:
        events = [a + b for a, b in zip(_smooth(self._events), _VAGUE_EVENTS, strict=True)]
        exposure = [a + b for a, b in zip(_smooth(self._exposure), _VAGUE_EXPOSURE, strict=True)]
        rough = Law([a / b for a, b in zip(events, exposure, strict=True)])
        centre = _log_logistic(rough.quantile(0.25), rough.quantile(0.75))
        return Law([(a + 0.05) / (b + 0.05 / h) for a, b, h in zip(events, exposure, centre, strict=True)])

    def _believe(self, median: float, sigma: float) -> None:
        """Enter a lognormal as some generations already seen."""
        law = NormalDist(log(median), sigma)
        left = [1.0] + [1 - law.cdf(log(a)) for a in EDGES[1:]] + [0.0]
        for i in range(BINS):
            self._events[i] += PUBLISHED_JOBS * (left[i] - left[i + 1])
            if i < BINS - 1:
                self._exposure[i] += PUBLISHED_JOBS * WIDTHS[i] * (left[i] + left[i + 1]) / 2

    # -- writing down -----------------------------------------------------------------------------------------------

    def to_state(self) -> dict[str, Any]:
        return {"events": list(self._events), "exposure": list(self._exposure)}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        it = cls()
        it._events, it._exposure = list(state["events"]), list(state["exposure"])
        it.law = it._make()
        return it


def _overlaps(lo: float, hi: float) -> list[tuple[int, float]]:
    """Return the bins that (lo, hi] touches, each with the seconds of the overlap."""
    touched = []
    for i in range(bin_of(lo), bin_of(hi) + 1):
        seconds = min(hi, EDGES[i] + WIDTHS[i]) - max(lo, EDGES[i])
        if seconds > 0:
            touched.append((i, seconds))
    return touched


def _smooth(values: list[float]) -> list[float]:
    padded = [0.0, 0.0, *values, 0.0, 0.0]
    return [
        (padded[i] + 2 * padded[i + 1] + 3 * padded[i + 2] + 2 * padded[i + 3] + padded[i + 4]) / 9
        for i in range(len(values))
    ]


def _log_logistic(q25: float, q75: float) -> list[float]:
    """Return the hazard of each bin under the log-logistic law with these quartiles."""
    shape = min(log(9) / log(q75 / q25), 14.0)
    median = (q25 * q75) ** 0.5
    hazards = []
    for a, w in zip(EDGES, WIDTHS, strict=True):
        middle = a + w / 2 if w < 1e9 else a
        odds = (middle / median) ** shape
        hazards.append(max(shape / middle * odds / (1 + odds), 1e-12))
    return hazards


def _lognormal(published: Mapping[float, float] | None, documented: float | None) -> tuple[float, float] | None:
    """Return median and sigma of the lognormal that fits best; None where nothing believable is said."""
    median = (published or {}).get(0.5)
    if published and median and median >= 5:
        normal = NormalDist()
        points = [(normal.inv_cdf(p), log(q / median)) for p, q in published.items() if 0 < p < 1 and p != 0.5 and q]
        square = sum(z * z for z, _ in points)
        sigma = sum(z * x for z, x in points) / square if square else 0.5
        return median, min(max(sigma, 0.05), 2.0)
    return (documented, 0.5) if documented else None
