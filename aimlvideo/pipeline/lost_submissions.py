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
from aimlvideo.core.jobs.job import Progress, Record, VideoJob
from aimlvideo.core.jobs.request_ids import MAX_DENIALS, Intent, is_whole
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
from aimlvideo.errors import DatabaseAway, DiskFailed, GenerationFailed, InDoubt, JournalError, Rejected, ServiceError
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


@dataclass(eq=False, slots=True)
class _Doubt:
    """One lost answer, and since when this process has watched it, on the event loop's clock."""

    entry: Entry
    intent: Intent
    watched_since: float
    answer: str
    """What came instead of a readable answer, in words; empty where an earlier process lost it."""
    sent_here: bool = True
    """Whether this process sent it, and so has watched it from its beginning."""


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
    _doubts: list[_Doubt] = field(default_factory=list)
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
        self._doubts.append(_Doubt(entry, self._intent(entry), clock.loop(), answer, sent_here))
        self._added.set()

    def _intent(self, entry: Entry) -> Intent:
        """Return what is known of a submission: by the id that we made, or, where the job has its own, beside it."""
        progress = entry.progress
        intent = Intent.of(progress.request_id)
        if intent.account is not None:
            return intent
        denials = entry.run.spec.journal.fact(_denials_of(progress.request_id))
        return Intent(progress.account, progress.service_time, int(denials or 0))

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
        if strangeness := _not_this_one(generation, doubt, self._sent_at(doubt)):
            log.warning("a call about job %r settles nothing: %s", entry.job.id, strangeness)
        else:
            self._apply(doubt, Outcome.ACCEPTED, generation.id)

    async def _read_log(self) -> None:
        """Read the log once, for all that is in doubt."""
        # Ages are taken before the log is read: a row may be written while its pages come in, and an age taken after
        # them would call a submission settled that the first page could not have listed yet.
        # One that comes in meanwhile is not looked for.
        doubts = list(self._doubts)
        ages = {doubt: self._age(doubt) for doubt in doubts}
        overdue = any(age > self.settle_time(doubt.entry.job) for doubt, age in ages.items())
        rows, reading = await self._rows(doubts, thorough=overdue)
        # Without those whose run was left meanwhile: their journal may be closed.
        for doubt in [one for one in doubts if not one.entry.ended]:
            gap, listed = self._search(doubt, rows[None], reading).gap(doubt.intent), rows[_request_id(doubt)]
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

    def _search(self, doubt: _Doubt, nameless: list[LogRow], reading: LogReading) -> Search:
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
            if self._watched(doubt) >= (patience := doubt.entry.run.spec.patience):
                self._apply(doubt, Outcome.UNRESOLVED, why=f"the service did not show it within {patience:g} s")

    def _next_lookup_in(self, doubt: _Doubt) -> float:
        watched = self._watched(doubt)
        patience_left = max(doubt.entry.run.spec.patience - watched, 0.0)
        return min(next_lookup_after(watched, self.settle_time(doubt.entry.job)), patience_left)

    def _give_up_where_unreachable(self, error: Exception) -> None:
        """Leave in doubt what could not be looked up for twice its settle time."""
        for doubt in list(self._doubts):
            if self._watched(doubt) > 2 * self.settle_time(doubt.entry.job):
                self._apply(doubt, Outcome.UNRESOLVED, why=f"{CANNOT_ASK}: {error}")

    async def _rows(
        self, doubts: list[_Doubt], *, thorough: bool
    ) -> tuple[defaultdict[str | None, list[LogRow]], LogReading]:
        """Return the rows of these submissions by client request id; those that have none and may be one, by None."""
        request_ids, catalog = set(map(_request_id, doubts)), self.catalog()

        def keep(row: LogRow) -> bool:
            # Any row with an id of ours, as we chose it, shows that this log has them at all; only then does the lack
            # of one mean something.
            self._lists_our_ids |= is_whole(row.request_id)
            if row.request_id is None:
                return any(may_be_submission(row, doubt.entry.job, doubt.intent, catalog) for doubt in doubts)
            return row.request_id in request_ids

        reading = await self.request_log.read(min(map(self._sent_at, doubts)), keep, thorough=thorough)
        rows: defaultdict[str | None, list[LogRow]] = defaultdict(list)
        for row in reading.rows:
            rows[row.request_id].append(row)
        return rows, reading

    async def _look_up_each(self, lookup: LookupById) -> None:
        """Look each up by the id that we chose; an absence counts only where the service can be asked so."""
        for doubt in list(self._doubts):
            entry, age = doubt.entry, self._age(doubt)
            generation = await self._look_up(lookup, entry.progress.request_id or "", entry.job)
            if generation is None and lookup.tasks is not None and age > self.settle_time(entry.job):
                generation = await self._search_list(lookup.tasks, doubt)
            if entry.ended:  # its run was left meanwhile, and its journal may be closed
                continue
            if generation is not None and (strangeness := _not_this_one(generation, doubt, self._sent_at(doubt))):
                self._apply(doubt, Outcome.UNRESOLVED, why=strangeness)
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

    async def _search_list(self, tasks: TaskList, doubt: _Doubt) -> Generation | None:
        """Return the task that the service's list has under our id; None where it has none back to the submission."""
        entry, since = doubt.entry, self._sent_at(doubt) - WINDOW_MARGIN
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

    def _apply(self, doubt: _Doubt, outcome: Outcome, generation_id: str | None = None, why: str | None = None) -> None:
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

    def _apply_outcome(self, doubt: _Doubt, outcome: Outcome, generation_id: str | None, why: str | None) -> None:
        entry = doubt.entry
        if outcome is Outcome.UNRESOLVED:
            error = _in_doubt_error(entry, why or CANNOT_ASK, doubt.answer)
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
            request_id = entry.progress.request_id
            # An id of the job's own, sent again as it is: it cannot count.
            if Intent.of(request_id).account is None:
                entry.run.spec.journal.note(_denials_of(request_id), str(doubt.intent.denials + 1))
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

    def _watched(self, doubt: _Doubt) -> float:
        return clock.loop() - doubt.watched_since

    def _sent_at(self, doubt: _Doubt) -> float:
        """Return when a submission was sent, by the service's clock where that is known, else the earliest possible."""
        submitted_at, service_now = doubt.entry.progress.submitted_at or clock.wall(), self.request_log.service_now()
        earliest = doubt.intent.earliest_moment(submitted_at)
        if doubt.intent.sent_at is not None or not doubt.sent_here or service_now is None:
            return earliest
        # The service's clock was learned since: this machine's own may be years ahead of it.
        return min(earliest, service_now - max(self._watched(doubt), clock.wall() - submitted_at))

    def _age(self, doubt: _Doubt) -> float:
        watched = self._watched(doubt)
        if doubt.sent_here:
            return watched
        sent_at = doubt.entry.progress.submitted_at
        passed_here = 0.0 if sent_at is None else clock.wall() - sent_at
        return doubt.intent.seconds_since(watched, self.request_log.service_now(), passed_here, clock.loop())


def _in_doubt_again(progress: Progress) -> Progress:
    """Return the progress of a job that has another one's generation: a later run looks for its own."""
    if progress.stage is Stage.SAVED:
        progress = progress.to(Stage.READY)
    return progress.to(Stage.RENDERING).to(Stage.IN_DOUBT, **_OF_THE_OTHER)


def _not_this_one(generation: Generation, doubt: _Doubt, sent_at: float) -> str | None:
    """Return why a generation under the id that a job chose for itself is another one's; None where it may be its own.

    An id of our own making is never used twice; one that a person chose may have been, by an earlier run.
    """
    entry, journal = doubt.entry, doubt.entry.run.spec.journal
    if is_whole(generation.request_id) and generation.request_id == entry.progress.request_id:
        return None
    if any(generation.id == attempt.generation_id for attempt in journal.attempts(entry.job.id)):
        return f"the service shows generation {generation.id} for its id, which is of an earlier attempt of this job"
    owner = journal.by_generation(generation.id)
    if owner is not None and owner.job.id != entry.job.id:
        return f"the service shows generation {generation.id} for its id, which is that of job {owner.job.id!r}"
    if 0 < generation.created_at < sent_at - WINDOW_MARGIN:
        return (
            f"the service shows generation {generation.id} for its id, which is older than this submission: an earlier "
            "run has used the id"
        )
    return None


def _name_further(entry: Entry, generation_id: str | None, listed: Iterable[str | None]) -> None:
    """Say which further generations the service lists under a job's request id: they are paid, and are no job's."""
    further = sorted({one for one in listed if one} - {generation_id}) if generation_id else []
    if further:
        log.error(
            "the service accepted the submission of job %r more than once: it has become %s, and `aimlvideo adopt` "
            "fetches the others: %s",
            entry.job.id, generation_id, ", ".join(further), extra={"job": entry.job.id},
        )  # fmt: skip


def _in_doubt_error(entry: Entry, why: str, answer: str) -> InDoubt:
    """Return the error that tells a person why a job is left in doubt, and what to look for."""
    request_id = entry.progress.request_id
    lost = f"was lost ({answer})" if answer else "was lost"
    return InDoubt(
        f"the response to job {entry.job.id!r} {lost}; the service may have accepted it, so it will not be resubmitted "
        f"automatically: {why}. Its client request id is {request_id}",
        request_id=request_id,
    )


def _denials_of(request_id: str | None) -> str:
    """Return the name under which a journal has how often a submission was counted as never accepted."""
    return f"denials of {request_id}"


def _request_id(doubt: _Doubt) -> str | None:
    return doubt.entry.progress.request_id
