"""The law of a random duration, as a hazard in bins: the share still running at an age, and the quantiles.

The bins are [0, 1), then eight to an octave up to 8192 s, and everything beyond. Within a bin the hazard is constant.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from math import exp, inf, log, log1p
from typing import Any, Self

MOST = 1e12
"""Generations, or seconds that they lived, in one bin: beyond what anybody will see; a larger number is damage."""


class AgeHistogram:
    """Endings (`events`) and seconds lived (`exposure`) in each bin of ages."""

    __slots__ = ("events", "exposure")

    def __init__(self, events: Iterable[float] = (), exposure: Iterable[float] = ()) -> None:
        self.events = list(events) or [0.0] * BINS
        self.exposure = list(exposure) or [0.0] * BINS

    def add(self, i: int, events: float, exposure: float) -> None:
        """Count `events` endings and `exposure` seconds in bin `i`."""
        self.events[i] += events
        self.exposure[i] += exposure

    def times(self, share: float) -> AgeHistogram:
        """Return this evidence, counting only `share` as much."""
        return AgeHistogram([share * x for x in self.events], [share * x for x in self.exposure])

    def plus(self, other: AgeHistogram) -> AgeHistogram:
        """Return both together."""
        return AgeHistogram(
            [a + b for a, b in zip(self.events, other.events, strict=True)],
            [a + b for a, b in zip(self.exposure, other.exposure, strict=True)],
        )

    def smooth(self) -> AgeHistogram:
        """Return the same with each bin averaged over its neighbours, weighing 1, 2, 3, 2, 1."""
        return AgeHistogram(_smooth(self.events), _smooth(self.exposure))

    def to_state(self) -> dict[str, Any]:
        """Return plain JSON values: only the bins that hold something, five digits each."""
        return {"events": _sparse(self.events), "exposure": _sparse(self.exposure)}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """Read what `to_state` gave; ValueError, KeyError or TypeError where it is damaged."""
        return cls(_dense(state["events"]), _dense(state["exposure"]))


def _smooth(values: list[float]) -> list[float]:
    v = [0.0, 0.0, *values, 0.0, 0.0]
    return [(v[i] + 2 * v[i + 1] + 3 * v[i + 2] + 2 * v[i + 3] + v[i + 4]) / 9 for i in range(len(values))]


def _sparse(values: list[float]) -> dict[str, float]:
    return {str(i): float(f"{x:.5g}") for i, x in enumerate(values) if x > 1e-6}


def _dense(sparse: Mapping[str, float]) -> list[float]:
    values = [0.0] * BINS
    for name, x in sparse.items():
        i = int(name)
        if not (0 <= i < BINS and 0 <= x <= MOST):
            raise ValueError(f"not a count in a bin of ages: {name!r}: {x!r}")
        values[i] = float(x)
    return values


EDGES: tuple[float, ...] = (0.0, *(2.0 ** (k / 8) for k in range(8 * 13 + 1)))
"""The lower edge of each bin in seconds; the last bin has no upper edge."""
BINS = len(EDGES)
WIDTHS: tuple[float, ...] = (*(b - a for a, b in pairwise(EDGES)), inf)
"""How many seconds wide each bin is."""


def bin_of(age: float) -> int:
    """Return the number of the bin that holds `age` (seconds, not negative)."""
    return bisect_right(EDGES, age) - 1


class PiecewiseHazard:
    """How long something takes, from the hazard of each bin (events a second, above 0)."""

    def __init__(self, hazards: Sequence[float]) -> None:
        self.hazards = tuple(hazards)
        self._cumulative = [0.0]  # the hazard summed up to each edge
        for hazard, width in zip(self.hazards, WIDTHS[:-1], strict=False):
            self._cumulative.append(self._cumulative[-1] + hazard * width)

    @classmethod
    def of(cls, survival: Callable[[float], float]) -> Self:
        """Return the law of which a share `survival(age)` still runs at each age."""
        # A logarithm is taken next: a survival of exactly 0 has none.
        surviving = [max(survival(edge), 1e-300) for edge in EDGES]
        hazards = [log(a / b) / width for a, b, width in zip(surviving, surviving[1:], WIDTHS, strict=False)]
        ended = next((i for i, share in enumerate(surviving) if share < 1e-12), len(hazards))
        highest_hazard = max(hazards[:ended], default=1.0)
        # Beyond the age at which all have ended, the logarithms are noise: the highest hazard seen goes on instead.
        return cls([max(h, 1e-12) if i < ended else highest_hazard for i, h in enumerate([*hazards, hazards[-1]])])

    def cumulative(self, age: float) -> float:
        """Return the hazard summed from 0 to `age`: minus the logarithm of the share still running."""
        i = bin_of(age)
        return self._cumulative[i] + self.hazards[i] * (age - EDGES[i])

    def survival(self, age: float) -> float:
        """Return the share that still runs at `age` seconds."""
        return exp(-self.cumulative(age))

    def quantile(self, share: float) -> float:
        """Return the age in seconds by which `share` (from 0 to below 1) has ended."""
        target = -log1p(-share)
        i = max(bisect_right(self._cumulative, target) - 1, 0)
        return EDGES[i] + (target - self._cumulative[i]) / self.hazards[i]
