"""What the service is asked before a person's word counts: whose generation is to settle a doubt, whether it did accept
what is to be sent again, and which of the failed ones it has completed since."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple, Self

from aimlvideo.cli.options import ClientOptions
from aimlvideo.cli.session import client_of
from aimlvideo.cli.signals import in_loop
from aimlvideo.cli.terminal import Terminal
from aimlvideo.client import VideoClient
from aimlvideo.core.jobs.progress import Attempt, Progress, Record
from aimlvideo.core.jobs.request_ids import Intent, is_whole
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.limits import RateLimiter
from aimlvideo.core.lost_submissions import WINDOW_MARGIN, contradiction, settled_by_hand
from aimlvideo.core.money.account import LogRow
from aimlvideo.core.wires.base import LookupById
from aimlvideo.errors import NotAccepted, Refused, Rejected, ServiceError, SettingsError, Unclear, UsageError
from aimlvideo.pipeline.limiters import RateGate
from aimlvideo.pipeline.retries import may_have_completed, taken_up_since
from aimlvideo.pipeline.status_checks import fetch_status
from aimlvideo.shell.journal.base import JournalReader
from aimlvideo.shell.task_groups import task_group

PARALLEL_QUESTIONS = 20
"""Status checks at a time."""
QUESTIONS_PER_SECOND = 50.0
"""Status checks that are begun in a second, at most: as many as a run's."""


class Settlement(NamedTuple):
    """How a person settles a job in doubt: it has become `generation`, or (None) none; with what its journal knows."""

    record: Record
    generation: str | None
    owners: Sequence[tuple[str, Attempt]]
    """The submissions that have become this generation, each with its job's id."""
    sent: Collection[str | None]
    """The request ids of all submissions of the job."""

    @classmethod
    def of(cls, journal: JournalReader, record: Record, generation: str | None) -> Self:
        """Return it with what a journal has."""
        sent = {attempt.request_id for attempt in journal.attempts(record.job.id)}
        return cls(record, generation, list(_owners_of(journal, generation)), sent)

    def checked(self, settings: ClientOptions | None, terminal: Terminal) -> Progress:
        """Return the doubtful job's progress as a person has settled it.

        Without `settings` no service is asked. Raises UsageError where the job is not in doubt, or the journal or the
        service says otherwise.
        """
        record = self.record if settings is None else _as_doubt(self.record, settings)
        progress = settled_by_hand(record, self.generation, self.owners)
        if settings is not None:
            _ask_service(self._replace(record=record), settings, terminal)
        return progress


def _owners_of(journal: JournalReader, generation: str | None) -> Iterator[tuple[str, Attempt]]:
    if generation is None:
        return
    if (record := journal.by_generation(generation)) is not None:
        yield record.job.id, record.progress.attempt
    yield from (pair for pair in journal.earlier_attempts() if pair[1].generation_id == generation)


def _as_doubt(record: Record, settings: ClientOptions) -> Record:
    """Return a job as one in doubt where it waits for a generation that the service does not know.

    A doubt may have been settled by a mistyped id while the service could not be asked.
    """
    job, progress = record

    async def is_unknown() -> bool:
        async with client_of(settings) as client:
            try:
                await fetch_status(partial(client.send, tries=1), client.wire, progress.generation_id or "", job)
            except Rejected as error:
                return error.status == 404
        return False

    if progress.stage is not Stage.RENDERING or progress.request_id is None:
        return record
    with suppress(ServiceError, SettingsError):
        if in_loop(is_unknown()):
            return Record(job, progress.to(Stage.IN_DOUBT, generation_id=None, status=None, status_at=None))
    return record


def _ask_service(settlement: Settlement, settings: ClientOptions, terminal: Terminal) -> None:
    """Ask the service before a doubt is settled by hand; say so where it cannot be asked.

    Raises UsageError where it does not know the generation, has it for something else, or, where none is named, where
    it did accept the submission.
    """

    record, generation = settlement.record, settlement.generation

    async def ask() -> str | None:
        async with client_of(settings) as client:
            return await _objection(settlement, client)

    try:
        objection = in_loop(ask())
    except (ServiceError, SettingsError) as error:
        if generation and isinstance(error, Rejected):
            raise UsageError(
                f"the service does not know generation {generation} under this API key: {error}. Expected the one that "
                f"its dashboard shows for the client request id {record.progress.request_id}; nothing was changed"
            ) from error
        settled = f"generation {generation}" if generation else f"that job {record.job.id!r} was not accepted"
        terminal.remark(f"{settled} is taken as it was given, as the service could not be asked: {error}")
        return
    if objection is not None:
        raise UsageError(f"{objection}; nothing was changed")


def completed_since(failed: Iterable[Record], settings: ClientOptions) -> tuple[set[str], set[str]]:
    """Return the ids of the failed jobs whose generations the service has completed by now, or renders again.

    And those of the jobs of which it does not say. Without a key nobody is asked.
    """
    asked = [record for record in failed if may_have_completed(record)]

    async def ask() -> tuple[set[str], set[str]]:
        async with client_of(settings) as client:
            return await _completed_since(asked, client)

    with suppress(SettingsError):
        return in_loop(ask()) if asked else (set(), set())
    return set(), set()


async def _completed_since(failed: Iterable[Record], client: VideoClient) -> tuple[set[str], set[str]]:
    completed: set[str] = set()
    unknown: set[str] = set()
    waiting, gate = iter(failed), RateGate(RateLimiter(QUESTIONS_PER_SECOND))
    send = partial(client.send, tries=1)

    async def ask_in_turn() -> None:
        for record in waiting:
            try:
                if await taken_up_since(send, client.wire, record, gate, client.account) is not None:
                    completed.add(record.job.id)
            except (NotAccepted, Unclear, Refused):
                unknown.add(record.job.id)

    async with task_group(wait=True) as tasks:
        for _ in range(PARALLEL_QUESTIONS):
            tasks.start_soon(ask_in_turn)
    return completed, unknown


async def _objection(settlement: Settlement, client: VideoClient) -> str | None:
    """Return what the service says against settling a doubt so, None where it says nothing. Raises ServiceError."""
    record, generation, _, sent = settlement
    job, progress = record
    if generation is not None:
        shown = await fetch_status(partial(client.send, tries=1), client.wire, generation, job)
        if shown.request_id is not None:
            row = LogRow(shown.request_id, generation, succeeded=True, created_at=0.0)
            return contradiction([row], record, generation, client.catalog, sent)
    lookup = client.service.lookup
    if isinstance(lookup, LookupById):
        return await _accepted_by_id(record, lookup, client) if generation is None else None
    since = Intent.of(progress.request_id).earliest_moment(progress.submitted_at or 0.0) - WINDOW_MARGIN
    try:
        rows = (await client.read_log(since)).rows
        if generation is not None and all(row.generation_id != generation for row in rows):
            # It may be older than the submission, and so another one's.
            rows = (await client.read_log()).rows
    except ServiceError:
        if generation is None:
            raise
        # That it is known is worth more than nothing; whose it is shows in the log only.
        return None
    return contradiction(rows, record, generation, client.catalog, sent)


async def _accepted_by_id(record: Record, lookup: LookupById, client: VideoClient) -> str | None:
    """Return what a service that finds submissions by our own ids says against this one having been refused."""
    request_id = record.progress.request_id
    # An id that the job names itself may have been used before: what is found by it may be an earlier clip.
    if not is_whole(request_id):
        return None
    try:
        task = lookup.read(await client.send(lookup.request(request_id, record.job), tries=1), request_id)
    except Rejected:
        task = None
    if task is not None:
        return contradiction([LogRow(request_id, task.id, True, 0.0)], record, None, client.catalog)
    # A task may stand in a list that is not found by our id.
    rows = () if lookup.tasks is None else (await client.read_log()).rows
    return contradiction(rows, record, None, client.catalog)
