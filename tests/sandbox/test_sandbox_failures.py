"""Each way of failing, one knob at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from aimlvideo.sandbox import Behaviour
from tests.cases import for_each
from tests.sandbox.http_client import KLING, MULTI, TASK, UNIVERSAL, visiting

pytestmark = pytest.mark.own_sockets


@for_each(
    ("behaviour", "status", "code", "counted"),
    [
        ({"rate_limited": 1.0}, {429}, 1302, "rate limited"),
        ({"max_concurrent": 0}, {429}, 1303, "too many at once"),
        ({"unavailable": 1.0}, {503}, 5001, "unavailable"),
        ({"balance": 0.0}, {403}, 1102, "out of credits"),
        ({"error_before": 1.0}, {500, 502, 504}, 5000, "error before"),
    ],
)
async def test_a_refused_submission_is_not_accepted(
    behaviour: dict[str, Any], status: set[int], code: int, counted: str
) -> None:
    async with visiting(**behaviour) as visitor:
        assert (await visitor.submit()).status in status
        assert (await visitor.post(KLING + "text2video", TASK)).json["code"] == code
        stats = visitor.sandbox.stats()
        assert (stats["accepted"], stats["refusals"], stats["posts"]) == (0, {counted: 2}, 2)


async def test_a_rate_limit_says_when_to_come_back_or_not() -> None:
    async with visiting(rate_limited=1.0, retry_after=3) as visitor:
        assert (await visitor.submit()).headers["Retry-After"] == "3"
        visitor.sandbox.behaviour = replace(visitor.sandbox.behaviour, retry_after=None)
        assert "Retry-After" not in (await visitor.submit()).headers


async def test_a_submission_refused_by_chance_may_pass_when_it_is_sent_again() -> None:
    async with visiting(rate_limited=0.5) as visitor:
        statuses = [(await visitor.submit(chosen="one")).status for _ in range(12)]
        assert 429 in statuses
        assert any(status < 300 for status in statuses)


async def test_max_rate_lets_so_many_in_within_a_second() -> None:
    async with visiting(max_rate=3) as visitor:
        statuses = [(await visitor.submit()).status for _ in range(5)]
        assert [status == 429 for status in statuses] == [False, False, False, True, True]


async def test_a_slot_is_held_until_the_generation_ends() -> None:
    async with visiting(max_concurrent=1, seconds=0.1) as visitor:
        first = await visitor.submit()
        assert (await visitor.submit()).status == 429
        await visitor.end(first.json["id"])
        assert (await visitor.submit()).status < 300
        assert visitor.sandbox.stats()["outstanding_peak"] == 1


async def test_an_accepted_submission_may_be_answered_with_an_error_and_is_found_in_the_log() -> None:
    async with visiting(error_after=1.0) as visitor:
        assert (await visitor.submit(chosen="lost-1")).status in (500, 502, 504)
        assert visitor.sandbox.stats()["accepted"] == 1
        async with asyncio.timeout(60):
            while not (rows := (await visitor.get("/v2/logs", period="1h")).json["data"]):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert [row["client_request_id"] for row in rows] == ["lost-1"]
        assert (await visitor.end(rows[0]["inference_id"])).json["status"] == "completed"


async def test_a_dropped_answer_leaves_a_generation_behind() -> None:
    async with visiting(dropped=1.0) as visitor:
        with pytest.raises(aiohttp.ClientError):
            await visitor.submit(chosen="lost-1")
        stats = visitor.sandbox.stats()
        assert stats["accepted"] == 1
        assert stats["answers_lost"] == {"dropped": 1}


@for_each(
    ("behaviour", "status"),
    [({"poll_rate_limited": 1.0}, 429), ({"poll_error": 1.0}, 500), ({"appears_after": 9}, 404)],
)
async def test_a_status_check_may_fail_and_changes_nothing(behaviour: dict[str, Any], status: int) -> None:
    async with visiting(**behaviour) as visitor:
        accepted = await visitor.submit()
        assert (await visitor.get(UNIVERSAL, generation_id=accepted.json["id"])).status == status
        visitor.sandbox.behaviour = Behaviour(video="tiny")
        assert (await visitor.end(accepted.json["id"])).json["status"] == "completed"


async def test_a_status_check_may_be_cut() -> None:
    async with visiting(poll_dropped=1.0) as visitor:
        accepted = await visitor.submit()
        with pytest.raises(aiohttp.ClientError):
            await visitor.get(UNIVERSAL, generation_id=accepted.json["id"])


@pytest.mark.real_time
async def test_odd_status_words_mean_the_same(later: Callable[[float], None]) -> None:
    async with visiting(unknown_status_words=1.0, seconds=1000) as visitor:
        accepted = await visitor.submit()
        assert accepted.json["status"] == "waiting"
        later(500)
        assert (await visitor.get(UNIVERSAL, generation_id=accepted.json["id"])).json["status"] == "active"
        later(501)
        assert (await visitor.end(accepted.json["id"])).json["status"] == "succeeded"


@for_each("shape", ["native", "wrapped", "flat", "bare", "openai"])
async def test_odd_status_words_come_from_a_gateway_too_in_each_of_its_shapes(shape: Any) -> None:
    async with visiting(unknown_status_words=1.0, seconds=9, queued_share=0.0, kling_shape=shape) as visitor:
        accepted = await visitor.post(KLING + "text2video", TASK)
        answer = (await visitor.get(f"{KLING}text2video/{accepted.json['data']['task_id']}")).json
        shown = answer.get("data", answer)
        assert shown.get("task_status", shown.get("status")) == "active"


async def test_an_error_has_its_documented_shape() -> None:
    async with visiting(status_error=1.0) as visitor:
        error = (await visitor.end((await visitor.submit()).json["id"])).json["error"]
        assert error.keys() == {"name", "message"}


async def test_an_error_comes_in_three_shapes_and_costs_nothing() -> None:
    async with visiting(status_error=1.0, odd_errors=0.6) as visitor:
        ids = [(await visitor.submit(chosen=f"job-{number}")).json["id"] for number in range(15)]
        errors = [(await visitor.end(name)).json["error"] for name in ids]
        shapes = {"text" if isinstance(error, str) else next(iter(error)) for error in errors}
        assert shapes == {"text", "name", "detail"}
        assert visitor.sandbox.stats()["spent"] == 0
        rows = (await visitor.get("/v2/logs", period="1h", status="failed")).json["data"]
        assert len(rows) == 15
        assert {row["cost"]["usd"] for row in rows} == {0.0}


async def test_moderation_stops_half_at_once_and_half_at_the_end() -> None:
    async with visiting(moderation=1.0) as visitor:
        answers = [await visitor.submit(chosen=f"job-{number}") for number in range(20)]
        at_once = [answer for answer in answers if answer.status == 400]
        assert 0 < len(at_once) < 20
        assert "content policy" in at_once[0].json["message"]
        later = next(answer for answer in answers if answer.status < 300)
        assert "content policy" in str((await visitor.end(later.json["id"])).json["error"])


async def test_a_reseller_may_fail_a_task_later_for_too_many_at_once() -> None:
    async with visiting(late_1303=1.0) as visitor:
        accepted = await visitor.post(KLING + "text2video", TASK)
        ended = await visitor.task_end(accepted.json["data"]["task_id"])
        assert "1303" in ended.json["data"]["task_status_msg"]


async def test_the_same_seed_and_the_same_ids_give_the_same_run_in_any_order() -> None:
    odds = {"rate_limited": 0.2, "error_before": 0.2, "status_error": 0.3, "seconds": "lognormal:0.02,0.5"}

    async def run(seed: int, names: list[str]) -> dict[str, Any]:
        async with visiting(**odds, seed=seed) as visitor:
            answers = {name: await visitor.submit(chosen=name) for name in names}
            return {name: (answer.status, (answer.json or {}).get("id")) for name, answer in answers.items()}

    names = [f"job-{number}" for number in range(30)]
    first = await run(1, names)
    assert await run(1, names[::-1]) == first
    assert await run(2, names) != first


async def test_a_first_check_far_too_early_is_counted() -> None:
    async with visiting(seconds=30) as visitor:
        accepted = await visitor.submit(MULTI)
        for _ in range(2):
            await visitor.get(UNIVERSAL, generation_id=accepted.json["id"])
        stats = visitor.sandbox.stats()
        assert (stats["first_poll_too_early"], stats["polls"], stats["polls_per_generation"]) == (1, 2, 2.0)
        assert (await visitor.get("/__sandbox/stats")).json["polls"] == 2


async def test_a_service_restarted_on_its_port_remembers_its_generations() -> None:
    async with visiting(seconds=0.01) as visitor:
        accepted = await visitor.submit()
        await visitor.end(accepted.json["id"])
        url = visitor.sandbox.url
    async with visitor.sandbox:
        assert visitor.sandbox.url == url
        assert visitor.sandbox.stats()["accepted"] == 1


@for_each("wrong", [{"seconds": "soon"}, {"seconds": "gamma:1,2"}, {"dropped": 1.5}, {"seconds": -1}])
def test_a_knob_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"seconds|dropped"):
        Behaviour(**wrong)
