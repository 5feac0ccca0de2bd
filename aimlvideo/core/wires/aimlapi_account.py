"""What AI/ML API tells about an account: its log, its ledger, its balance. Source: docs.aimlapi.com, August 2026."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from aimlvideo.core.money.ledger import Charge, LogRow
from aimlvideo.core.wires.aimlapi import raise_for_error
from aimlvideo.core.wires.http import Answer, Request
from aimlvideo.core.wires.json_fields import as_cost, as_number, as_text, as_timestamp
from aimlvideo.errors import Unclear

LOG_PAGE_ROWS = 100
"""Rows on a page of the log at most."""


LOG_RATE = 200 / 60
"""Requests a second that the log takes."""


LONGEST_WINDOW = 92 * 86400 - 600.0
"""Seconds that one question to the log may span, less a little for clocks that differ."""


def log_request(since: float, until: float, offset: int = 0) -> Request:
    """Ask for a page of the log, newest first. Moments are seconds since 1970; at most 92 days lie between them."""
    query = (("start", _iso(since)), ("end", _iso(until)), ("limit", str(LOG_PAGE_ROWS)), ("offset", str(offset)))
    return Request("GET", "/v2/logs", query)


def read_log_page(answer: Answer) -> list[LogRow]:
    """Read a page of the log."""
    return [_log_row(row) for row in _rows(answer)]


def log_has_more(answer: Answer) -> bool | None:
    """Tell whether more pages follow, whatever the length of this one; None where the page does not say."""
    body = answer.json()
    pagination = body.get("pagination") if isinstance(body, dict) else None
    has_more = pagination.get("has_more") if isinstance(pagination, dict) else None
    return has_more if isinstance(has_more, bool) else None


def ledger_request(cursor: str | None = None) -> Request:
    """Ask for a page of the ledger, newest first."""
    return Request("GET", "/v2/billing/transactions", (("cursor", cursor),) if cursor else ())


def read_ledger_page(answer: Answer) -> tuple[list[Charge], str | None]:
    """Read a page of the ledger, and the cursor of the next one (None: this is the last)."""
    rows = [_charge(row) for row in _rows(answer)]
    told = answer.json()
    names = ("next_cursor", "nextCursor", "cursor")
    given = next((told[name] for name in names if name in told), None) if isinstance(told, dict) else None
    return rows, as_text(given)


BALANCE_REQUEST = Request("GET", "/v2/billing")


def read_balance(answer: Answer) -> float:
    """Return what the account has left, in USD."""
    raise_for_error(answer)
    told = answer.json()
    left = as_number(told.get("current_balance")) if isinstance(told, dict) else None
    if left is None:
        raise Unclear("the answer names no balance", status=answer.status)
    return left


def _rows(answer: Answer) -> list[dict[str, Any]]:
    """Return the rows of a page, as many as it has: one that cannot be read is an empty one."""
    raise_for_error(answer)
    told = answer.json()
    if isinstance(told, dict):
        told = next((told[name] for name in ("data", "logs", "items", "transactions") if name in told), None)
    if not isinstance(told, list):
        raise Unclear("the answer lists nothing", status=answer.status)
    return [row if isinstance(row, dict) else {} for row in told]


def _log_row(row: dict[str, Any]) -> LogRow:
    cost, status = row.get("cost"), (as_text(row.get("status")) or "").lower()
    return LogRow(
        request_id=as_text(row.get("client_request_id")),
        generation_id=as_text(row.get("inference_id")),
        succeeded=status == "succeeded",
        created_at=as_timestamp(row.get("created")),
        model=as_text(row.get("model")) or "",
        cost_usd=as_cost(cost.get("usd")) if isinstance(cost, dict) else None,
        failed=status == "failed",
    )


def _charge(row: dict[str, Any]) -> Charge:
    return Charge(
        reference_id=as_text(row.get("reference_id")),
        usd=abs(as_number(row.get("amount_usd", row.get("amount"))) or 0.0),
        kind=as_text(row.get("type") or row.get("kind")) or "",
        created_at=as_timestamp(row.get("created") or row.get("created_at")),
    )


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
