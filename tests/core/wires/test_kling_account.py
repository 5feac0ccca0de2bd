"""What Kling itself tells about an account: its two ledgers."""

from __future__ import annotations

from typing import Any

import pytest

from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress, Record
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.money.account import Charge
from aimlvideo.core.money.reconcile import reconcile
from aimlvideo.core.services import service_of
from aimlvideo.errors import GenerationFailed, Refused, Unclear
from tests.cases import for_each
from tests.core.wires.answers import answer

UNITS, BALANCE = service_of("kling-official").ledgers
ROW = {"task_id": "930831534075682845", "deduction_time": "1779549455861", "deduction_amount": 2.4}
MOMENT = 1779549455.861


def page(*rows: Any, **more: Any) -> Any:
    data = {"result": {"detail": list(rows), "count": len(rows)}, "next_cursor": "c-2", "has_more": True} | more
    return answer({"code": 0, "message": "SUCCEED", "request_id": "r", "data": data})


def test_a_ledger_is_asked_for_what_was_charged_between_two_moments_and_then_by_its_cursor() -> None:
    first = UNITS.request(None, 1e9, 2e9)
    assert (first.method, first.path) == ("POST", "/account/billing/package")
    assert first.body == {
        "start_time": 10**12,
        "end_time": 2 * 10**12,
        "limit": 500,
        "filters": [{"key": "product_type", "values": ["video"]}],
    }
    assert (BALANCE.request("c-2", 1e9, 2e9).body or {})["cursor"] == "c-2"
    assert BALANCE.request("c-2", 1e9, 2e9).path == "/account/billing/balance"


def test_what_was_taken_of_a_pack_is_units_and_of_the_balance_dollars_where_it_is_in_dollars() -> None:
    assert UNITS.read(page(ROW)) == ([Charge("930831534075682845", 0.0, "MODEL_USAGE", MOMENT, 2.4)], "c-2")
    dollars, yuan = {**ROW, "currency": "USD"}, {**ROW, "currency": "CNY"}
    charges, _ = BALANCE.read(page(dollars, yuan, None))
    assert [charge.usd for charge in charges] == [2.4, None]
    assert UNITS.read(page({**ROW, "deduction_amount": "much"}))[0][0].usd is None


def test_what_comes_back_is_no_second_charge() -> None:
    (back,), _ = UNITS.read(page({**ROW, "deduction_amount": -2.4}))
    assert (back.kind, back.units) == ("REFUND", -2.4)
    (paid,), _ = UNITS.read(page(ROW))
    name = str(ROW["task_id"])
    record = Record(VideoJob("m", id="a"), Progress(Stage.FAILED, generation_id=name, error=GenerationFailed("x")))
    told = reconcile([record], [paid, back])
    assert (told.total_units, told.findings) == (0.0, ())


@for_each(
    ("more", "cursor"), [({"has_more": False}, None), ({"next_cursor": "", "has_more": False}, None), ({}, "c-2")]
)
def test_the_last_page_is_known_by_what_it_says(more: dict[str, Any], cursor: str | None) -> None:
    assert UNITS.read(page(ROW, **more))[1] == cursor


@for_each(
    ("odd", "error"),
    [
        (answer({"code": 1002, "message": "no"}, 401), Refused),
        (answer({"code": 0, "data": {"result": {"detail": []}}}, 500), Unclear),
        (answer({"code": 0, "data": {}}), Unclear),
        (answer({"code": 0, "data": {"result": {"detail": None}}}), Unclear),
        (page(ROW, next_cursor=""), Unclear),
    ],
)
def test_an_answer_that_is_no_ledger_is_an_error(odd: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        UNITS.read(odd)
