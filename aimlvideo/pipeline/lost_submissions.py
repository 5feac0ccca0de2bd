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
from aimlvideo.core.wires.aimlapi_account import LOG_PAGE_ROWS, LOG_RATE, LONGEST_WINDOW, log_request, read_log_page
from aimlvideo.core.wires.base import Wire
from aimlvideo.core.wires.generation import Generation
from aimlvideo.core.wires.http import Answer, Request
from aimlvideo.core.wires.kling import Kling
from aimlvideo.errors import Busy, InDoubt, Rejected, ServiceError
from aimlvideo.pipeline.batch import Entry
from aimlvideo.pipeline.limiters import RateGate, SlotLimiter
from aimlvideo.pipeline.poll import Send
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
    wire: Wire
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
        self._turns = RateGate(RateLimiter(LOG_RATE, burst=5))

    def shared_by(self, workers: int) -> None:
        """Take our part of the log's rate, where others read the log of the same account."""
        self._turns.rate.share(LOG_RATE / workers)

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
                await (self._sweep() if self.wire.has_request_log else self._ask_each())
            except ServiceError as error:
                log.info("the service could not be asked: %s", error)
                self._leave_overdue()
            waits = [next_lookup_after(_age(entry), self.settle(entry.job)) for entry in self._entries]
            await anyio.sleep(min(waits, default=0))

    async def _sweep(self) -> None:
        """Read the log once, for all that is in doubt."""
        asked_at, asked = clock.wall(), list(self._entries)  # who comes in meanwhile is not looked for
        found = await self._rows({entry.progress.request_id for entry in asked})
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

    async def _rows(self, wanted: set[str | None]) -> defaultdict[str | None, list[LogRow]]:
        """Return the rows of the wanted client request ids, over the whole window since the oldest intent."""
        now = clock.wall()
        since = min(entry.progress.submitted_at or now for entry in self._entries) - SKEW
        since = max(since, now - LONGEST_WINDOW)
        found: defaultdict[str | None, list[LogRow]] = defaultdict(list)
        offset = 0
        while True:
            page = await self._read(log_request(since, clock.wall() + SKEW, offset), read_log_page)
            for row in page:
                self._log_lists_our_ids |= bool(row.request_id and row.request_id.startswith(NAMESPACE))
                if not row.request_id and not row.failed:
                    self._models_without_ids.add(row.model)
                if row.request_id in wanted:
                    found[row.request_id].append(row)
            offset += LOG_PAGE_ROWS
            if len(page) < LOG_PAGE_ROWS:
                return found

    async def _read(self, question: Request, read: Callable[[Answer], T]) -> T:
        """Return what an answer says. A question is asked again where too many were asked: by us, or by others."""
        left = TRIES
        while True:
            await self._turns.turn()
            try:
                told = read(await self.send(question))
            except Busy as error:
                self._turns.rate.busy(clock.loop(), error.retry_after)
                left -= 1
                if not left:
                    raise
            else:
                self._turns.rate.accepted(clock.loop())
                return told

    async def _ask_each(self) -> None:
        """Ask a gateway about each by its `external_task_id`; an answer counts only where it can be asked so."""
        assert isinstance(self.wire, Kling)
        for entry in list(self._entries):
            found = await self._by_external_id(self.wire, entry.progress.request_id or "", entry.job)
            if found is not None:
                self._settle(entry, Outcome.ACCEPTED, found.id)
            elif _age(entry) > self.settle(entry.job):
                answers = await self._finds_our_ids(self.wire, entry.batch.journal)
                self._settle(entry, Outcome.NEVER_ACCEPTED if answers else Outcome.OPEN, None)
                if not answers:
                    entry.batch.end(entry, in_doubt_error(entry))

    async def _by_external_id(self, wire: Kling, request_id: str, job: VideoJob) -> Generation | None:
        try:
            return await self._read(wire.by_external_id(request_id, job), lambda answer: wire.found(answer, request_id))
        except Rejected:
            return None

    async def _finds_our_ids(self, wire: Kling, journal: Journal) -> bool:
        """Tell whether this gateway finds a task, that it surely has, by the id that we chose."""
        known = self.known or journal.accepted_sample()
        if known is None:
            return False
        found = await self._by_external_id(wire, known.progress.request_id or "", known.job)
        return found is not None and found.id == known.progress.generation_id

    def _settle(self, entry: Entry, said: Outcome, generation_id: str | None) -> None:
        if entry.ended or said is Outcome.OPEN:
            return
        self._entries.remove(entry)
        log.info("settled: %s", said.value, extra={"job": entry.job.id, "request_id": entry.progress.request_id})
        if said is Outcome.LEFT:
            entry.batch.end(entry, in_doubt_error(entry))
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
        f"{request_id} in the service's log; it is not sent again on a guess",
        request_id=request_id,
    )


def _age(entry: Entry) -> float:
    now = clock.wall()
    return now - (entry.progress.submitted_at or now)
