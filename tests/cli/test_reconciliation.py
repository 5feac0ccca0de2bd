"""What a run really cost is read to its end: every page of the ledger and of the log, and no page too many."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest

from aimlvideo.cli.reconciliation import MOST_EMPTY_PAGES, _as_json, _ledger_since
from aimlvideo.core.money.account import Charge
from aimlvideo.core.money.reconcile import Reconciliation
from aimlvideo.core.services import service_of
from aimlvideo.errors import Unclear
from tests.cases import for_each
from tests.fakes import FakeClient, FakeService, answer

SERVICE = service_of("aimlapi")
PAGE = 100


class Account(FakeService):
    """Has a ledger of `charges`, newest first: the number 0 was charged last, each one a second before the next."""

    charges = 0
    pages = 0

    async def send(self, request: Any) -> Any:
        """Answer a question about the account."""
        if request.path != "/v2/billing/transactions":
            return await super().send(request)
        self.pages += 1
        first = int(dict(request.query).get("cursor", 0))
        rows = [
            {"created_at": moment(1e6 - number), "type": "MODEL_USAGE", "amount": -0.5, "reference_id": f"g{number}"}
            for number in range(first, min(first + PAGE, self.charges))
        ]
        following = first + PAGE
        return answer(200, {"data": rows, "next_cursor": str(following) if following < self.charges else None})


def moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


@for_each(
    ("charges", "since", "found", "pages"),
    [(250, 0.0, 250, 3), (100, 0.0, 100, 1), (0, 0.0, 0, 1), (1000, 1e6 - 149, 150, 2), (1000, 1e6 - 99, 100, 2)],
)
async def test_the_ledger_is_read_page_by_page_as_far_back_as_is_asked(
    charges: int, since: float, found: int, pages: int
) -> None:
    service = Account()
    service.charges = charges
    async with FakeClient(service) as client:
        rows = await _ledger_since(client, SERVICE.ledgers[0], since)
    assert [row.reference_id for row in rows] == [f"g{number}" for number in range(found)]
    assert service.pages == pages


@for_each(("charges", "pages"), [(3, 2), (0, MOST_EMPTY_PAGES)])
async def test_a_ledger_that_never_ends_is_said_and_no_charge_counts_twice(charges: int, pages: int) -> None:
    class Endless(Account):
        async def send(self, request: Any) -> Any:
            if request.path != "/v2/billing/transactions":
                return await super().send(request)
            assert self.pages < 200, "it is read for ever"
            first_page = await super().send(replace(request, query=()))
            return answer(200, {**json.loads(first_page.body), "next_cursor": f"fresh-{self.pages}"})

    service = Endless()
    service.charges = charges
    async with FakeClient(service) as client:
        with pytest.raises(Unclear, match=r"under another cursor|after 100 empty ones"):
            await _ledger_since(client, SERVICE.ledgers[0], 0.0)
    assert service.pages == pages


def test_a_generation_of_others_that_was_paid_out_of_two_packs_is_one() -> None:
    charges = [Charge("theirs", 0.0, "MODEL_USAGE", 1.0, units) for units in (1.5, 2.0)]
    shown = _as_json(Reconciliation((), (), tuple(charges)))
    assert shown["elsewhere"] == {"generations": 1, "usd": 0.0, "units": 3.5}


@for_each("odd", [None, "", "yesterday", {}])
async def test_a_charge_without_a_readable_date_neither_ends_the_reading_nor_is_left_out(odd: Any) -> None:
    class Undated(Account):
        async def send(self, request: Any) -> Any:
            page = await super().send(request)
            body = page.json()
            for row in body.get("data", []) if request.path == "/v2/billing/transactions" else []:
                if row["reference_id"] in ("g0", "g99"):
                    row["created_at"] = odd
            return answer(200, body)

    service = Undated()
    service.charges = 150
    async with FakeClient(service) as client:
        rows = await _ledger_since(client, SERVICE.ledgers[0], 1.0)
    assert [row.reference_id for row in rows] == [f"g{number}" for number in range(150)]


@for_each("count", [0, 99, 100, 250])
async def test_the_log_is_read_to_its_last_page(count: int) -> None:
    service = FakeService(seconds=0)
    async with FakeClient(service) as client:
        for number in range(count):
            service.accepted[f"g{number}"] = 0.0
            service.note(f"g{number}", f"r{number}")
        await anyio.sleep(1)
        reading = await client.read_log()
    assert reading.complete
    assert [row.generation_id for row in reversed(reading.rows)] == [f"g{number}" for number in range(count)]
