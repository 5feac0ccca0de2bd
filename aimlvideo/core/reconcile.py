"""What a run really cost: its jobs against the service's ledger. Money is in USD."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from aimlvideo.core.job import Progress, Record
from aimlvideo.core.stages import Stage
from aimlvideo.core.wires.account import Charge
from aimlvideo.errors import GenerationFailed

USAGE = "MODEL_USAGE"
CENT_FRACTION = 0.00005


@dataclass(frozen=True, slots=True)
class Bill:
    """One job with what the ledger charged for it; `noted` is what was known during the run, None where unknown."""

    job: str
    generation_id: str
    charged: float
    noted: float | None


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """All bills, and everything that does not match, in words."""

    bills: tuple[Bill, ...]
    findings: tuple[str, ...]

    @property
    def total(self) -> float:
        """What all jobs were charged."""
        return sum(bill.charged for bill in self.bills)


def reconcile(records: Iterable[Record], charges: Iterable[Charge]) -> Reconciliation:
    """Match jobs and charges by generation id: `reference_id` of a charge is the generation that was charged."""
    by_generation: defaultdict[str, list[Charge]] = defaultdict(list)
    for charge in charges:
        if charge.kind == USAGE:
            by_generation[charge.reference_id or "without a reference"].append(charge)
    bills: list[Bill] = []
    findings: list[str] = []
    owners: dict[str, str] = {}
    for job, known in records:
        if known.generation_id is None:
            continue
        if (other := owners.setdefault(known.generation_id, job.id)) != job.id:
            findings.append(f"one generation for two jobs: {other!r} and {job.id!r} are both {known.generation_id}")
            continue
        found = by_generation.pop(known.generation_id, [])
        bill = Bill(job.id, known.generation_id, sum(charge.usd for charge in found), known.cost_usd)
        bills.append(bill)
        findings += _about(bill, len(found), known)
    findings += (
        f"a charge without a job: {sum(charge.usd for charge in found):.4f} USD for generation {generation}"
        for generation, found in by_generation.items()
    )
    return Reconciliation(tuple(bills), tuple(findings))


def _about(bill: Bill, charges: int, known: Progress) -> Iterator[str]:
    """Yield what does not match about one job. A generation that is not ended, or failed, is not charged."""
    name = f"job {bill.job!r} (generation {bill.generation_id})"
    if charges > 1:
        yield f"a double charge: {name} was charged {charges} times, {bill.charged:.4f} USD in all"
    elif charges == 0 and known.stage in (Stage.READY, Stage.SAVED):
        yield f"a job without its charge: {name} is {known.stage}"
    elif charges and bill.charged > 0 and isinstance(known.error, GenerationFailed):
        yield f"a failed job was charged: {name}, {bill.charged:.4f} USD"
    elif charges == 1 and bill.noted is not None and abs(bill.noted - bill.charged) > CENT_FRACTION:
        yield f"another price: {name} was charged {bill.charged:.4f} USD, {bill.noted:.4f} was noted"
