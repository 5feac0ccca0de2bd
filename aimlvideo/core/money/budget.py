"""The spending of the runs into one journal, against the limit of each. Money is in US dollars."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from sys import float_info
from typing import NamedTuple

from aimlvideo.core.formatting import exact_amount, preview
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress, Record
from aimlvideo.core.jobs.stages import OUTSTANDING, Stage
from aimlvideo.errors import DownloadFailed, SettingsError

ROUNDING = 1e-9  # dollars: ten jobs of 0.1 fit a limit of 1.0
_WITH_CLIP = frozenset({Stage.READY, Stage.SAVED})


class Counts(StrEnum):
    """As what the price of a job counts for as long as nobody has said what it cost."""

    SPENT = "spent"
    COMMITTED = "committed"

    @classmethod
    def of(cls, progress: Progress) -> Counts | None:
        """Return as what a job's price counts while its cost is not known; None where nothing was bought or billed."""
        stage = progress.stage
        # It has a clip, or one that could not be fetched so far, or a cost.
        if stage in _WITH_CLIP or progress.cost_usd is not None or isinstance(progress.error, DownloadFailed):
            return cls.SPENT
        # It has a clip whose link has died, or that is tried again: it was ready once.
        if stage is Stage.RENDERING and progress.video_url is not None:
            return cls.SPENT
        return cls.COMMITTED if stage in OUTSTANDING else None


def has_unknown_cost(progress: Progress) -> bool:
    """Tell whether a clip is paid, also one that could not be fetched, and nobody said what it cost, in no money."""
    return progress.cost_usd is None and progress.cost_units is None and Counts.of(progress) is Counts.SPENT


class Verdict(StrEnum):
    """Whether a job may be bought under a limit; if not, why, and whether that may change by itself."""

    ADMITTED = "admitted"
    WAIT = "wait"
    """It may fit when jobs under way settle below their price."""
    UNPRICED = "unpriced"
    """Nobody knows what it costs."""
    UNKNOWN = "unknown"
    """Nobody knows what something that is outstanding costs."""
    OVER_BUDGET = "over budget"

    def refusal(self, limit: float, price: float | None, standing: Standing) -> str:
        """Say why a job is not bought: by the figures of this moment."""
        named = f"the limit of {exact_amount(limit)} USD"
        if price is None:
            return f"the price of the next job is not known, so it might exceed {named}"
        if self is Verdict.UNKNOWN:
            return f"the price of a job that is outstanding is not known, so the next one might exceed {named}"
        so_far = f"{exact_amount(standing.spent)} spent, {exact_amount(standing.committed)} committed"
        return f"the next job ({exact_amount(price)} USD) would pass {named}: {so_far}"


class Standing(NamedTuple):
    """What a limit is held against. Money is in US dollars."""

    spent: float = 0.0
    committed: float = 0.0
    settling: float = 0.0
    """What of `committed` is promised to jobs that are under way, so that it may still settle below its price."""
    under_way: bool = False
    """Whether any such job is under way."""
    has_unknown: bool = False
    """Whether something outstanding may cost anything."""

    def verdict(self, limit: float | None, price: float | None) -> Verdict:
        """Return whether a job of this price may be bought. The database decides the same, in `aimlvideo_admit`."""
        if limit is None:
            return Verdict.ADMITTED
        # Nobody could say whether it keeps within the limit.
        if price is None:
            return Verdict.UNPRICED
        room = limit + ROUNDING - self.spent - self.committed
        # What may cost anything leaves no room that is sure: nothing is bought beside it under a limit.
        if not self.has_unknown and price <= room:
            return Verdict.ADMITTED
        if self.under_way and price <= room + self.settling:
            return Verdict.WAIT
        return Verdict.UNKNOWN if self.has_unknown else Verdict.OVER_BUDGET


def checked_limit(limit: float | None, name: str = "the spending limit") -> float | None:
    """Return a limit as it is. Raises SettingsError for what is no sum of money: nothing compares with NaN."""
    # Typed, and yet whatever an application read from its environment: a text, a flag.
    is_amount = isinstance(limit, int | float) and not isinstance(limit, bool)
    if limit is not None and not (is_amount and 0 <= limit <= float_info.max):
        raise SettingsError(f"{name} is {preview(limit)}: expected US dollars, 0 or more")
    return limit


class _Commitment(NamedTuple):
    model: str
    dollars: float | None


@dataclass(eq=False)
class Spending:
    """What is spent on the jobs of one journal, and what is promised to those under way, by whichever run."""

    spent: float = 0.0
    commitments: dict[str, _Commitment] = field(default_factory=dict)
    on_change: list[Callable[[], None]] = field(default_factory=list)
    """Called when something that was promised is settled or taken back."""
    is_read: bool = False
    """Whether a journal was asked what was spent before: what is bought since is booked here."""
    counted: bool = False
    """Whether what a journal has of earlier runs was counted, with what it has promised."""
    _priced: float = 0.0
    _unpriced: Counter[str] = field(default_factory=Counter)
    """Jobs under way whose price nobody knows, by model: a job costs the same with 100,000 of them as with one."""
    _highest: dict[str, float] = field(default_factory=dict)
    _jobs: dict[str, VideoJob] = field(default_factory=dict)
    _unknown_by_model: Counter[str] = field(default_factory=Counter)
    """Jobs that ended, and nobody said what they cost, by model: they count once a price of it is seen."""

    @property
    def committed(self) -> float:
        """What the jobs under way will cost, as far as that is known."""
        return self._priced + sum(count * self._highest.get(model, 0.0) for model, count in self._unpriced.items())

    @property
    def has_unknown(self) -> bool:
        """Whether something under way may cost anything: no price of its model was ever seen."""
        return not self._unpriced.keys() <= self._highest.keys()

    def committed_beyond(self, job_ids: Collection[str]) -> float:
        """Return what is promised to jobs that are not among these."""
        others = (self._dollars(one) for name, one in self.commitments.items() if name not in job_ids)
        return sum(dollars for dollars in others if dollars is not None)

    def expected(self, model: str, price: float | None) -> float | None:
        """Return what a job counts as: its price, or the highest that was seen for its model; None where none was."""
        self.see(model, price)
        return self._highest.get(model) if price is None else price

    def add(self, job_id: str, model: str, price: float | None) -> None:
        """Promise a job its price, whatever the limit of anybody."""
        self.see(model, price)
        self.remove(job_id)
        self.commitments[job_id] = _Commitment(model, price)
        if price is None:
            self._unpriced[model] += 1
        else:
            self._priced += price

    def remove(self, job_id: str) -> float | None:
        """Take back what was promised to a job; return it, None where nothing was, or nobody knows how much."""
        commitment = self.commitments.pop(job_id, None)
        if commitment is None:
            return None
        dollars = self._dollars(commitment)
        if commitment.dollars is None:
            self._unpriced[commitment.model] -= 1
            if not self._unpriced[commitment.model]:
                del self._unpriced[commitment.model]
        self._jobs.pop(job_id, None)
        # Counted anew where nothing is promised any more, so that rounding does not pile up.
        self._priced = self._priced - (commitment.dollars or 0.0) if self.commitments else 0.0
        return dollars

    def promise(self, job: VideoJob, price: float | None) -> None:
        """Promise a job that is outstanding its price; one without a price may get it later."""
        self.add(job.id, job.model, price)
        if price is None:
            self._jobs[job.id] = job

    def book(self, cost: float | None, model: str = "") -> None:
        """Add what a job was charged; None where nobody said: it counts when a price of its model is seen."""
        if cost is None:
            self._unknown_by_model[model] += 1
        else:
            self.spent += cost

    def count(self, records: Iterable[Record], price: Callable[[VideoJob], float | None], *, spent: float) -> None:
        """Count what the jobs of a journal have cost, and promise all that is outstanding its price.

        A clip whose cost nobody said counts as its price: what is not known is not nothing. `spent` is what the journal
        says that was charged in all: for these jobs, and for generations that failed and were tried again since.
        """
        self.counted, self.is_read, self.spent = True, True, spent
        self._unknown_by_model.clear()
        unsaid: list[tuple[str, float | None]] = []
        for job, progress in records:
            counts = Counts.of(progress)
            if counts is Counts.SPENT:
                self.remove(job.id)  # a clip that another run is just saving: it would be booked a second time then
            if progress.cost_usd is not None:
                self.see(job.model, progress.cost_usd)
            elif counts is Counts.SPENT:
                unsaid.append((job.model, price(job)))
            elif counts is Counts.COMMITTED and job.id not in self.commitments:
                self.promise(job, price(job))
            elif progress.has_attempt:
                self.see(job.model, price(job))
        # After all others: only then is the highest price that was seen of each model known.
        for model, dollars in unsaid:
            self.see(model, dollars)
        for model, dollars in unsaid:
            self.book(self.expected(model, dollars), model)

    def count_anew(self) -> None:
        """Leave out what a journal has of earlier runs: a limit is for what is bought from here on."""
        self.counted, self.is_read, self.spent = True, True, 0.0

    def reprice(self, price: Callable[[VideoJob], float | None]) -> None:
        """Ask again for the prices of what was promised without one."""
        # A copy, because `add` takes names out while this goes on.
        for name, job in list(self._jobs.items()):
            if (dollars := price(job)) is not None:
                self.add(name, job.model, dollars)

    def see(self, model: str, dollars: float | None) -> None:
        """Remember a price, for jobs of this model whose own is not known."""
        # That one was charged nothing, as what fails is, says nothing of what the next one costs.
        if not dollars:
            return
        self._highest[model] = max(dollars, self._highest.get(model, 0.0))
        self.spent += self._unknown_by_model.pop(model, 0) * dollars

    def changed(self) -> None:
        """Tell those who wait for room."""
        # A copy: whoever is told may leave.
        for tell in list(self.on_change):
            tell()

    def _dollars(self, commitment: _Commitment) -> float | None:
        return self._highest.get(commitment.model) if commitment.dollars is None else commitment.dollars


class Budget:
    """One run's limit over a spending that other runs into the same journal share.

    A job whose price is unknown counts as the highest price seen for its model so far, quoted or charged. While none
    was seen, a limit refuses it: nobody could say whether it keeps within. Without a limit it passes.
    """

    def __init__(self, limit: float | None = None, spending: Spending | None = None) -> None:
        self.limit = limit
        self.is_kept = not (limit is None and spending is None)
        """Whether a run has this limit, or another one may have one of its own over the same spending."""
        self.spending = Spending() if spending is None else spending

    @property
    def spent(self) -> float:
        """What all jobs were charged so far."""
        return self.spending.spent

    @property
    def committed(self) -> float:
        """What the jobs under way will cost, as far as that is known."""
        return self.spending.committed

    def commit(self, job_id: str, price: float | None, *, model: str = "") -> bool:
        """Promise this job its price; False when that would pass the limit, and then nothing is promised."""
        # A job that comes back from a refusal is promised anew, at its price of now.
        self.release(job_id)
        if self.limit is not None and self.verdict(price, (), model=model) is not Verdict.ADMITTED:
            return False
        self.spending.add(job_id, model, price)
        return True

    def verdict(self, price: float | None, under_way: Collection[str], *, model: str = "") -> Verdict:
        """Return whether a job may be bought, and if not, whether it may later: while these are `under_way`."""
        expected = self.spending.expected(model, price)
        return self.standing(under_way).verdict(self.limit, expected)

    def standing(self, under_way: Collection[str] = ()) -> Standing:
        """Return what the limit is held against, while the jobs of these ids are under way."""
        spending = self.spending
        followed = [name for name in under_way if name in spending.commitments]
        settling = spending.committed - spending.committed_beyond(followed) if followed else 0.0
        return Standing(spending.spent, spending.committed, settling, bool(followed), spending.has_unknown)

    def holds(self, job_id: str) -> bool:
        """Tell whether something is promised to a job."""
        return job_id in self.spending.commitments

    def settle(self, job_id: str, cost: float | None) -> None:
        """Book what an ended job was charged; where nobody said, what was promised to it."""
        commitment = self.spending.commitments.get(job_id)
        model = commitment.model if commitment else ""
        promised = self.spending.remove(job_id)
        self.spending.see(model, cost)
        self.spending.book(promised if cost is None else cost, model)
        self.spending.changed()

    def release(self, job_id: str) -> None:
        """Take back the promise to a job that was not accepted, or failed and is billed nothing."""
        if self.holds(job_id):
            self.spending.remove(job_id)
            self.spending.changed()
