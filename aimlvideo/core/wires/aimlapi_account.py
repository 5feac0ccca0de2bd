"""What AI/ML API tells about an account: its log, its ledger, its balance. Source: docs.aimlapi.com, August 2026."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from aimlvideo.core.money.account import Charge, KeyLimits, LogRow
from aimlvideo.core.wires.aimlapi import CREDITS_PER_USD, raise_for_error
from aimlvideo.core.wires.base import Ledger, Question, RequestLog
from aimlvideo.core.wires.http import Answer, Request
from aimlvideo.core.wires.json_fields import as_cost, as_id, as_number, as_text, as_timestamp
from aimlvideo.errors import Unclear

LOG_PAGE_ROWS = 100
"""Rows on a page of the log at most."""
LEDGER_PAGE_ROWS = 100
"""Rows on a page of the ledger at most."""
LOG_RATE = 200 / 60
"""Requests a second that the log takes."""
LONGEST_WINDOW = 92 * 86400 - 600.0
"""Seconds that one question to the log may span, less a little for clocks that differ."""
_BALANCE_FIELDS = {"current_balance": "a number", "currency": "text"}
_KEY_FIELDS = {"data": "an object", "data.disabled": "true or false", "data.monthly_usage": "a number"}
_LOG_FIELDS = {
    "data": "a list",
    "data[].created": "a moment",
    "data[].status": "text",
    "data[].cost.usd": "a number",
    "data[].inference_id": "text",
    "data[].client_request_id": "text or null",
    "pagination.has_more": "true or false",
}
_LEDGER_FIELDS = {
    "data": "a list",
    "data[].created_at": "a moment",
    "data[].direction": "text",
    "data[].type": "text",
    "data[].amount.usd": "a number",
    "data[].reference_id": "text or null",
    "pagination.next_cursor": "text or null",
    "pagination.has_more": "true or false",
}


def _log_request(since: float, until: float, offset: int = 0) -> Request:
    """Ask for a page of the log, newest first. Moments are seconds since 1970; at most 92 days lie between them."""
    query = (("start", _iso(since)), ("end", _iso(until)), ("limit", str(LOG_PAGE_ROWS)), ("offset", str(offset)))
    return Request("GET", "/v2/logs", query)


def _read_log_page(answer: Answer) -> list[LogRow]:
    """Read a page of the log."""
    return [_log_row(row) for row in _rows(answer)]


def _log_has_more(answer: Answer) -> bool | None:
    """Tell whether more pages follow, whatever the length of this one; None where the page does not say."""
    body = answer.json()
    pagination = body.get("pagination") if isinstance(body, dict) else None
    has_more = pagination.get("has_more") if isinstance(pagination, dict) else None
    return has_more if isinstance(has_more, bool) else None


def _ledger_request(cursor: str | None, since: float, until: float) -> Request:
    """Ask for a page of the whole ledger, newest first; `cursor` is as the page before named it."""
    query = (("limit", str(LEDGER_PAGE_ROWS)), *((("cursor", cursor),) if cursor else ()))
    return Request("GET", "/v2/billing/transactions", query)


def _read_ledger_page(answer: Answer) -> tuple[list[Charge], str | None]:
    """Read a page of the ledger, and the cursor of the next one (None: this is the last)."""
    rows, pagination = [_charge(row) for row in _rows(answer)], _pagination(answer)
    cursor = as_text(pagination.get("next_cursor"))
    if pagination.get("has_more") is False:
        return rows, None
    if cursor is None and pagination.get("has_more") is True:
        raise Unclear("the ledger has more pages and names no cursor for the next one", status=answer.status)
    return rows, cursor


def _read_key(answer: Answer) -> KeyLimits:
    """Return what the key itself may do and spend."""
    raise_for_error(answer)
    body = answer.json()
    data = body.get("data") if isinstance(body, dict) else None
    if not isinstance(data, dict):
        raise Unclear("expected an object named 'data' in the answer about the key", status=answer.status)
    limit, scopes = data.get("limit"), data.get("scopes")
    limit = limit if isinstance(limit, dict) else {}
    return KeyLimits(
        # Only a plain "true" stops a run: of any other value nothing is known.
        disabled=data.get("disabled") is True,
        scopes=tuple(map(str, scopes)) if isinstance(scopes, list) else None,
        limit=as_cost(limit.get("threshold")),
        period=as_text(limit.get("retention")) or "",
        used_this_month=as_cost(data.get("monthly_usage")),
    )


def _read_balance(answer: Answer) -> float:
    """Return what the account has left, in USD."""
    raise_for_error(answer)
    body = answer.json()
    balance = as_number(body.get("current_balance")) if isinstance(body, dict) else None
    if balance is None:
        raise Unclear("the answer names no balance", status=answer.status)
    currency = as_text(body.get("currency")) or "USD"
    if currency.strip().upper() != "USD":
        text = f"the balance is {balance:.12g} in {currency[:20]!r}, expected USD: it cannot be compared with prices"
        raise Unclear(text, status=answer.status)
    return balance


def _rows(answer: Answer) -> list[dict[str, Any]]:
    """Return the rows of a page, as many as it has: one that cannot be read is an empty one."""
    raise_for_error(answer)
    body = answer.json()
    if isinstance(body, dict):
        body = body.get("data")
    if not isinstance(body, list):
        raise Unclear("expected a list named 'data' in the answer", status=answer.status)
    return [row if isinstance(row, dict) else {} for row in body]


def _pagination(answer: Answer) -> dict[str, Any]:
    body = answer.json()
    if not isinstance(body, dict):
        return {}
    pagination = body.get("pagination")
    return pagination if isinstance(pagination, dict) else body


def _log_row(row: dict[str, Any]) -> LogRow:
    status = (as_text(row.get("status")) or "").lower()
    request_id, generation_id = as_id(row.get("client_request_id")), as_id(row.get("inference_id"))
    has_own_id = row.get("client_request_id") not in (None, "")  # requests of other programs may have none
    return LogRow(
        request_id=request_id,
        generation_id=generation_id,
        is_readable=request_id is not None or (generation_id is not None and not has_own_id),
        succeeded=status == "succeeded",
        created_at=as_timestamp(row.get("created")),
        model=as_text(row.get("model")) or "",
        cost_usd=_usd(row.get("cost")),
        failed=status == "failed",
    )


def _charge(row: dict[str, Any]) -> Charge:
    usd = _usd(row.get("amount"))
    credited = (as_text(row.get("direction")) or "").upper() == "TOPUP"
    return Charge(
        reference_id=as_text(row.get("reference_id")),
        usd=-usd if usd is not None and credited else usd,
        kind=as_text(row.get("type")) or "",
        created_at=as_timestamp(row.get("created_at")),
    )


def _usd(amount: Any) -> float | None:
    """Return an amount in USD, from its credits where it names no USD; None where it cannot be read."""
    if not isinstance(amount, dict):
        return None
    if (usd := as_cost(amount.get("usd"))) is not None:
        return usd
    paid_credits = as_cost(amount.get("credits"))
    return None if paid_credits is None else paid_credits / CREDITS_PER_USD


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


LOG = RequestLog(_log_request, _read_log_page, _log_has_more, LOG_RATE, LONGEST_WINDOW, _LOG_FIELDS)
LEDGER = Ledger(_ledger_request, _read_ledger_page, _LEDGER_FIELDS)
BALANCE = Question(Request("GET", "/v2/billing"), _read_balance, _BALANCE_FIELDS)
KEY = Question(Request("GET", "/v1/key"), _read_key, _KEY_FIELDS)
