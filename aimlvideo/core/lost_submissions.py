"""What became of a submission whose answer was lost? An absence proves something only where we surely looked."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import Enum
from typing import NamedTuple

from aimlvideo.core.catalog.catalog import Catalog
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Attempt, Progress, Record
from aimlvideo.core.jobs.request_ids import UNKNOWN_CLOCK_MARGIN, Intent, is_for, is_whole
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.money.account import LogRow
from aimlvideo.errors import UsageError

LEAST_SETTLE = 600.0
"""Seconds: the log is written when a generation ends, so a doubt is never settled earlier than this."""
TIMES_P99 = 3.0
WINDOW_MARGIN = 300.0
"""Seconds that a reading of the log must reach beyond the submission on either side: servers differ a little."""

NO_FINGERPRINT = "an earlier release sent it, and did not note with which key: look into the service's dashboard"
LOG_CUT = "the service's log could not be read to its end, or not every row of it: run again later"
NO_CLOCK = "the service's clock is not known (its answers had no Date), so neither is the right part of its log"
NAMELESS = (
    "the service's log has a request for this model without the client's id: look into its dashboard whether it is "
    "this one"
)
NO_IDS = "the service's log has not shown one request of ours by its id so far: run again when another one has ended"


class Outcome(Enum):
    """What is known now."""

    ACCEPTED = "accepted"
    NOT_BILLED = "failed, nothing was billed"
    NEVER_ACCEPTED = "never accepted"
    OPEN = "not known yet"
    UNRESOLVED = "left in doubt"

    @classmethod
    def of(
        cls, rows: Iterable[LogRow], age: float, settle: float, gap: str | None = None, *, complete: bool = True
    ) -> tuple[Outcome, str | None]:
        """Return what the rows that the log has for one client request id amount to, and the generation's id.

        `age` is the seconds since the intent. The log lists a generation when it has ended, so an absence proves
        nothing before `settle` seconds are over, and nothing at all where there is a `gap`. A row that names no
        generation and does not say that it failed, or that failed and was billed, settles nothing, nor does one of a
        log that was not read to its end, which may have another one: such a job is left in doubt.
        """
        listed = list(rows)
        # One success settles it, whatever other rows say: the same id may have failed first and been accepted on a
        # retry.
        for row in listed:
            if row.succeeded and row.generation_id:
                return cls.ACCEPTED, row.generation_id
        # Of a submission that something in between sent twice, one may have failed unbilled while the other renders
        # still, and is listed later.
        if age <= settle:
            return cls.OPEN, None
        if listed and complete and all(row.failed and row.cost_usd == 0 for row in listed):
            return cls.NOT_BILLED, None
        # Only a complete look, in the right place, for long enough, proves an absence: anything less leaves the job in
        # doubt.
        return (cls.UNRESOLVED if listed or gap else cls.NEVER_ACCEPTED), None


class Search(NamedTuple):
    """Where a submission was looked for. Moments are on the service's clock, seconds since 1970."""

    account: str
    """The fingerprint of the key that read the log, and of the base URL."""
    since: float = 0.0
    until: float = 0.0
    complete: bool = True
    """Whether the log was read to its end."""
    clock_known: bool = True
    lists_our_ids: bool = True
    """Whether the log was seen to list a request of ours, by the id that we chose."""
    lists_nameless: bool = False
    """Whether it lists one without such an id that may be the submission."""

    def gap(self, intent: Intent) -> str | None:
        """Return why it proves nothing that a submission is not in the log; None where it was surely looked for."""
        sent_at = intent.sent_at
        covered = sent_at is None or self.since + WINDOW_MARGIN <= sent_at <= self.until - WINDOW_MARGIN
        gaps = (
            intent.other_account(self.account),
            NO_FINGERPRINT if intent.account is None else None,
            None if self.complete else LOG_CUT,
            None if self.clock_known and sent_at else NO_CLOCK,
            None if covered else "the service's log does not reach that far back: look into its dashboard",
            None if self.lists_our_ids else NO_IDS,
            NAMELESS if self.lists_nameless else None,
            intent.denied_before,
        )
        return next((gap for gap in gaps if gap), None)


def settle_seconds(p99: float | None) -> float:
    """Return after how long a submission that the log does not list was never accepted: 3 times p99, at least 600 s."""
    return max(LEAST_SETTLE, TIMES_P99 * p99) if p99 else LEAST_SETTLE


def may_be_submission(row: LogRow, job: VideoJob, intent: Intent, catalog: Catalog) -> bool:
    """Tell whether a row without a client's id may be this submission: of its model, and not from before it."""
    from_before = (
        bool(row.created_at) and intent.sent_at is not None and row.created_at < intent.sent_at - UNKNOWN_CLOCK_MARGIN
    )
    return not (from_before or _has_other_model(row, job, catalog))


def _has_other_model(row: LogRow, job: VideoJob, catalog: Catalog) -> bool:
    """Tell whether a row is of another model than a job, under whichever of its names the log and the job have it."""
    if row.model.casefold() in ("", job.model.casefold()):
        return False
    # Of a model that the catalog does not have nobody here knows the other names.
    model, listed = catalog.find(job.model), catalog.find(row.model)
    return model is not None and (listed is None or listed.id != model.id)


def next_lookup_after(age: float, settle: float) -> float:
    """Return the seconds until the next look: often at first, then a fortieth of the settle time, at most 15 s."""
    return min(max(age / 4, 0.5), max(settle / 40, 0.5), 15.0)


def settled_by_hand(record: Record, generation: str | None, owners: Iterable[tuple[str, Attempt]]) -> Progress:
    """Return a doubtful job's progress as a person has settled it.

    `owners` are the submissions that have become this generation, as far as the journal says, each with its job's id.
    Raises UsageError where the job is not in doubt, or the generation another submission's.
    """
    job, progress = record
    for owner, attempt in owners:
        # One that was only adopted, under its own name, may be whoever's.
        if owner == generation or (owner == job.id and attempt.request_id == progress.request_id):
            continue
        whose = f"an earlier submission of job {owner!r}" if owner == job.id else f"job {owner!r}"
        raise UsageError(
            f"generation {generation} is that of {whose} already: expected the one that the service's dashboard shows "
            f"for the client request id {progress.request_id}"
        )
    if progress.stage not in (Stage.SUBMITTING, Stage.IN_DOUBT):
        raise UsageError(f"job {job.id!r} is not in doubt: it is {progress.stage}")
    if progress.stage is Stage.SUBMITTING:
        progress = progress.to(Stage.IN_DOUBT)
    return progress.to(Stage.RENDERING, generation_id=generation) if generation else progress.to(Stage.PLANNED)


def _may_be_own(request_id: str, job: VideoJob, sent: Collection[str | None]) -> bool:
    """Tell whether a request id may be that of a submission of this job; another folder has jobs of the same id."""
    return is_for(job, request_id) and (request_id in sent or not is_whole(request_id))


def contradiction(
    rows: Iterable[LogRow], record: Record, generation: str | None, catalog: Catalog, sent: Collection[str | None] = ()
) -> str | None:
    """Return what the service's log says against a doubtful job having become this generation, or (None) none at all.

    None where it says nothing against that: it lists a generation once that has ended, and under our id or without it.
    `sent` are the request ids of all the job's submissions; one that is none of them is another folder's.
    """
    job, progress = record
    listed = list(rows)
    own = (row for row in listed if row.succeeded and row.request_id == progress.request_id)
    own_ids = [row.generation_id for row in own if row.generation_id]
    if generation in own_ids:
        return None
    row = next((row for row in listed if generation and row.generation_id == generation), None)
    if row and row.request_id is not None and not _may_be_own(row.request_id, job, sent):
        return (
            f"generation {generation} was bought for another job, in another folder or by another program: the service "
            f"has it under the client request id {row.request_id}, expected {progress.request_id}"
        )
    if row and row.request_id is None and _has_other_model(row, job, catalog):
        return f"the service's log has generation {generation} under model {row.model}, expected {job.model}"
    if own_ids:
        return f"by the service's log job {job.id!r} has become generation {own_ids[0]}: pass --generation {own_ids[0]}"
    return None
