"""Submissions whose answer was lost: looked up at the service by the id that we chose, never sent again on a guess."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import anyio

from aimlvideo.core.catalog.catalog import Catalog
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress, Record
from aimlvideo.core.jobs.request_ids import MAX_DENIALS, is_whole
from aimlvideo.core.jobs.stages import ENDED, Stage
from aimlvideo.core.lost_submissions import (
    WINDOW_MARGIN,
    Outcome,
    Search,
    may_be_submission,
    next_lookup_after,
)
from aimlvideo.core.money.account import LogRow
from aimlvideo.core.wires.base import Generation, LookupById, TaskList
from aimlvideo.errors import DatabaseAway, DiskFailed, GenerationFailed, JournalError, Rejected, ServiceError
from aimlvideo.pipeline.doubt import Doubt
from aimlvideo.pipeline.entry import Entry, contained
from aimlvideo.pipeline.limiters import SlotLimiter
from aimlvideo.pipeline.request_log import LogReader, LogReading
from aimlvideo.shell import clock
from aimlvideo.shell.journal.base import Journal

log = logging.getLogger("aimlvideo.doubt")

CANNOT_ASK = "the service could not be asked for it"
NO_LOOKUP = "the gateway does not find tasks by the id that we chose"
MOST_LIST_PAGES = 20
"""Pages of a list of tasks that are read for one lost answer."""
AMBIGUOUS = "the service's log lists it, but names no generation, nor says that it failed unbilled"
_OF_THE_OTHER: dict[str, Any] = {
    **dict.fromkeys(("generation_id", "video_url", "status", "status_at", "completed_at", "saved_at", "error")),
    "video_urls": (), "file_sizes": (),
}  # fmt: skip
"""What a job forgets whose generation is another one's."""


@dataclass(eq=False)
class LostSubmissions:
    """Settles doubtful entries: found ones go to `on_accepted`, those that never were accepted to `resubmit`."""

    request_log: LogReader
    account: str
    slots: SlotLimiter
    settle_time: Callable[[VideoJob], float]
    catalog: Callable[[], Catalog]
    on_accepted: Callable[[Entry], None]
    resubmit: Callable[[Entry], None]
    take_back: Callable[[str, Entry], Entry | None] = lambda generation_id, owner: None
    """Takes a generation from the job that waits for it, where its owner is another one; returns that job."""
    accepted_sample: Record | None = None
    """A job that the service did take: shows whether it can be asked by our ids."""
    _doubts: list[Doubt] = field(default_factory=list)
    _lists_our_ids: bool = False

    def __post_init__(self) -> None:
        self._added = anyio.Event()

    def add(self, entry: Entry, answer: str = "") -> None:
        """Look for this entry's submission until its doubt is settled; `answer` says what came in place of one."""
        if entry.ended:
            return
        # Before the step below, which sets it: what an earlier process sent is older than it has been watched here.
        sent_here = entry.moved
        entry.take_slot(self.slots)
        if entry.progress.stage is Stage.SUBMITTING:
            entry.step(Stage.IN_DOUBT)
        self._doubts.append(Doubt(entry, clock.loop(), answer, sent_here))
        self._added.set()

    def reopen(self, entry: Entry, why: str) -> None:
        """Look for this entry's submission: the generation that its answer named is another job's."""
        entry.step(Stage.IN_DOUBT, **_OF_THE_OTHER)
        log.warning("in doubt: %s", why, extra={"job": entry.job.id, "request_id": entry.progress.request_id})
        self.add(entry, why)

    async def run(self) -> None:
        """Look, at sensible intervals, while there is anything in doubt."""
        while True:
            self._doubts = [doubt for doubt in self._doubts if not doubt.entry.ended]
            if not self._doubts:
                self._added = anyio.Event()
                await self._added.wait()
            try:
                lookup = self.request_log.lookup
                await (self._look_up_each(lookup) if isinstance(lookup, LookupById) else self._read_log())
            except ServiceError as error:
                log.info("the service could not be asked: %s", error)
                self._give_up_where_unreachable(error)
            except (DiskFailed, JournalError):
                raise
            except DatabaseAway as error:
                # No reason to leave anything to a person: it is looked for again when the database is back.
                log.warning("lost submissions wait: %s", error)
            except Exception as error:
                log.exception("unexpected error while the service was asked for lost submissions")
                self._give_up_where_unreachable(error)
            # After the look, not before: an answer that came in this very turn still counts.
            self._give_up_after_patience()
            waits = [self._next_lookup_in(doubt) for doubt in self._doubts]
            await anyio.sleep(min(waits, default=0))

    def note_accepted(self, record: Record) -> None:
        """Note the newest submission that was taken: a gateway that finds it by our id is asked for lost ones."""
        lookup = self.request_log.lookup
        # One whose endpoint is told no id of ours is found by none.
        if isinstance(lookup, LookupById) and lookup.takes_ids(record.job):
            self.accepted_sample = record

    def find(self, request_id: str) -> Entry | None:
        """Return the job whose submission had this id and lost its answer."""
        doubtful = (doubt.entry for doubt in self._doubts if not doubt.entry.ended)
        return next((entry for entry in doubtful if entry.progress.request_id == request_id), None)

    def confirm(self, entry: Entry, generation: Generation) -> None:
        """Settle a doubt by a generation that the service itself shows for it, unless it cannot be this one."""
        doubt = next((one for one in self._doubts if one.entry is entry), None)
        if doubt is None or entry.ended:
            return
        if why_not := doubt.why_not(generation, self.request_log.service_now()):
            log.warning("a call about job %r settles nothing: %s", entry.job.id, why_not)
        else:
            self._apply(doubt, Outcome.ACCEPTED, generation.id)

    async def _read_log(self) -> None:
        """Read the log once, for all that is in doubt."""
        # Ages are taken before the log is read: a row may be written while its pages come in, and an age taken after
        # them would call a submission settled that the first page could not have listed yet.
        # One that comes in meanwhile is not looked for.
        doubts = list(self._doubts)
        ages = {doubt: doubt.age(self.request_log.service_now()) for doubt in doubts}
        overdue = any(age > self.settle_time(doubt.entry.job) for doubt, age in ages.items())
        rows, reading = await self._rows(doubts, thorough=overdue)
        # Without those whose run was left meanwhile: their journal may be closed.
        for doubt in [one for one in doubts if not one.entry.ended]:
            gap, listed = self._search(doubt, rows[None], reading).gap(doubt.intent), rows[doubt.request_id]
            if not listed and (elsewhere := doubt.intent.other_account(self.account)):
                # Waiting would not make it visible to this key.
                self._apply(doubt, Outcome.UNRESOLVED, why=elsewhere)
                continue
            settle, complete = self.settle_time(doubt.entry.job), reading.complete
            outcome, generation_id = Outcome.of(listed, ages[doubt], settle, gap, complete=complete)
            _name_further(doubt.entry, generation_id, (row.generation_id for row in listed if row.succeeded))
            for failed in (row.generation_id for row in listed if row.generation_id and not row.succeeded):
                self._take_from_others(failed, doubt.entry)
            self._apply(doubt, outcome, generation_id, AMBIGUOUS if listed and complete else gap)

    def _search(self, doubt: Doubt, nameless: list[LogRow], reading: LogReading) -> Search:
        """Return how well one submission was looked for."""
        entry, journal = doubt.entry, doubt.entry.run.spec.journal
        candidates = (row for row in nameless if may_be_submission(row, entry.job, doubt.intent, self.catalog()))
        owners = (journal.by_generation(row.generation_id or "") for row in candidates)
        return Search(
            self.account,
            reading.since,
            reading.until,
            complete=reading.complete,
            clock_known=reading.clock_known,
            lists_our_ids=self._lists_our_ids,
            # One that was adopted, or is known since a journal was rebuilt, may be this submission all the same.
            lists_nameless=any(owner is None or owner.progress.request_id is None for owner in owners),
        )

    def _give_up_after_patience(self) -> None:
        """Leave in doubt what was watched for as long as a generation is waited for."""
        for doubt in list(self._doubts):
            if doubt.watched >= (patience := doubt.entry.run.spec.patience):
                self._apply(doubt, Outcome.UNRESOLVED, why=f"the service did not show it within {patience:g} s")

    def _next_lookup_in(self, doubt: Doubt) -> float:
        watched = doubt.watched
        patience_left = max(doubt.entry.run.spec.patience - watched, 0.0)
        return min(next_lookup_after(watched, self.settle_time(doubt.entry.job)), patience_left)

    def _give_up_where_unreachable(self, error: Exception) -> None:
        """Leave in doubt what could not be looked up for twice its settle time."""
        for doubt in list(self._doubts):
            if doubt.watched > 2 * self.settle_time(doubt.entry.job):
                self._apply(doubt, Outcome.UNRESOLVED, why=f"{CANNOT_ASK}: {error}")

    async def _rows(
        self, doubts: list[Doubt], *, thorough: bool
    ) -> tuple[defaultdict[str | None, list[LogRow]], LogReading]:
        """Return the rows of these submissions by client request id; those that have none and may be one, by None."""
        request_ids, catalog = {doubt.request_id for doubt in doubts}, self.catalog()

        def keep(row: LogRow) -> bool:
            # Any row with an id of ours, as we chose it, shows that this log has them at all; only then does the lack
            # of one mean something.
            self._lists_our_ids |= is_whole(row.request_id)
            if row.request_id is None:
                return any(may_be_submission(row, doubt.entry.job, doubt.intent, catalog) for doubt in doubts)
            return row.request_id in request_ids

        service_now = self.request_log.service_now()
        since = min(doubt.sent_at(service_now) for doubt in doubts)
        reading = await self.request_log.read(since, keep, thorough=thorough)
        rows: defaultdict[str | None, list[LogRow]] = defaultdict(list)
        for row in reading.rows:
            rows[row.request_id].append(row)
        return rows, reading

    async def _look_up_each(self, lookup: LookupById) -> None:
        """Look each up by the id that we chose; an absence counts only where the service can be asked so."""
        for doubt in list(self._doubts):
            entry, age = doubt.entry, doubt.age(self.request_log.service_now())
            generation = await self._look_up(lookup, entry.progress.request_id or "", entry.job)
            if generation is None and lookup.tasks is not None and age > self.settle_time(entry.job):
                generation = await self._search_list(lookup.tasks, doubt)
            if entry.ended:  # its run was left meanwhile, and its journal may be closed
                continue
            if generation is not None and (why_not := doubt.why_not(generation, self.request_log.service_now())):
                self._apply(doubt, Outcome.UNRESOLVED, why=why_not)
            elif generation is not None:
                self._apply(doubt, Outcome.ACCEPTED, generation.id)
            elif elsewhere := doubt.intent.other_account(self.account):
                self._apply(doubt, Outcome.UNRESOLVED, why=elsewhere)
            elif age > self.settle_time(entry.job):
                # A gateway that ignores our ids answers "no such task" to every one of them: its absence proves nothing
                # before it has found, by such an id, a task that it surely has.
                journal = entry.run.spec.journal
                can_be_asked = lookup.takes_ids(entry.job) and await self._gateway_finds_our_ids(lookup, journal)
                gap = doubt.intent.denied_before if can_be_asked else NO_LOOKUP
                self._apply(doubt, Outcome.UNRESOLVED if gap else Outcome.NEVER_ACCEPTED, why=gap)

    async def _look_up(self, lookup: LookupById, request_id: str, job: VideoJob) -> Generation | None:
        try:
            question = lookup.request(request_id, job)
            return await self.request_log.request(question, lambda answer: lookup.read(answer, request_id))
        except Rejected:
            return None

    async def _search_list(self, tasks: TaskList, doubt: Doubt) -> Generation | None:
        """Return the task that the service's list has under our id; None where it has none back to the submission."""
        entry, since = doubt.entry, doubt.sent_at(self.request_log.service_now()) - WINDOW_MARGIN
        place, cursor = tasks.place_of(entry.job), None
        for _ in range(MOST_LIST_PAGES):
            try:
                question, read = tasks.request(place, cursor), partial(tasks.read, cursor)
                listed, cursor = await self.request_log.request(question, read)
            except Rejected:
                return None
            if ours := [one for one in listed if one.request_id == entry.progress.request_id]:
                _name_further(entry, ours[0].id, (one.id for one in ours))
                return ours[0]
            # Where the newest come first, there can only be older ones behind a task older than the submission.
            if cursor is None or (listed and 0 < listed[-1].created_at < min(since, listed[0].created_at)):
                return None
        return None

    async def _gateway_finds_our_ids(self, lookup: LookupById, journal: Journal) -> bool:
        """Tell whether this gateway finds a task, that it surely has, by the id that we chose."""
        sample = self.accepted_sample or journal.accepted_sample()
        if sample is None:
            return False
        generation = await self._look_up(lookup, sample.progress.request_id or "", sample.job)
        return generation is not None and generation.id == sample.progress.generation_id

    def _apply(self, doubt: Doubt, outcome: Outcome, generation_id: str | None = None, why: str | None = None) -> None:
        entry = doubt.entry
        # A call may have settled it while the service was asked.
        if outcome is Outcome.OPEN or entry.ended or doubt not in self._doubts:
            return
        if self._is_being_saved(generation_id, entry):
            return
        self._doubts.remove(doubt)
        log.info("settled: %s", outcome.value, extra={"job": entry.job.id, "request_id": entry.progress.request_id})
        with contained(entry):
            self._apply_outcome(doubt, outcome, generation_id, why)

    def _apply_outcome(self, doubt: Doubt, outcome: Outcome, generation_id: str | None, why: str | None) -> None:
        entry = doubt.entry
        if outcome is Outcome.UNRESOLVED:
            error = doubt.unresolved(why or CANNOT_ASK)
            entry.keep_reason(error)
            entry.end(error)
        elif outcome is Outcome.ACCEPTED:
            self._take_from_others(generation_id or "", entry)
            entry.step(Stage.RENDERING, generation_id=generation_id)
            self.on_accepted(entry)
        elif outcome is Outcome.NOT_BILLED and doubt.intent.denials >= MAX_DENIALS:
            entry.step(Stage.FAILED, error=GenerationFailed("the service's log lists it as failed, twice, unbilled"))
            entry.end()
        else:
            doubt.deny()
            entry.step(Stage.PLANNED)
            entry.release_slot()
            self.resubmit(entry)

    def _take_from_others(self, generation_id: str, owner: Entry) -> None:
        """Put a job in doubt that was answered with this generation, which the service itself shows to be another's."""
        other = self.take_back(generation_id, owner)
        if other is not None:
            self.reopen(other, f"its answer named generation {generation_id}, which is that of job {owner.job.id!r}")
            return
        spec = owner.run.spec
        record = spec.journal.by_generation(generation_id)
        if record is None or record.job.id == owner.job.id:
            return
        job, progress = record
        # Where others share the journal, it is taken from whoever has it: that one finds it gone.
        is_at_rest = spec.ids_under_way is None or job.id not in spec.ids_under_way
        if not (is_at_rest or progress.stage in ENDED):
            return
        # What it was charged is the other's. Its length stays: the file of its name is ours, and is replaced.
        uncharged = progress._replace(cost_usd=None, cost_units=None)
        if progress.request_id is None:
            # Somebody fetched it by its id, and bought nothing: there is no other one to look for.
            spec.journal.reopen(record, uncharged)
            owner.run.budget_gate.take_back_charge(record)
            return
        clip = f"the clip of job {job.id!r} ({progress.file})" if progress.file else f"what became of job {job.id!r}"
        whoever = "a worker" if spec.ids_under_way is None else "the next run"
        then = f"it is in doubt again, and {whoever} looks it up" if is_at_rest else "see there what became of it"
        log.error(
            "%s is that of job %r: its answer named generation %s, which the service lists under the other's id. Its "
            "own is under %s: %s",
            clip, owner.job.id, generation_id, progress.request_id, then, extra={"job": job.id},
        )  # fmt: skip
        if is_at_rest:
            spec.journal.reopen(record, uncharged)
            spec.journal.reopen(Record(job, uncharged), _in_doubt_again(uncharged))
            owner.run.budget_gate.take_back_charge(record)

    def _is_being_saved(self, generation_id: str | None, owner: Entry) -> bool:
        """Tell whether another job is just saving this generation's clip, wherever: then it is soon at rest."""
        if not generation_id:
            return False
        record, ids_under_way = owner.run.spec.journal.by_generation(generation_id), owner.run.spec.ids_under_way
        if record is None or record.progress.stage is not Stage.READY:
            return False
        return ids_under_way is None or record.job.id in ids_under_way


def _in_doubt_again(progress: Progress) -> Progress:
    """Return the progress of a job that has another one's generation: a later run looks for its own."""
    if progress.stage is Stage.SAVED:
        progress = progress.to(Stage.READY)
    return progress.to(Stage.RENDERING).to(Stage.IN_DOUBT, **_OF_THE_OTHER)


def _name_further(entry: Entry, generation_id: str | None, listed: Iterable[str | None]) -> None:
    """Say which further generations the service lists under a job's request id: they are paid, and are no job's."""
    further = sorted({one for one in listed if one} - {generation_id}) if generation_id else []
    if further:
        log.error(
            "the service accepted the submission of job %r more than once: it has become %s, and `aimlvideo adopt` "
            "fetches the others: %s",
            entry.job.id, generation_id, ", ".join(further), extra={"job": entry.job.id},
        )  # fmt: skip
