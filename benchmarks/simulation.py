"""Generations and polls in virtual time: the same policy objects as in the client, and no client."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from aimlvideo.core.polling.policy import PollPolicy
from benchmarks.laws import Cost, Floats

REEXAMINED = 15.0  # seconds: how often a sleeping generation hears of what was learned since


@dataclass
class Waiting:
    """One generation at the service, seen from outside."""

    number: int
    began: float
    takes: float
    last: float = 0.0
    polls: int = 0
    ages: list[float] = field(default_factory=list)


def simulate(policy: PollPolicy, times: Sequence[float], at_a_time: int = 8) -> Cost:
    """Run generations of these durations, `at_a_time` at once in their order; return what each of them cost."""
    polls, lags = np.zeros(len(times)), np.zeros(len(times))
    waiting: list[tuple[float, int, Waiting]] = []
    following = 0

    def begin(now: float) -> None:
        nonlocal following
        if following < len(times):
            job = Waiting(following, now, float(times[following]))
            heapq.heappush(waiting, (now + min(policy.next_poll(0.0), REEXAMINED), following, job))
            following += 1

    for _ in range(at_a_time):
        begin(0.0)
    while waiting:
        now, number, job = heapq.heappop(waiting)
        due = job.began + policy.next_poll(job.last)
        if due <= now + 1e-9:
            age = now - job.began
            job.polls += 1
            done = age >= job.takes
            policy.observe(job.last, age, done)
            job.last = age
            if done:
                polls[number], lags[number] = job.polls, age - job.takes
                begin(now)
                continue
            due = job.began + policy.next_poll(age)
        heapq.heappush(waiting, (min(due, now + REEXAMINED), number, job))
    return Cost(polls, lags)


def repeat(
    make: Callable[[], PollPolicy], times: Callable[[np.random.Generator], Floats], seeds: int, at_a_time: int = 8
) -> tuple[Cost, Floats]:
    """Return the costs (one row a seed) of fresh policies, and the durations that they met."""
    drawn = np.array([times(np.random.default_rng(seed)) for seed in range(seeds)])
    costs = [simulate(make(), row, at_a_time) for row in drawn]
    return Cost(np.array([c.polls for c in costs]), np.array([c.lags for c in costs])), drawn
