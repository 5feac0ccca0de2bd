"""The account's pages: what is left, what was asked, what was charged."""

from __future__ import annotations

import re
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from aiohttp import web

from aimlvideo.sandbox.ledger import Charge, LogRow, iso
from aimlvideo.sandbox.middleware import WORLD, key_of, only, wrong
from aimlvideo.sandbox.responses import Refusal, as_json
from aimlvideo.sandbox.state import World

READS_PER_WINDOW = 200
WINDOW = 60.0
"""`/v2/logs` may be read so many times in so many seconds."""
LONGEST = 92 * 86_400.0
"""Seconds that one reading of `/v2/logs` may span."""

_UNITS = {"m": 60, "h": 3600, "d": 86_400}
_PAGE = 50
_CHOICES = {
    "direction": ("TOPUP", "CHARGE"),
    "type": ("PAYMENT", "BONUS", "REFUND", "ADJUSTMENT", "MODEL_USAGE", "CREDITS_EXPIRED", "INIT"),
}


def account_routes() -> list[web.RouteDef]:
    """Return the handlers of the account's pages."""
    return [
        web.get("/v2/billing", show_balance),
        web.get("/v2/billing/detail", show_billing),
        web.get("/v1/key", show_key),
        web.get("/v2/usage", show_usage),
        web.get("/v2/usage/detail", show_usage),
        web.get("/v2/billing/transactions", list_transactions),
        web.get("/v2/logs", list_requests),
    ]


async def show_balance(request: web.Request) -> web.Response:
    """Answer what is left."""
    only(request)
    return as_json({"current_balance": _balance(request.app[WORLD]), "currency": "USD"})


async def show_billing(request: web.Request) -> web.Response:
    """Answer what is left, and that it is not topped up by itself."""
    only(request)
    top_up = {"is_enabled": False, "threshold": 50, "amount": 100, "currency": "USD"}
    account = {"user_id": 111, "email": "user@example.com", "current_balance": _balance(request.app[WORLD])}
    return as_json({**account, "currency": "USD", "autotopup_settings": top_up})


async def show_key(request: web.Request) -> web.Response:
    """Answer what the key may do and spend."""
    only(request)
    world, key = request.app[WORLD], key_of(request)
    limit, scopes = world.behaviour.key_limit, world.behaviour.key_scopes
    data = {
        "name": None,
        "disabled": False,
        "prefix": key[:8],
        "scopes": None if scopes is None else list(scopes),
        "limit": None if limit is None else {"retention": "month", "threshold": limit},
        "created_at": iso(world.started),
        "updated_at": iso(world.started),
        "monthly_usage": round(world.ledger.spent_by_key[key], 6),
    }
    return as_json({"data": data})


async def show_usage(request: web.Request) -> web.Response:
    """Answer what the key spent in a window, in all or by model and day."""
    detailed = request.path.endswith("/detail")
    only(request, "period", "start", "end", "key_prefix", *(("group_by", "tz") if detailed else ()))
    world, key, now = request.app[WORLD], key_of(request), time.time()
    start, end = _window(request, now)
    rows = [row for row in world.logbook.read(start, end, now) if row.key == key]
    usage: dict[str, Any] = {"api_key_prefix": key[:8] or None, "start": iso(start), "end": iso(end)}
    usage |= {"spend": _spent(rows), "currency": "USD", "requests": len(rows)}
    if detailed:
        usage["models"] = [
            {"model": model, "spend": _spent(group), "requests": len(group)}
            for model in sorted({row.model for row in rows})
            for group in [[row for row in rows if row.model == model]]
        ]
    return as_json(usage)


def _spent(rows: Iterable[LogRow]) -> float:
    return round(sum(row.usd for row in rows), 6)


def _balance(world: World) -> float:
    return round(world.behaviour.balance - world.ledger.spent, 6)


async def list_requests(request: web.Request) -> web.Response:
    """Answer a page of the log, newest first."""
    world = request.app[WORLD]
    only(request, "period", "start", "end", "key_prefix", "model", "status", "limit", "offset")
    _once_more(world.log_reads, monotonic())
    now = time.time()
    start, end = _window(request, now)
    limit, offset = _whole(request, "limit", _PAGE, 1, 100), _whole(request, "offset", 0, 0, 10**9)
    statuses = request.query.getall("status", [])
    if not set(statuses) <= {"succeeded", "failed"}:
        raise wrong("status", "succeeded or failed; repeat the parameter for both", ",".join(statuses))
    rows = world.logbook.read(start, end, now, models=request.query.getall("model", []), statuses=statuses)
    # A request is listed only to the key that sent it: a client that looks with another key must not take that for
    # "never accepted".
    rows = [row for row in rows if row.key == key_of(request)]
    total = len(rows)
    # Counted from the newest: between two pages a row may be written, and the pages shift, as they do at the service.
    page = rows[max(total - offset - limit, 0) : max(total - offset, 0)]
    pagination = {"limit": limit, "offset": offset, "total": total, "has_more": offset + limit < total}
    return as_json({"data": [row.as_json() for row in reversed(page)], "pagination": pagination})


async def list_transactions(request: web.Request) -> web.Response:
    """Answer a page of the ledger, newest first; the cursor of the next page is opaque."""
    only(request, "from", "to", "direction", "type", "limit", "cursor")
    for name, choices in _CHOICES.items():
        if request.query.get(name, choices[0]) not in choices:
            raise wrong(name, f"one of {', '.join(choices)}", request.query[name])
    charges = [charge for charge in request.app[WORLD].ledger.charges if _is_listed(request, charge)]
    limit = _whole(request, "limit", _PAGE, 1, 100)
    stop = min(_read_cursor(request.query["cursor"]), len(charges)) if "cursor" in request.query else len(charges)
    start = max(stop - limit, 0)
    page = [charges[number].as_json() for number in range(stop - 1, start - 1, -1)]
    pagination = {"next_cursor": _cursor(start) if start else None, "has_more": start > 0}
    return as_json({"data": page, "pagination": pagination})


def _is_listed(request: web.Request, charge: Charge) -> bool:
    query, row = request.query, charge.as_json()
    if not query.keys() & {"from", "to", "direction", "type"}:
        return True
    since = _moment(request, "from") if "from" in query else 0.0
    until = _moment(request, "to") if "to" in query else float("inf")
    chosen = all(query.get(name, row[name]) == row[name] for name in _CHOICES)
    return chosen and since <= charge.created <= until


def _once_more(reads: deque[float], now: float) -> None:
    while reads and reads[0] <= now - WINDOW:
        reads.popleft()
    if len(reads) >= READS_PER_WINDOW:
        raise Refusal("log read too often", retry_after=int(reads[0] + WINDOW - now) + 1)
    reads.append(now)


def _window(request: web.Request, now: float) -> tuple[float, float]:
    """Return the span that is asked for, by `period` or by `start` and `end`."""
    query = request.query
    if "period" in query:
        match = re.fullmatch(r"(\d+)([mhd])", query["period"])
        if match is None:
            raise wrong("period", "a span such as 24h or 7d", query["period"])
        start, end = now - int(match[1]) * _UNITS[match[2]], now + 1
    elif "start" in query and "end" in query:
        start, end = _moment(request, "start"), _moment(request, "end")
    else:
        raise wrong("period", "period, or start and end", "none")
    if not 0 < end - start <= LONGEST + 1:
        raise wrong("period", "a span of 92 days at most, its end after its start", f"{end - start:.0f} s")
    return start, end


def _moment(request: web.Request, name: str) -> float:
    text = request.query[name]
    try:
        # A `+` in a query that was not encoded arrives as a blank.
        moment = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        raise wrong(name, "a moment in ISO 8601", text) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _whole(request: web.Request, name: str, default: int, low: int, high: int) -> int:
    text = request.query.get(name, str(default))
    if not text.isdecimal() or not low <= int(text) <= high:
        raise wrong(name, f"a whole number from {low} to {high}", text)
    return int(text)


def _cursor(position: int) -> str:
    # Opaque on purpose: a client that computes cursors itself fails here.
    return urlsafe_b64encode(f"before:{position}".encode()).decode()


def _read_cursor(text: str) -> int:
    try:
        word, _, position = urlsafe_b64decode(text).decode().partition(":")
        if word == "before":
            return int(position)
    except ValueError:
        pass
    raise wrong("cursor", "a cursor from the page before", text)
