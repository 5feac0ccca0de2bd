"""Three models under one budget: wheel, sights, policies and price together, in virtual time."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import pytest
from generations import best_ages, lognormal_times

from aimlvideo.core.limits import PollBudget
from aimlvideo.core.polling.observation import PollState
from aimlvideo.core.polling.policy import LearnedPolls
from aimlvideo.core.polling.timer_wheel import TimerWheel

MEDIANS = (34.0, 127.0, 381.0)
SIGMA = 0.35
BUDGET = 12.0  # polls a second, where 29 would be asked
WARM, UNTIL, END = 400.0, 900.0, 1700.0


@dataclass(eq=False)
class Waiting:
    model: int
    takes: float
    sight: PollState


def crowd(shared: bool) -> tuple[dict[int, list[tuple[float, float]]], list[float]]:
    """One generation a second of each model; return (duration, lag) of each by model, and the prices."""
    times = [iter(lognormal_times(model, int(END) + 1, median, SIGMA)) for model, median in enumerate(MEDIANS)]
    policies = [LearnedPolls() for _ in MEDIANS]
    budget, wheel, due = PollBudget(BUDGET), TimerWheel[Waiting](), deque[Waiting]()
    seen: dict[int, list[tuple[float, float]]] = {0: [], 1: [], 2: []}
    prices, start = [], 0.0
    for tick in range(int(END) * 20):
        now = tick / 20
        if tick % 20 == 0:
            budget.tick(now, len(due))
            prices.append(budget.price)
            for policy in policies:
                policy.price = budget.price if shared else 0.5
            for model, its_times in enumerate(times):
                began = Waiting(model, next(its_times), PollState(now, now))
                wheel.add(min(began.sight.due(policies[model]), now + 15), began)
        for one in wheel.pop_due(now):
            at = one.sight.due(policies[one.model])
            if at <= now:
                due.append(one)
            else:
                wheel.add(min(at, now + 15), one)
        while due and start <= now:
            one, start = due.popleft(), budget.reserve(now)
            age = now - one.sight.since
            if age < one.takes:
                one.sight = one.sight.again(now, False, policies[one.model])
                wheel.add(min(one.sight.due(policies[one.model]), now + 15), one)
            else:
                one.sight.ended(now, policies[one.model])
                if WARM <= one.sight.since < UNTIL:
                    seen[one.model].append((one.takes, age - one.takes))
    return seen, prices[int(WARM) : int(UNTIL)]


def least_lag(seen: dict[int, list[tuple[float, float]]], price: float) -> float:
    """A bound on the mean lag of any policy with this budget: the Lagrange dual, at any price whatever."""
    cost = 0.0
    for model, median in enumerate(MEDIANS):
        takes = np.array([duration for duration, _ in seen[model]])
        ages = np.array(best_ages(median, SIGMA, price))
        index = np.minimum(np.searchsorted(ages, takes), len(ages) - 1)
        cost += float(np.mean(np.maximum(ages[index] - takes, 0) + price * (index + 1)))
    return (cost - price * BUDGET) / len(MEDIANS)


def mean_lag(seen: dict[int, list[tuple[float, float]]]) -> float:
    return float(np.mean([np.mean([lag for _, lag in each]) for each in seen.values()]))


@pytest.fixture(scope="module")
def shared():
    return crowd(shared=True)


def test_one_price_for_three_models_comes_near_the_least_lag_that_the_budget_allows(shared):
    seen, prices = shared
    price = round(float(np.mean(prices)), 1)
    assert price > 1.0
    assert mean_lag(seen) <= 1.12 * max(least_lag(seen, price), least_lag(seen, 0.8 * price))


def test_without_the_shared_price_they_only_wait_in_line(shared):
    assert mean_lag(crowd(shared=False)[0]) > 1.1 * mean_lag(shared[0])
