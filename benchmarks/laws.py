"""Laws of how long a generation takes, and the best that any poll policy can do under them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

STEP = 0.25  # seconds: the grid of the dynamic program
SMALLEST_GAP = 1.0  # seconds: the optimum is as polite as we are
PRICE = 0.5  # seconds of lag that a poll may cost


@dataclass(frozen=True)
class TimeLaw:
    """`draw(rng, n)` gives n durations in seconds, `survival(ages)` the share that still runs."""

    name: str
    draw: Callable[[np.random.Generator, int], Floats]
    survival: Callable[[Floats], Floats]
    longest: float

    def __hash__(self) -> int:
        return hash(self.name)

    @property
    def median(self) -> float:
        """The median duration in seconds."""
        ages, survival = self.grid()
        return float(ages[np.argmax(survival <= 0.5)])

    @property
    def mean(self) -> float:
        """The mean duration in seconds."""
        ages, survival = self.grid()
        return float(_integral(ages, survival)[-1])

    @property
    def most(self) -> float:
        """Return the least lag at equal polls, against a fixed interval, in the limit of frequent polls (Keller)."""
        ages, survival = self.grid()
        density = -np.gradient(survival, ages)
        return float(np.sum(np.sqrt(np.maximum(density, 0) * survival)) * STEP) ** 2 / self.mean

    def grid(self) -> tuple[Floats, Floats]:
        """Return ages in steps of a quarter of a second, and the share that still runs at each."""
        ages = np.arange(0.0, self.longest + STEP, STEP)
        return ages, self.survival(ages)


def _integral(ages: Floats, values: Floats) -> Floats:
    return np.concatenate(([0.0], np.cumsum((values[1:] + values[:-1]) / 2 * np.diff(ages))))


@cache
def best_polls(law: TimeLaw, price: float = PRICE) -> Floats:
    """Return the ages of the optimal polls, by dynamic programming over all schedules on the grid.

    W(s) = min over u of  c S(s) + integral from s to u of (F(t) - F(s)) dt + W(u)   (Barlow, Hunter, Proschan 1963)
    """
    ages, left = law.grid()
    area = _integral(ages, left)
    near, far = round(SMALLEST_GAP / STEP), round(600 / STEP)
    count = len(ages)
    worth = np.zeros(count + near)
    following = np.zeros(count, dtype=int)
    for s in range(count - near - 1, -1, -1):
        u = slice(s + near, min(s + far, count))
        cost = left[s] * (ages[u] - ages[s]) - area[u] + worth[u]
        best = int(np.argmin(cost))
        worth[s] = price * left[s] + cost[best] + area[s]
        following[s] = s + near + best
    return ages[list(_chain(following))]


def _chain(following: NDArray[np.int_]) -> Iterator[int]:
    s = int(following[0])
    while s > 0:
        yield s
        s = int(following[s])


@dataclass(frozen=True)
class Cost:
    """What some generations cost: how often each was asked for, and how long after its end it was seen."""

    polls: Floats
    lags: Floats

    def __getitem__(self, which: slice) -> Cost:
        return Cost(self.polls[..., which], self.lags[..., which])

    def at(self, price: float = PRICE) -> float:
        """Return the mean lag plus `price` for each poll, in seconds."""
        return float(self.lags.mean() + price * self.polls.mean())

    def __str__(self) -> str:
        return f"{self.polls.mean():.1f}/{self.lags.mean():.1f}/{np.quantile(self.lags, 0.95):.0f}"


def cost_of(schedule: Floats, times: Floats) -> Cost:
    """Return what a fixed row of poll ages (rising, continued by its last gap) costs for these durations."""
    last, gap = schedule[-1], max(schedule[-1] - schedule[-2], SMALLEST_GAP)
    beyond = np.maximum(np.ceil((times - last) / gap), 0)
    index = np.minimum(np.searchsorted(schedule, times), len(schedule) - 1)
    seen = np.where(beyond > 0, last + beyond * gap, schedule[index])
    return Cost(index + 1 + beyond, seen - times)


def lognormal(median: float, sigma: float, name: str = "") -> TimeLaw:
    """Return the lognormal law with this median (seconds) and sigma."""
    return mixture(((1.0, median),), sigma, name or f"lognormal {median:g} s, sigma {sigma:g}")


def mixture(parts: tuple[tuple[float, float], ...], sigma: float, name: str) -> TimeLaw:
    """Return lognormals of one sigma: (weight, median) each."""
    normal = np.vectorize(NormalDist().cdf)
    weights = [weight for weight, _ in parts]
    medians = np.array([median for _, median in parts])

    def survival(ages: Floats) -> Floats:
        with np.errstate(divide="ignore"):
            logs = np.log(ages)
        return np.asarray(sum(w * normal((np.log(m) - logs) / sigma) for w, m in parts), dtype=float)

    def draw(rng: np.random.Generator, n: int) -> Floats:
        return np.asarray(medians[rng.choice(len(parts), size=n, p=weights)] * np.exp(sigma * rng.normal(size=n)))

    return TimeLaw(name, draw, survival, float(medians.max() * np.exp(5 * sigma)))


def weibull(median: float, shape: float) -> TimeLaw:
    """Return the Weibull law with this median (seconds) and shape."""
    scale = median / np.log(2) ** (1 / shape)
    return TimeLaw(
        f"Weibull {shape:g}",
        lambda rng, n: scale * rng.weibull(shape, size=n),
        lambda ages: np.exp(-((ages / scale) ** shape)),
        float(scale * 14 ** (1 / shape)),
    )


def pareto(median: float, shape: float, longest: float = 3600.0) -> TimeLaw:
    """Return the Pareto law (Lomax) with this median (seconds), cut off where a service gives up."""
    scale = median / (2 ** (1 / shape) - 1)
    beyond = (1 + longest / scale) ** -shape

    def draw(rng: np.random.Generator, n: int) -> Floats:
        return scale * ((beyond + (1 - beyond) * rng.random(n)) ** (-1 / shape) - 1)

    def survival(ages: Floats) -> Floats:
        return np.maximum(((1 + ages / scale) ** -shape - beyond) / (1 - beyond), 0.0)

    return TimeLaw(f"Pareto {shape:g}", draw, survival, longest)


LAWS = (
    lognormal(127, 0.2),
    lognormal(127, 0.35),
    lognormal(127, 0.6),
    mixture(((0.7, 60.0), (0.3, 240.0)), 0.1, "bimodal 60 s, 240 s"),
    weibull(127, 0.8),
    pareto(127, 1.5),
    lognormal(34, 0.35),
    lognormal(381, 0.35),
)
