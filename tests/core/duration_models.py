"""Generations in virtual time for the tests of the poll policy, and the best that could have been done with them."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from math import exp, log
from statistics import NormalDist

import numpy as np

from aimlvideo.core.polling.policy import PollPolicy

PRICE = 0.5
PUBLISHED = {0.5: 127.0, 0.75: 150.0, 0.9: 175.0, 0.99: 240.0}


@dataclass
class Seen:
    """What polling cost: polls and lag of each generation in the order of its beginning; every look as (lo, hi)."""

    polls: list[int] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)
    looks: list[tuple[float, float]] = field(default_factory=list)

    def cost(self, first: int = 0, last: int | None = None) -> float:
        """Mean lag plus half a second for each poll."""
        polls, lags = self.polls[first:last], self.lags[first:last]
        return (sum(lags) + PRICE * sum(polls)) / len(polls)


def watch(policy: PollPolicy, times: Sequence[float], at_a_time: int = 8, again: float = 15.0) -> Seen:
    """Poll generations that take `times`, sleeping ones looked at again every 15 s without a request."""
    seen = Seen([0] * len(times), [0.0] * len(times))
    waiting: list[tuple[float, int, float, float]] = []

    def begin(number: int, now: float) -> None:
        if number < len(times):
            heapq.heappush(waiting, (now + min(policy.next_poll(0.0), again), number, now, 0.0))

    for number in range(at_a_time):
        begin(number, 0.0)
    following = at_a_time
    while waiting:
        now, number, began, last = heapq.heappop(waiting)
        due = began + policy.next_poll(last)
        if due <= now + 1e-9:
            age = now - began
            seen.polls[number] += 1
            seen.looks.append((last, age))
            policy.observe(last, age, age >= times[number])
            last = age
            if age >= times[number]:
                seen.lags[number] = age - times[number]
                begin(following, now)
                following += 1
                continue
            due = began + policy.next_poll(last)
        heapq.heappush(waiting, (min(due, now + again), number, began, last))
    return seen


def lognormal_times(seed: int, count: int, median: float, sigma: float) -> list[float]:
    """Durations in seconds; the same seed gives the same ones."""
    rng = random.Random(seed)
    return [median * exp(sigma * rng.gauss(0, 1)) for _ in range(count)]


def lognormal_left(median: float, sigma: float) -> Callable[[float], float]:
    """The share that still runs at an age."""
    logs = NormalDist(log(median), sigma)
    return lambda age: 1 - logs.cdf(log(age)) if age > 0 else 1.0


@cache
def best_ages(median: float, sigma: float, price: float = PRICE) -> tuple[float, ...]:
    """The optimal ages to poll at, by dynamic programming on half seconds."""
    left_at = lognormal_left(median, sigma)
    ages = np.arange(0.0, median * exp(4.5 * sigma), 0.5)
    left = np.array([left_at(float(age)) for age in ages])
    area = np.concatenate(([0.0], np.cumsum((left[1:] + left[:-1]) / 4)))
    worth, following = np.zeros(len(ages)), [0] * len(ages)
    for s in range(len(ages) - 3, -1, -1):
        cost = left[s] * (ages[s + 2 :] - ages[s]) - area[s + 2 :] + worth[s + 2 :]
        best = int(np.argmin(cost))
        worth[s] = price * left[s] + cost[best] + area[s]
        following[s] = s + 2 + best
    chain, s = [], following[0]
    while s:
        chain.append(float(ages[s]))
        s = following[s]
    return tuple(chain)


def best_cost(times: Sequence[float], median: float, sigma: float) -> float:
    """What these very generations would have cost, polled at the optimal ages."""
    ages = np.array(best_ages(median, sigma))
    index = np.minimum(np.searchsorted(ages, times), len(ages) - 1)
    return float(np.mean(np.maximum(ages[index] - np.array(times), 0.0) + PRICE * (index + 1)))
