"""The law of a random duration, as a hazard in bins: the share still running at an age, and the quantiles.

The bins are [0, 1), then eight to an octave up to 8192 s, and everything beyond. Within a bin the hazard is constant.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import pairwise
from math import exp, inf, log, log1p
from typing import Self

EDGES: tuple[float, ...] = (0.0, *(2.0 ** (k / 8) for k in range(8 * 13 + 1)))
"""The lower edge of each bin in seconds; the last bin has no upper edge."""

WIDTHS: tuple[float, ...] = (*(b - a for a, b in pairwise(EDGES)), inf)
"""How many seconds wide each bin is."""


def bin_of(age: float) -> int:
    """Return the number of the bin that holds `age` (seconds, not negative)."""
    return bisect_right(EDGES, age) - 1


class Law:
    """How long something takes, from the hazard of each bin (events a second, above 0)."""

    def __init__(self, hazards: Sequence[float]) -> None:
        self.hazards = tuple(hazards)
        self._passed = [0.0]  # the hazard summed up to each edge
        for hazard, width in zip(self.hazards, WIDTHS[:-1], strict=False):
            self._passed.append(self._passed[-1] + hazard * width)

    @classmethod
    def of(cls, survival: Callable[[float], float]) -> Self:
        """Return the law of which a share `survival(age)` still runs at each age."""
        left = [max(survival(edge), 1e-300) for edge in EDGES]
        hazards = [log(a / b) / width for a, b, width in zip(left, left[1:], WIDTHS, strict=False)]
        ended = next((i for i, share in enumerate(left) if share < 1e-12), len(hazards))
        known = max(hazards[:ended], default=1.0)
        return cls([max(h, 1e-12) if i < ended else known for i, h in enumerate([*hazards, hazards[-1]])])

    def passed(self, age: float) -> float:
        """Return the hazard summed from 0 to `age`: minus the logarithm of the share still running."""
        i = bin_of(age)
        return self._passed[i] + self.hazards[i] * (age - EDGES[i])

    def survival(self, age: float) -> float:
        """Return the share that still runs at `age` seconds."""
        return exp(-self.passed(age))

    def quantile(self, share: float) -> float:
        """Return the age in seconds by which `share` (from 0 to below 1) has ended."""
        wanted = -log1p(-share)
        i = max(bisect_right(self._passed, wanted) - 1, 0)
        return EDGES[i] + (wanted - self._passed[i]) / self.hazards[i]
