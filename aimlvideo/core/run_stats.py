"""How a run stands: O(1) counters that move with each step of a job."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from aimlvideo.core.eta import Durations
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress
from aimlvideo.core.jobs.stages import OUTSTANDING, Stage
from aimlvideo.core.money.budget import Counts, has_unknown_cost

REMEMBERED = 64
"""Durations of each model that are kept, the latest ones."""
ENOUGH = 4
"""Durations without which nothing is said of a model that nobody timed before."""
PRIOR_WEIGHT = 4
"""As many durations of this run count as much as what was expected before it."""


@dataclass(slots=True)
class _ModelStats:
    """What is counted of one model, in seconds and US dollars.

    `entered_planned` counts the jobs that came in planned, `planned` those of them that still are. `start_sum` is the
    sum of the moments at which the outstanding ones were accepted. `listed` sums what they cost by the price list,
    `unlisted` counts those that it does not price.
    """

    entered_planned: int = 0
    planned: int = 0
    outstanding: int = 0
    start_sum: float = 0.0
    listed: float = 0.0
    unlisted: int = 0
    paid: int = 0
    dollars: float = 0.0
    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    expected: Durations | None = None

    def durations(self) -> Durations | None:
        """Return how long the model takes, None while nobody knows.

        What was expected fades as the run sees more: the first to end are the quick ones, and an estimate that
        believed them at once would jump.
        """
        if self.expected is None and len(self.seconds) < ENOUGH:
            return None
        return Durations.fitted(self.seconds, self.expected, PRIOR_WEIGHT)

    def price(self) -> float | None:
        """Return the mean of what its clips were charged so far, None while nobody said."""
        return self.dollars / self.paid if self.paid else None


class RunStats:
    """The counters of one run. `stages` counts the jobs that have come in by where they stand now.

    `expected` tells what is known of how long a job takes before this run has seen any, `price` what it costs in US
    dollars by the price list.
    """

    def __init__(
        self,
        expected: Callable[[VideoJob], Durations | None] = lambda _: None,
        price: Callable[[VideoJob], float | None] = lambda _: None,
    ) -> None:
        self._expected, self._price = expected, price
        self._prices: dict[str, float | None] = {}  # of the outstanding ones, as they were when they began
        self.stages: Counter[Stage] = Counter()
        self.arrived: Counter[Stage] = Counter()
        self.models: dict[str, _ModelStats] = {}
        self.dollars = self.units = 0.0  # what was charged; in the service's own units where it says no dollars
        self.unknown = 0  # clips whose cost nobody said
        self.accepted = self.polls = 0  # submissions that the service took, status checks that it answered
        self.refused: Counter[str] = Counter()  # `submissions` and `polls` that met a 429 or its kin
        self.unknown_statuses: dict[str, tuple[str, float]] = {}  # by job: the service's word, and when it was heard
        self.failures: deque[tuple[str, str]] = deque(maxlen=3)

    def job_entered(self, job: VideoJob, progress: Progress) -> None:
        """Count a job that was let in, where it stood then."""
        self.stages[progress.stage] += 1
        self.arrived[progress.stage] += 1
        counted = self.of(job)
        counted.entered_planned += progress.stage is Stage.PLANNED
        self._count(job, counted, progress, 1)

    def moved(self, job: VideoJob, before: Progress, now: Progress) -> None:
        """Count a step of a job."""
        was, stage = before.stage, now.stage
        self.stages[was] -= 1
        self.stages[stage] += 1
        counted = self.of(job)
        as_before, as_now = Counts.of(before), Counts.of(now)
        if was in OUTSTANDING and stage in OUTSTANDING and as_before is as_now:
            counted.start_sum += (now.submitted_at or 0.0) - (before.submitted_at or 0.0)
        else:
            # Taken away and added again, so that a step that goes back (a retry) needs no case of its own.
            self._count(job, counted, before, -1)
            self._count(job, counted, now, 1)
        self.accepted += was is Stage.SUBMITTING and stage is Stage.RENDERING
        if stage is Stage.FAILED:
            self.failures.append((job.id, str(now.error)))
        if was is Stage.RENDERING and now.completed_at is not None and stage is Stage.READY:
            counted.seconds.append(max(0.0, now.completed_at - (now.submitted_at or now.completed_at)))
        if now.cost_usd is not None and now.cost_usd != before.cost_usd:
            self._paid(counted, now.cost_usd - (before.cost_usd or 0.0))
        elif now.cost_usd is None and now.cost_units is not None:
            self.units += now.cost_units - (before.cost_units or 0.0)
        if Counts.SPENT in (as_before, as_now):
            self.unknown += has_unknown_cost(now) - has_unknown_cost(before)

    def committed(self) -> float:
        """Return what the outstanding ones will cost in US dollars: by the list, else as their models cost so far."""
        # A page of figures is read from a thread of its own.
        models = list(self.models.values())
        return sum(counted.listed + counted.unlisted * (counted.price() or 0.0) for counted in models)

    def of(self, job: VideoJob) -> _ModelStats:
        """Return the counters of a job's model."""
        counted = self.models.get(job.model)
        if counted is None:
            counted = self.models[job.model] = _ModelStats(expected=self._expected(job))
        return counted

    def _paid(self, counted: _ModelStats, dollars: float) -> None:
        self.dollars += dollars
        counted.dollars += dollars
        counted.paid += dollars > 0  # what fails for nothing says nothing of what the next one costs

    def _count(self, job: VideoJob, counted: _ModelStats, progress: Progress, by: int) -> None:
        if progress.stage is Stage.PLANNED:
            counted.planned += by
        elif progress.stage in OUTSTANDING:
            counted.outstanding += by
            counted.start_sum = counted.start_sum + by * (progress.submitted_at or 0.0) if counted.outstanding else 0.0
            if Counts.of(progress) is Counts.COMMITTED:
                self._commit(job, counted, by)

    def _commit(self, job: VideoJob, counted: _ModelStats, by: int) -> None:
        price = self._prices.setdefault(job.id, self._price(job)) if by > 0 else self._prices.pop(job.id, None)
        if price is None:
            counted.unlisted += by
        else:
            # Set to 0 where nothing is left, so that rounding does not leave a millionth of a cent committed for ever.
            counted.listed = counted.listed + by * price if counted.outstanding > counted.unlisted else 0.0
