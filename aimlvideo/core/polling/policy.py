"""Poll policies: when to ask again about a generation that was unfinished at its last poll."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import Any, Protocol, Self

from aimlvideo.core.polling.latency import Latency
from aimlvideo.core.polling.next_poll import NextPoll

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


class FixedPolls:
    """Asks every `every` seconds, and learns nothing."""

    def __init__(self, every: float = 15.0, price: float = 0.5) -> None:
        self.every = every
        self.price = price

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


class LearnedPolls:
    """Asks when it costs least, and learns how long generations take while they run.

    It begins with `published` percentiles (share to seconds) or else with `documented` seconds, and makes do without.
    `price` may be set at any time: as a shared budget runs short, it rises, and everybody asks more rarely.
    """

    def __init__(
        self,
        price: float = 0.5,
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
        """Learn that a generation, alive at age `lo`, had ended (`done`) or still ran at age `hi`."""
        lo = max(lo, 0.0)
        if done:
            self.latency.ended(lo, hi)
        else:
            self.latency.survived(lo, hi)

    def quantile(self, p: float) -> float:
        """Return the age by which the share `p` of generations has ended, as far as is known."""
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
        price: float = 0.5,
        published: Mapping[float, float] | None = None,
        documented: float | None = None,
    ) -> Self:
        """Go on from what `to_state` gave; ValueError, KeyError or TypeError where it is damaged."""
        policy = cls(price, published, documented)
        policy.latency.restart_from(state)
        return policy

    def _rebuild(self) -> None:
        self._law, self._next_poll_price = self.latency.law, self.price
        self._next_poll = NextPoll(self._law, self.price)
        self._gap_factor = max(sqrt(self.price / USUAL_PRICE), 1.0)


def knowledge_key(model: str, params: Mapping[str, Any]) -> str:
    """Return under which name the durations of such generations are remembered: model, duration, resolution."""
    try:
        settings = [f"{name}={params[name]}" for name in ("duration", "resolution") if params.get(name) is not None]
    except ValueError:  # a number with more digits than Python writes: no model takes it
        settings = []
    return " ".join([model, *settings])
