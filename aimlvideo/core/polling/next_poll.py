"""When the next look at something that runs costs least, given how long such things take and what a look costs."""

from __future__ import annotations

from math import exp, expm1, inf, log, log2, sqrt

from aimlvideo.core.polling.hazard import EDGES, WIDTHS, PiecewiseHazard, bin_of

STEPS = 32  # remembered ages to an octave of (1 + age)


class NextPoll:
    """The best next look under one law at one price (of a look, in seconds of lag).

    One exact step, then the square-root law as the cost to go: the look at u after one at s costs

        integral from s to u of (F(t) - F(s)) dt  +  sqrt(2c) * integral from u of sqrt(f S) dt  +  c S(u) / 2

    The exact recursion is that of Barlow, Hunter and Proschan (1963), the density of looks sqrt(h / 2c) Keller's
    (1974). Everything is taken relative to the share that runs at s, so that nothing underflows far out in the tail.
    """

    def __init__(self, law: PiecewiseHazard, price: float) -> None:
        self._hazards = law.hazards
        self._root = sqrt(2 * price)
        self._half = price / 2
        self._turns = [log(1 + self._root * sqrt(h) + self._half * h) for h in law.hazards]
        self._ahead = self._costs_ahead()
        self._known: dict[int, tuple[float, float, float]] = {}

    def after(self, last: float) -> float:
        """Return the age of the best look after one at `last`, read between remembered ages."""
        step = int(STEPS * log2(1 + last))
        known = self._known.get(step)
        if known is None:
            known = self._known[step] = self._line(step)
        return known[1] + known[2] * (last - known[0])

    def _line(self, step: int) -> tuple[float, float, float]:
        """Return age, look and slope at a remembered age; where the best look jumps, no slope leads across."""
        start, end = (2 ** (k / STEPS) - 1 for k in (step, step + 1))
        look, following = self.best(start), self.best(end)
        slope = (following - look) / (end - start)
        return start, look, slope if 0 <= slope <= 8 else 0.0

    def best(self, last: float) -> float:
        """Return the age of the best look after one at `last`, exactly.

        The cost has one turning point at most in each bin; `lag` alone is a bound for all that lies further on.
        """
        best, cheapest = last, inf
        i, age, left, lag, falling = bin_of(last), last, 1.0, 0.0, True
        while lag < cheapest:
            hazard, end = self._hazards[i], EDGES[i] + WIDTHS[i]
            turn = age + (self._turns[i] + log(left)) / hazard
            if turn <= end and (falling or turn > age):
                look = max(age, turn)
                gone = -expm1(-hazard * (look - age))
                cost = lag + (look - age) - left * gone / hazard + left * (1 - gone) * self._cost_ahead(i, look)
                if cost < cheapest:
                    best, cheapest = look, cost
            if end == inf:
                break
            gone = -expm1(-hazard * (end - age))
            lag += (end - age) - left * gone / hazard
            left *= 1 - gone
            i, age, falling = i + 1, end, turn > end
        return best

    def _cost_ahead(self, i: int, age: float) -> float:
        """Return what all looks after one at `age`, in bin `i`, will cost each job that still runs there."""
        beyond = exp(-self._hazards[i] * (EDGES[i] + WIDTHS[i] - age))
        return self._half + self._root * ((1 - beyond) / sqrt(self._hazards[i]) + beyond * self._ahead[i + 1])

    def _costs_ahead(self) -> list[float]:
        """Return the integral of sqrt(f S) from each edge on, relative to the share that runs there."""
        ahead = [0.0]
        for hazard, width in zip(reversed(self._hazards), reversed(WIDTHS), strict=True):
            beyond = exp(-hazard * width)
            ahead.append((1 - beyond) / sqrt(hazard) + beyond * ahead[-1])
        ahead.reverse()
        return ahead
