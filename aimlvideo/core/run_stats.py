"""How a run stands, in counters that move with each step of a job: what it costs to look does not grow with the run."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from aimlvideo.core.eta import Durations
from aimlvideo.core.jobs.job import Progress, VideoJob
from aimlvideo.core.jobs.stages import OUTSTANDING, Stage

REMEMBERED = 64
"""Durations of each model that are kept, the latest ones."""
ENOUGH = 4
"""Durations after which what was seen counts more than what was told."""


@dataclass(slots=True)
class ModelStats:
    """What is counted of one model. Seconds and US dollars; `began` sums the moments at which the outstanding began.

    `came` counts the jobs that came in planned, `planned` those of them that still are.
    """

    came: int = 0
    planned: int = 0
    outstanding: int = 0
    began: float = 0.0
    paid: int = 0
    dollars: float = 0.0
    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    told: Durations | None = None

    def durations(self) -> Durations | None:
        """Return how long the model takes: as this run has seen it, else as it was told, else None."""
        if len(self.seconds) < ENOUGH:
            return self.told
        ordered = sorted(self.seconds)
        p50, p90 = ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, round(0.9 * len(ordered)))]
        return Durations(max(p50, 1e-3), max(p90, p50, 1e-3))

    def price(self) -> float | None:
        """Return the mean of what its clips were charged so far, None while nobody said."""
        return self.dollars / self.paid if self.paid else None


class RunStats:
    """The counters of one run. `stages` counts the jobs that have come in by where they stand now.

    `expected` tells what is known of how long a job takes before this run has seen any.
    """

    def __init__(self, expected: Callable[[VideoJob], Durations | None] = lambda _: None) -> None:
        self._expected = expected
        self.stages: Counter[Stage] = Counter()
        self.arrived: Counter[Stage] = Counter()
        self.models: dict[str, ModelStats] = {}
        self.dollars = 0.0
        self.accepted = self.polls = 0  # submissions that the service took, status checks that it answered
        self.refused: Counter[str] = Counter()  # `submissions` and `polls` that met a 429 or its kin
        self.failures: deque[tuple[str, str]] = deque(maxlen=3)

    def job_entered(self, job: VideoJob, progress: Progress) -> None:
        """Count a job that was let in, where it stood then."""
        self.stages[progress.stage] += 1
        self.arrived[progress.stage] += 1
        known = self.of(job)
        known.came += progress.stage is Stage.PLANNED
        _count(known, progress, 1)

    def moved(self, job: VideoJob, before: Progress, now: Progress) -> None:
        """Count a step of a job."""
        self.stages[before.stage] -= 1
        self.stages[now.stage] += 1
        known = self.of(job)
        _count(known, before, -1)
        _count(known, now, 1)
        self.accepted += before.stage is Stage.SUBMITTING and now.stage is Stage.RENDERING
        if now.stage is Stage.FAILED:
            self.failures.append((job.id, str(now.error)))
        if before.stage is Stage.RENDERING and now.completed_at is not None and now.stage is Stage.READY:
            known.seconds.append(max(0.0, now.completed_at - (now.submitted_at or now.completed_at)))
        if now.cost_usd is not None and now.cost_usd != before.cost_usd:
            self._paid(known, now.cost_usd - (before.cost_usd or 0.0))

    def committed(self) -> float:
        """Return what the outstanding ones will cost in US dollars, by what their models were charged so far."""
        models = list(self.models.values())  # a page of figures is read from a thread of its own
        return sum(known.outstanding * (known.price() or 0.0) for known in models)

    def of(self, job: VideoJob) -> ModelStats:
        """Return the counters of a job's model."""
        known = self.models.get(job.model)
        if known is None:
            known = self.models[job.model] = ModelStats(told=self._expected(job))
        return known

    def _paid(self, known: ModelStats, dollars: float) -> None:
        self.dollars += dollars
        known.dollars += dollars
        known.paid += 1


def _count(known: ModelStats, progress: Progress, by: int) -> None:
    if progress.stage is Stage.PLANNED:
        known.planned += by
    elif progress.stage in OUTSTANDING:
        known.outstanding += by
        known.began = known.began + by * (progress.submitted_at or 0.0) if known.outstanding else 0.0
