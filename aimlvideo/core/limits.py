"""When may the next request start, and how many generations may be outstanding. All moments are the caller's clock."""

from __future__ import annotations

from collections import deque
from math import inf

CALM = 5.0  # seconds in which refusals are one piece of news: what was in flight together is refused together
WINDOW = 10.0  # seconds over which accepted requests are counted
GROWTH = 0.002  # a second: how fast a narrowed limit widens
SETTLED = 60.0  # seconds without a refusal after which it widens faster and faster
LONGEST_PAUSE = 60.0


class Rate:
    """Starts at most `per_second` requests a second (`math.inf`: no limit), the first `burst` of them at once."""

    def __init__(self, per_second: float, burst: int = 1) -> None:
        if not per_second > 0 or burst < 1:
            raise ValueError(f"a rate needs to be above 0 and a burst at least 1, not {per_second!r} and {burst!r}")
        self.ceiling = per_second
        self.per_second = per_second
        self.burst = burst
        self.paused_until = -inf
        self._due = -inf
        self._pause = 1.0
        self._narrowed_at = -inf
        self._widened_at = -inf
        self._accepted: deque[float] = deque(maxlen=4096)

    def reserve(self, now: float) -> float:
        """Return the moment at which this request may start. First come, first served."""
        interval = 1 / self.per_second
        start = max(now, self.paused_until, self._due - (self.burst - 1) * interval)
        self._due = max(start, self._due) + interval
        return start

    def accepted(self, now: float) -> None:
        """Note a request that the service took: the rate widens slowly, never above its ceiling."""
        self._accepted.append(now)
        if now >= self.paused_until:
            self._pause = 1.0
        if self.per_second < self.ceiling:
            quiet = max(1.0, (now - self._narrowed_at) / SETTLED)
            passed = min(max(now - self._widened_at, 0.0), WINDOW)
            self.per_second = min(self.ceiling, self.per_second * (1 + GROWTH * quiet) ** passed)
        self._widened_at = now

    def busy(self, now: float, retry_after: float | None = None) -> None:
        """Note a refusal (429): nothing starts before `retry_after` seconds are over, and the rate narrows once."""
        if retry_after is None:
            retry_after = self._pause
            if now >= self.paused_until:
                self._pause = min(2 * self._pause, LONGEST_PAUSE)
        self.paused_until = max(self.paused_until, now + retry_after)
        if now < self._narrowed_at + CALM:
            return
        self._narrowed_at = self._widened_at = now
        self.per_second = max(0.9 * min(self.per_second, self._recent(now)), min(self.ceiling, 0.2))

    def _recent(self, now: float) -> float:
        """Return the requests accepted per second of late; never less than one in the window."""
        while self._accepted and self._accepted[0] < now - WINDOW:
            self._accepted.popleft()
        if not self._accepted:
            return self.per_second if self.per_second < inf else 1.0
        return len(self._accepted) / min(WINDOW, max(now - self._accepted[0], 1.0))


class Outstanding:
    """Allows so many generations at a time; `limit=None` finds by itself how many the service takes."""

    def __init__(self, limit: int | None = None) -> None:
        if limit is not None and limit < 1:
            raise ValueError(f"at least 1 generation has to be allowed, not {limit!r}")
        self.ceiling = inf if limit is None else limit
        self.limit = 8 if limit is None else limit
        self.taken = 0
        self._room = float(self.limit)
        self._narrowed_at = -inf

    def free(self) -> bool:
        """Tell whether one more may be taken now."""
        return self.taken < self.limit

    def take(self) -> None:
        """Count one more as outstanding."""
        self.taken += 1

    def give(self) -> None:
        """Count one as no longer outstanding, however it ended."""
        self.taken = max(0, self.taken - 1)

    def accepted(self, now: float) -> None:
        """Note one that the service took: where the limit was what held us back, it widens."""
        if self.taken < self.limit or self.limit >= self.ceiling:
            return
        never = self._narrowed_at == -inf
        quiet = 1.0 if never else max(1.0, (now - self._narrowed_at) / SETTLED)
        self._room = min(self.ceiling, self._room + (1.0 if never else min(1.0, quiet / self.limit)))
        self.limit = int(self._room)

    def busy(self, now: float) -> None:
        """Note that the service refused one for being too many: the limit narrows, once for all that were in flight."""
        if now < self._narrowed_at + CALM:
            return
        self._narrowed_at = now
        self._room = max(1.0, 0.9 * min(self.limit, max(self.taken - 1, 1)))
        self.limit = int(self._room)


class PollBudget:
    """One rate for the polls of all generations, and the price that shares it out fairly.

    To spend a budget so that the sum of all lags is least means one price of a poll for all (a Lagrange multiplier).
    `price` is in seconds of lag; the policies ask more rarely as it rises.
    """

    def __init__(self, per_second: float = 50.0, price: float = 0.5) -> None:
        self.rate = Rate(per_second)
        self.price = price
        self.floor = price
        self._asked = 0
        self._ticked_at: float | None = None

    @property
    def per_second(self) -> float:
        """How many polls a second the budget allows at present."""
        return self.rate.per_second

    def reserve(self, now: float) -> float:
        """Return the moment at which this poll may start, and count the demand."""
        self._asked += 1
        return self.rate.reserve(now)

    def accepted(self, now: float) -> None:
        """Note a poll that was answered."""
        self.rate.accepted(now)

    def busy(self, now: float, retry_after: float | None = None) -> None:
        """Note a refusal: all polls pause, and the budget narrows."""
        self.rate.busy(now, retry_after)

    def tick(self, now: float, backlog: int = 0) -> None:
        """Set the price anew, about once a second; `backlog` is how many are due and not yet asked."""
        if self._ticked_at is not None:
            passed = max(now - self._ticked_at, 1e-3)
            wanted = (self._asked / passed + backlog / 10) / self.per_second
            self.price = max(self.floor, self.price * min(max(wanted**2, 0.87), 1.15))
        self._asked = 0
        self._ticked_at = now
