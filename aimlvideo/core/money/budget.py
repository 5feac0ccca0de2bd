"""The spending of one run against its limit. Money is in US dollars."""

from __future__ import annotations

from dataclasses import dataclass

ROUNDING = 1e-9  # dollars: ten jobs of 0.1 fit a limit of 1.0


@dataclass(frozen=True, slots=True)
class _Commitment:
    model: str
    dollars: float | None


class Budget:
    """What is spent, and what is promised to jobs that are under way.

    A job whose price is unknown counts as the highest price seen for its model so far, quoted or charged. While none
    was seen, a limit refuses it: nobody could say whether it keeps within. Without a limit it passes.
    """

    def __init__(self, limit: float | None = None) -> None:
        self.limit = limit
        self.spent = 0.0
        self.unknown = 0  # jobs that ended, and nobody said what they cost
        self.committed = 0.0  # what the jobs under way will cost, as far as that is known
        self._jobs: dict[str, _Commitment] = {}
        self._highest: dict[str, float] = {}

    @property
    def left(self) -> float | None:
        """What may still be promised; None without a limit."""
        return None if self.limit is None else max(0.0, self.limit - self.spent - self.committed)

    def commit(self, job_id: str, price: float | None, *, model: str = "") -> bool:
        """Promise this job its price; False when that would pass the limit, and then nothing is promised."""
        self._see(model, price)
        dollars = self._highest.get(model) if price is None else price
        self.release(job_id)
        if self.limit is not None and (
            dollars is None or self.spent + self.committed + dollars > self.limit + ROUNDING
        ):
            return False
        self._jobs[job_id] = _Commitment(model, dollars)
        self.committed += dollars or 0.0
        return True

    def settle(self, job_id: str, cost: float | None) -> None:
        """Book what an ended job was charged; where nobody said, what was promised to it."""
        commitment = self._jobs.get(job_id)
        self.release(job_id)
        self._see(commitment.model if commitment else "", cost)
        booked = commitment.dollars if cost is None and commitment else cost
        self.unknown += booked is None
        self.spent += booked or 0.0

    def release(self, job_id: str) -> None:
        """Take back the promise to a job that was not accepted, or failed and is billed nothing."""
        if commitment := self._jobs.pop(job_id, None):
            self.committed = self.committed - (commitment.dollars or 0.0) if self._jobs else 0.0

    def _see(self, model: str, dollars: float | None) -> None:
        if dollars is not None:
            self._highest[model] = max(dollars, self._highest.get(model, 0.0))
