"""Kling gateways: bodies of their own, business codes under any status, and three shapes of one answer."""

from __future__ import annotations

from typing import Any

import pytest

from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.services import service_of
from aimlvideo.core.wires.answers import State
from aimlvideo.core.wires.http import Request
from aimlvideo.core.wires.kling import LOOKUP, MAX_PLACES, Kling, read_callback
from aimlvideo.errors import Busy, ContentRefused, Refused, Rejected, ServiceError, Unavailable, Unclear
from aimlvideo.settings import _resolve_base_url
from aimlvideo.shell.http.transport import HttpTransport
from tests.cases import for_each
from tests.core.wires.answers import ODD_BODIES, answer

WIRE = Kling()
ROOT = "/kling/v1/videos"
URL = "https://cdn.example.com/a.mp4?sig=a%2Bb"


def job(**params: Any) -> VideoJob:
    return VideoJob("kling-v1-6", **params)


# Requests ----------------------------------------------------------------------------------------------------------


def test_several_pictures_go_as_objects_and_seconds_as_a_text() -> None:
    request = WIRE.submission(
        job(prompt="waves", image_list=["https://a/1.png", {"image": "abc"}], duration=5, mode="pro", cfg_scale=None),
        "av-1",
        "https://us.example.com/called",
    )
    assert request.path == f"{ROOT}/multi-image2video"
    assert request.body == {
        "model_name": "kling-v1-6",
        "model": "kling-v1-6",
        "prompt": "waves",
        "image_list": [{"image": "https://a/1.png"}, {"image": "abc"}],
        "duration": "5",
        "mode": "pro",
        "external_task_id": "av-1",
        "callback_url": "https://us.example.com/called",
    }
    assert request.headers == {"X-Client-Request-Id": "av-1"}


def test_one_picture_and_a_last_one_have_names_of_their_own() -> None:
    request = WIRE.submission(job(image_url="a", tail_image_url="b"), "av-1")
    assert request.path == f"{ROOT}/image2video"
    names = {"model_name": "kling-v1-6", "model": "kling-v1-6"}
    assert request.body == {**names, "image": "a", "image_tail": "b", "external_task_id": "av-1"}


def test_without_a_picture_it_is_text_alone() -> None:
    assert WIRE.submission(job(prompt="waves"), "av-1").path == f"{ROOT}/text2video"


@for_each(("given", "sent"), [(5, "5"), ("10", "10"), (5.0, "5"), (7.5, "7.5")])
def test_seconds_of_any_kind_become_the_text_that_is_wanted(given: Any, sent: str) -> None:
    body = WIRE.submission(job(duration=given), "av-1").body
    assert body is not None
    assert body["duration"] == sent


def test_a_list_that_is_none_is_left_for_the_gateway_to_refuse() -> None:
    body = WIRE.submission(job(image_list="a.png"), "av-1").body
    assert body is not None
    assert body["image_list"] == "a.png"


def test_our_id_and_a_callback_of_the_job_s_own_are_kept() -> None:
    body = WIRE.submission(job(callback_url="https://mine", external_task_id="theirs"), "av-1", "https://ours").body
    assert body is not None
    assert (body["callback_url"], body["external_task_id"]) == ("https://mine", "av-1")


def test_a_task_is_asked_about_where_it_was_submitted_or_in_each_place_in_turn() -> None:
    name = "task:1/a?b"
    assert [one.path for one in WIRE.status(name, job(image="a"))] == [f"{ROOT}/image2video/task%3A1%2Fa%3Fb"]
    paths = {f"{ROOT}/{kind}/task%3A1%2Fa%3Fb" for kind in ("multi-image2video", "image2video", "text2video")}
    assert {one.path for one in WIRE.status(name)} > paths
    assert WIRE.status(name, VideoJob("")) == WIRE.status(name)
    assert LOOKUP.request("av-1", job(prompt="x")).path == f"{ROOT}/text2video/av-1"


@for_each(
    ("base", "url"),
    [
        ("https://h", "https://h/kling/v1/videos/text2video"),
        ("https://h/kling", "https://h/kling/v1/videos/text2video"),
        ("https://h/kling/v1", "https://h/kling/v1/videos/text2video"),
        ("https://h/kling/v1/videos", "https://h/kling/v1/videos/text2video"),
        ("https://h/api/v1/open", "https://h/api/v1/open/kling/v1/videos/text2video"),
        ("https://h/api/v1/open/kling", "https://h/api/v1/open/kling/v1/videos/text2video"),
        ("https://h/v1/ai/my-endpoint/kling", "https://h/v1/ai/my-endpoint/kling/videos/text2video"),
        ("https://h/v1/ai/my-endpoint/kling/videos", "https://h/v1/ai/my-endpoint/kling/videos/text2video"),
        ("https://h/mine/videos", "https://h/mine/videos/text2video"),
        ("https://h/klingai", "https://h/klingai/v1/videos/text2video"),
        ("https://h/klingai/v1", "https://h/klingai/v1/videos/text2video"),
    ],
)
def test_a_gateway_may_have_a_prefix_of_its_own(base: str, url: str) -> None:
    kept = _resolve_base_url(base, "kling", {})
    transport = HttpTransport(None, kept, "key", service_of("kling"))  # type: ignore[arg-type]
    assert transport._url(WIRE.submission(job(prompt="waves"), "av-1")) == url


def test_what_is_asked_about_elsewhere_stays_below_the_prefix() -> None:
    transport = HttpTransport(None, "https://h/api/v1/open", "key", service_of("kling"))  # type: ignore[arg-type]
    assert transport._url(Request("GET", "/v1/video/generations/t")) == "https://h/api/v1/open/v1/video/generations/t"


# Answers -----------------------------------------------------------------------------------------------------------


def native(word: str = "succeed", url: str | None = URL, **more: Any) -> dict[str, Any]:
    result = {"task_result": {"videos": [{"id": "v", "url": url, "duration": "5.1"}]}} if url else {}
    return {"task_id": "task-1", "task_status": word, "task_status_msg": "", **result, **more}


def wrapped(word: str, inner: Any) -> dict[str, Any]:
    return {"code": "success", "message": "", "data": {"task_id": "task-1", "status": word, "data": inner}}


def flat(word: str, **more: Any) -> dict[str, Any]:
    return {"code": "success", "message": "", "data": {"task_id": "task-1", "status": word, **more}}


SHAPES = [
    ({"code": 0, "message": "SUCCEED", "data": native("submitted", None)}, State.QUEUED, None),
    ({"code": 0, "message": "SUCCEED", "data": native("processing", None)}, State.RENDERING, None),
    ({"code": 0, "message": "SUCCEED", "data": native()}, State.COMPLETED, None),
    ({"code": 0, "data": native("failed", None, task_status_msg="moderated")}, State.FAILED, "moderated"),
    ({"code": 0, "message": "SUCCEED", "data": native("failed", None)}, State.FAILED, "no reason given"),
    (wrapped("SUBMITTED", None), State.QUEUED, None),
    (wrapped("IN_PROGRESS", native("processing", None)), State.RENDERING, None),
    (wrapped("SUCCESS", native()), State.COMPLETED, None),
    (wrapped("SUCCESS", {"code": 0, "data": native()}), State.COMPLETED, None),
    (wrapped("FAILURE", native("failed", None, task_status_msg="moderated")), State.FAILED, "moderated"),
    (wrapped("FAILURE", None) | {"message": "SUCCEED"}, State.FAILED, "no reason given"),
    (flat("expired"), State.FAILED, "no reason given, but the status 'expired'"),
    (wrapped("FAILURE", native("processing", None)), State.FAILED, "no reason given"),
    (wrapped("SUCCESS", native("failed", None, task_status_msg="moderated")), State.FAILED, "moderated"),
    (wrapped("SUCCESS", native("processing", None)), State.RENDERING, None),
    (wrapped("IN_PROGRESS", native()), State.COMPLETED, None),
    (flat("queued"), State.QUEUED, None),
    (flat("processing"), State.RENDERING, None),
    (flat("succeeded", url=URL), State.COMPLETED, None),
    (flat("completed", url=URL), State.COMPLETED, None),
    (flat("failed", error={"message": "moderated"}), State.FAILED, "moderated"),
    (flat("failed", error="moderated"), State.FAILED, "moderated"),
    (flat("FAILURE", fail_reason="task 1303"), State.FAILED, "task 1303"),
    (flat("upscaling"), State.RENDERING, None),
    (flat("completed"), State.RENDERING, None),
    (flat("completed", url=[{}]), State.RENDERING, None),
]


@for_each(("body", "state", "error"), SHAPES)
def test_a_task_is_read_from_each_of_its_shapes(body: Any, state: State, error: str | None) -> None:
    seen = WIRE.parse_status(answer(body), "task-1")
    assert (seen.state, seen.error) == (state, error)
    assert seen.id == "task-1"
    assert seen.video_url == (URL if state is State.COMPLETED else None)
    assert seen.cost_usd is None


@for_each(
    "body",
    [
        {"code": 0, "message": "SUCCEED", "data": {"task_id": "t", "task_status": "submitted"}},
        {"code": "success", "data": {"task_id": "t"}},
        {"code": "SUCCESS", "data": {"id": "t"}},
        {"code": 200, "data": {"task_id": "t"}},
        {"code": "0", "data": {"task_id": "t", "data": {"task_status": "submitted"}}},
        {"code": "success", "data": {"data": {"task_id": "t"}}},
        {"data": {"task_id": "t"}},
    ],
)
def test_an_accepted_submission_names_its_task(body: Any) -> None:
    assert WIRE.parse_submission(answer(body), "av-1").id == "t"


def test_data_that_is_an_id_alone_names_the_task_of_a_submission() -> None:
    for task_id in ("8aa5c1d0-7f34-4c53-9c1e-2d5d0f7f0b11", "task_9f8e7d6c", 831922345719271433):
        assert WIRE.parse_submission(answer({"code": "success", "data": task_id}), "av-1").id == str(task_id)
    for body in (
        {"code": "success", "data": "submitted"},
        {"code": "success", "data": "queued at 12:03"},
        {"code": "task_failed", "data": "task_9f8e7d6c"},
        {"data": "task_9f8e7d6c"},
    ):
        with pytest.raises((Unclear, Rejected)):
            WIRE.parse_submission(answer(body), "av-1")


@for_each(("status", "body"), [(401, {"error": {"message": "Invalid token"}}), (404, b"Cannot POST /kling")])
def test_where_nothing_of_a_gateway_answers_kling_itself_is_named(status: int, body: Any) -> None:
    with pytest.raises(Refused, match="Kling itself is --service kling-official") as caught:
        WIRE.parse_submission(answer(body, status), "av-1")
    assert caught.value.wrong_key == (status == 401)


@for_each(
    "body", [*ODD_BODIES.values(), b'{"code": 0, "data": null}', b'{"code": 0, "data": {}}', b'{"code": 0}'], ids=repr
)
def test_a_submission_whose_answer_names_no_task_is_in_doubt(body: bytes) -> None:
    with pytest.raises(Unclear) as caught:
        WIRE.parse_submission(answer(body), "av-1")
    assert caught.value.request_id == "av-1"


CODES = [
    *((code, 401, Refused) for code in (1000, 1001, 1002, 1003, 1004)),
    *((code, 429, Refused) for code in (1100, 1101, 1102, 1304)),
    (1103, 403, Refused),
    *((code, 400, Rejected) for code in (1200, 1201)),
    *((code, 400, ContentRefused) for code in (1300, 1301)),
    *((code, 404, Rejected) for code in (1202, 1203)),
    (1302, 429, Busy),
    (1303, 429, Busy),
    (5000, 500, Unclear),
    (5001, 503, Unavailable),
    (5002, 504, Unclear),
]


@for_each(("code", "status", "kind"), CODES)
def test_a_code_means_the_same_under_its_own_status_and_under_any_other(
    code: int, status: int, kind: type[ServiceError]
) -> None:
    for under in (status, 200, 400, 402, 403, 404, 409, 429, 500, 503):
        for written in (code, str(code)):
            with pytest.raises(ServiceError) as caught:
                WIRE.parse_submission(
                    answer({"code": written, "message": "so it is", "request_id": "r"}, under), "av-1"
                )
            assert type(caught.value) is kind
            assert caught.value.code == code
            assert caught.value.request_id == "av-1"
            assert "so it is" in str(caught.value)
            assert f"code {code}" in str(caught.value)


@for_each(("code", "limit"), [(1302, "rate"), (1303, "outstanding")])
@for_each(("said", "wait"), [(None, 1.0), ("0.2", 1.0), ("7", 7.0), ("nonsense", 1.0)])
def test_the_codes_that_pass_say_which_limit_it_was_and_are_waited_for_a_second_at_least(
    code: int, limit: str, said: str | None, wait: float
) -> None:
    headers = {} if said is None else {"retry_after": said}
    with pytest.raises(Busy) as caught:
        WIRE.parse_submission(answer({"code": code}, 200, **headers), "av-1")
    assert (caught.value.limit, caught.value.retry_after) == (limit, wait)


@for_each(
    ("word", "message", "state"),
    [
        ("succeed", "Video generated successfully", State.RENDERING),
        ("succeed", "视频生成完成", State.RENDERING),
        ("queueing_up", "任务排队中", State.RENDERING),
        ("processing", "处理中", State.RENDERING),
        ("failed", "Video generation timed out", State.FAILED),
        ("succeed", "Failure to pass the risk control system", State.FAILED),
    ],
)
def test_a_message_about_a_task_s_state_is_no_failure_of_it(word: str, message: str, state: State) -> None:
    task = {"task_id": "t", "task_status": word, "task_status_msg": message, "task_result": {}}
    generation = WIRE.parse_status(answer({"code": 0, "data": task}), "t")
    assert (generation.state, generation.error) == (state, message if state is State.FAILED else None)


STATUSES = [
    (307, None, Refused),
    (400, None, Rejected),
    (401, None, Refused),
    (402, None, Refused),
    (403, "insufficient_user_quota", Refused),
    (404, None, Rejected),
    (408, None, Unclear),
    (429, None, Busy),
    (429, "rate_limit_exceeded", Busy),
    (429, 9999, Busy),
    (500, None, Unclear),
    (502, "bad_response_status_code", Unclear),
    (503, None, Unavailable),
    (504, 7, Unclear),
    (200, 401, Refused),
    (200, "429", Busy),
    (200, 404, Rejected),
    (200, 500, Unclear),
    (200, 503, Unavailable),
    (200, "fail_to_fetch_task", Rejected),
    (200, "²", Rejected),
    (200, "9" * 5000, Rejected),
    (200, {}, Rejected),
    (200, True, Rejected),
]


@for_each(("status", "code", "kind"), STATUSES, ids=lambda value: str(value)[:20])
def test_without_a_known_code_the_status_decides(status: int, code: Any, kind: type[ServiceError]) -> None:
    with pytest.raises(ServiceError) as caught:
        WIRE.parse_submission(answer({"code": code, "message": "so it is"}, status), "av-1")
    assert type(caught.value) is kind


@pytest.mark.parametrize("code", [1202, 1203])
def test_a_task_that_is_not_known_here_is_told_from_a_wrong_question(code: int) -> None:
    with pytest.raises(Rejected) as caught:
        WIRE.parse_status(answer({"code": code, "message": "no such task"}), "t")
    assert caught.value.status == 404


@for_each(
    ("body", "status"),
    [
        ({"code": 10004, "msg": "任务不存在", "success": True}, 200),
        ({"code": "fail", "message": "task not found"}, 400),
        ({"error": {"message": "Video task_9 does not exist"}}, 400),
        ({"code": 500, "message": "task not exist"}, 400),
    ],
)
def test_a_task_that_is_not_known_is_told_by_the_words_too(body: Any, status: int) -> None:
    with pytest.raises(Rejected) as caught:
        WIRE.parse_status(answer(body, status), "task_9")
    assert caught.value.status == 404


@for_each("message", ["prompt not found", "the task failed. Voice not found", "video_url: file not found"])
def test_a_question_that_is_refused_otherwise_says_nothing_of_the_task(message: str) -> None:
    with pytest.raises(Rejected) as caught:
        WIRE.parse_status(answer({"code": "fail", "message": message}, 400), "task_9")
    assert caught.value.status == 400


def test_a_long_page_for_an_error_is_told_briefly() -> None:
    with pytest.raises(Unclear) as caught:
        WIRE.parse_status(answer(b"<html>" + b"x" * 10_000, 502), "t")
    assert len(str(caught.value)) < 600


# By the id that we chose -------------------------------------------------------------------------------------------


@for_each(
    "task",
    [
        native("processing", None, task_info={"external_task_id": "av-1"}),
        native("processing", None, external_task_id="av-1"),
        {"task_id": "task-1", "status": "x", "data": native("processing", None, external_task_id="av-1")},
    ],
)
def test_a_task_is_found_by_the_id_that_we_chose(task: Any) -> None:
    found = LOOKUP.read(answer({"code": 0, "data": task}), "av-1")
    assert found is not None
    assert (found.id, found.state) == ("task-1", State.RENDERING)
    assert LOOKUP.read(answer({"code": 0, "data": task}), "av-2") is None


@for_each(
    "task",
    [
        {},
        native(),
        native(task_info={}),
        native(task_info=None),
        native(external_task_id=None),
        {"external_task_id": "av-1"},
    ],
)
def test_an_answer_about_something_else_finds_nothing(task: Any) -> None:
    assert LOOKUP.read(answer({"code": 0, "data": task}), "av-1") is None


def test_an_answer_that_nobody_can_read_is_not_taken_for_nothing_found() -> None:
    for body in (b"", b'{"code": 0, "data": []}', b"<html>"):
        with pytest.raises(Unclear):
            LOOKUP.read(answer(body), "av-1")


@for_each(
    ("body", "name"),
    [
        ({"task_id": "t", "task_status": "succeed"}, "t"),
        ({"id": "t", "status": "succeeded"}, "t"),
        ({"code": 0, "data": {"task_id": "t"}}, "t"),
        ({"task_id": 7}, "7"),
        ({"task_id": {}}, None),
        ({}, None),
        ([], None),
        (None, None),
    ],
)
def test_a_call_names_the_task_to_ask_about(body: Any, name: str | None) -> None:
    called = read_callback(body)
    assert (called.generation_id if called else None) == name


@for_each(
    ("body", "external", "state"),
    [
        (
            {"task_id": "t", "task_status": "processing", "task_info": {"external_task_id": "av-1"}},
            "av-1",
            State.RENDERING,
        ),
        ({"external_task_id": "av-1", "task_status": "Succeed"}, "av-1", State.COMPLETED),
        ({"id": "t", "external_id": "av-1", "status": "failed"}, "av-1", State.FAILED),
        ({"task_id": "t", "task_status": "surprising"}, None, None),
    ],
)
def test_a_call_says_our_id_and_the_state(body: Any, external: str | None, state: State | None) -> None:
    called = read_callback(body)
    assert called is not None
    assert (called.request_id, called.state) == (external, state)


@pytest.mark.parametrize("reason", ["1303: too many", "Parallel task over resource pack limit"])
def test_a_task_that_failed_for_want_of_a_slot_never_ran(reason: str) -> None:
    assert WIRE.parse_status(answer({"code": 0, "data": native("failed", None, task_status_msg=reason)}), "t").never_ran
    assert not WIRE.parse_status(
        answer({"code": 0, "data": native("failed", None, task_status_msg="moderated")}), "t"
    ).never_ran


def test_an_id_that_is_no_header_goes_in_the_body_alone() -> None:
    request = WIRE.submission(job(prompt="p"), "mine\n2")
    assert not request.headers
    assert request.body is not None
    assert request.body["external_task_id"] == "mine\n2"


@for_each("body", [{"message": "Invalid token"}, {"code": 1000, "message": "Invalid token"}])
def test_a_key_that_is_not_accepted_is_told_from_an_account_without_money(body: dict[str, Any]) -> None:
    with pytest.raises(Refused) as caught:
        WIRE.parse_status(answer(body, 401), "task-1")
    assert caught.value.wrong_key
    with pytest.raises(Refused) as caught:
        WIRE.parse_status(answer({"code": 1101, "message": "in arrears"}, 429), "task-1")
    assert not caught.value.wrong_key


@for_each(
    ("fields", "ran"),
    [
        ({"final_unit_deduction": "3.5"}, True),
        ({"billing": [{"charge_type": "unit", "amount": "2"}]}, True),
        ({"final_unit_deduction": "0"}, False),
        ({"billing": []}, False),
        ({"billing": [{"amount": "0"}]}, False),
        ({"billing": [{"charge_type": "cash", "amount": "0.2", "currency": "USD"}]}, True),
        ({"billing": [{"charge_type": "cash", "amount": "2", "currency": "CNY"}]}, True),
        ({"final_unit_deduction": "0", "final_balance_deduction": {"quota": "0.6", "list_price": "0.7"}}, True),
        ({"final_balance_deduction": 0.6}, True),
        ({"final_unit_deduction": "0", "final_balance_deduction": {"quota": "0", "list_price": "0.7"}}, False),
    ],
)
def test_a_task_that_was_billed_did_run_whatever_its_reason_says(fields: Any, ran: bool) -> None:
    task = native("failed", None, task_status_msg="1303: too many", **fields)
    assert WIRE.parse_status(answer({"code": 0, "data": task}), "t").never_ran is not ran


def test_where_the_latest_tasks_were_found_is_remembered_and_where_the_earliest_were_is_not() -> None:
    wire, places = Kling(), [Request("GET", f"/{number}") for number in range(MAX_PLACES + 1)]
    for number, place in enumerate(places):
        wire.remember(f"task-{number}", place)
    assert wire.status(f"task-{MAX_PLACES}") == (places[-1],)
    assert wire.status("task-1") == (places[1],)
    assert len(wire.status("task-0")) > 1
