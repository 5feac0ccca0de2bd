"""What a run really cost: its jobs against the service's ledgers and its log. Money is in USD, or in a pack's units."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

from aimlvideo.core.formatting import format_units
from aimlvideo.core.jobs.progress import Attempt, Record
from aimlvideo.core.jobs.request_ids import PREFIX_LENGTH, id_prefix
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.money.account import Charge, LogRow
from aimlvideo.errors import DownloadFailed

USAGE = "MODEL_USAGE"
GIVEN_BACK = ("REFUND", "ADJUSTMENT")
"""Kinds of lines that change what a generation was charged, where they name it."""
CENT_FRACTION = 0.00005
UNITS_FRACTION = 0.0005


@dataclass(frozen=True, slots=True)
class _Bill:
    """One job with what the ledgers charged for it; `noted` is what was known during the run, None where unknown.

    `charged` is None where a ledger has an amount that cannot be read.
    """

    job: str
    generation_id: str
    charged: float | None
    noted: float | None
    charged_units: float = 0.0
    noted_units: float | None = None

    @property
    def amount(self) -> str:
        """What was charged, in words."""
        return _in_words(self.charged, self.charged_units)


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
    def total_units(self) -> float:
        """What all jobs were charged in units."""
        return sum(bill.charged_units for bill in self.bills)

    @property
    def unreadable(self) -> int:
        """How many jobs have a charge whose amount cannot be read."""
        return sum(bill.charged is None for bill in self.bills)

    @property
    def elsewhere_generations(self) -> int:
        """For how many generations others were charged: one may be paid out of two packs, or be given back."""
        return len({charge.reference_id for charge in self.elsewhere})

    @property
    def elsewhere_usd(self) -> float | None:
        """What others were charged; None where one of the amounts cannot be read."""
        return _total_of(self.elsewhere)

    @property
    def elsewhere_units(self) -> float:
        """What others were charged in units."""
        return _units_of(self.elsewhere)


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
        # Also where it could not be sent again since, which is its error then.
        has_failed = progress.stage is Stage.FAILED and not isinstance(progress.error, DownloadFailed)
        # Taken out: what is left at the end are charges that no job here accounts for.
        generation_charges = by_generation.pop(progress.generation_id, [])
        bills.append(_bill(job.id, progress.attempt, generation_charges))
        findings += _about(bills[-1], _times_charged(generation_charges), progress.stage, has_failed=has_failed)
    for job_id, attempt in earlier_attempts:
        # One that is another job's was named in an answer to this one by mistake.
        name = attempt.generation_id
        if name is not None and owners.setdefault(name, job_id) == job_id and name in by_generation:
            generation_charges = by_generation.pop(name)
            bills.append(bill := _bill(job_id, attempt, generation_charges))
            times_charged, has_failed = _times_charged(generation_charges), attempt.stage is Stage.FAILED
            findings += _about(bill, times_charged, attempt.stage, has_failed=has_failed)
    request_ids = {row.generation_id: row.request_id for row in logged if row.generation_id and row.request_id}
    used = {name: rest for name, rest in by_generation.items() if any(charge.kind == USAGE for charge in rest)}
    # One whose request id is in another run's form or name is not ours, and no mistake.
    others = [name for name in used if name in request_ids and request_ids[name][:PREFIX_LENGTH] not in jobs_by_prefix]
    without_a_job = ((name, rest) for name, rest in used.items() if name not in request_ids)
    findings += (f"a charge without a job: {_amount_of(rest)} for generation {name}" for name, rest in without_a_job)
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
        cost = f"charged {_amount_of(charged[name])}" if name in charged else "not charged so far"
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


def _units_of(charges: Iterable[Charge]) -> float:
    return sum(charge.units for charge in charges)


def _bill(job: str, attempt: Attempt, charges: Collection[Charge]) -> _Bill:
    paid = _total_of(charges), attempt.cost_usd, _units_of(charges), attempt.cost_units
    return _Bill(job, attempt.generation_id or "", *paid)


def _amount_of(charges: Collection[Charge]) -> str:
    return _in_words(_total_of(charges), _units_of(charges))


def _in_words(usd: float | None, units: float) -> str:
    """Return an amount in words, in USD and in units as far as there are any."""
    dollars = "an unreadable amount" if usd is None else f"{usd:.4f} USD"
    if not units:
        return dollars
    in_units = format_units(units)
    return f"{in_units} units" if usd == 0 else f"{dollars} and {in_units} units"


def _about(bill: _Bill, charges: int, stage: Stage, *, has_failed: bool) -> Iterator[str]:
    """Yield what does not match about one job. A generation that is not ended, or failed, is not charged."""
    name = f"job {bill.job!r} (generation {bill.generation_id})"
    # One generation may be paid out of two packs, of which the first one was nearly empty.
    is_shared = bill.noted_units is not None and abs(bill.noted_units - bill.charged_units) <= UNITS_FRACTION
    if charges > 1 and not is_shared:
        yield f"charged twice: {name} was charged {charges} times, {bill.amount} in all"
    elif charges == 0 and stage in (Stage.READY, Stage.SAVED):
        yield f"no charge for {stage} {name}"
    elif charges and bill.charged is None:
        yield f"an amount that cannot be read: {name} was charged, the ledger does not say how much in USD or units"
    elif charges and has_failed and ((bill.charged or 0.0) > 0 or bill.charged_units > 0):
        yield f"a failed job was charged: {name}, {bill.amount}"
    elif charges == 1 and bill.noted is not None and abs(bill.noted - (bill.charged or 0.0)) > CENT_FRACTION:
        yield f"price mismatch: {name} was charged {bill.amount}, expected {bill.noted:.4f}"
    elif charges and bill.noted_units is not None and not is_shared:
        yield f"price mismatch: {name} was charged {bill.amount}, expected {format_units(bill.noted_units)} units"
