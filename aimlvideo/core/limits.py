"""When may the next request or poll start, and how many generations and downloads there may be at a time.

All moments are on the caller's clock.

A limit that the service does not tell is found by running into it, as in AIMD (Chiu and Jain, 1989): a refusal narrows
by a share at once, success widens slowly. Refusals that arrive together are one piece of news: what was in flight
together is refused together.
"""

from __future__ import annotations

from heapq import heappop, heappush
from math import exp, inf, sqrt

COOLDOWN = 5.0  # seconds after a narrowing in which further refusals do not narrow again
NARROW = 0.9
SAFE_SHARE = 0.985  # of the rate that was last refused: up to there it is taken back at once, as known ground
REGAIN = 0.02  # by how much a narrowed rate widens in a second on known ground
GROWTH = 0.0001  # and beyond it
SETTLED = 60.0  # seconds without a refusal after which it widens faster and faster
MEMORY = 5.0  # seconds over which the accepted requests are counted
SHORTEST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds, where the service does not say how long
FIRST_DOWNLOADS, DOWNLOADS_STEP, MOST_DOWNLOADS = 8, 4, 32  # at a time
WORTH_MORE = 1.1  # times the bytes a second that more downloads have to bring to be kept
LEAST_PRICE = 0.5  # of a poll, in seconds of lag
DEAREST = 200.0  # times the least price: beyond, asking more rarely no longer helps
SLOWEST = 0.2  # requests a second: never wait longer than that on a guess


class RateLimiter:
    """Starts at most `per_second` requests a second (`math.inf`: no limit), `burst` of them at once after a rest."""

    def __init__(self, per_second: float, burst: int = 1) -> None:
        if not per_second > 0 or burst < 1:
            raise ValueError(f"a rate has to be above 0 and a burst at least 1, not {per_second!r} and {burst!r}")
        self.ceiling = per_second
        self.per_second = per_second
        self.burst = burst
        self.paused_until = -inf
        self._due = -inf
        self._given_back: list[float] = []  # moments that were reserved, and nobody uses
        self._pause = SHORTEST_PAUSE / 2
        self._narrowed_at = -inf
        self._accepted_at = -inf
        self._refused_rate = inf
        self._used_up = False  # somebody had to wait for the last turn
        self._flow = 0.0  # accepted requests a second, of late
        self._watched = 0.0  # how much of that memory is filled, up to 1

    def reserve(self, now: float) -> float:
        """Return the moment at which this request may start. First come, first served.

        If a refusal has come in before that moment, wait until `paused_until` too.
        """
        while self._given_back:
            if (start := heappop(self._given_back)) >= max(now, self.paused_until):
                return start
        interval = 1 / self.per_second
        start = max(now, self.paused_until, self._due - (self.burst - 1) * interval)
        # From the due moment, not from `start`: after a rest a burst may start at once, and the rate over time stays
        # the same (GCRA, the leaky bucket as a meter).
        self._due = max(start, self._due) + interval
        self._used_up = start > now
        return start

    def give_back(self, start: float) -> None:
        """Leave a reserved moment to whoever comes next: the request that waited for it is not sent."""
        heappush(self._given_back, start)

    def on_accepted(self, now: float) -> None:
        """Note a request that the service took: the rate widens slowly, never above its ceiling."""
        if now >= self.paused_until:
            self._pause = SHORTEST_PAUSE / 2
        self._widen(now)
        self._decay(now)
        # A leaky counter instead of a list of moments: constant memory, however fast the requests.
        self._flow += 1 / MEMORY
        self._accepted_at = max(now, self._accepted_at)

    def on_rejected(self, now: float, retry_after: float | None = None) -> None:
        """Note a refusal (429): nothing starts for `retry_after` seconds, and the rate narrows, once in 5 s.

        Where the service does not say how long, the pause is 1 s, and doubles from refusal to refusal.
        """
        # Refusals in a pause were in flight together with the one that began it: they say nothing new about the rate,
        # and counting each would narrow it to nothing.
        if now >= self.paused_until:
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
            self._refused_rate = min(self._refused_rate, self.per_second)
        self.paused_until = max(self.paused_until, now + (self._pause if retry_after is None else retry_after))
        if now >= self._narrowed_at + COOLDOWN:
            self._decay(now)
            self._narrowed_at = self._accepted_at = now
            self._given_back.clear()  # they are as close as the rate was
            self._refused_rate = self._recent_rate()
            # Never below a quarter at once: a refusal may be about something else, and a rate near 0 takes minutes to
            # widen.
            least = max(self.per_second / 4 if self.per_second < inf else 0.0, min(self.ceiling, SLOWEST))
            self.per_second = max(NARROW * self._refused_rate, least)  # one refusal says little about the rate

    def set_share(self, per_second: float) -> None:
        """Set our part of a shared rate: what was unused before is open now, what is too much is given up."""
        self.per_second = per_second if self.per_second >= self.ceiling else min(self.per_second, per_second)
        self.ceiling = per_second

    def _recent_rate(self) -> float:
        """Return how many requests a second the service took of late.

        That is at least half of the rate where the rate had not been used up: the rest was not asked for.
        """
        # In the first seconds the memory is not full: without the division a fresh limiter would underrate its own
        # flow.
        flow = self._flow / max(self._watched, 1 - exp(-1 / MEMORY))
        if self.per_second == inf:
            return max(flow, 1.0)
        if flow > 0.8 * self.per_second:
            return self.per_second
        return flow if self._used_up else max(flow, self.per_second / 2)

    def _widen(self, now: float) -> None:
        if self.per_second < self.ceiling:
            calm = max((now - self._narrowed_at) / SETTLED, 1.0)
            passed = min(max(now - self._accepted_at, 0.0), 2 * MEMORY)
            growth = REGAIN if self.per_second < SAFE_SHARE * self._refused_rate else GROWTH * calm**2
            self.per_second = min(self.ceiling, self.per_second * (1 + growth) ** passed)

    def _decay(self, now: float) -> None:
        """Let the count of accepted requests fade, over the time in which requests were sent at all."""
        since = max(self._accepted_at, self.paused_until if self.paused_until <= now else -inf)
        if now > since:
            decay = exp((since - now) / MEMORY) if since > -inf else 1.0
            self._flow *= decay
            self._watched = 1 - (1 - self._watched) * decay


class ConcurrencyLimit:
    """Allows `limit` generations at a time; `ConcurrencyLimit(None)` finds by itself how many the service takes.

    Two limits, of which the lower holds: what was learned in the long run, and how many the service held when it
    last refused one, which gives way as soon as it takes more.
    """

    def __init__(self, limit: int | None) -> None:
        if limit is not None and limit < 1:
            raise ValueError(f"at least 1 generation has to be allowed at a time, not {limit!r}")
        self.taken = 0
        self._ceiling = inf if limit is None else float(limit)
        self._soft_limit = 8.0 if limit is None else float(limit)
        self._hard_limit = inf
        self._narrowed_at = -inf

    @property
    def limit(self) -> int:
        """How many may be outstanding at present: at least 1."""
        return int(min(self._soft_limit, self._hard_limit))

    def has_room(self) -> bool:
        """Tell whether one more may be taken now."""
        return self.taken < self.limit

    def acquire(self) -> None:
        """Count one more as outstanding: before its request is sent."""
        self.taken += 1

    def release(self) -> None:
        """Count one as no longer outstanding: it has ended, however it ended, or was refused (after `on_rejected`)."""
        self.taken = max(self.taken - 1, 0)

    def on_accepted(self, now: float) -> None:
        """Note one that the service took: if the limit was what held us back, it widens slowly."""
        if self.taken < self.limit:
            return
        if self.taken >= self._hard_limit:
            self._hard_limit += 1.0
        if self.taken >= int(self._soft_limit):
            # Until the first refusal nothing is known of the limit, so each accepted one adds a place (as in TCP's slow
            # start); later one in as many as there are.
            unhurt = self._narrowed_at == -inf
            calm = max((now - self._narrowed_at) / SETTLED, 1.0)
            self._soft_limit = min(
                self._ceiling, self._soft_limit + (1.0 if unhurt else min(calm / self._soft_limit, 1.0))
            )

    def on_rejected(self, now: float) -> None:
        """Note that the service refused one because there are too many: the limit narrows, once in 5 s."""
        others = max(self.taken - 1.0, 1.0)
        # The hard limit is a fact of this moment, also in the cooldown: the service held exactly these others. The soft
        # limit is an estimate, and a burst of refusals for one cause must not cut it ten times.
        self._hard_limit = others
        if now >= self._narrowed_at + COOLDOWN:
            self._narrowed_at = now
            self._soft_limit = max(NARROW * min(max(others, self._soft_limit / 2), self._soft_limit), 1.0)


class PollBudget:
    """One rate for the polls of all generations, and the price that shares it out.

    The sum of all lags under one rate is least when a poll has one price for all (a Lagrange multiplier). `price` is in
    seconds of lag; as it rises, the policies ask more rarely, those that gain least from it first.
    """

    def __init__(self, rate: RateLimiter) -> None:
        self.rate = rate
        self.price = LEAST_PRICE
        self._requested = 0
        self._ticked_at: float | None = None

    def reserve(self, now: float) -> float:
        """Return the moment at which this poll may start, and count it as wanted."""
        self._requested += 1
        return self.rate.reserve(now)

    def tick(self, now: float, backlog: int) -> None:
        """Set the price anew, once a second; `backlog` is how many polls are due and have not started."""
        if self._ticked_at is not None:
            demand = self._requested / max(now - self._ticked_at, 1e-3) + backlog / 60
            # The best gap grows with the root of the price, so the price moves with the root of the demand: a full
            # step would overshoot, as every policy answers only at its next poll.
            change = min(max(sqrt(demand / self.rate.per_second), 0.87), 1.15)
            self.price = min(max(self.price * change, LEAST_PRICE), DEAREST * LEAST_PRICE)
        self._requested = 0
        self._ticked_at = now


class DownloadLimit:
    """Allows `limit` downloads at a time; `DownloadLimit(None)` finds by itself how many the line takes.

    More are tried while clips wait, and kept where they bring more bytes a second: where they do not, the line is full.
    """

    def __init__(self, limit: int | None = None) -> None:
        self.limit = FIRST_DOWNLOADS if limit is None else limit
        self._adapts = limit is None
        self._rate_before = 0.0
        self._is_trying = False
        self._try_again_at = -inf
        self._begin(None)

    def on_saved(self, size: int, now: float, *, more_wait: bool) -> None:
        """Note a clip of `size` bytes; only a time in which more clips wait says something about the line."""
        if not (self._adapts and more_wait) or self._began is None:
            self._begin(now if more_wait else None)
            return
        self._bytes += size
        self._clips += 1
        # Two rounds of clips: fewer would measure how long single ones take, not how much comes in.
        if self._clips < 2 * self.limit:
            return
        rate = self._bytes / max(now - self._began, 1e-3)
        if self._is_trying and rate < WORTH_MORE * self._rate_before:
            self.limit -= DOWNLOADS_STEP
            self._is_trying, self._try_again_at = False, now + SETTLED
        elif now >= self._try_again_at and self.limit < MOST_DOWNLOADS:
            self.limit += DOWNLOADS_STEP
            self._is_trying, self._rate_before = True, rate
        self._begin(now)

    def _begin(self, now: float | None) -> None:
        self._began, self._bytes, self._clips = now, 0, 0
