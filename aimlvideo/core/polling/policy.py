"""Poll policies: when to ask again about a generation that was unfinished at its last poll."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp, expm1, inf, log, log2, sqrt
from typing import Any, NamedTuple, Protocol, Self

from aimlvideo.core.polling.hazard import EDGES, WIDTHS, PiecewiseHazard, bin_of
from aimlvideo.core.polling.latency import Latency

STEPS = 32  # remembered ages to an octave of (1 + age)


class _NextPoll:
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


ROUNDING = 1e-9  # no gap is out of bounds by the rounding of `last + gap`
SMALLEST_GAP = 1.0 + ROUNDING  # seconds: politeness
LARGEST_GAP = 600.0 - ROUNDING
LARGEST_GAP_AT_FIRST = 15.0  # bounds the harm of a wrong first guess
ENOUGH_ENDINGS = 5  # endings seen
LARGEST_GAP_IN_TAIL = 30.0  # or a twentieth of the age: one that is stuck is asked for ever, ever more rarely
TAIL = 0.25  # the share that still runs
USUAL_PRICE = 0.5  # seconds of lag; where a poll costs more, the two bounds above stretch as the best gaps do
PRICE_MOVES = 0.05  # a change of the price by less than this share is not worth new tables


class PollPolicy(Protocol):
    """Decides when to ask, and learns from what is seen. Ages are seconds since acceptance."""

    price: float
    """What one poll costs, in seconds of lag."""

    def next_poll(self, last: float) -> float:
        """Return the age at which to ask a generation seen unfinished at age `last`."""

    def observe(self, lo: float, hi: float, done: bool) -> None:
        """Learn that a generation, alive at age `lo`, had ended (`done`) or still ran at age `hi`."""

    def quantile(self, p: float) -> float:
        """Return the age by which the share `p` of generations has ended, as far as is known."""

    def queued_gap(self) -> float:
        """Return the seconds after which to ask again about a generation that waits in the service's queue."""


class PollState(NamedTuple):
    """An unfinished generation as its last poll found it. All moments are seconds on the caller's clock.

    The time in the service's queue says nothing about how long the work takes, so the age counts from the middle
    between the last poll that found it queued and the first that did not; from acceptance if no poll found it queued.
    """

    running_since: float
    """The moment from which its age counts; while it is queued, that of the last poll."""
    last_polled_at: float
    """The moment of the last poll (at first: of acceptance)."""
    queued: bool = False

    def due(self, policy: PollPolicy) -> float:
        """Return the moment of the next poll. Call it again when the policy may have learned: it may be earlier."""
        if self.queued:
            return self.last_polled_at + policy.queued_gap()
        return self.running_since + policy.next_poll(self.last_polled_at - self.running_since)

    def still_running(self, now: float, queued: bool, policy: PollPolicy) -> Self:
        """Return the state after a poll that found it unfinished; the policy learns from it."""
        # "Queued" after "running" is a slip of the service's: an age that began must not begin again.
        if queued and (self.queued or self.last_polled_at == self.running_since):
            return self._replace(running_since=now, last_polled_at=now, queued=True)
        running_since = (self.last_polled_at + now) / 2 if self.queued else self.running_since
        policy.observe(max(self.last_polled_at - running_since, 0.0), now - running_since, False)
        return self._replace(running_since=running_since, last_polled_at=now, queued=False)

    def ended(self, now: float, policy: PollPolicy) -> None:
        """Let the policy learn from a poll, or a callback, that found it ended."""
        policy.observe(self.last_polled_at - self.running_since, now - self.running_since, True)


class FixedPolls(PollPolicy):
    """Asks every `every` seconds, and learns nothing."""

    def __init__(self, every: float = 15.0) -> None:
        self.every, self.price = every, USUAL_PRICE

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read `learned` (None: each model learns its own) or `every:SECONDS` (one fixed policy for all)."""
        word, _, seconds = text.strip().partition(":")
        if word == "learned" and not seconds:
            return None
        try:
            every = float(seconds)
        except ValueError:
            every = 0.0
        if word != "every" or not 0 < every < float("inf"):
            raise ValueError(f"expected 'learned' or 'every:SECONDS' with more than 0 seconds, got {text!r}")
        return cls(every)

    def next_poll(self, last: float) -> float:
        return last + self.every

    def observe(self, lo: float, hi: float, done: bool) -> None:
        """Take no notice."""

    def quantile(self, p: float) -> float:
        return self.every

    def queued_gap(self) -> float:
        return self.every


class LearnedPolls(PollPolicy):
    """Asks when it costs least, and learns how long generations take while they run.

    It begins with `published` percentiles (share to seconds) or else with `documented` seconds, and makes do without.
    `price` may be set at any time: as a shared budget runs short, it rises, and everybody asks more rarely.
    """

    def __init__(
        self,
        price: float = USUAL_PRICE,
        published: Mapping[float, float] | None = None,
        documented: float | None = None,
    ) -> None:
        self.price = price
        self.latency = Latency(published, documented)
        self._rebuild()

    def next_poll(self, last: float) -> float:
        """Return the age at which to ask: at least 1 s on, at most 600 s, less while little is known."""
        if (
            self._law is not self.latency.law
            or abs(self.price - self._next_poll_price) > PRICE_MOVES * self._next_poll_price
        ):
            self._rebuild()
        gap = self._next_poll.after(last) - last
        if gap <= SMALLEST_GAP:
            return last + SMALLEST_GAP
        # A guess may be far off: until some generations have ended, no gap is long enough to miss most of a clip's lag.
        if self.latency.endings < ENOUGH_ENDINGS:
            gap = min(gap, LARGEST_GAP_AT_FIRST * self._gap_factor)
        elif gap > LARGEST_GAP_IN_TAIL and self._law.survival(last) < TAIL:
            # Far out in the tail the law rests on hardly any data, and what still runs there may be stuck for ever.
            gap = min(gap, max(LARGEST_GAP_IN_TAIL * self._gap_factor, last / 20))
        return last + min(gap, LARGEST_GAP)

    def observe(self, lo: float, hi: float, done: bool) -> None:
        lo = max(lo, 0.0)
        if done:
            self.latency.ended(lo, hi)
        else:
            self.latency.survived(lo, hi)

    def quantile(self, p: float) -> float:
        return self.latency.law.quantile(p)

    def queued_gap(self) -> float:
        """Return half the median: the queue's length says little, and what follows it takes long."""
        largest = LARGEST_GAP_AT_FIRST if self.latency.endings < ENOUGH_ENDINGS else LARGEST_GAP
        return min(max(self.quantile(0.5) / 2, SMALLEST_GAP), largest)

    @property
    def endings(self) -> float:
        """How many generations the knowledge rests on: each counts less the longer ago it was, about 100 at most."""
        return sum(self.latency.evidence.events)

    def to_state(self) -> dict[str, Any]:
        """Return what was learned, as plain JSON values of a few kilobytes."""
        return self.latency.merged_state()

    @classmethod
    def from_state(
        cls,
        state: Mapping[str, Any],
        *,
        published: Mapping[float, float] | None = None,
        documented: float | None = None,
    ) -> Self:
        """Go on from what `to_state` gave; ValueError, KeyError or TypeError where it is damaged."""
        policy = cls(published=published, documented=documented)
        policy.latency.restart_from(state)
        return policy

    def _rebuild(self) -> None:
        self._law, self._next_poll_price = self.latency.law, self.price
        self._next_poll = _NextPoll(self._law, self.price)
        self._gap_factor = max(sqrt(self.price / USUAL_PRICE), 1.0)


def knowledge_key(model: str, params: Mapping[str, Any]) -> str:
    """Return under which name the durations of such generations are remembered: model, duration, resolution."""
    try:
        settings = [f"{name}={params[name]}" for name in ("duration", "resolution") if params.get(name) is not None]
    except ValueError:  # a number with more digits than Python writes: no model takes it
        settings = []
    return " ".join([model, *settings])
