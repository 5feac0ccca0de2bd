"""Optimal poll times for a known duration law and a cost per poll."""

from __future__ import annotations

from math import exp, expm1, inf, log, log2, sqrt

from aimlvideo.core.polling.hazard import EDGES, WIDTHS, PiecewiseHazard, bin_of

STEPS = 32  # remembered ages to an octave of (1 + age)


class NextPoll:
    """The best next poll under one law at one price (of a poll, in seconds of lag).

    One exact step, then the square-root law as the cost to go: the poll at u after one at s costs

        integral from s to u of (F(t) - F(s)) dt  +  sqrt(2c) * integral from u of sqrt(f S) dt  +  c S(u) / 2

    The exact recursion is that of Barlow, Hunter and Proschan ("Optimum checking procedures", J. SIAM 11, 1963), the
    density of polls sqrt(h / 2c) is Keller's ("Optimum checking schedules for systems subject to random failure",
    Management Science 21, 1974). Everything is taken relative to the share that runs at s, so that nothing underflows
    far out in the tail.
    """

    def __init__(self, law: PiecewiseHazard, price: float) -> None:
        self._hazards = law.hazards
        self._root = sqrt(2 * price)
        self._half = price / 2
        self._turns = [log(1 + self._root * sqrt(h) + self._half * h) for h in law.hazards]
        self._ahead = self._costs_ahead()
        self._lines: dict[int, tuple[float, float, float]] = {}

    def after(self, last: float) -> float:
        """Return the age of the best poll after one at `last`, interpolated between remembered ages."""
        step = int(STEPS * log2(1 + last))
        line = self._lines.get(step)
        if line is None:
            line = self._lines[step] = self._line(step)
        return line[1] + line[2] * (last - line[0])

    def _line(self, step: int) -> tuple[float, float, float]:
        """Return age, next poll and slope at a remembered age; where the best poll jumps, no slope leads across."""
        start, end = (2 ** (k / STEPS) - 1 for k in (step, step + 1))
        poll, following = self.exact(start), self.exact(end)
        slope = (following - poll) / (end - start)
        # Between two modes of the law the best poll jumps from one to the other. A line across the jump would poll in
        # the valley between them, where nothing ends.
        return start, poll, slope if 0 <= slope <= 8 else 0.0

    def exact(self, last: float) -> float:
        """Return the age of the best poll after one at `last`, exactly.

        The cost has one turning point at most in each bin; `lag` alone is a bound for all that lies further on.
        """
        best, cheapest = last, inf
        i, age, alive, lag, falling = bin_of(last), last, 1.0, 0.0, True
        while lag < cheapest:
            hazard, end = self._hazards[i], EDGES[i] + WIDTHS[i]
            # Within a bin the hazard is constant, so the cost's derivative is an exponential plus a constant: it
            # crosses zero once at most, from below, and the crossing has this closed form. No search is needed.
            turn = age + (self._turns[i] + log(alive)) / hazard
            # Where the bin before has turned already and this one rises from its start, nothing in it is better.
            if turn <= end and (falling or turn > age):
                poll = max(age, turn)
                gone = -expm1(-hazard * (poll - age))
                cost = lag + (poll - age) - alive * gone / hazard + alive * (1 - gone) * self._cost_ahead(i, poll)
                if cost < cheapest:
                    best, cheapest = poll, cost
            if end == inf:
                break
            gone = -expm1(-hazard * (end - age))
            lag += (end - age) - alive * gone / hazard
            alive *= 1 - gone
            i, age, falling = i + 1, end, turn > end
        return best

    def _cost_ahead(self, i: int, age: float) -> float:
        """Return what all polls after one at `age`, in bin `i`, will cost each job that still runs there."""
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
