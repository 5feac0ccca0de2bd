"""What Kling itself tells about an account: its packs of units, and what was taken of them and of the balance.

Source: the Kling API reference, September 2026 (Account Usage, Unit and Balance Deduction Detail).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from aimlvideo.core.money.account import Charge, ResourcePack
from aimlvideo.core.money.reconcile import GIVEN_BACK, USAGE
from aimlvideo.core.wires.base import Ledger, Query
from aimlvideo.core.wires.http import Answer, Request
from aimlvideo.core.wires.json_fields import as_cost, as_id, as_number, as_text, as_timestamp
from aimlvideo.core.wires.kling_answers import read_data
from aimlvideo.errors import Unclear

LEDGER_ROWS = 500
"""Rows on a page of a ledger: the most that it takes."""
COSTS_WINDOW = 400 * 86400.0
"""Seconds back in which a pack was bought that is asked about: one that was bought before is not told, however much is
left of it, and packs are good for as long as a year."""
_PACKS_FIELDS = {
    "data.resource_pack_subscribe_infos": "a list",
    "data.resource_pack_subscribe_infos[].resource_pack_name": "text",
    "data.resource_pack_subscribe_infos[].remaining_quantity": "a number",
}


_LEDGER_FIELDS = {
    "data.result.detail": "a list",
    "data.result.detail[].task_id": "text",
    "data.result.detail[].deduction_amount": "a number",
}


def _packs_request(now: float) -> Request:
    """Return the question about the packs of units that an account has; `now` is in seconds since 1970."""
    span = (("start_time", str(int((now - COSTS_WINDOW) * 1000))), ("end_time", str(int(now * 1000))))
    return Request("GET", "/account/costs", span)


def _read_packs(answer: Answer) -> tuple[ResourcePack, ...]:
    """Read the packs of units that an account has. Raises what an answer amounts to that names none."""
    rows = read_data(answer).get("resource_pack_subscribe_infos")
    if not isinstance(rows, list):
        raise Unclear("the answer lists no resource packs", status=answer.status)
    return tuple(_pack(row) for row in rows if isinstance(row, dict))


def _pack(row: Mapping[str, Any]) -> ResourcePack:
    return ResourcePack(
        name=as_text(row.get("resource_pack_name")) or as_text(row.get("resource_pack_id")) or "unnamed",
        status=as_text(row.get("status")) or "",
        remaining=as_cost(row.get("remaining_quantity")),
        total=as_cost(row.get("total_quantity")),
        expires_at=as_timestamp(row.get("invalid_time")) or None,
    )


def _ledger_request(in_units: bool, cursor: str | None, since: float, until: float) -> Request:
    """Ask for a page of a ledger; a cursor stands for the page, whatever is asked for beside it."""
    asked: dict[str, Any] = {"start_time": int(since * 1000), "end_time": int(until * 1000), "limit": LEDGER_ROWS}
    if in_units:
        asked["filters"] = [{"key": "product_type", "values": ["video"]}]
    path = "package" if in_units else "balance"
    return Request("POST", f"/account/billing/{path}", body={**asked, **({"cursor": cursor} if cursor else {})})


def _read_ledger_page(in_units: bool, answer: Answer) -> tuple[list[Charge], str | None]:
    """Read a page of a ledger, and the cursor of the next one (None: this is the last)."""
    body = answer.json()
    is_good = answer.status < 300 and isinstance(body, dict) and body.get("code") == 0
    # Its rows are called `detail`, as the words of an error are.
    data = body.get("data") if is_good else read_data(answer)
    data = data if isinstance(data, dict) else {}
    result = data.get("result")
    rows = result.get("detail") if isinstance(result, dict) else None
    if not isinstance(rows, list):
        raise Unclear("the answer lists no charges", status=answer.status)
    cursor = as_text(data.get("next_cursor"))
    if data.get("has_more") is True and not cursor:
        raise Unclear("the ledger has more pages and names no cursor for the next one", status=answer.status)
    charges = [_charge(row, in_units=in_units) for row in rows if isinstance(row, dict)]
    return charges, None if data.get("has_more") is False else cursor


def _charge(row: Mapping[str, Any], *, in_units: bool) -> Charge:
    """Return one row; an amount in another currency than USD is one that cannot be read. What comes back is below 0."""
    amount = as_number(row.get("deduction_amount"))
    is_dollars = not in_units and row.get("currency") == "USD"
    usd = amount if is_dollars else 0.0 if in_units and amount is not None else None
    made, kind = as_timestamp(row.get("deduction_time")), USAGE if (amount or 0.0) >= 0 else GIVEN_BACK[0]
    return Charge(as_id(row.get("task_id")), usd, kind, made, (amount or 0.0) if in_units else 0.0)


PACKS = Query(_packs_request, _read_packs, _PACKS_FIELDS)
LEDGERS = (
    Ledger(partial(_ledger_request, True), partial(_read_ledger_page, True), _LEDGER_FIELDS),
    Ledger(partial(_ledger_request, False), partial(_read_ledger_page, False), _LEDGER_FIELDS),
)
