"""How good the poll policy is: `python -m benchmarks.polling [--seeds N] [--jobs N] [--quick] [--picture FILE]`.

Everything is simulated in virtual time with fixed seeds, on the policy objects of the client itself, and compared with
the exact optimum. Prints the table of laws, and each figure to reach beside what was measured; ends with 1 if one is
missed. Cells of the first table: polls / mean lag / 95 % of the lags are below (seconds).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from aimlvideo.core.limits import PollBudget, RateLimiter
from aimlvideo.core.polling.hazard import PiecewiseHazard
from aimlvideo.core.polling.policy import LearnedPolls, _NextPoll
from benchmarks.crowd import Arrivals, Crowd, Service, bound
from benchmarks.laws import LAWS, PRICE, Cost, Floats, TimeLaw, best_polls, cost_of, lognormal
from benchmarks.simulation import repeat

FIXED = np.arange(15.0, 61.0, 15.0)
PUBLISHED = {0.5: 127.0, 0.75: 150.0, 0.9: 175.0, 0.99: 240.0}
EARLY, MIDDLE, LATE = slice(0, 28), slice(28, 100), slice(100, None)
LEARNED = slice(28, None)
PACE = 2.0  # jobs a second of each model that shares a budget
WRONG = {"4 times": 4.0, "a quarter": 0.25, "a hundredth": 0.01}


@dataclass(frozen=True)
class Runs:
    """The same generations, polled three ways; one row a seed."""

    ours: Cost
    best: Cost
    fixed: Cost

    def ratio(self, part: slice = slice(None)) -> float:
        """Return J/J* of ours for a part of the generations of each seed."""
        return self.ours[part].at() / self.best[part].at()

    def fixed_ratio(self, part: slice = slice(None)) -> float:
        """Return J/J* of asking every 15 s."""
        return self.fixed[part].at() / self.best[part].at()


@dataclass(frozen=True)
class Figure:
    """One figure to reach: what was measured, and the most it may be."""

    what: str
    measured: float
    most: float

    def __str__(self) -> str:
        mark = "ok" if self.measured <= self.most else "MISSED"
        return f"  {self.what:<66} {self.measured:8.3f}   at most {self.most:6.3f}   {mark}"


@dataclass(frozen=True)
class Size:
    """How much is simulated."""

    seeds: int
    jobs: int
    crowd_seconds: float


@cache
def runs(law: TimeLaw, size: Size, wrong: float | None = None) -> Runs:
    """Return generations of one law, learned from nothing or from published percentiles that are `wrong` times true."""
    told = wrong and {share: wrong * seconds * law.median / 127 for share, seconds in PUBLISHED.items()}
    jobs = size.jobs if wrong is None else 60
    ours, times = repeat(lambda: LearnedPolls(published=told or None), lambda rng: law.draw(rng, jobs), size.seeds)
    return Runs(ours, cost_of(best_polls(law), times), cost_of(FIXED, times))


def laws_table(size: Size) -> None:
    """Print the table of all laws."""
    print(
        f"\n{'law':<29}{'fixed 15 s':>14}{'optimum':>14}{'learned':>14}"
        "   J/J* of jobs 1-28 / -100 / later   fixed  least lag"
    )
    for law in LAWS:
        r = runs(law, size)
        cells = f"{r.fixed[LATE]!s:>14}{r.best[LATE]!s:>14}{r.ours[LATE]!s:>14}"
        parts = " / ".join(f"{r.ratio(part):.2f}" for part in (EARLY, MIDDLE, LATE))
        print(f"{law.name:<29}{cells}   {parts:>30}   {r.fixed_ratio():8.2f}  {law.most:9.2f}", flush=True)


def law_known(size: Size) -> Iterator[Figure]:
    """The step itself, when nothing has to be learned."""
    for law in LAWS:
        ages = _looks(law)
        times = law.draw(np.random.default_rng(3), 40_000)
        ratio = cost_of(ages, times).at() / cost_of(best_polls(law), times).at()
        yield Figure(f"true law known, {law.name}: J/J*", ratio, 1.02)


def _looks(law: TimeLaw) -> Floats:
    known = _NextPoll(PiecewiseHazard.of(lambda age: float(law.survival(np.array([age]))[0])), PRICE)
    ages = [known.after(0.0)]
    while ages[-1] < law.longest and len(ages) < 2000:
        ages.append(max(known.after(ages[-1]), ages[-1] + 1.0))
    return np.array(ages)


def learned_from_nothing(size: Size) -> Iterator[Figure]:
    """Jobs 29 on, against the optimum."""
    for law, most in zip(LAWS, (1.06, 1.06, 1.06, 1.20, 1.10, 1.10, 1.06, 1.06), strict=True):
        yield Figure(f"jobs 29 on, {law.name}: J/J*", runs(law, size).ratio(LEARNED), most)


def against_fixed(size: Size) -> Iterator[Figure]:
    """The lag at equal polls, and both against the 15 s of the documentation."""
    for law, most in zip(LAWS[:4], (0.40, 0.62, 0.88, 0.40), strict=True):
        r = runs(law, size)
        mean = float((r.fixed.polls * 15 - r.fixed.lags).mean())
        interval = mean / (r.ours[LATE].polls.mean() - 0.5)
        yield Figure(f"{law.name}: lag at equal polls / fixed", r.ours[LATE].lags.mean() / (interval / 2), most)
    for law, what, most in (
        (LAWS[1], "polls", 0.97),
        (LAWS[1], "lags", 0.65),
        (LAWS[6], "lags", 0.35),
        (LAWS[7], "polls", 0.62),
    ):
        r = runs(law, size)
        share = getattr(r.ours[LATE], what).mean() / getattr(r.fixed[LATE], what).mean()
        yield Figure(f"{law.name}: {what} / those of fixed 15 s", share, most)


def first_jobs(size: Size) -> Iterator[Figure]:
    """Jobs 1 to 28, from nothing and from wrong beliefs."""
    for law in (*LAWS[:3], *LAWS[6:]):
        r = runs(law, size)
        yield Figure(f"jobs 1-28, {law.name}: J/J*", r.ratio(EARLY), r.fixed_ratio(EARLY))
        for name, wrong in WRONG.items():
            r = runs(law, size, wrong)
            yield Figure(f"jobs 1-28, {law.name}, told {name}: J/J*", r.ratio(EARLY), r.fixed_ratio(EARLY))


def drift(size: Size) -> Iterator[Figure]:
    """Durations that double or halve after 150 generations."""
    before = lognormal(127, 0.35)
    for name, factor, at_first, then in (("double", 2.0, 1.30, 1.10), ("halve", 0.5, 1.40, 1.08)):
        after = lognormal(127 * factor, 0.35)

        def times(rng: np.random.Generator, after: TimeLaw = after) -> Floats:
            return np.concatenate((before.draw(rng, 150), after.draw(rng, 150)))

        ours, drawn = repeat(LearnedPolls, times, size.seeds)
        r = Runs(ours, cost_of(best_polls(after), drawn), cost_of(FIXED, drawn))
        yield Figure(f"times that {name}: J/J* of the next 40 jobs", r.ratio(slice(150, 190)), at_first)
        yield Figure(f"times that {name}: J/J* thereafter", r.ratio(slice(190, None)), then)


def one_budget(size: Size) -> Iterator[Figure]:
    """Three models, two jobs a second each, under one budget; and a limit that nobody tells."""
    crowd = [Arrivals(lognormal(median, 0.35), PACE) for median in (34, 127, 381)]

    def lag(budget: float, hidden: float = np.inf) -> tuple[float, float]:
        seeds = range(1, 2 + size.seeds // 16)
        seen = [
            Crowd(crowd, PollBudget(RateLimiter(budget)), Service(hidden), s).run(600 + size.crowd_seconds, 600)
            for s in seeds
        ]
        least = bound(crowd, min(budget, hidden))
        return float(np.mean([s.lag for s in seen])) / least, float(np.mean([s.refusals for s in seen]))

    for budget in (20, 40, 60):
        yield Figure(f"three models, {budget} polls a second: mean lag / bound", lag(budget)[0], 1.10)
    ratio, refusals = lag(50, 30)
    yield Figure("hidden limit of 30 a second: mean lag / bound", ratio, 1.10)
    yield Figure("hidden limit of 30 a second: refusals a second", refusals, 0.1)


PARTS: dict[str, Callable[[Size], Iterator[Figure]]] = {
    "The law is known": law_known,
    "Learned from nothing": learned_from_nothing,
    "Against the fixed interval": against_fixed,
    "The first jobs": first_jobs,
    "Drift": drift,
    "One budget for all": one_budget,
}
"""Each part of the proof; an end-to-end run on the real client is one more entry."""


def main() -> int:
    """Return 0 if all figures are reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=32)
    parser.add_argument("--jobs", type=int, default=300, help="generations a seed")
    parser.add_argument("--quick", action="store_true", help="a few seeds: figures that scatter by some per cent")
    parser.add_argument("--picture", type=Path, help="draw polls against lag into this file (.svg or .png)")
    chosen = parser.parse_args()
    size = Size(6, 200, 900.0) if chosen.quick else Size(chosen.seeds, chosen.jobs, 1500.0)
    started, missed = time.perf_counter(), 0
    laws_table(size)
    for name, part in PARTS.items():
        print(f"\n{name}")
        for figure in part(size):
            print(figure, flush=True)
            missed += figure.measured > figure.most
    print(f"\n{missed} missed; {time.perf_counter() - started:.0f} s")
    if chosen.picture:
        from benchmarks.picture import draw  # matplotlib is needed for this alone

        draw(chosen.picture, -(-size.seeds // 4))
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
