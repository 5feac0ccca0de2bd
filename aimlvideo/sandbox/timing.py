"""How long a generation takes: the law that `Behaviour.seconds` names, as a quantile function."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import exp, inf, isfinite
from statistics import NormalDist

UNDOCUMENTED_SECONDS = 120.0
"""Processing time of a model whose documentation gives none."""

_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Law:
    """A distribution of processing times: `kind` is fixed, lognormal, uniform or documented."""

    kind: str
    first: float = 0.0
    second: float = 0.0

    def quantile(self, share: float, documented: float | None) -> float:
        """Return the seconds within which `share` (0 to 1, both excluded) of the generations end."""
        if self.kind == "lognormal":
            return self.first * exp(self.second * _NORMAL.inv_cdf(min(max(share, 1e-9), 1 - 1e-9)))
        if self.kind == "uniform":
            return self.first + share * (self.second - self.first)
        if self.kind == "documented":
            return documented or UNDOCUMENTED_SECONDS
        return self.first


@lru_cache(maxsize=64)
def parse_law(seconds: float | str) -> Law:
    """Return the law that a number, `"127"`, `"lognormal:127,0.35"`, `"uniform:10,60"` or `"documented"` names."""
    if seconds == "documented":
        return Law("documented")
    kind, colon, numbers = str(seconds).partition(":")
    try:
        first, second = (float(number) for number in numbers.split(",")) if colon else (float(kind), 0.0)
    except ValueError:
        first = -1.0
        second = 0.0
    in_order = kind != "uniform" or first <= second
    if not 0 <= first < inf or not isfinite(second) or not in_order or (colon and kind not in ("lognormal", "uniform")):
        raise ValueError(
            f'seconds is a number, "lognormal:MEDIAN,SIGMA", "uniform:LOW,HIGH" or "documented", not {seconds!r}'
        )
    return Law(kind if colon else "fixed", first, second)
