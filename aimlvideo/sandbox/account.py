"""The account's pages: what is left, what was asked, what was charged."""

from __future__ import annotations

import re
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import deque
from datetime import UTC, datetime
from time import monotonic

from aiohttp import web

from aimlvideo.sandbox.middleware import WORLD
from aimlvideo.sandbox.refusals import Refusal
from aimlvideo.sandbox.responses import as_json

READS_PER_WINDOW = 200
WINDOW = 60.0
"""`/v2/logs` may be read so many times in so many seconds."""
LONGEST = 92 * 86_400.0
"""Seconds that one reading of `/v2/logs` may span."""

_UNITS = {"m": 60, "h": 3600, "d": 86_400}
_PAGE = 50


def routes() -> list[web.RouteDef]:
    """Return the handlers of the account's pages."""
    return [
        web.get("/v2/billing", show_balance),
        web.get("/v2/billing/transactions", list_transactions),
        web.get("/v2/logs", list_requests),
    ]


async def show_balance(request: web.Request) -> web.Response:
    """Answer what is left."""
    world = request.app[WORLD]
    return as_json({"current_balance": round(world.behaviour.balance - world.ledger.spent, 6), "currency": "USD"})


async def list_requests(request: web.Request) -> web.Response:
    """Answer a page of the log, newest first."""
    world = request.app[WORLD]
    _once_more(world.log_reads, monotonic())
    now = time.time()
    start, end = _window(request, now)
    limit, offset = _whole(request, "limit", _PAGE, 1, 100), _whole(request, "offset", 0, 0, 10**9)
    statuses = request.query.getall("status", [])
    if not set(statuses) <= {"succeeded", "failed"}:
        raise _wrong("status", "succeeded or failed; repeat the parameter for both", ",".join(statuses))
    rows = world.logbook.read(start, end, now, models=request.query.getall("model", []), statuses=statuses)
    total = len(rows)
    page = rows[max(total - offset - limit, 0) : max(total - offset, 0)]
    pagination = {"limit": limit, "offset": offset, "total": total, "has_more": offset + limit < total}
    return as_json({"data": [row.as_json() for row in reversed(page)], "pagination": pagination})


async def list_transactions(request: web.Request) -> web.Response:
    """Answer a page of the ledger, newest first; the cursor of the next page is opaque."""
    charges = request.app[WORLD].ledger.charges
    limit = _whole(request, "limit", _PAGE, 1, 100)
    stop = min(_read_cursor(request.query["cursor"]), len(charges)) if "cursor" in request.query else len(charges)
    start = max(stop - limit, 0)
    page = [charges[number].as_json(number) for number in range(stop - 1, start - 1, -1)]
    return as_json({"data": page, "next_cursor": _cursor(start) if start else None, "has_more": start > 0})


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
            raise _wrong("period", "a span such as 24h or 7d", query["period"])
        start, end = now - int(match[1]) * _UNITS[match[2]], now + 1
    elif "start" in query and "end" in query:
        start, end = _moment(request, "start"), _moment(request, "end")
    else:
        raise _wrong("period", "period, or start and end", "none")
    if not 0 < end - start <= LONGEST + 1:
        raise _wrong("period", "a span of 92 days at most, its end after its start", f"{end - start:.0f} s")
    return start, end


def _moment(request: web.Request, name: str) -> float:
    text = request.query[name]
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        raise _wrong(name, "a moment in ISO 8601", text) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _whole(request: web.Request, name: str, default: int, low: int, high: int) -> int:
    text = request.query.get(name, str(default))
    if not text.isdecimal() or not low <= int(text) <= high:
        raise _wrong(name, f"a whole number from {low} to {high}", text)
    return int(text)


def _cursor(position: int) -> str:
    return urlsafe_b64encode(f"before:{position}".encode()).decode()


def _read_cursor(text: str) -> int:
    try:
        word, _, position = urlsafe_b64decode(text).decode().partition(":")
        if word == "before":
            return int(position)
    except ValueError:
        pass
    raise _wrong("cursor", "a cursor from the page before", text)


def _wrong(name: str, expected: str, received: str) -> Refusal:
    detail = {"path": [name], "expected": expected, "received": received, "message": f"{name}: expected {expected}"}
    return Refusal("invalid", message="Query validation error", details=[detail])
