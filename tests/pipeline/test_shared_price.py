"""Three models under one budget of status checks: the price of one reaches every policy, and saves waiting."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from tests.core.duration_models import best_ages, lognormal_times
from tests.fakes import JOB, FakeClient, FakeService

MEDIANS = (34.0, 127.0, 381.0)
SIGMA = 0.35
JOBS = (
    {**JOB, "duration": 5},
    {**JOB, "duration": 10},
    {**JOB, "model": "kling-video/v1.6/standard/image-to-video"},
)
SUBMISSIONS, CHECKS = 1.0, 4.0  # a second; without a price, ten checks a second would be wanted
COUNT, WARM = 900, 250


@dataclass
class Crowd(FakeService):
    """Takes as long for each generation as was drawn for it, in the order of acceptance."""

    takes: list[float] = field(default_factory=list)

    def _check(self, name: str) -> Any:
        self.seconds = self.takes[int(name.removeprefix("gen-"))]
        return super()._check(name)


async def lags_of_each_model() -> tuple[dict[int, list[tuple[float, float]]], list[float]]:
    """Run many jobs of three models; return (duration, lag) of each by model, and the prices of a check meanwhile."""
    drawn = [lognormal_times(model, COUNT, median, SIGMA) for model, median in enumerate(MEDIANS)]
    service = Crowd(takes=[float(drawn[number % 3][number]) for number in range(COUNT)])
    lags: dict[int, list[tuple[float, float]]] = {0: [], 1: [], 2: []}
    prices: list[float] = []
    settings = {"poll": "learned", "poll_rate": CHECKS, "rate": SUBMISSIONS, "max_outstanding": 1000}
    many = ({**JOBS[number % 3], "id": str(number)} for number in range(COUNT))
    async with FakeClient(service, **settings) as client, client.run(many) as results:
        async for result in results:
            number = int(result.job.id)
            if WARM <= number < COUNT - WARM:
                waited = (result.or_raise().completed_at - result.submitted_at).total_seconds()
                lags[number % 3].append((service.takes[number], waited - service.takes[number]))
                prices.append(results.limiters.polls.price)
    return lags, prices


def least_lag(lags: dict[int, list[tuple[float, float]]], price: float) -> float:
    """A bound on the mean lag of any policy with this budget: the Lagrange dual, at any price whatever."""
    cost = 0.0
    for model, median in enumerate(MEDIANS):
        takes = np.array([duration for duration, _ in lags[model]])
        ages = np.array(best_ages(median, SIGMA, price))
        index = np.minimum(np.searchsorted(ages, takes), len(ages) - 1)
        cost += float(np.mean(np.maximum(ages[index] - takes, 0) + price * (index + 1)))
    return cost / len(MEDIANS) - price * CHECKS / SUBMISSIONS


def mean_lag(lags: dict[int, list[tuple[float, float]]]) -> float:
    return float(np.mean([np.mean([lag for _, lag in each]) for each in lags.values()]))


@pytest.mark.long
async def test_one_price_for_three_models_comes_near_the_least_lag_that_the_budget_allows() -> None:
    lags, prices = await lags_of_each_model()
    price = round(float(np.mean(prices)), 1)
    assert price > 1.0
    assert mean_lag(lags) <= 1.12 * max(least_lag(lags, price), least_lag(lags, 0.8 * price))
