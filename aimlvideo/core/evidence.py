"""What has been seen of some durations, by age: endings, and the seconds lived, which count where nothing ended too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any, Self

from aimlvideo.core.hazard import EDGES

BINS = len(EDGES)


class Evidence:
    """Endings (`events`) and seconds lived (`exposure`) in each bin of ages."""

    __slots__ = ("events", "exposure")

    def __init__(self, events: Iterable[float] = (), exposure: Iterable[float] = ()) -> None:
        self.events = list(events) or [0.0] * BINS
        self.exposure = list(exposure) or [0.0] * BINS

    def add(self, i: int, events: float, exposure: float) -> None:
        """Count `events` endings and `exposure` seconds in bin `i`."""
        self.events[i] += events
        self.exposure[i] += exposure

    def times(self, share: float) -> Evidence:
        """Return this evidence, counting only `share` as much."""
        return Evidence([share * x for x in self.events], [share * x for x in self.exposure])

    def plus(self, other: Evidence) -> Evidence:
        """Return both together."""
        return Evidence(
            [a + b for a, b in zip(self.events, other.events, strict=True)],
            [a + b for a, b in zip(self.exposure, other.exposure, strict=True)],
        )

    def smooth(self) -> Evidence:
        """Return the same with each bin averaged over its neighbours, weighing 1, 2, 3, 2, 1."""
        return Evidence(_smooth(self.events), _smooth(self.exposure))

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
        if not (0 <= i < BINS and isfinite(x) and x >= 0):
            raise ValueError(f"not a count in a bin of ages: {name!r}: {x!r}")
        values[i] = float(x)
    return values
