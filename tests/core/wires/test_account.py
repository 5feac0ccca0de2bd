"""The account's log, ledger and balance, as they are asked for and read."""

from __future__ import annotations

from typing import Any

import pytest

from aimlvideo.core.money.account import Charge, LogRow
from aimlvideo.core.wires.aimlapi_account import BALANCE, LEDGER, LOG
from aimlvideo.core.wires.json_fields import as_timestamp
from aimlvideo.errors import Refused, ServiceError, Unclear
from tests.cases import for_each
from tests.core.wires.answers import ODD_BODIES, answer

ROW = {
    "created": "2026-08-01T10:00:00.500Z",
    "status": "succeeded",
    "model": "m",
    "cost": {"usd": 0.21, "credits": 420_000},
    "request_id": "r",
    "inference_id": "gen:1/a",
    "client_request_id": "av-1",
}
TEN = 1785578400.5


def test_a_page_of_the_log_is_asked_for_by_its_window() -> None:
    query = dict(LOG.request(TEN, TEN + 60, 200).query)
    assert query == {
        "start": "2026-08-01T10:00:00.500Z",
        "end": "2026-08-01T10:01:00.500Z",
        "limit": "100",
        "offset": "200",
    }


def test_a_balance_in_another_currency_is_not_compared_with_dollars() -> None:
    with pytest.raises(Unclear, match=r"the balance is 30 in 'CNY', expected USD"):
        BALANCE.read(answer({"current_balance": 30, "currency": "CNY"}))


@for_each("currency", [None, "", "usd", " USD "])
def test_a_balance_is_in_dollars_unless_it_says_otherwise(currency: Any) -> None:
    assert BALANCE.read(answer({"current_balance": 30, "currency": currency})) == 30


@pytest.mark.parametrize("wrap", [lambda rows: rows, lambda rows: {"data": rows}])
def test_a_row_of_the_log_says_what_became_of_a_request(wrap: Any) -> None:
    (row,) = LOG.read(answer(wrap([ROW])))
    assert row == LogRow("av-1", "gen:1/a", True, TEN, "m", 0.21, False)


@for_each(
    ("status", "succeeded", "failed"),
    [
        ("succeeded", True, False),
        ("SUCCEEDED", True, False),
        ("failed", False, True),
        ("running", False, False),
        (None, False, False),
        (1, False, False),
    ],
)
def test_a_row_that_says_neither_is_neither(status: Any, succeeded: bool, failed: bool) -> None:
    (row,) = LOG.read(answer([{**ROW, "status": status}]))
    assert (row.succeeded, row.failed) == (succeeded, failed)


def test_a_page_has_as_many_rows_as_the_service_sent_so_that_no_page_after_it_is_missed() -> None:
    odd = {"client_request_id": {"a": 1}, "cost": {"usd": "x"}}
    rows = LOG.read(answer({"data": [ROW, None, "x", {}, odd]}))
    assert len(rows) == 5
    assert [row.request_id for row in rows] == ["av-1", None, None, None, None]
    assert rows[4].cost_usd is None


@for_each(
    ("pagination", "has_more"),
    [({"has_more": True}, True), ({"has_more": False}, False), ({}, None), ({"has_more": "yes"}, None), (None, None)],
)
def test_the_log_says_whether_another_page_follows_whatever_a_page_holds(
    pagination: Any, has_more: bool | None
) -> None:
    for rows in ([ROW], [ROW] * 100, []):
        assert LOG.has_more(answer({"data": rows, "pagination": pagination})) is has_more


@for_each("read", [LOG.read, LEDGER.read, BALANCE.read])
@for_each("body", [body for name, body in ODD_BODIES.items() if name != "a list"], ids=repr)
def test_an_odd_page_is_not_taken_for_an_empty_one(read: Any, body: bytes) -> None:
    with pytest.raises(Unclear):
        read(answer(body))


def test_a_refused_question_is_an_error() -> None:
    for read in (LOG.read, LEDGER.read, BALANCE.read):
        with pytest.raises(Refused):
            read(answer({"message": "Unauthorized"}, 401))  # type: ignore[operator]


CHARGE = {
    "created_at": "2026-08-01T10:00:00.5Z",
    "direction": "CHARGE",
    "type": "MODEL_USAGE",
    "amount": {"usd": 0.21, "credits": 420_000},
    "model": "m",
    "reference_id": "gen-1",
}


@for_each(
    ("changed", "usd"),
    [
        ({}, 0.21),
        ({"direction": "TOPUP"}, -0.21),
        ({"amount": {"usd": "0.5"}}, 0.5),
        ({"amount": {"credits": 1_000_000}}, 0.5),
        ({"amount": {"usd": 0, "credits": 0}}, 0.0),
        ({"amount": {}}, None),
        ({"amount": {"usd": "much"}}, None),
        ({"amount": {"usd": -1}}, None),
        ({"amount": -0.21}, None),
        ({"amount": None}, None),
    ],
    ids=str,
)
def test_an_amount_is_what_was_taken_and_one_that_cannot_be_read_is_unknown(
    changed: dict[str, Any], usd: float | None
) -> None:
    (charge,), _ = LEDGER.read(answer({"data": [{**CHARGE, **changed}]}))
    assert charge == Charge("gen-1", usd, "MODEL_USAGE", TEN)


@for_each(
    ("pagination", "cursor"),
    [
        ({"next_cursor": "a=b&c", "has_more": True}, "a=b&c"),
        ({"next_cursor": "abc"}, "abc"),
        ({"next_cursor": "abc", "has_more": False}, None),
        ({"next_cursor": None, "has_more": False}, None),
        ({"next_cursor": ""}, None),
        ({"next_cursor": {}}, None),
        ({}, None),
    ],
)
def test_the_last_page_has_no_next_one(pagination: dict[str, Any], cursor: str | None) -> None:
    assert LEDGER.read(answer({"data": [], "pagination": pagination})) == ([], cursor)


def test_a_ledger_with_more_pages_and_no_way_to_them_is_not_taken_for_a_whole_one() -> None:
    with pytest.raises(Unclear, match="names no cursor"):
        LEDGER.read(answer({"data": [CHARGE], "pagination": {"next_cursor": None, "has_more": True}}))


def test_the_ledger_is_asked_from_its_newest_page_on() -> None:
    assert dict(LEDGER.request(None, 0.0, 1.0).query) == {"limit": "100"}
    assert dict(LEDGER.request("a=b&c", 0.0, 1.0).query) == {"limit": "100", "cursor": "a=b&c"}


@for_each(("body", "usd"), [(12.5, 12.5), ("12.5", 12.5), (0, 0.0), (-1, -1.0)])
def test_the_balance_is_what_is_left(body: Any, usd: float) -> None:
    assert BALANCE.read(answer({"current_balance": body, "currency": "USD"})) == usd


@for_each("body", [None, "much", True, [], float("nan")])
def test_a_balance_that_is_no_number_is_not_taken_for_nothing(body: Any) -> None:
    with pytest.raises(ServiceError, match="names no balance"):
        BALANCE.read(answer({"current_balance": body}))


@for_each(
    ("value", "seconds"),
    [
        ("2026-08-01T10:00:00.500Z", TEN),
        ("2026-08-01T12:00:00.500+02:00", TEN),
        ("2026-08-01T10:00:00.500", TEN),
        (TEN, TEN),
        (TEN * 1000, TEN),
        ("yesterday", 0.0),
        ("0001-01-01T00:00:00+23:59", -62135683140.0),
        (None, 0.0),
        (True, 0.0),
        (float("inf"), 0.0),
        (10**400, 0.0),
        ({}, 0.0),
    ],
)
def test_a_moment_is_read_from_any_of_its_forms(value: Any, seconds: float) -> None:
    assert as_timestamp(value) == pytest.approx(seconds)
