"""Submissions whose answer was lost: looked up at the service by the id that we chose, never sent again on a guess."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import anyio

from aimlvideo.core.jobs.job import Record, VideoJob
from aimlvideo.core.jobs.request_ids import NAMESPACE
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.limits import RateLimiter
from aimlvideo.core.lost_submissions import SKEW, Outcome, next_lookup_after, outcome_of
from aimlvideo.core.money.ledger import LogRow
from aimlvideo.core.services.base import LookupById, RequestLog
from aimlvideo.core.wires.generation import Generation
from aimlvideo.core.wires.http import Answer, Request
from aimlvideo.errors import InDoubt, NotAccepted, Rejected, ServiceError
from aimlvideo.pipeline.limiters import RateGate, SlotLimiter
from aimlvideo.pipeline.poll import Send
from aimlvideo.pipeline.run import Entry
from aimlvideo.shell import clock
from aimlvideo.shell.journal.base import Journal

T = TypeVar("T")
TRIES = 4
"""Times that one thing is asked for, before what is in doubt for too long is left so."""

log = logging.getLogger("aimlvideo.doubt")


@dataclass(eq=False)
class LostSubmissions:
    """Settles doubtful entries: found ones go to `accepted`, those that never were accepted to `again`."""

    send: Send
    lookup: RequestLog | LookupById
    slots: SlotLimiter
    settle: Callable[[VideoJob], float]
    accepted: Callable[[Entry], None]
    again: Callable[[Entry], None]
    known: Record | None = None
    """A job that the service did take: shows whether it can be asked by our ids."""
    _entries: list[Entry] = field(default_factory=list)
    _log_lists_our_ids: bool = False
    _models_without_ids: set[str] = field(default_factory=set)
    """Whether the log says ids that we chose, and the models of rows that say none."""

    def __post_init__(self) -> None:
        self._news = anyio.Event()
        self._turns = RateGate(RateLimiter(self.lookup.per_second, burst=5))

    def shared_by(self, workers: int) -> None:
        """Take our part of the log's rate, where others read the log of the same account."""
        self._turns.rate.share(self.lookup.per_second / workers)

    def take(self, entry: Entry) -> None:
        """Look for this entry's submission until its doubt is settled."""
        if entry.ended:
            return
        if entry.slot is None:
            self.slots.take_over_limit()
            entry.hold(self.slots)
        if entry.progress.stage is Stage.SUBMITTING:
            entry.step(Stage.IN_DOUBT)
        self._entries.append(entry)
        self._news.set()

    async def run(self) -> None:
        """Look, at sensible intervals, while there is anything in doubt."""
        while True:
            self._entries = [entry for entry in self._entries if not entry.ended]
            if not self._entries:
                self._news = anyio.Event()
                await self._news.wait()
            try:
                if isinstance(self.lookup, RequestLog):
                    await self._sweep(self.lookup)
                else:
                    await self._ask_each(self.lookup)
            except ServiceError as error:
                log.info("the service could not be asked: %s", error)
                self._leave_overdue()
            waits = [next_lookup_after(_age(entry), self.settle(entry.job)) for entry in self._entries]
            await anyio.sleep(min(waits, default=0))

    def find(self, request_id: str) -> Entry | None:
        """Return the job whose submission had this id and lost its answer."""
        doubtful = (entry for entry in self._entries if not entry.ended)
        return next((entry for entry in doubtful if entry.progress.request_id == request_id), None)

    def found(self, entry: Entry, generation_id: str) -> None:
        """Settle a doubt: the service itself shows this generation for it."""
        if entry in self._entries:
            self._settle(entry, Outcome.ACCEPTED, generation_id)

    async def _sweep(self, request_log: RequestLog) -> None:
        """Read the log once, for all that is in doubt."""
        asked_at, asked = clock.wall(), list(self._entries)  # who comes in meanwhile is not looked for
        found = await self._rows(request_log, {entry.progress.request_id for entry in asked})
        for entry in asked:
            age = asked_at - (entry.progress.submitted_at or asked_at)
            said, name = outcome_of(found[entry.progress.request_id], age, self.settle(entry.job))
            if (
                said is Outcome.NEVER_ACCEPTED
                and not self._log_lists_our_ids
                and entry.job.model in self._models_without_ids
            ):
                said = Outcome.LEFT  # this log does not say our ids: an absence from it proves nothing
            self._settle(entry, said, name)

    def _leave_overdue(self) -> None:
        """Leave in doubt what could not be looked up for twice its settle time."""
        for entry in list(self._entries):
            if _age(entry) > 2 * self.settle(entry.job):
                self._settle(entry, Outcome.LEFT, None)

    async def _rows(
        self, request_log: RequestLog, request_ids: set[str | None]
    ) -> defaultdict[str | None, list[LogRow]]:
        """Return the rows of these client request ids, over the whole window since the oldest intent."""
        now = clock.wall()
        since = min(entry.progress.submitted_at or now for entry in self._entries) - SKEW
        since = max(since, now - request_log.longest_window)
        found: defaultdict[str | None, list[LogRow]] = defaultdict(list)
        offset = 0
        while True:
            page = await self._read(request_log.request(since, clock.wall() + SKEW, offset), request_log.read)
            for row in page:
                self._log_lists_our_ids |= bool(row.request_id and row.request_id.startswith(NAMESPACE))
                if not row.request_id and not row.failed:
                    self._models_without_ids.add(row.model)
                if row.request_id in request_ids:
                    found[row.request_id].append(row)
            offset += request_log.page_rows
            if len(page) < request_log.page_rows:
                return found

    async def _read(self, question: Request, read: Callable[[Answer], T]) -> T:
        """Return what an answer says. A question is asked again where too many were asked: by us, or by others."""
        left = TRIES
        while True:
            await self._turns.turn()
            try:
                told = read(await self.send(question))
            except NotAccepted as error:
                self._turns.rate.busy(clock.loop(), error.retry_after)
                left -= 1
                if not left:
                    raise
            else:
                self._turns.rate.accepted(clock.loop())
                return told

    async def _ask_each(self, lookup: LookupById) -> None:
        """Look each up by the id that we chose; an answer counts only where the service can be asked so."""
        for entry in list(self._entries):
            found = await self._by_our_id(lookup, entry.progress.request_id or "", entry.job)
            if found is not None:
                self._settle(entry, Outcome.ACCEPTED, found.id)
            elif _age(entry) > self.settle(entry.job):
                answers = lookup.takes_ids(entry.job) and await self._finds_our_ids(lookup, entry.run.spec.journal)
                self._settle(entry, Outcome.NEVER_ACCEPTED if answers else Outcome.OPEN, None)
                if not answers:
                    entry.run.end(entry, in_doubt_error(entry))

    async def _by_our_id(self, lookup: LookupById, request_id: str, job: VideoJob) -> Generation | None:
        try:
            return await self._read(lookup.request(request_id, job), lambda answer: lookup.read(answer, request_id))
        except Rejected:
            return None

    async def _finds_our_ids(self, lookup: LookupById, journal: Journal) -> bool:
        """Tell whether this gateway finds a task, that it surely has, by the id that we chose."""
        known = self.known or journal.accepted_sample()
        if known is None:
            return False
        found = await self._by_our_id(lookup, known.progress.request_id or "", known.job)
        return found is not None and found.id == known.progress.generation_id

    def _settle(self, entry: Entry, said: Outcome, generation_id: str | None) -> None:
        if entry.ended or said is Outcome.OPEN:
            return
        self._entries.remove(entry)
        log.info("settled: %s", said.value, extra={"job": entry.job.id, "request_id": entry.progress.request_id})
        if said is Outcome.LEFT:
            entry.run.end(entry, in_doubt_error(entry))
        elif said is Outcome.ACCEPTED:
            entry.step(Stage.RENDERING, generation_id=generation_id)
            self.accepted(entry)
        else:
            entry.step(Stage.PLANNED)
            entry.free()
            self.again(entry)


def in_doubt_error(entry: Entry) -> InDoubt:
    """Return the error that tells a person what to look for."""
    request_id = entry.progress.request_id
    return InDoubt(
        f"job {entry.job.id!r} may have been accepted: its answer was lost. Look for the client request id "
        f"{request_id} in the service's log; it will not be resubmitted automatically",
        request_id=request_id,
    )


def _age(entry: Entry) -> float:
    now = clock.wall()
    return now - (entry.progress.submitted_at or now)
