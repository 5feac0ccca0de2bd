"""What a run's jobs cost: promised before each is bought, and settled at its end."""

from __future__ import annotations

from collections.abc import Set

from aimlvideo.core.jobs.progress import Record
from aimlvideo.core.jobs.stages import ENDED, OUTSTANDING, Stage
from aimlvideo.core.money.budget import Budget, Counts, Standing, Verdict
from aimlvideo.errors import OverBudget
from aimlvideo.pipeline.entry import Entry
from aimlvideo.pipeline.run_spec import RunSpec


class BudgetGate:
    """Lets the jobs of one run pass while its budget has room for what they cost."""

    def __init__(self, spec: RunSpec, budget: Budget, entries: Set[Entry]) -> None:
        self._spec, self._budget, self._entries = spec, budget, entries
        self.is_waiting = False
        """Whether the next job waits for outstanding ones to settle below their price."""

    async def afford(self, entry: Entry) -> bool:
        """Promise a job what it costs; False, and no job is submitted any more, where that would pass the limit.

        What is outstanding is promised its price whatever the limit. While that may still settle below its price, so
        that the job fits after all, this waits.
        """
        entry.is_asked_about = False
        if self._is_paid_for(entry):
            # It was promised its price while its failed generation was asked about, which was charged then.
            if entry.holds_promise:
                self._budget.release(entry.job.id)
            return True
        if not (self._budget.is_kept or self._spec.folder):
            return True
        if entry.progress.stage is Stage.PLANNED:
            return await self._afford_purchase(entry)
        if not entry.ended:
            self.promise(entry)
        return not entry.ended

    async def _afford_purchase(self, entry: Entry) -> bool:
        job, run, budget = entry.job, entry.run, self._budget
        if budget.limit is not None:
            await self._spec.refresh_prices()
        # Its run was left while it waited, here or below: nobody would take back what is promised to it.
        if entry.ended:
            return False
        price = self._spec.price(job)
        # A loop, as others that waited for the same room may have taken it by the time that this one wakes.
        while not budget.commit(job.id, price, model=job.model):
            under_way = self._under_way(job.id)
            verdict = budget.verdict(price, under_way, model=job.model)
            if run.halted is None and verdict is not Verdict.WAIT:
                expected = budget.spending.expected(job.model, price)
                so_far = Standing(budget.spent, self.committed)
                entry.stop_run(OverBudget(verdict.refusal(budget.limit or 0.0, expected, so_far)))
                return False
            if run.halted is not None:
                entry.end(run.halted)
                return False
            self.is_waiting = True
            await run.room_changed()
            self.is_waiting = False
            if entry.ended:
                return False
        entry.holds_promise = True
        return True

    def _is_paid_for(self, entry: Entry) -> bool:
        """Tell whether what a job costs is in the sum of what was spent already."""
        stage = entry.progress.stage
        return stage in ENDED or (stage is not Stage.PLANNED and Counts.of(entry.progress) is Counts.SPENT)

    def promise(self, entry: Entry) -> None:
        """Promise a job its price whatever the limit: it is outstanding, or the service may say that it is paid."""
        job = entry.job
        if not self._budget.holds(job.id):
            self._budget.spending.add(job.id, job.model, self._spec.price(job))
        entry.holds_promise = True

    @property
    def committed(self) -> float:
        """What the jobs under way will cost; not those of which it is only asked whether they are to be bought."""
        spending = self._budget.spending
        asked = {entry.job.id for entry in self._entries if entry.is_asked_about}
        return spending.committed_beyond(asked) if asked else spending.committed

    def take_back_charge(self, record: Record) -> None:
        """Count the charge of a job that has ended no more: it is another one's. Its own may still be outstanding."""
        job, progress = record
        # Where others share the journal, the database counts.
        if self._spec.ids_under_way is None:
            return
        spending, cost = self._budget.spending, progress.cost_usd
        if cost is None and Counts.of(progress) is Counts.SPENT:
            cost = self._spec.price(job)  # at which it counts
        spending.spent -= cost or 0.0
        if progress.request_id is not None:
            spending.add(job.id, job.model, self._spec.price(job))
        spending.changed()

    def _under_way(self, job_id: str) -> set[str]:
        ids = self._spec.ids_under_way
        return ({entry.job.id for entry in self._entries} if ids is None else ids) - {job_id}

    def settle(self, entry: Entry) -> None:
        """Book what a job was charged, or release what was not sent or billed; what is outstanding stays committed."""
        progress, job_id = entry.progress, entry.job.id
        if not entry.holds_promise or not self._budget.holds(job_id):
            return
        if progress.stage in OUTSTANDING:
            # Nobody follows it any more: whoever waits for it to settle below its price would wait for ever.
            self._budget.spending.changed()
        elif Counts.of(progress) is Counts.SPENT:
            self._budget.settle(job_id, progress.cost_usd)
        else:
            self._budget.release(job_id)
