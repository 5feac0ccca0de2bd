"""What a run really cost: its jobs against the service's ledger and its log. Money is in USD."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

from aimlvideo.core.jobs.job import Attempt, Record
from aimlvideo.core.jobs.request_ids import PREFIX_LENGTH, id_prefix
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.money.account import Charge, LogRow
from aimlvideo.errors import GenerationFailed

USAGE = "MODEL_USAGE"
GIVEN_BACK = ("REFUND", "ADJUSTMENT")
"""Kinds of lines that change what a generation was charged, where they name it."""
CENT_FRACTION = 0.00005


@dataclass(frozen=True, slots=True)
class _Bill:
    """One job with what the ledger charged for it; `noted` is what was known during the run, None where unknown.

    `charged` is None where the ledger has an amount that cannot be read.
    """

    job: str
    generation_id: str
    charged: float | None
    noted: float | None


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """All bills, and everything that does not match, in words.

    `elsewhere` has the charges that the log lists under the ids of others: other runs and programs of this account.
    """

    bills: tuple[_Bill, ...]
    findings: tuple[str, ...]
    elsewhere: tuple[Charge, ...] = ()

    @property
    def total(self) -> float:
        """What all jobs were charged, as far as the amounts can be read."""
        return sum(bill.charged or 0.0 for bill in self.bills)

    @property
    def unreadable(self) -> int:
        """How many jobs have a charge whose amount cannot be read."""
        return sum(bill.charged is None for bill in self.bills)

    @property
    def elsewhere_usd(self) -> float | None:
        """What others were charged; None where one of the amounts cannot be read."""
        return _total_of(self.elsewhere)


def reconcile(
    records: Iterable[Record],
    charges: Iterable[Charge],
    logged: Collection[LogRow] = (),
    earlier_attempts: Iterable[tuple[str, Attempt]] = (),
) -> Reconciliation:
    """Match jobs, charges and the log: `reference_id` of a charge is the generation, as is `inference_id` of a row.

    What the log lists under a request id of ours belongs to that job, whether the journal knows of it or not, and what
    an earlier attempt was charged is a cost of its job, too.
    """
    by_generation = _by_generation(charges)
    bills: list[_Bill] = []
    findings: list[str] = []
    owners: dict[str, str] = {}
    jobs_by_prefix: dict[str, str] = {}
    for job, progress in records:
        jobs_by_prefix[id_prefix(job)] = job.id
        if progress.generation_id is None:
            continue
        if (other := owners.setdefault(progress.generation_id, job.id)) != job.id:
            findings.append(f"one generation for two jobs: {other!r} and {job.id!r} are both {progress.generation_id}")
            continue
        has_failed = isinstance(progress.error, GenerationFailed)
        # Taken out: what is left at the end are charges that no job here accounts for.
        generation_charges = by_generation.pop(progress.generation_id, [])
        bills.append(_Bill(job.id, progress.generation_id, _total_of(generation_charges), progress.cost_usd))
        findings += _about(bills[-1], _times_charged(generation_charges), progress.stage, has_failed=has_failed)
    for job_id, attempt in earlier_attempts:
        # One that is another job's was named in an answer to this one by mistake.
        name = attempt.generation_id
        if name is not None and owners.setdefault(name, job_id) == job_id and name in by_generation:
            generation_charges = by_generation.pop(name)
            bill = _Bill(job_id, name, _total_of(generation_charges), attempt.cost_usd)
            bills.append(bill)
            times_charged, has_failed = _times_charged(generation_charges), attempt.stage is Stage.FAILED
            findings += _about(bill, times_charged, attempt.stage, has_failed=has_failed)
    request_ids = {row.generation_id: row.request_id for row in logged if row.generation_id and row.request_id}
    used = {name: rest for name, rest in by_generation.items() if any(charge.kind == USAGE for charge in rest)}
    # One whose request id is in another run's form or name is not ours, and no mistake.
    others = [name for name in used if name in request_ids and request_ids[name][:PREFIX_LENGTH] not in jobs_by_prefix]
    without_a_job = ((name, rest) for name, rest in used.items() if name not in request_ids)
    findings += (f"a charge without a job: {_usd(rest)} for generation {name}" for name, rest in without_a_job)
    findings += _unknown_to_us(logged, jobs_by_prefix, owners, by_generation)
    return Reconciliation(tuple(bills), tuple(findings), tuple(chain.from_iterable(used[name] for name in others)))


def _by_generation(charges: Iterable[Charge]) -> dict[str, list[Charge]]:
    """Return what was charged for each generation, and given back."""
    by_generation: defaultdict[str, list[Charge]] = defaultdict(list)
    for charge in charges:
        if charge.kind == USAGE or (charge.kind in GIVEN_BACK and charge.reference_id):
            by_generation[charge.reference_id or "without a reference"].append(charge)
    return by_generation


def _unknown_to_us(
    logged: Collection[LogRow],
    jobs_by_prefix: Mapping[str, str],
    owners: Mapping[str, str],
    charged: Mapping[str, list[Charge]],
) -> Iterator[str]:
    """Yield the generations that were bought for our jobs, by their request ids, and that no job has."""
    # Each once: two pages of the log that shifted in between list a row twice.
    for row in {(row.generation_id, row.request_id): row for row in logged}.values():
        job, name = jobs_by_prefix.get((row.request_id or "")[:PREFIX_LENGTH]), row.generation_id
        if job is None or name is None or name in owners or not (row.succeeded or name in charged):
            continue
        cost = f"charged {_usd(charged[name])}" if name in charged else "not charged so far"
        yield (
            f"a generation that the run does not know: {name}, bought for job {job!r} as {row.request_id}, {cost} "
            "(by this run, or by another one with a job of this id)"
        )


def _times_charged(charges: Collection[Charge]) -> int:
    """Return how often a generation was charged; a charge that was given back as a whole counts no more."""
    amounts = [charge.usd for charge in charges if charge.kind == USAGE]
    for charge in charges:
        if charge.kind != USAGE and charge.usd is not None and len(amounts) > 1 and -charge.usd in amounts:
            amounts.remove(-charge.usd)
    return len(amounts)


def _total_of(charges: Iterable[Charge]) -> float | None:
    """Return what charges add up to in USD; None where one of the amounts cannot be read."""
    amounts = [charge.usd for charge in charges]
    return None if None in amounts else sum(amount for amount in amounts if amount is not None)


def _usd(charges: Iterable[Charge]) -> str:
    return _dollars(_total_of(charges))


def _dollars(usd: float | None) -> str:
    return "an unreadable amount of USD" if usd is None else f"{usd:.4f} USD"


def _about(bill: _Bill, charges: int, stage: Stage, *, has_failed: bool) -> Iterator[str]:
    """Yield what does not match about one job. A generation that is not ended, or failed, is not charged."""
    name = f"job {bill.job!r} (generation {bill.generation_id})"
    if charges > 1:
        yield f"charged twice: {name} was charged {charges} times, {_dollars(bill.charged)} in all"
    elif charges == 0 and stage in (Stage.READY, Stage.SAVED):
        yield f"no charge for {stage} {name}"
    elif charges and bill.charged is None:
        yield f"an amount that cannot be read: {name} was charged, and the ledger does not say how much in USD"
    elif charges and (bill.charged or 0.0) > 0 and has_failed:
        yield f"a failed job was charged: {name}, {_dollars(bill.charged)}"
    elif charges == 1 and bill.noted is not None and abs(bill.noted - (bill.charged or 0.0)) > CENT_FRACTION:
        yield f"price mismatch: {name} was charged {_dollars(bill.charged)}, expected {bill.noted:.4f}"
