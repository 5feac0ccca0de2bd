"""What AI/ML API tells about an account: its log, its ledger, its balance. Source: docs.aimlapi.com, August 2026."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aimlvideo.core.http import Answer, Request
from aimlvideo.core.wires.aimlapi import raise_for_error
from aimlvideo.errors import Unclear

PAGE = 100
"""Rows on a page of the log at most."""
LOG_RATE = 200 / 60
"""Requests a second that the log takes."""


@dataclass(frozen=True, slots=True)
class LogRow:
    """One request as the service's log lists it, written when the request ended."""

    request_id: str | None
    generation_id: str | None
    succeeded: bool
    created_at: float
    model: str = ""
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Charge:
    """One line of the ledger; `reference_id` is the generation that was charged."""

    reference_id: str | None
    usd: float
    kind: str
    created_at: float


def log_page(since: float, until: float, offset: int = 0) -> Request:
    """Ask for a page of the log, newest first. Moments are seconds since 1970; at most 92 days lie between them."""
    query = (("start", _iso(since)), ("end", _iso(until)), ("limit", str(PAGE)), ("offset", str(offset)))
    return Request("GET", "/v2/logs", query)


def log_rows(answer: Answer) -> list[LogRow]:
    """Read a page of the log."""
    return [_log_row(row) for row in _rows(answer)]


def ledger_page(cursor: str | None = None) -> Request:
    """Ask for a page of the ledger, newest first."""
    return Request("GET", "/v2/billing/transactions", (("cursor", cursor),) if cursor else ())


def ledger_rows(answer: Answer) -> tuple[list[Charge], str | None]:
    """Read a page of the ledger, and the cursor of the next one (None: this is the last)."""
    told = answer.json()
    rows = [_charge(row) for row in _rows(answer)]
    named = [told.get(name) for name in ("next_cursor", "nextCursor", "cursor")] if isinstance(told, dict) else []
    return rows, next((str(cursor) for cursor in named if cursor), None)


BALANCE = Request("GET", "/v2/billing")


def balance_of(answer: Answer) -> float:
    """Return what the account has left, in USD."""
    raise_for_error(answer)
    told = answer.json()
    try:
        return float(told["current_balance"])
    except (KeyError, TypeError, ValueError):
        raise Unclear("the answer names no balance", status=answer.status) from None


def _rows(answer: Answer) -> Iterator[dict[str, Any]]:
    raise_for_error(answer)
    told = answer.json()
    if isinstance(told, dict):
        told = next((told[name] for name in ("data", "logs", "items", "transactions") if name in told), None)
    if not isinstance(told, list):
        raise Unclear("the answer lists nothing", status=answer.status)
    return (row for row in told if isinstance(row, dict))


def _log_row(row: dict[str, Any]) -> LogRow:
    cost = row.get("cost")
    return LogRow(
        request_id=row.get("client_request_id"),
        generation_id=row.get("inference_id"),
        succeeded=row.get("status") == "succeeded",
        created_at=_moment(row.get("created")),
        model=str(row.get("model") or ""),
        cost_usd=cost.get("usd") if isinstance(cost, dict) else None,
    )


def _charge(row: dict[str, Any]) -> Charge:
    amount = row.get("amount_usd", row.get("amount"))
    return Charge(
        reference_id=row.get("reference_id"),
        usd=abs(float(amount if isinstance(amount, int | float | str) else 0)),
        kind=str(row.get("type") or row.get("kind") or ""),
        created_at=_moment(row.get("created") or row.get("created_at")),
    )


def _moment(value: Any) -> float:
    if isinstance(value, int | float):
        return float(value) / (1000 if value > 1e11 else 1)
    try:
        return datetime.fromisoformat(str(value)).timestamp()
    except ValueError:
        return 0.0


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
