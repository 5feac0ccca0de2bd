"""Many generations of several models under one budget of polls, in virtual time, against the least possible lag."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from aimlvideo.core.limits import PollBudget
from aimlvideo.core.polling.policy import LearnedPolls
from benchmarks.laws import TimeLaw, best_polls, cost_of
from benchmarks.simulation import REEXAMINED, Waiting

TAIL = 1500.0  # seconds in which the last ones end


@dataclass
class Arrivals:
    """Generations of one model that begin at an even pace of `per_second`."""

    law: TimeLaw
    per_second: float


@dataclass
class Service:
    """Answers at most `limit` polls in any second (a window that slides), and refuses the others."""

    limit: float = np.inf
    answered: deque[float] = field(default_factory=deque)
    refused: list[float] = field(default_factory=list)

    def answers(self, now: float) -> bool:
        """Tell whether a poll at this moment is answered."""
        while self.answered and self.answered[0] <= now - 1:
            self.answered.popleft()
        if len(self.answered) >= self.limit:
            self.refused.append(now)
            return False
        self.answered.append(now)
        return True


@dataclass(frozen=True)
class Outcome:
    """Mean lag of those that began after the warm-up, refusals a second then, and the mean price."""

    lag: float
    refusals: float
    price: float
    answered: float


class Crowd:
    """One poller for everything that is outstanding, as the client has it."""

    def __init__(self, arrivals: Sequence[Arrivals], budget: PollBudget, service: Service, seed: int) -> None:
        self.arrivals, self.budget, self.service = arrivals, budget, service
        self.policies = [LearnedPolls() for _ in arrivals]
        self.rng = np.random.default_rng(seed)
        self.events: list[tuple[float, int, str, int, Waiting | None]] = []
        self.due: deque[tuple[int, Waiting]] = deque()
        self.asking = False
        self.count = 0
        self.lags: list[tuple[float, float]] = []
        self.prices: list[tuple[float, float]] = []

    def run(self, seconds: float, warm: float) -> Outcome:
        """Return what became of those that began from `warm` to `seconds`, with others beginning until they ended."""
        for model, arrival in enumerate(self.arrivals):
            self._at(model / len(self.arrivals) / arrival.per_second, "begin", model)
        self._at(1.0, "tick")
        now, polls = 0.0, 0
        while now < seconds + TAIL:
            now, _, what, model, job = heapq.heappop(self.events)
            polls += what == "ask" and now >= warm
            getattr(self, f"_{what}")(now, model, job)
        lags = [lag for began, lag in self.lags if warm <= began < seconds]
        refusals = sum(moment >= warm for moment in self.service.refused)
        prices = [price for moment, price in self.prices if moment >= warm]
        took = seconds + TAIL - warm
        return Outcome(float(np.mean(lags)), refusals / took, float(np.mean(prices)), (polls - refusals) / took)

    def _at(self, moment: float, what: str, model: int = 0, job: Waiting | None = None) -> None:
        self.count += 1
        heapq.heappush(self.events, (moment, self.count, what, model, job))

    def _tick(self, now: float, model: int, job: Waiting | None) -> None:
        self.budget.tick(now, len(self.due))
        self.prices.append((now, self.budget.price))
        for policy in self.policies:
            policy.price = self.budget.price
        self._at(now + 1, "tick")

    def _begin(self, now: float, model: int, job: Waiting | None) -> None:
        arrival = self.arrivals[model]
        takes = float(arrival.law.draw(self.rng, 1)[0])
        self._sleep(now, model, Waiting(0, now, takes))
        self._at(now + 1 / arrival.per_second, "begin", model)

    def _sleep(self, now: float, model: int, job: Waiting) -> None:
        due = job.began + self.policies[model].next_poll(job.last)
        self._at(min(max(due, now), now + REEXAMINED), "wake", model, job)

    def _wake(self, now: float, model: int, job: Waiting | None) -> None:
        assert job is not None
        if job.began + self.policies[model].next_poll(job.last) > now + 1e-9:
            self._sleep(now, model, job)
            return
        self.due.append((model, job))
        self._next_ask(now)

    def _next_ask(self, now: float) -> None:
        if self.due and not self.asking:
            self.asking = True
            self._at(self.budget.reserve(now), "ask")

    def _ask(self, now: float, model: int, job: Waiting | None) -> None:
        model, job = self.due.popleft()
        self.asking = False
        if not self.service.answers(now):
            self.budget.rate.on_rejected(now)
            self.due.appendleft((model, job))
        else:
            self.budget.rate.on_accepted(now)
            self._seen(now, model, job)
        self._next_ask(now)

    def _seen(self, now: float, model: int, job: Waiting) -> None:
        age = now - job.began
        self.policies[model].observe(job.last, age, age >= job.takes)
        if age >= job.takes:
            self.lags.append((job.began, age - job.takes))
        else:
            job.last = age
            self._sleep(now, model, job)


def bound(arrivals: Sequence[Arrivals], per_second: float, draws: int = 20_000) -> float:
    """Return the least mean lag that any policy reaches with so many polls a second, knowing the true laws."""
    times = [a.law.draw(np.random.default_rng(1), draws) for a in arrivals]
    weights = np.array([a.per_second for a in arrivals])

    def at(price: float) -> tuple[float, float]:
        costs = [cost_of(best_polls(a.law, price), t) for a, t in zip(arrivals, times, strict=True)]
        polls = float(sum(w * c.polls.mean() for w, c in zip(weights, costs, strict=True)))
        return polls, float(sum(w * c.lags.mean() for w, c in zip(weights, costs, strict=True)) / weights.sum())

    prices = 0.5 * 1.1 ** np.arange(0, 60)
    low, high = 0, len(prices) - 1
    if at(prices[0])[0] <= per_second:
        return at(prices[0])[1]
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if at(prices[middle])[0] > per_second else (low, middle)
    (p0, l0), (p1, l1) = at(prices[low]), at(prices[high])
    return l0 + (l1 - l0) * (p0 - per_second) / (p0 - p1)
