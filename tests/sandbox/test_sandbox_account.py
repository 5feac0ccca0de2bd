"""The account: what is billed, what is logged, and how both are read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from tests.cases import for_each
from tests.sandbox.http_client import MULTI, UNIVERSAL, V3, visiting

pytestmark = pytest.mark.real_time


async def test_the_balance_falls_as_clips_complete_and_at_zero_nothing_is_accepted() -> None:
    async with visiting(price=0.4, balance=1.0) as visitor:
        for _ in range(3):
            accepted = await visitor.submit()
            await visitor.end(accepted.json["id"])
        assert (await visitor.get("/v2/billing")).json == {"current_balance": pytest.approx(-0.2), "currency": "USD"}
        refused = await visitor.submit()
        assert (refused.status, refused.json["message"][:26]) == (403, "You've run out of credits.")
        assert (refused.json["title"], refused.json["status"]) == ("Forbidden", 403)
        assert refused.json["error"]["data"] == {"kind": "err_insufficent_credits"}


async def test_the_ledger_is_paged_by_cursor_and_names_each_generation_once() -> None:
    async with visiting(price=0.5) as visitor:
        ids = [(await visitor.submit()).json["id"] for _ in range(5)]
        for name in ids:
            await visitor.end(name)
        seen, cursor = [], {}
        while True:
            page = (await visitor.get("/v2/billing/transactions", limit="2", **cursor)).json
            seen += page["data"]
            if page["pagination"]["next_cursor"] is None:
                break
            cursor = {"cursor": page["pagination"]["next_cursor"]}
        assert sorted(row["reference_id"] for row in seen) == sorted(ids)
        assert {(row["direction"], row["type"]) for row in seen} == {("CHARGE", "MODEL_USAGE")}
        assert all(row["amount"] == {"usd": 0.5, "credits": 1_000_000} for row in seen)
        assert [row["created_at"] for row in seen] == sorted((row["created_at"] for row in seen), reverse=True)


async def test_the_log_has_a_row_when_the_generation_has_ended_and_not_before(later: Callable[[float], None]) -> None:
    async with visiting(seconds=1000, log_delay=1000) as visitor:
        accepted = await visitor.submit(chosen="job-1")
        for expected in (0, 0, 1):
            assert len((await visitor.get("/v2/logs", period="24h")).json["data"]) == expected
            later(1001)
            await visitor.end(accepted.json["id"])


async def test_the_log_is_paged_newest_first_and_filtered_by_repeated_parameters() -> None:
    async with visiting() as visitor:
        for number in range(3):
            await visitor.end((await visitor.submit(MULTI, chosen=f"multi-{number}")).json["id"])
        await visitor.end((await visitor.submit(V3, chosen="v3-0")).json["id"])
        page = (await visitor.get("/v2/logs", period="24h", limit="2", offset="1")).json
        assert [row["client_request_id"] for row in page["data"]] == ["multi-2", "multi-1"]
        assert page["pagination"] == {"limit": 2, "offset": 1, "total": 4, "has_more": True}
        only = (await visitor.get("/v2/logs", period="24h", model=V3)).json["data"]
        assert [row["model"] for row in only] == [V3]
        assert (await visitor.get("/v2/logs", period="24h", model=f"{V3},{MULTI}")).json["data"] == []
        start, end = (datetime.now(UTC) + timedelta(minutes=minutes) for minutes in (-5, 5))
        window = await visitor.get("/v2/logs", start=start.isoformat(), end=end.isoformat())
        assert len(window.json["data"]) == 4


@for_each(
    "query",
    [
        {},
        {"start": "2026-01-01T00:00:00Z"},
        {"start": "2026-01-01T00:00:00Z", "end": "2026-09-01T00:00:00Z"},
        {"period": "soon"},
        {"period": "24h", "limit": "101"},
        {"period": "24h", "limit": "0"},
        {"period": "24h", "status": "succeeded,failed"},
    ],
)
async def test_a_log_query_that_breaks_a_rule_is_refused(query: dict[str, str]) -> None:
    async with visiting() as visitor:
        assert (await visitor.get("/v2/logs", **query)).status == 400


@for_each("query", [{"offset": "0"}, {"since": "x"}, {"type": "FUN"}, {"limit": "101"}, {"cursor": "x"}])
async def test_a_ledger_query_that_breaks_a_rule_is_refused(query: dict[str, str]) -> None:
    async with visiting() as visitor:
        assert (await visitor.get("/v2/billing/transactions", **query)).status == 400


async def test_the_ledger_is_filtered_by_what_a_line_is_and_when() -> None:
    async with visiting(price=0.5) as visitor:
        await visitor.end((await visitor.submit()).json["id"])
        for query, lines in [
            ({"direction": "TOPUP"}, 0),
            ({"type": "MODEL_USAGE"}, 1),
            ({"from": "2100-01-01T00:00:00Z"}, 0),
            ({"to": "2100-01-01T00:00:00Z"}, 1),
        ]:
            assert len((await visitor.get("/v2/billing/transactions", **query)).json["data"]) == lines


async def test_the_log_may_be_read_two_hundred_times_a_minute() -> None:
    async with visiting() as visitor:
        statuses = [(await visitor.get("/v2/logs", period="1h")).status for _ in range(201)]
        assert statuses == [200] * 200 + [429]


async def test_a_failure_before_acceptance_is_logged_for_half_without_a_cost_and_without_a_generation() -> None:
    async with visiting(error_before=1.0) as visitor:
        for number in range(20):
            await visitor.submit(chosen=f"job-{number}")
        rows = (await visitor.get("/v2/logs", period="1h")).json["data"]
        assert 0 < len(rows) < 20
        assert {(row["status"], row["cost"]["usd"]) for row in rows} == {("failed", 0.0)}
        assert (await visitor.get(UNIVERSAL, generation_id=rows[0]["inference_id"])).status == 404
