"""When to ask again about a generation that was seen unfinished."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from aimlvideo.core.latency import Latency
from aimlvideo.core.looks import Looks

SMALLEST_GAP = 1.0
LARGEST_GAP = 600.0
LARGEST_GAP_UNKNOWING = 15.0


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
        self.every = max(every, SMALLEST_GAP)
        self.price = price

    def next_poll(self, last: float) -> float:
        return last + self.every

    def observe(self, lo: float, hi: float, done: bool) -> None:
        """Take no notice."""

    def quantile(self, p: float) -> float:
        return self.every

    def queued_gap(self) -> float:
        return self.every


class LearnedPolls:
    """Asks when it costs least, and learns how long generations take while they run."""

    def __init__(
        self,
        price: float = 0.5,
        published: Mapping[float, float] | None = None,
        documented: float | None = None,
    ) -> None:
        self.price = price
        self.latency = Latency(published, documented)
        self._looks = Looks(self.latency.law, price)
        self._law = self.latency.law
        self._looks_price = price

    def next_poll(self, last: float) -> float:
        law = self.latency.law
        if law is not self._law or abs(self.price - self._looks_price) > 0.05 * self._looks_price:
            self._law, self._looks_price = law, self.price
            self._looks = Looks(law, self.price)
        gap = max(self._looks.after(last) - last, SMALLEST_GAP)
        if self.latency.endings < 3:
            gap = min(gap, LARGEST_GAP_UNKNOWING)
        elif gap > 30 and law.survival(last) < 0.25:
            gap = min(gap, max(30.0, last / 20))
        return last + min(gap, LARGEST_GAP)

    def observe(self, lo: float, hi: float, done: bool) -> None:
        if done:
            self.latency.ended(lo, hi)
        else:
            self.latency.survived(lo, hi)

    def quantile(self, p: float) -> float:
        return self.latency.law.quantile(p)

    def queued_gap(self) -> float:
        largest = LARGEST_GAP_UNKNOWING if self.latency.endings < 3 else LARGEST_GAP
        return min(max(self.quantile(0.5) / 2, SMALLEST_GAP), largest)

    def to_state(self) -> dict[str, Any]:
        return self.latency.to_state()


def parse_polls(text: str) -> FixedPolls | None:
    """Read `learned` (None: each model learns its own) or `every:SECONDS` (one fixed policy for all)."""
    word, _, seconds = text.strip().partition(":")
    if word == "learned" and not seconds:
        return None
    try:
        every = float(seconds)
    except ValueError:
        every = 0.0
    if word != "every" or not 1 <= every < float("inf"):
        raise ValueError(f"polling is either 'learned' or 'every:SECONDS' with at least 1 second, not {text!r}")
    return FixedPolls(every)


def knowledge_key(model: str, params: Mapping[str, Any]) -> str:
    """Return under which name the durations of such generations are remembered: model, duration, resolution."""
    said = [f"{name}={params[name]}" for name in ("duration", "resolution") if params.get(name) is not None]
    return " ".join([model, *said])
