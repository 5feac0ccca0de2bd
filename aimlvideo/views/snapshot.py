"""How a run stands at one moment: what a terminal, a board or a notebook shows of it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import exp, inf
from typing import TYPE_CHECKING, NamedTuple, Self

import anyio

from aimlvideo.core.eta import DEFAULT_DURATIONS, Remaining, time_left
from aimlvideo.core.formatting import format_seconds, format_spent, format_usd, pluralize, redact_for_display
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.stages import ENDED, OUTSTANDING, Stage
from aimlvideo.errors import Unavailable
from aimlvideo.shell import clock

if TYPE_CHECKING:
    from aimlvideo.pipeline.limiters import Limiters
    from aimlvideo.pipeline.run import Run

MEMORY = 120.0
"""Seconds over which the pace is taken."""

LEAST_PULL = 3.0
"""Seconds in which the shown time to go follows a new estimate at least."""

SHARE = 0.005
"""The share of a core that drawing may cost: what is dear to draw is drawn more rarely."""

PACE = 10
"""A pace from here on is given in whole clips a minute."""

ORDER = (
    Stage.SAVED, Stage.READY, Stage.RENDERING, Stage.IN_DOUBT, Stage.SUBMITTING, Stage.FAILED, Stage.PLANNED,
)  # fmt: skip
"""The stages from what is done to what is still to come."""
COLOURS = {
    Stage.SAVED: ("green", "#1c8a55"), Stage.READY: ("cyan", "#0f8a98"), Stage.RENDERING: ("blue", "#3a6fe0"),
    Stage.IN_DOUBT: ("yellow", "#b97a06"), Stage.SUBMITTING: ("magenta", "#9448c9"), Stage.FAILED: ("red", "#cf3a3f"),
    Stage.PLANNED: ("bright_black", "#b4bac5"),
}  # fmt: skip
"""The colour of each stage: its name on a terminal, which has a palette of its own, and its value on a page."""


class RunSnapshot(NamedTuple):
    """How a run stands at one moment. Money is in USD, `pace` in ended jobs a minute.

    `eta` has the likely and the late seconds to go, None if unknown. `total` is None while jobs are still being read
    from somewhere that does not say how many there are.
    """

    stages: Mapping[Stage, int]
    total: int | None
    pace: float
    spent: float
    committed: float
    eta: tuple[float, float] | None
    failures: tuple[tuple[str, str], ...]
    waiting_for: str
    spent_units: float = 0.0
    """What was charged in the service's own units, where it says no dollars."""
    unknown: int = 0
    """Of how many clips nobody said the cost."""

    def counts(self) -> str:
        """Return how many are through: `412 of 1,000`."""
        done = self.stages.get(Stage.SAVED, 0) + self.stages.get(Stage.READY, 0)
        return f"{done:,} of {self.total:,}" if self.total is not None else f"{done:,}"

    def money(self) -> str:
        """Return what is spent and what is committed."""
        unknown = f" ({self.unknown:,} of unknown cost)" if self.unknown else ""
        committed = f", {format_usd(self.committed)} committed" if self.committed else ""
        return f"{format_spent(self.spent, self.spent_units)} spent{unknown}{committed}"

    def pace_and_eta(self) -> str:
        """Return the pace, and when all will likely be there."""
        pace = f"{self.pace:.{0 if self.pace >= PACE else 1}f} a minute" if self.pace else ""
        if self.eta is None:
            return pace
        likely, late = self.eta
        more = "" if self.total is not None else " for those read so far"
        remaining = f"about {format_seconds(likely)} left{more} (up to {format_seconds(late)})"
        return f"{pace} · {remaining}" if pace else remaining

    def brief(self) -> str:
        """Return what is spent, when it ends and what it waits for, in one line."""
        return " · ".join(part for part in (self.money(), self.pace_and_eta(), self.waiting_for) if part)

    def line(self) -> str:
        """Return all of it in one line, for a log."""
        stages = ", ".join(
            f"{self.stages[stage]:,} {stage.replace('_', ' ')}" for stage in ORDER if self.stages.get(stage)
        )
        done = "ready or saved" if self.stages.get(Stage.READY) else "saved"
        parts = [f"{self.counts()} {done}", stages, self.money(), self.pace_and_eta(), self.waiting_for]
        return "; ".join(part for part in parts if part)

    def shares(self, cells: int) -> dict[Stage, int]:
        """Return how many cells each stage gets: together all of them, and none that has a job gets nothing."""
        present = {stage: self.stages[stage] for stage in ORDER if self.stages.get(stage, 0) > 0}
        whole = max(self.total or 0, sum(present.values()), 1)
        cells_of = {stage: max(1, int(cells * count / whole)) for stage, count in present.items()}
        cells_of.setdefault(Stage.PLANNED, 0)
        largest = max(cells_of, key=lambda stage: (cells_of[stage], present.get(stage, 0)))
        cells_of[largest] += cells - sum(cells_of.values())
        return cells_of


@dataclass(eq=False)
class RunWatcher:
    """Takes snapshots of a run, as often as you like: what one costs does not grow with the run.

    `before` counts the jobs by stage, and `planned` the planned ones by model, that were known when the run began;
    `all_jobs_known` says that there will be no others.
    """

    run: Run
    before: Mapping[Stage, int] = field(default_factory=dict)
    planned: Mapping[str, int] = field(default_factory=dict)
    all_jobs_known: bool = False
    _recent: deque[tuple[float, int]] = field(default_factory=deque)
    _eta: tuple[float, float] | None = None
    _eta_at: float = 0.0

    def __post_init__(self) -> None:
        self._spent_before, self._units_before, self._unknown_before = 0.0, 0.0, 0
        # A notebook's later cell shows a run that was left, whose journal is closed: what it counted itself is there.
        if self.run.closed:
            return
        # Without what the run has counted itself: it may have gone on for a while. A journal in memory keeps no ended
        # jobs, so that it may know of less than the run.
        journal, stats = self.run.spec.journal, self.run.stats
        in_units, units = journal.costs_in_units()
        self._spent_before = max(0.0, journal.spent() - stats.dollars)
        self._units_before = max(0.0, units - stats.units)
        self._unknown_before = max(0, journal.unknown_costs() - in_units - stats.unknown)

    @classmethod
    def of_journal(cls, run: Run, *, retried: int = 0) -> Self:
        """Return a watcher of a run that carries on with the jobs of its journal: all of them are known.

        `retried` of its failed jobs are tried again.
        """
        before, planned, stats = run.spec.journal.counts(), run.spec.journal.planned_models(), run.stats
        if retried:
            before["planned"] = before.get("planned", 0) + retried
            before["failed"] = before.get("failed", 0) - retried
        # The journal counts what has moved already since the run was opened: that is taken out again, so that nothing
        # counts twice.
        began = {stage: before.get(stage, 0) - stats.stages[stage] + stats.arrived[stage] for stage in Stage}
        for model, counted in stats.models.items():
            planned[model] = planned.get(model, 0) + counted.entered_planned - counted.planned
        return cls(run, began, planned, all_jobs_known=True)

    def snapshot(self) -> RunSnapshot:
        """Return how the run stands now."""
        stats, stages = self.run.stats, self._stages()
        limit = self.run.budget.limit
        return RunSnapshot(
            stages=stages,
            total=sum(stages.values()) if self.all_jobs_known or self.run.input_exhausted else None,
            pace=self._pace(stages),
            spent=self._spent_before + stats.dollars,
            committed=stats.committed() if limit is None else self.run.budget_gate.committed,
            eta=self._smooth(self._estimated()),
            failures=tuple(stats.failures),
            waiting_for=_waiting_for(self.run, stages),
            spent_units=self._units_before + stats.units,
            unknown=self._unknown_before + stats.unknown,
        )

    async def watch(self, display: Callable[[RunSnapshot], None], every: Iterable[float]) -> None:
        """Show the run again and again, with these seconds in between; what is dear to show is shown more rarely."""
        for gap in every:
            began = time.thread_time()
            display(self.snapshot())
            # Drawing gets a fixed share of the thread at most: with a hundred thousand jobs it must not slow the run
            # that it shows.
            await anyio.sleep(max(gap, (time.thread_time() - began) / SHARE))

    def _stages(self) -> dict[Stage, int]:
        stats = self.run.stats
        return {
            stage: max(0, self.before[stage] - stats.arrived[stage] + stats.stages[stage])
            if self.before
            else stats.stages[stage]
            for stage in Stage
        }

    def _pace(self, stages: Mapping[Stage, int]) -> float:
        now, ended = clock.loop(), sum(stages[stage] for stage in (*ENDED, Stage.READY))
        self._recent.append((now, ended))
        while now - self._recent[0][0] > MEMORY or len(self._recent) > 4 * MEMORY:
            self._recent.popleft()
        then, ended_then = self._recent[0]
        return 60 * max(0, ended - ended_then) / (now - then) if now - then > 1 else 0.0

    def _estimated(self) -> tuple[float, float] | None:
        limiters = self.run.limiters
        slots, rate = (limiters.slots.outstanding.limit, limiters.rate_gate.rate.per_second) if limiters else (inf, inf)
        is_timed = any(model.durations() for model in self.run.stats.models.values())
        return time_left(self._remaining(clock.wall()), slots, rate) if is_timed else None

    def _smooth(self, estimated: tuple[float, float] | None) -> tuple[float, float] | None:
        """Return what is shown of an estimate: it counts down, and follows what it learns without a jump."""
        now = clock.loop()
        if self._eta is None or estimated is None:
            self._eta = estimated
        else:
            elapsed = now - self._eta_at
            likely = _smoothed(self._eta[0], estimated[0], elapsed)
            self._eta = likely, max(likely, _smoothed(self._eta[1], estimated[1], elapsed))
        self._eta_at = now
        return self._eta

    def _remaining(self, now: float) -> Iterator[Remaining]:
        stats = self.run.stats
        for model in self.planned:
            stats.of(VideoJob(model))
        for model, counted in stats.models.items():
            age = max(0.0, now * counted.outstanding - counted.start_sum) / max(1, counted.outstanding)
            coming = max(0, self.planned.get(model, 0) - counted.entered_planned)
            # What a run does not submit any more is not waited for.
            planned = counted.planned + coming if self.run.halted is None else 0
            yield Remaining(planned, counted.outstanding, age, counted.durations() or DEFAULT_DURATIONS)


def _waiting_for(run: Run, stages: Mapping[Stage, int]) -> str:
    """Say what the next job waits for."""
    if run.halted is not None:
        return f"no further jobs are submitted: {redact_for_display(str(run.halted))}"
    limiters, busy = run.limiters, sum(stages[stage] for stage in OUTSTANDING)
    if run.held_back and run.held_back >= stages[Stage.PLANNED]:
        return f"{pluralize(run.held_back, 'planned job')} waiting for other jobs' clips"
    if limiters is not None and stages[Stage.PLANNED]:
        money = f"waiting for what is outstanding to settle: the next job might pass {run.budget.limit or 0:.2f} USD"
        return money if run.budget_gate.is_waiting else _limiter_wait(limiters)
    if stages[Stage.IN_DOUBT] and busy == stages[Stage.IN_DOUBT]:
        return "waiting for the service's log (lost answers)"
    if busy:
        return f"waiting for {pluralize(busy, 'generation')} to finish at the service{_unknown(run)}"
    return (
        f"waiting for {pluralize(stages[Stage.READY], 'download')}" if stages[Stage.READY] and run.spec.folder else ""
    )


def _unknown(run: Run) -> str:
    """Say how many generations are in a state that nobody knows, with the last word heard of one."""
    statuses = run.stats.unknown_statuses
    if not statuses:
        return ""
    word, heard_at = max(statuses.values(), key=lambda status: status[1])
    seconds = format_seconds(max(0.0, clock.wall() - heard_at))
    return f"; {len(statuses)} of unknown status, the last word was {redact_for_display(repr(word))} {seconds} ago"


def _limiter_wait(limiters: Limiters) -> str:
    now, gate, slots = clock.loop(), limiters.rate_gate, limiters.slots.outstanding
    pause = gate.rate.paused_until - now
    if pause > 0 and gate.trouble is not None:
        away = isinstance(gate.trouble, Unavailable)
        reason = "waiting for the network or the service" if away else "waiting: the service is busy"
        return f"{reason}, {format_seconds(pause)} more: {redact_for_display(str(gate.trouble))}"
    if not slots.has_room():
        return f"waiting for a free slot: {slots.taken} of {slots.limit} are taken"
    return f"waiting: rate limit of {gate.rate.per_second:.3g} submissions/s"


def _smoothed(shown: float, estimated: float, elapsed: float) -> float:
    """Return the seconds to go that are shown `elapsed` seconds after `shown` was, for what is estimated now.

    It counts down by itself and comes near to the estimate in a sixth of the lesser of both, so that one clip that
    ends early or late does not make the number jump.
    """
    counted_down = max(0.0, shown - elapsed)
    pull = 1.0 - exp(-elapsed / max(LEAST_PULL, min(counted_down, estimated) / 6))
    return counted_down + pull * (estimated - counted_down)
