"""A run: its jobs in flight, its results and who takes them."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn
from weakref import WeakSet

import anyio
from anyio.abc import TaskGroup

from aimlvideo.core.formatting import pluralize
from aimlvideo.core.jobs.progress import Progress, Record
from aimlvideo.core.jobs.result import Result
from aimlvideo.core.jobs.stages import ENDED, Stage
from aimlvideo.core.money.budget import Budget
from aimlvideo.core.run_stats import RunStats
from aimlvideo.errors import ContentRefused, DiskFailed, InvalidJobs, OverBudget, UsageError, VideoError
from aimlvideo.pipeline.budget_gate import BudgetGate
from aimlvideo.pipeline.clip_names import ClipNames
from aimlvideo.pipeline.crew import Crew
from aimlvideo.pipeline.entry import Entry
from aimlvideo.pipeline.limiters import Limiters
from aimlvideo.pipeline.retries import may_have_completed
from aimlvideo.pipeline.run_spec import RunSpec
from aimlvideo.pipeline.step_log import log_step
from aimlvideo.shell import clock
from aimlvideo.shell.dataframe import to_frame
from aimlvideo.shell.journal.base import Journal
from aimlvideo.shell.journal.memory import InMemoryJournal

log = logging.getLogger("aimlvideo")

LEFT = (
    "these results were read after their `async with` block was left: read them inside it. What was not finished is "
    "where it was, and with a journal the same jobs carry on"
)
ALL_READ = (
    "these results were read to their end before, and each is given once: keep them in a list where they are needed "
    "again, as in `[result async for result in results]`"
)
OTHER_LOOP = (
    "these results are read in another event loop than the one in which their run was opened: open the client and the "
    "run, and read its results, in one loop (in one `asyncio.run(main())`, say)"
)
BY_FOR = "results come while they are waited for: read them by `async for result in results:`"
MOST_NAMED = 20
"""Ids that one line of the log names at most."""
GRACE = 0.7
"""Seconds that a round trip under way still has when its run is left early."""


class Run:
    """The results of one run, as they end: `async for result in run`. Failures are values.

    A reader that is slow, or leaves, slows submission: nothing more is bought than is outstanding or waits to be taken.
    `halted` says why no new job is submitted any more, or is None.
    """

    display: ClassVar[Callable[[Run], None] | None] = None
    """How a notebook shows one; whoever knows notebooks says it here."""

    def __init__(
        self,
        spec: RunSpec,
        tasks: TaskGroup,
        budget: Budget,
        stats: RunStats | None = None,
        limiters: Limiters | None = None,
    ) -> None:
        self.spec, self.tasks, self.budget, self.limiters = spec, tasks, budget, limiters
        self.stats = RunStats() if stats is None else stats
        self.watchers: list[Callable[[Entry], None]] = []  # called after each step of a job
        self.ended_watchers: list[Callable[[Entry | None], None]] = []  # at each job's end; None: nothing new goes out
        self.entries: set[Entry] = set()
        self.names, self.budget_gate = ClipNames(spec), BudgetGate(spec, budget, self.entries)
        self.halted: VideoError | None = None
        self.input_exhausted = self.closed = self._left_early = self._all_read = False
        self.reads_to_end = False  # whether what follows is read also where it is over the limit, for what is paid
        self.held_back = 0  # planned jobs that wait for other jobs' clips
        self.shared = False  # whether other runs have moved jobs of the same journal while this one went on
        self._bought = 0
        self._loop = asyncio.get_running_loop()
        self._room_changed = asyncio.Event()  # wakes whoever waits, when something was taken, settled or given up
        self._results: deque[tuple[Result, bool]] = deque()  # and whether each counts as bought until it is taken
        self._result_ready = asyncio.Event()
        self._ready: deque[Entry] = deque()
        self.download_crew: Crew[Entry] | None = None
        self.broken: asyncio.Future[None] | None = None  # raises what ended this run, and not its reader
        self._shields: WeakSet[anyio.CancelScope] = WeakSet()
        budget.spending.on_change.append(self.notify_waiting)

    def earlier_owner(self, generation_id: str) -> str | None:
        """Return the id of the job that had a generation before; None where that is new, or others see to that."""
        is_shared = self.spec.ids_under_way is None
        return None if is_shared else self.spec.journal.earlier_generations.get(generation_id)

    def detached(self, journal: Journal) -> Run:
        """Return a run that writes elsewhere and hands nothing out: for a job that is no longer this run's."""
        run = Run(replace(self.spec, journal=journal, on_result=None), self.tasks, self.budget)
        run.leave()
        return run

    def __aiter__(self) -> Run:
        if self._all_read:
            raise UsageError(ALL_READ)
        return self

    # Hidden from type checkers, which know without it that neither works.
    if not TYPE_CHECKING:

        def __iter__(self) -> NoReturn:
            raise UsageError(BY_FOR)

        def __await__(self) -> NoReturn:
            raise UsageError(BY_FOR)

    def _ipython_display_(self) -> None:
        if Run.display is not None:
            Run.display(self)

    async def to_frame(self) -> Any:
        """Return the results that are still to come as a pandas DataFrame. Raises SettingsError without pandas."""
        return to_frame([result async for result in self])

    async def __anext__(self) -> Result:
        while not self._results:
            if self.broken is not None:
                await asyncio.shield(self.broken)
            if self._left_early:
                raise VideoError(LEFT)
            if self.closed or (self.input_exhausted and not self.entries):
                self._all_read = True
                raise StopAsyncIteration
            if asyncio.get_running_loop() is not self._loop:  # which nothing of this run would ever wake
                raise UsageError(OTHER_LOOP)
            # One wake-up for all that ends until the reader looks: it takes the rest without waiting.
            self._result_ready.clear()
            await self._result_ready.wait()
        result, bought = self._results.popleft()
        self._bought -= bought
        self.notify_waiting()
        return result

    async def enter(self, record: Record) -> Entry:
        """Let one more job in, when there is room for it."""
        while len(self.entries) + len(self._results) >= self.spec.window and not self.closed:
            await self.room_changed()
        entry = Entry(record.job, record.progress, self)
        # Where many share the journal, it is asked when the service is.
        if record.progress.stage is Stage.PLANNED and self.spec.ids_under_way is not None:
            entry.failed = self.failed_before(entry)
        self.entries.add(entry)
        self.stats.job_entered(record.job, record.progress)
        return entry

    def failed_before(self, entry: Entry) -> Progress | None:
        """Return what a job that is tried again came to, where the service may have completed that since."""
        name, journal = entry.progress.retry_of, self.spec.journal
        known = None if name is None else journal.find(entry.job.id)
        failed = None if known is None else known.progress
        if name is not None and (failed is None or failed.generation_id != name):
            # Another one was sent since, which may have been lost on its way; or it has turned out to be another job's.
            attempts = () if journal.by_generation(name) else journal.attempts(entry.job.id)
            failed = next((attempt.as_failed() for attempt in attempts if attempt.generation_id == name), None)
        return failed if failed is not None and may_have_completed(Record(entry.job, failed)) else None

    async def may_buy(self, entry: Entry) -> None:
        """Return when one more generation may be bought, and count it; one that was bought before counts at once."""
        if entry.bought or entry.progress.stage in ENDED:
            return
        if entry.progress.stage is Stage.PLANNED:
            while self._bought >= self.spec.most_bought() and self.halted is None and not entry.ended:
                await self.room_changed()
        entry.bought = True
        self._bought += 1

    async def room_changed(self) -> None:
        """Return when something was taken, settled or given up."""
        await self._room_changed.wait()

    def notify_waiting(self) -> None:
        """Let those check again who wait to buy: something was taken, settled or given up."""
        self._room_changed.set()
        self._room_changed.clear()

    def stepped(self, entry: Entry, before: Progress) -> None:
        """Write a step down, count it, and show it to whoever watches."""
        self.spec.journal.step(entry.job, entry.progress)
        self.stats.moved(entry.job, before, entry.progress)
        if entry.progress.stage is not before.stage:
            log_step(entry.job, before, entry.progress)
            if self.closed:
                self._name_what_is_left([entry.progress])
                self.budget_gate.settle(entry)
        for watch in list(self.watchers):
            try:
                watch(entry)
            except Exception:
                # A view that fails costs no clip.
                log.exception("unexpected error: %r watches this run no more", watch)
                self.watchers.remove(watch)

    def end(self, entry: Entry, error: VideoError | None = None) -> None:
        """Hand out what came of a job. An `error` here is why an unfinished one was left where it is."""
        entry.release_all()
        # `leave` marks every entry as ended, also one whose clip is being renamed in a thread that no cancellation
        # stops: when that one is saved after all, its line in the results is still written, below.
        if entry.ended and not (self.closed and entry in self.entries and entry.progress.stage in ENDED):
            return
        entry.ended = True
        self._keep_failure(entry)
        self.entries.discard(entry)
        progress = entry.progress if error is None else entry.progress._replace(error=error)
        self.budget_gate.settle(entry)
        result = Result.of(entry.job, progress, None if self.spec.store else self.spec.folder, self.spec.save)
        # What another run has under way, so that it is refused here, is that one's to write down.
        is_told = entry.moved or not (progress.stage in (Stage.PLANNED, *ENDED) or isinstance(error, InvalidJobs))
        if self.spec.on_result is not None and is_told:
            try:
                self.spec.on_result(result)
            except DiskFailed as failure:
                # The journal has it: the next run writes the line.
                self.halt(failure)
        # A clip that was saved while its run was left has its line, and no reader any more.
        if self.closed:
            return
        holds = entry.bought and (progress.generation_id is not None or progress.stage not in (*ENDED, Stage.PLANNED))
        if entry.bought and not holds:
            self._bought -= 1
            self.notify_waiting()
        self._results.append((result, holds))
        self._result_ready.set()
        for watch in self.ended_watchers:
            watch(entry)

    def _keep_failure(self, entry: Entry) -> None:
        """Let a job that could not be sent again stay with the generation that has failed: it may be completed yet."""
        failed, now = entry.failed, entry.progress
        was_sent = now.generation_id is not None or now.stage not in (Stage.PLANNED, Stage.FAILED)
        # What moderation refused is tried again with another picture only, and so as another clip.
        is_kept = failed is not None and entry.moved and self.spec.retries and not was_sent
        if failed is not None and is_kept and not isinstance(now.error, ContentRefused):
            self.spec.journal.step(entry.job, failed._replace(error=now.error or failed.error))

    def download(self, entry: Entry) -> None:
        """Have a clip that is ready saved, as soon as one of the downloads is free."""
        self._ready.append(entry)
        if self.download_crew is not None:
            self.download_crew.call(len(self._ready))

    @property
    def reads_no_more(self) -> bool:
        """Whether no further job is read: nothing more is bought, and none that follows is looked at for its clip."""
        goes_on = self.halted is None or (self.reads_to_end and isinstance(self.halted, OverBudget))
        return self.closed or not goes_on

    @property
    def clips_wait(self) -> bool:
        """Whether clips are ready that no download has begun."""
        return bool(self._ready)

    def next_download(self) -> Entry | None:
        """Return the clip that has waited longest to be saved, None where none waits."""
        entry = self._ready.popleft() if self._ready else None
        if self._ready and self.download_crew is not None:
            self.download_crew.call(len(self._ready))  # more may come at a time now than when these were ready
        return entry

    def close_input(self) -> None:
        """Note that no more jobs will come."""
        self.input_exhausted = True
        self._result_ready.set()

    def halt(self, error: VideoError) -> None:
        """Submit nothing new from here on; see through what is outstanding."""
        if self.halted is None:
            self.halted = error
            self.notify_waiting()
            log.warning("no further jobs are submitted: %s", error)
            for watch in self.ended_watchers:
                watch(None)

    def give_up_planned(self, error: VideoError) -> None:
        """Submit nothing new, and end what waits to be submitted now: its turn may be minutes away."""
        self.halt(error)
        for entry in [entry for entry in self.entries if entry.progress.stage is Stage.PLANNED]:
            self.end(entry, error)
        self.close_input()

    def close(self, error: VideoError) -> None:
        """End every job where it is, with this error: the client is closed while others wait for it."""
        self.halt(error)
        # Whoever waits for a single clip is given the error, which is the same for all.
        self._name_what_is_left(entry.progress for entry in self.entries)
        for entry in list(self.entries):
            self.end(entry, error)
        self.close_input()

    def leave(self) -> None:
        """Let go of everything local. What was heard is written down; a round trip under way has a moment left."""
        self._left_early = not self.closed and not (self.input_exhausted and not self.entries)
        self.closed = True
        self.notify_waiting()
        if self.notify_waiting in self.budget.spending.on_change:
            self.budget.spending.on_change.remove(self.notify_waiting)
        self._name_what_is_left([*(entry.progress for entry in self.entries), *(result for result, _ in self._results)])
        for entry in self.entries:
            entry.ended = True
            entry.release_all()
            self.budget_gate.settle(entry)
        # An answer that is on its way now may bear the id of a paid generation: it has until then to be written down.
        # No longer, because a shield without an end would make a closed client, or Ctrl-C, wait for a dead service.
        for shield in self._shields:
            shield.deadline = clock.loop() + GRACE
        self._result_ready.set()

    def _name_what_is_left(self, left: Iterable[Progress | Result]) -> None:
        """Log the ids of paid generations that are let go of, where no journal on disk has them."""
        ids = [one.generation_id for one in left if one.stage in (Stage.RENDERING, Stage.READY)]
        if ids and isinstance(self.spec.journal, InMemoryJournal):
            named = ", ".join(str(name) for name in ids[:MOST_NAMED]) + (", ..." if len(ids) > MOST_NAMED else "")
            what = pluralize(len(ids), "generation")
            log.warning("left behind at the service, and paid: %s: %s; `client.wait(ID)` fetches one", what, named)

    def round_trip(self) -> anyio.CancelScope:
        """Return a scope that keeps one round trip from being cut off in the middle: its answer is worth a clip."""
        # `CancelScope` in its place would be set up twice: by the event loop's own kind of it, and by its caller.
        shield = anyio.move_on_after(None, shield=True)
        self._shields.add(shield)
        return shield
