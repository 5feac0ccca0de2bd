"""What became of a submission whose answer was lost?"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from aimlvideo.core.jobs.job import Progress, Record
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.money.ledger import LogRow
from aimlvideo.errors import UsageError

LEAST_SETTLE = 600.0
"""Seconds: the log is written when a generation ends, so a doubt is never settled earlier than this."""
TIMES_P99 = 3.0
SKEW = 120.0
"""Seconds by which the service's clock may differ from ours."""


class Outcome(Enum):
    """What is known now."""

    ACCEPTED = "accepted"
    NOT_BILLED = "failed, nothing was billed"
    NEVER_ACCEPTED = "never accepted"
    OPEN = "not known yet"
    LEFT = "nobody can say"


def settle_seconds(p99: float | None) -> float:
    """Return after how long a submission that the log does not list was never accepted: 3 times p99, at least 600 s."""
    return max(LEAST_SETTLE, TIMES_P99 * p99) if p99 else LEAST_SETTLE


def outcome_of(rows: Iterable[LogRow], age: float, settle: float) -> tuple[Outcome, str | None]:
    """Return what the rows that the log has for one client request id amount to, and the generation's id.

    `age` is the seconds since the intent. The log lists a generation when it has ended, so an absence proves nothing
    before `settle` seconds are over. A row that names no generation and does not say that it failed, or that failed and
    was billed, settles nothing: such a job is left in doubt.
    """
    listed = list(rows)
    for row in listed:
        if row.succeeded and row.generation_id:
            return Outcome.ACCEPTED, row.generation_id
    if listed and all(row.failed and not row.cost_usd for row in listed):
        return Outcome.NOT_BILLED, None
    if age <= settle:
        return Outcome.OPEN, None
    return (Outcome.LEFT if listed else Outcome.NEVER_ACCEPTED), None


def next_lookup_after(age: float, settle: float) -> float:
    """Return the seconds until the next look: often at first, then a fortieth of the settle time, at most 15 s."""
    return min(max(age / 4, 0.5), max(settle / 40, 0.5), 15.0)


def settled(record: Record, generation: str | None) -> Progress:
    """Return a doubtful job's progress as a person has settled it. Raises UsageError where it is not in doubt."""
    job, known = record
    if known.stage not in (Stage.SUBMITTING, Stage.IN_DOUBT):
        raise UsageError(f"job {job.id!r} is not in doubt: it is {known.stage}")
    if known.stage is Stage.SUBMITTING:
        known = known.to(Stage.IN_DOUBT)
    return known.to(Stage.RENDERING, generation_id=generation) if generation else known.to(Stage.PLANNED)
