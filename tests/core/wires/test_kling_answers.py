"""The published shapes of answers, one test a row: five to a submission, six to a query, and what wraps them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aimlvideo.core.wires.answers import State
from aimlvideo.core.wires.kling import Kling
from aimlvideo.errors import Busy, ContentRefused, Refused, Rejected, ServiceError, Unavailable, Unclear
from tests.cases import for_each
from tests.core.wires.answers import answer

WIRE = Kling()
URL = "https://cdn.example.com/a.mp4?sig=a%2Bb"
SECOND = "https://cdn.example.com/b.mp4"
RESULT = {"videos": [{"id": "clip-1", "url": URL, "watermark_url": "https://cdn.example.com/marked.mp4"}]}

SUBMISSIONS: dict[str, Any] = {
    "native": {
        "code": 0,
        "message": "SUCCEED",
        "request_id": "r-1",
        "data": {"task_id": "t-1", "task_status": "submitted", "task_info": {"external_task_id": "av-1"}},
    },
    "openai video": {
        "id": "t-1",
        "task_id": "t-1",
        "object": "video",
        "model": "kling-v1-6",
        "status": "queued",
        "progress": 0,
        "created_at": 1764150000,
    },
    "openai video, no status": {"id": "t-1", "task_id": "t-1", "object": "video", "model": "kling-v1-6", "status": ""},
    "flat id": {"code": 0, "message": "", "task_id": "t-1"},
    "bare": {"task_id": "t-1", "status": "queued"},
    "wrapped once more": {
        "code": "success",
        "data": {"code": 0, "data": {"task_id": "t-1", "task_status": "submitted"}},
    },
    "in a list": {"code": 0, "data": [{"id": "t-1", "status": "submitted"}]},
    "under another name": {"request_id": "r-1", "result": {"task_id": "t-1"}},
}


@for_each("body", SUBMISSIONS.values(), ids=SUBMISSIONS)
def test_a_submission_in_every_published_shape_names_its_task(body: Any) -> None:
    accepted = WIRE.parse_submission(answer(body), "av-1")
    assert accepted.id == "t-1"
    assert accepted.state in (State.QUEUED, State.RENDERING)


@for_each(
    ("body", "reason"),
    [
        ({"message": "no face was found", "fail_reason": "https://files.example.com/a.mp4"}, "no face was found"),
        ({"message": "no face was found", "fail_reason": "success"}, "no face was found"),
        ({"message": "the task was found", "code": 0, "fail_reason": "success"}, "no reason given"),
    ],
)
def test_a_task_s_own_message_says_why_it_failed_and_that_of_the_request_does_not(
    body: dict[str, Any], reason: str
) -> None:
    assert WIRE.parse_status(answer({"task_id": "t", "status": "failed", **body}), "t").error == reason


NEW_API_ERRORS: list[tuple[str, int, str, type[ServiceError]]] = [
    ("task_not_exist", 400, "task_not_exist", Rejected),
    ("fail_to_fetch_task", 400, "upstream said no", Rejected),
    ("fail_to_fetch_task", 429, "slow down", Busy),
    ("fail_to_fetch_task", 500, json.dumps({"code": 1303, "message": "parallel task over resource pack limit"}), Busy),
    ("fail_to_fetch_task", 500, json.dumps({"code": 1301, "message": "risk control"}), ContentRefused),
    ("fail_to_fetch_task", 500, json.dumps({"code": 1102, "message": "pack used up"}), Refused),
    ("fail_to_fetch_task", 502, "bad gateway", Unclear),
    ("model_price_error", 500, "no price for this model", Rejected),
    ("invalid_request", 500, "prompt is required", Rejected),
    ("do_request_failed", 500, "connection reset", Unclear),
    ("insufficient_user_quota", 403, "quota is used up", Refused),
    ("insufficient_quota", 429, "see your plan", Refused),
    ("content_filter", 400, "blocked", ContentRefused),
    ("moderation_blocked", 400, "no", ContentRefused),
    ("1003", 200, "too many requests", Refused),
]


@for_each(("word", "status", "message", "kind"), NEW_API_ERRORS, ids=lambda value: str(value)[:30])
def test_an_error_word_of_new_api_is_a_refusal_or_a_doubt(
    word: str, status: int, message: str, kind: type[ServiceError]
) -> None:
    with pytest.raises(ServiceError) as caught:
        WIRE.parse_submission(answer({"code": word, "message": message, "data": None}, status), "av-1")
    assert type(caught.value) is kind
    shown = json.loads(message)["message"] if message.startswith("{") else message
    assert shown in str(caught.value)
    assert "{" not in str(caught.value)


@for_each(
    ("body", "status"),
    [
        ({"code": 1101, "message": "Account is in arrears"}, 429),
        ({"code": 1101, "message": "Please contact us"}, 429),
        ({"code": 1102, "message": "Account balance not enough"}, 429),
        ({"code": 1102, "message": "Resource pack depleted or expired"}, 200),
        ({"code": "insufficient_user_quota", "message": "用户额度不足", "data": None}, 403),
        ({"error": {"message": "Payment required"}}, 402),
        ({"code": "quota_not_enough", "message": "预扣费额度失败", "data": None}, 403),
        ({"error": {"code": "insufficient_quota", "message": "You exceeded your current quota"}}, 429),
        ({"error": {"message": "Account balance not enough", "type": "upstream_error"}}, 429),
    ],
)
def test_an_account_that_cannot_pay_is_told_to_be_topped_up(body: dict[str, Any], status: int) -> None:
    with pytest.raises(Refused, match=r"Top up, then run again$") as caught:
        WIRE.parse_submission(answer(body, status), "av-1")
    assert (caught.value.wrong_key, str(caught.value).count("Top up")) == (False, 1)


@for_each(
    ("message", "headers"),
    [
        ("Insufficient quota", {}),
        ("Quota has been exhausted. You can submit the request after 49 seconds", {}),
        ("额度不足", {}),
        ("Insufficient balance: too many requests", {}),
        ("Insufficient balance", {"retry_after": "20"}),
    ],
)
def test_too_many_requests_are_no_empty_account_where_waiting_may_help(message: str, headers: dict[str, str]) -> None:
    with pytest.raises(Busy):
        WIRE.parse_submission(answer({"error": {"message": message}}, 429, **headers), "av-1")


def test_a_task_that_new_api_does_not_know_is_not_found() -> None:
    with pytest.raises(Rejected) as caught:
        WIRE.parse_status(answer({"code": "task_not_exist", "message": "task_not_exist", "data": None}, 400), "t-1")
    assert caught.value.status == 404


def task_dto(status: str, **more: Any) -> dict[str, Any]:
    about = {"id": 17, "task_id": "t-1", "platform": "kling", "progress": "100%", "fail_reason": "", "data": None}
    return {"code": "success", "message": "", "data": about | {"status": status} | more}


QUERIES: dict[str, tuple[Any, State]] = {
    "native": (
        {"code": 0, "data": {"task_id": "t-1", "task_status": "succeed", "task_result": RESULT}},
        State.COMPLETED,
    ),
    "wrapped, result_url": (task_dto("SUCCESS", result_url=URL), State.COMPLETED),
    "wrapped, link in fail_reason": (task_dto("SUCCESS", fail_reason=URL), State.COMPLETED),
    "wrapped, native inside": (
        task_dto("SUCCESS", data={"code": 0, "data": {"task_status": "succeed", "task_result": RESULT}}),
        State.COMPLETED,
    ),
    "wrapped, SUBMITTED": (task_dto("SUBMITTED"), State.QUEUED),
    "wrapped, QUEUED": (task_dto("QUEUED"), State.QUEUED),
    "wrapped, NOT_START": (task_dto("NOT_START"), State.QUEUED),
    "wrapped, IN_PROGRESS": (task_dto("IN_PROGRESS"), State.RENDERING),
    "wrapped, UNKNOWN": (task_dto("UNKNOWN"), State.RENDERING),
    "wrapped, FAILURE": (task_dto("FAILURE", fail_reason="moderated"), State.FAILED),
    "flat": ({"code": "success", "data": {"status": "succeeded", "url": URL, "format": "mp4"}}, State.COMPLETED),
    "flat, failed": (
        {"code": "success", "data": {"status": "failed", "error": {"message": "moderated"}}},
        State.FAILED,
    ),
    "bare": (
        {"task_id": "t-1", "status": "completed", "url": URL, "format": "mp4", "metadata": {"duration": 5, "fps": 24}},
        State.COMPLETED,
    ),
    "bare, failed": (
        {"task_id": "t-1", "status": "failed", "error": {"code": 400, "message": "moderated"}},
        State.FAILED,
    ),
    "openai video": (
        {"id": "t-1", "object": "video", "status": "completed", "progress": 100, "metadata": {"url": URL}},
        State.COMPLETED,
    ),
    "openai video, in progress": (
        {"id": "t-1", "object": "video", "status": "in_progress", "progress": 40},
        State.RENDERING,
    ),
    "openai video, unknown": ({"id": "t-1", "object": "video", "status": "unknown"}, State.RENDERING),
    "openai video, failed": (
        {"id": "t-1", "object": "video", "status": "failed", "error": {"message": "moderated", "code": "x"}},
        State.FAILED,
    ),
    "qiniu-like": ({"id": "t-1", "status": "succeed", "task_result": RESULT}, State.COMPLETED),
    "newest Kling, a list of tasks": (
        {"code": 0, "data": [{"id": "t-1", "external_id": "av-1", "status": "succeeded", "outputs": [{"url": URL}]}]},
        State.COMPLETED,
    ),
    "newest Kling, failed": (
        {"code": 0, "message": "SUCCEED", "data": [{"id": "t-1", "status": "failed", "message": "moderated"}]},
        State.FAILED,
    ),
}


@for_each(("body", "state"), QUERIES.values(), ids=QUERIES)
def test_a_query_in_every_published_shape_is_read(body: Any, state: State) -> None:
    seen = WIRE.parse_status(answer(body), "t-1")
    assert seen.state is state
    assert seen.video_url == (URL if state is State.COMPLETED else None)
    assert seen.error == ("moderated" if state is State.FAILED else None)


def test_an_openai_video_without_a_link_is_fetched_from_its_content_page() -> None:
    seen = WIRE.parse_status(answer({"id": "t/1", "object": "video", "status": "completed"}), "t/1")
    assert (seen.state, seen.video_url) == (State.COMPLETED, "/v1/videos/t%2F1/content")


@for_each(
    "body",
    [
        {"task_id": "t/1", "platform": "1", "status": "SUCCESS", "progress": "100%", "fail_reason": ""},
        task_dto("SUCCESS", task_id="t/1"),
    ],
    ids=["bare", "wrapped"],
)
def test_a_task_of_new_api_whose_link_is_kept_back_is_fetched_from_its_content_page(body: Any) -> None:
    seen = WIRE.parse_status(answer(body), "t/1")
    assert (seen.state, seen.video_url) == (State.COMPLETED, "/v1/videos/t%2F1/content")


@for_each(
    ("link", "asked"),
    [
        ("http://localhost:3000/v1/videos/t-1/content", "/v1/videos/t-1/content"),
        ("https://www.gw.example.com/v1/videos/t-1/content", "/v1/videos/t-1/content"),
        ("https://cdn.example.com/v1/videos/t-1/content?sig=1", None),
        ("https://behind.example.com/v1/videos/another/content", None),
        ("https://cdn.example.com/a.mp4", None),
    ],
)
def test_a_task_s_own_page_is_asked_for_at_the_gateway_whatever_host_it_names(link: str, asked: str | None) -> None:
    task = {"task_id": "t-1", "platform": "kling", "status": "SUCCESS", "result_url": link}
    assert WIRE.parse_status(answer({"code": "success", "data": task}), "t-1").video_url == (asked or link)


def test_all_clips_of_a_task_are_named_and_no_watermarked_one() -> None:
    videos = [{"url": URL, "watermark_url": "https://x/w.mp4"}, {"url": SECOND}, {"watermark_url": "https://x/v.mp4"}]
    task = {"task_id": "t-1", "task_status": "succeed", "task_result": {"videos": videos}}
    seen = WIRE.parse_status(answer({"code": 0, "data": task}), "t-1")
    assert (seen.video_url, seen.video_urls) == (URL, (URL, SECOND))


def test_a_watermarked_clip_alone_is_not_the_clip() -> None:
    task = {"task_id": "t-1", "task_status": "succeed", "task_result": {"videos": [{"watermark_url": URL}]}}
    assert not WIRE.parse_status(answer({"code": 0, "data": task}), "t-1").ended


@for_each(
    ("word", "state"),
    [
        (" Succeed ", State.COMPLETED),
        ("SUCCEEDED", State.COMPLETED),
        ("Done", State.COMPLETED),
        ("finished", State.COMPLETED),
        ("surprising", State.COMPLETED),
        ("In Progress", State.RENDERING),
        ("not-start", State.QUEUED),
    ],
)
def test_a_word_is_read_in_any_case_and_an_unknown_one_beside_a_link_is_the_end(word: str, state: State) -> None:
    links = {"url": URL} if state is State.COMPLETED else {}
    assert WIRE.parse_status(answer({"task_id": "t-1", "status": word, **links}), "t-1").state is state


@for_each("word", ["Cancelled", "canceled", "EXPIRED", "rejected ", "fail", "timeout", "timed out"])
def test_a_word_that_ends_badly_is_a_failure_with_its_reason(word: str) -> None:
    seen = WIRE.parse_status(answer({"task_id": "t-1", "status": word, "fail_reason": "so it is"}), "t-1")
    assert (seen.state, seen.error) == (State.FAILED, "so it is")


@pytest.mark.parametrize("word", ["surprising", "completed"])
def test_a_word_without_a_link_beside_an_error_is_a_failure(word: str) -> None:
    seen = WIRE.parse_status(answer({"task_id": "t-1", "status": word, "error": "so it is"}), "t-1")
    assert (seen.state, seen.error) == (State.FAILED, "so it is")


def test_the_state_beside_a_wrapped_task_is_about_the_request() -> None:
    body = {"status": "success", "code": 0, "data": {"task_id": "t-1", "task_status": "processing"}}
    assert WIRE.parse_status(answer(body), "t-1").status == "processing"


@for_each(
    "body",
    [
        {"code": 0, "message": "SUCCEED", "data": {"task_status": "failed", "task_status_msg": "moderated"}},
        {"status": "failed", "error": {"message": "moderated"}},
        {"error": {"message": "moderated", "type": "invalid_request_error"}},
        {"base_resp": {"status_code": 2013, "status_msg": "moderated"}},
        {"success": False, "message": "moderated"},
        {"errcode": 17, "errmsg": "moderated"},
        {"detail": [{"loc": ["body", "prompt"], "msg": "moderated"}]},
        {"code": 0, "data": {"error": "moderated"}},
    ],
)
def test_a_submission_that_failed_and_names_no_task_is_rejected_not_in_doubt(body: Any) -> None:
    with pytest.raises(Rejected, match="moderated"):
        WIRE.parse_submission(answer(body), "av-1")


def test_a_failed_task_behind_an_error_code_is_a_failed_task() -> None:
    body = {"code": 1301, "message": "failed", "data": {"task_id": "t-1", "task_status": "failed"}}
    assert WIRE.parse_status(answer(body), "t-1").state is State.FAILED


@for_each("task", [{"task_id": "t-1", "task_status": "processing"}, {"task_id": "t-1"}, {"task_status": "failed"}])
def test_too_many_checks_is_about_the_check_where_no_ended_task_stands_beside_it(task: dict[str, str]) -> None:
    body = {"code": 1302, "message": "too many requests", "data": task}
    with pytest.raises(Busy, match="too many requests"):
        WIRE.parse_status(answer(body), "t-1")


@pytest.mark.parametrize(
    "body", [b"404 page not found", {"error": {"message": "Invalid URL (POST /kling/v1/videos/text2video)"}}]
)
def test_a_404_on_the_path_itself_is_about_the_setting_and_not_about_the_job(body: Any) -> None:
    with pytest.raises(Refused, match="--base-url"):
        WIRE.parse_submission(answer(body, 404), "av-1")
    with pytest.raises(Rejected):
        WIRE.parse_status(answer(body, 404), "t-1")


def test_no_channel_for_a_model_is_this_model_s_fault_not_the_service_away() -> None:
    body = {"error": {"code": "model_not_found", "message": "no channel for kling-v9", "type": "new_api_error"}}
    with pytest.raises(Rejected, match="no channel") as caught:
        WIRE.parse_submission(answer(body, 503), "av-1")
    assert not isinstance(caught.value, Unavailable)


@for_each(
    ("task", "units"),
    [
        ({"final_unit_deduction": "1.5"}, 1.5),
        ({"billing": [{"charge_type": "unit", "amount": "2"}, {"charge_type": "unit", "amount": 1}]}, 3.0),
        ({"billing": [{"charge_type": "unit", "amount": "2", "currency": ""}]}, 2.0),
        ({"billing": [{"charge_type": "cash", "amount": "2"}]}, None),
        ({"final_unit_deduction": "many"}, None),
        ({"final_unit_deduction": "0", "final_balance_deduction": {"quota": "0.6", "list_price": "0.7"}}, None),
        ({"final_unit_deduction": "2", "final_balance_deduction": {"quota": "0.6", "list_price": "0.7"}}, 2.0),
        ({"final_unit_deduction": "0", "final_balance_deduction": {"quota": "0", "list_price": "0"}}, 0.0),
        ({}, None),
    ],
)
def test_units_are_a_cost_of_their_own_and_never_dollars(task: dict[str, Any], units: float | None) -> None:
    seen = WIRE.parse_status(
        answer({"code": 0, "data": {"task_id": "t", "task_status": "succeed", "task_result": RESULT, **task}}), "t"
    )
    assert (seen.cost_units, seen.cost_usd) == (units, None)
