"""The service's books: one row per request in the log, one per charge in the ledger."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Collection
from datetime import UTC, datetime
from heapq import heappop, heappush
from typing import Any, NamedTuple

from aimlvideo.sandbox.prices import CREDITS_PER_USD


class LogRow(NamedTuple):
    """One request, as `/v2/logs` lists it. `created` is seconds since 1970."""

    created: float
    inference_id: str
    client_request_id: str | None
    model: str
    succeeded: bool
    usd: float
    key: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the row as the service shows it."""
        return {
            "created": iso(self.created),
            "status": "succeeded" if self.succeeded else "failed",
            "origin": "api",
            "model": self.model,
            "cost": _amount(self.usd),
            "tokens": {"input": 0, "output": 0, "total": 0},
            "request_id": f"req-{self.inference_id[:21]}",
            "inference_id": self.inference_id,
            "client_request_id": self.client_request_id,
        }


class Logbook:
    """The rows of `/v2/logs`; each appears some time after its request has ended."""

    def __init__(self) -> None:
        self._rows: list[LogRow] = []
        self._unwritten: list[tuple[float, LogRow]] = []

    def write(self, row: LogRow, visible_at: float) -> None:
        """Write a row that can be read from a moment (seconds since 1970) on."""
        heappush(self._unwritten, (visible_at, row))

    def read(
        self, start: float, end: float, now: float, *, models: Collection[str] = (), statuses: Collection[str] = ()
    ) -> list[LogRow]:
        """Return the rows created from `start` up to `end`, oldest first."""
        while self._unwritten and self._unwritten[0][0] <= now:
            # By the moment of the request, not of the writing: that is how the service sorts its log, and pages shift
            # under whoever reads it.
            insort(self._rows, heappop(self._unwritten)[1])
        window = self._rows[bisect_left(self._rows, (start,)) : bisect_left(self._rows, (end,))]
        if not models and not statuses:
            return window
        return [row for row in window if _is_among(row, models, statuses)]


def _is_among(row: LogRow, models: Collection[str], statuses: Collection[str]) -> bool:
    status = "succeeded" if row.succeeded else "failed"
    return (not models or row.model in models) and (not statuses or status in statuses)


class Charge(NamedTuple):
    """One line of the ledger. `created` is seconds since 1970; the amount is positive whichever way it went."""

    created: float
    kind: str
    usd: float
    model: str
    reference_id: str

    def as_json(self) -> dict[str, Any]:
        """Return the line as the service shows it."""
        return {
            "created_at": iso(self.created),
            "direction": "CHARGE" if self.kind == "MODEL_USAGE" else "TOPUP",
            "type": self.kind,
            "amount": _amount(self.usd),
            "model": self.model,
            "reference_id": self.reference_id,
        }


class Ledger:
    """Every charge, oldest first, and what they add up to."""

    def __init__(self) -> None:
        self.charges: list[Charge] = []
        self.spent = 0.0
        self.spent_by_key: defaultdict[str, float] = defaultdict(float)

    def charge(self, created: float, usd: float, model: str, inference_id: str, key: str) -> None:
        """Charge a generation."""
        self.spent += usd
        self.spent_by_key[key] += usd
        self.charges.append(Charge(created, "MODEL_USAGE", usd, model, inference_id))


def _amount(usd: float) -> dict[str, Any]:
    return {"usd": usd, "credits": round(usd * CREDITS_PER_USD)}


def iso(moment: float) -> str:
    """Return seconds since 1970 as ISO 8601 in UTC, with milliseconds."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
