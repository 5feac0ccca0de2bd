"""Every wire: what is accepted, how it is asked about, what is told."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.cases import for_each
from tests.sandbox.http_client import BODIES, KLING, MULTI, PICTURE, PRO, TASK, UNIVERSAL, V3, visiting

pytestmark = pytest.mark.real_time


async def test_a_generation_is_queued_then_generating_then_completed(later: Callable[[float], None]) -> None:
    async with visiting(seconds=1000, queued_share=0.4) as visitor:
        accepted = await visitor.submit(V3)
        assert accepted.status in (200, 201)
        assert accepted.json["status"] == "queued"
        later(600)
        during = await visitor.get(UNIVERSAL, generation_id=accepted.json["id"])
        assert (during.json["status"], during.json["video"]) == ("generating", None)
        later(401)
        ended = await visitor.end(accepted.json["id"])
        assert ended.json["status"] == "completed"
        assert ended.json["video"]["url"].startswith("http://localhost:")
        assert ended.json["error"] is None


async def test_the_headers_trace_a_generation_and_tell_its_cost_once_it_is_completed() -> None:
    async with visiting() as visitor:
        accepted = await visitor.submit(chosen="job-1")
        assert accepted.headers["x-client-request-id"] == "job-1"
        assert accepted.headers["x-inference-id"] == accepted.json["id"]
        assert "x-aimlapi-usd-spent" not in accepted.headers
        ended = await visitor.end(accepted.json["id"])
        usd = float(ended.headers["x-aimlapi-usd-spent"])
        assert 0.15 <= usd <= 2
        assert int(ended.headers["x-aimlapi-credits-used"]) == round(usd * 2_000_000)
        assert visitor.sandbox.stats()["spent"] == usd


async def test_a_malformed_request_id_is_silently_dropped() -> None:
    async with visiting() as visitor:
        for chosen in ("with space", "x" * 129, "ümlaut"):
            accepted = await visitor.submit(chosen=chosen)
            assert accepted.status < 300
            assert "x-client-request-id" not in accepted.headers
        assert visitor.sandbox.stats()["accepted_by_client_request_id"]["ids"] == 0


async def test_ids_come_in_several_styles_some_with_colon_and_slash() -> None:
    async with visiting() as visitor:
        ids = [(await visitor.submit(chosen=f"job-{number}")).json["id"] for number in range(20)]
        assert any(":" in name and "/" in name for name in ids)
        assert any(len(name) == 21 for name in ids)
        assert len(set(ids)) == 20
        assert (await visitor.end(next(name for name in ids if "/" in name))).json["status"] == "completed"


async def test_a_legacy_answer_may_name_the_id_generation_id() -> None:
    path = "/v2/generate/video/kling/generation"
    async with visiting() as visitor:
        answers = [(await visitor.post(path, BODIES[PRO], chosen=f"job-{n}")).json for n in range(12)]
        assert {"id" in answer for answer in answers} == {True, False}
        assert all(("id" in answer) != ("generation_id" in answer) for answer in answers)
        first = answers[0].get("id") or answers[0]["generation_id"]
        assert (await visitor.end(first, path)).json["status"] == "completed"


async def test_the_legacy_url_of_one_model_wants_a_prompt() -> None:
    body = {"model": PRO, "image_url": PICTURE}
    async with visiting() as visitor:
        assert (await visitor.post("/v2/generate/video/kling/generation", body)).status == 400
        assert (await visitor.post(UNIVERSAL, body)).status < 300


async def test_two_models_live_on_their_legacy_url_only() -> None:
    body = {"model": "wan/v2.1/1.3b/text-to-video", "prompt": "a walk"}
    async with visiting() as visitor:
        assert (await visitor.post(UNIVERSAL, body)).status == 404
        assert (await visitor.post("/v2/generate/video/alibaba/generation", body)).status < 300


async def test_what_is_wrong_is_told_field_by_field_and_nothing_is_accepted() -> None:
    async with visiting() as visitor:
        refused = await visitor.submit(V3, duration=99, cfg_scale="much", multi_prompt=["one"])
        assert refused.status == 400
        assert refused.json["message"] == "Body validation error"
        assert {tuple(error["path"]) for error in refused.json["errors"]} == {
            ("duration",),
            ("cfg_scale",),
            ("prompt",),
        }
        assert {"message", "path", "requestId", "statusCode", "timestamp"} <= refused.json.keys()
        assert visitor.sandbox.stats()["accepted"] == 0


async def test_what_the_model_does_not_know_is_ignored_whatever_it_is() -> None:
    async with visiting() as visitor:
        _odd = {"keyframes": "none", "multi_prompt": [3], "frame_size": 7, "negative_prompt": "\ud800"}
        accepted = await visitor.submit(MULTI, **_odd)
        assert (await visitor.end(accepted.json["id"])).json["status"] == "completed"
        task = TASK | {"image_list": ["x"], "image": 5}
        assert (await visitor.post(KLING + "text2video", task)).json["code"] == 0


async def test_an_unknown_model_an_unknown_id_and_an_unknown_path_are_404() -> None:
    async with visiting() as visitor:
        assert (await visitor.post(UNIVERSAL, {"model": "nobody/nothing"})).status == 404
        assert (await visitor.get(UNIVERSAL, generation_id="nobody")).status == 404
        assert (await visitor.get("/v9/nothing")).status == 404
        assert (await visitor.post(UNIVERSAL, ["not", "an", "object"])).status == 400


@for_each(
    ("kind", "fields"),
    [
        ("text2video", {}),
        ("image2video", {"image": PICTURE, "image_tail": PICTURE}),
        ("multi-image2video", {"image_list": [{"image": PICTURE}] * 4}),
    ],
)
@for_each("shape", ["native", "wrapped", "flat"])
async def test_a_kling_task_is_told_in_each_shape(kind: str, fields: dict[str, object], shape: str) -> None:
    async with visiting(kling_shape=shape) as visitor:
        accepted = await visitor.post(KLING + kind, TASK | fields)
        assert accepted.json["code"] == 0
        assert accepted.json["data"]["task_status"] == "submitted"
        told = (await visitor.task_end(accepted.json["data"]["task_id"], kind)).json["data"]
        if shape == "wrapped":
            assert (told["status"], told["progress"]) == ("SUCCESS", "100%")
            told = told["data"]["data"]
        video = told if shape == "flat" else told["task_result"]["videos"][0]
        assert (await visitor.file(video["url"])).status == 200
        if shape != "flat":
            assert video["duration"] == "5"


async def test_a_kling_error_is_a_code_under_200_or_under_its_own_status() -> None:
    wrong = TASK | {"duration": 5}
    for share, status in ((1.0, 200), (0.0, 400)):
        async with visiting(kling_http_200=share) as visitor:
            refused = await visitor.post(KLING + "text2video", wrong)
            assert (refused.status, refused.json["code"]) == (status, 1201)


async def test_a_kling_task_is_found_by_the_callers_own_id_unless_the_gateway_knows_none() -> None:
    async with visiting(kling_http_200=0.0) as visitor:
        accepted = await visitor.post(KLING + "text2video", TASK | {"external_task_id": "mine-1"})
        found = await visitor.get(KLING + "text2video/mine-1")
        assert found.json["data"]["task_id"] == accepted.json["data"]["task_id"]
        again = await visitor.post(KLING + "text2video", TASK | {"external_task_id": "mine-1"})
        assert again.json["code"] == 1201
        assert len((await visitor.get(KLING + "text2video", pageSize="10")).json["data"]) == 1
    async with visiting(kling_http_200=0.0, kling_external_query=False) as visitor:
        await visitor.post(KLING + "text2video", TASK | {"external_task_id": "mine-1"})
        assert (await visitor.get(KLING + "text2video/mine-1")).status == 404
        await visitor.post(KLING + "text2video", TASK | {"external_task_id": "mine-1"})
        assert visitor.sandbox.stats()["accepted_by_client_request_id"]["repeated"] == {"mine-1": 2}


async def test_a_failed_kling_task_says_so_itself_while_the_answer_says_succeed() -> None:
    async with visiting(status_error=1.0) as visitor:
        accepted = await visitor.post(KLING + "text2video", TASK)
        ended = await visitor.task_end(accepted.json["data"]["task_id"])
        assert ended.json["message"] == "SUCCEED"
        assert ended.json["data"]["task_status"] == "failed"
        assert ended.json["data"]["task_status_msg"]


@for_each("key", ["", "Bearer ", "Bearer bad-key", "Basic abc"])
async def test_nobody_comes_in_without_a_good_key(key: str) -> None:
    async with visiting(kling_http_200=0.0) as visitor:
        assert (await visitor.get("/v2/billing", headers={"Authorization": key})).status == 401
        assert (await visitor.get(KLING + "text2video/1", headers={"Authorization": key})).status == 401


async def test_only_listed_keys_come_in_where_a_list_is_given() -> None:
    async with visiting(api_keys=("one",)) as visitor:
        assert (await visitor.get("/v2/billing")).status == 401
        assert (await visitor.get("/v2/billing", headers={"Authorization": "Bearer one"})).status == 200


async def test_the_documented_python_example_ends_with_a_link_that_downloads() -> None:
    async with visiting() as visitor:
        accepted = await visitor.post(
            UNIVERSAL,
            {"model": MULTI, "prompt": "x", "image_list": [PICTURE] * 2, "aspect_ratio": "16:9", "duration": "5"},
        )
        ended = await visitor.end(accepted.json["id"])
        assert (await visitor.file(ended.json["video"]["url"])).body[4:8] == b"ftyp"
