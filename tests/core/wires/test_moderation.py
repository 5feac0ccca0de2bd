"""A refusal of content is told from every other answer, in each service's own words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aimlvideo.core.jobs.columns import columns_of, progress_of
from aimlvideo.core.jobs.progress import Progress
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.wires.aimlapi import AimlApi
from aimlvideo.core.wires.answers import State
from aimlvideo.core.wires.base import Wire
from aimlvideo.core.wires.kling import Kling
from aimlvideo.core.wires.refusals import refused_input, refuses_content
from aimlvideo.errors import ContentRefused, GenerationFailed, Refused, Rejected, ServiceError
from tests.cases import for_each
from tests.core.wires.answers import answer

AIMLAPI, KLING = AimlApi(), Kling()

REFUSALS = [
    ("Failure to pass the risk control system", None),
    ("Content policy: the input may be unsafe", None),
    ("The prompt was rejected by the content policy", "prompt"),
    ("Input data may contain inappropriate content.", None),
    ("DataInspectionFailed", None),
    ("The request failed because the input image may contain sensitive information.", "image"),
    ("InputTextSensitiveContentDetected", "prompt"),
    ("OutputVideoSensitiveContentDetected", None),
    ("Your request was blocked by our moderation system.", None),
    ("Your request was rejected as a result of our safety system.", None),
    ("frame moderation failed for image_list[1]", "image_list[1]"),
    ("SAFETY.INPUT.TEXT", "prompt"),
    ("input new_sensitive", None),
    ("This prompt contains sensitive words that violate Google's Responsible AI practices", "prompt"),
    ("last_image_url: flagged as nsfw", "last_image_url"),
    ("the prompt and the image violate our usage policies", None),
    ("提示词包含敏感内容", "prompt"),
    ("视频生成失败: 内容不符合规范", None),
]


@for_each(("message", "field"), REFUSALS)
def test_the_words_of_a_refusal_are_recognised_and_name_the_input_where_they_do(
    message: str, field: str | None
) -> None:
    assert refuses_content(message)
    assert refused_input(message) == field


@for_each(
    "message",
    [
        "Body validation error",
        "safety_checker: expected a boolean",
        "model names are case-sensitive",
        "duration: expected 5 or 10, got 7",
        "the moderation service is temporarily unavailable",
        "Moderation timed out",
        "your plan's retry policy allows 5 requests",
        "image_url: the picture is too small",
        "图片尺寸不符合规范",
        "use moderate camera motion",
    ],
)
def test_what_only_sounds_like_one_is_none(message: str) -> None:
    assert not refuses_content(message)


@for_each("status", [400, 403, 422])
@for_each("name", ["message", "error", "detail"])
def test_ai_ml_api_refuses_the_content_of_a_submission(name: str, status: int) -> None:
    with pytest.raises(ContentRefused, match="content policy") as caught:
        AIMLAPI.parse_submission(answer({name: "The prompt was rejected by the content policy"}, status), "av-1")
    assert (caught.value.field, caught.value.status, caught.value.request_id) == ("prompt", status, "av-1")


@for_each("wire", [AIMLAPI, KLING], ids=["aimlapi", "kling"])
@for_each("status", [200, 400, 403, 422])
@for_each("part", [b"p", b"title"])
def test_a_page_of_whoever_lies_in_between_refuses_no_content(wire: Wire, part: bytes, status: int) -> None:
    words = b"Blocked: your request is a security policy violation"
    page = answer(b"\n<!DOCTYPE html><%b>%b</%b>" % (part, words, part), status)
    for read in (lambda: wire.parse_submission(page, "av-1"), lambda: wire.parse_status(page, "g-1")):
        with pytest.raises(ServiceError) as caught:
            read()
        assert not isinstance(caught.value, ContentRefused)


def test_a_forbidden_key_is_still_the_account_s_fault() -> None:
    with pytest.raises(Refused):
        AIMLAPI.parse_submission(answer({"message": "Your key has no access to this model"}, 403), "av-1")


@for_each(
    ("error", "field"),
    [
        ({"name": "ContentPolicyViolation", "message": "The prompt may be unsafe"}, "prompt"),
        ({"detail": [{"loc": ["body", "image_url"], "msg": "flagged by moderation"}]}, "image_url"),
        ({"detail": [{"loc": ["body", "prompt"], "msg": "blocked", "type": "content_policy_violation"}]}, "prompt"),
        ("ContentPolicyViolation: withheld", None),
    ],
)
def test_a_generation_of_ai_ml_api_ends_refused(error: Any, field: str | None) -> None:
    generation = AIMLAPI.parse_status(answer({"id": "g", "status": "error", "error": error}), "g")
    assert generation.content_refused
    assert generation.refused_input == field


@for_each("wire", [AIMLAPI, KLING], ids=["aimlapi", "kling"])
@for_each("word", ["Request Moderated", "CONTENT_MODERATED", "nsfw"])
def test_a_status_word_alone_tells_that_the_content_was_refused(wire: Wire, word: str) -> None:
    generation = wire.parse_status(answer({"id": "g", "status": word, "video": None, "error": None}), "g")
    assert (generation.state, generation.content_refused) == (State.FAILED, True)
    assert word in str(generation.error)


@for_each("wire", [AIMLAPI, KLING], ids=["aimlapi", "kling"])
def test_a_clip_that_was_withheld_failed_though_its_status_is_completed(wire: Wire) -> None:
    body = {"id": "g", "status": "completed", "video": None, "raiMediaFilteredReasons": ["Responsible AI: 58061214"]}
    generation = wire.parse_status(answer(body), "g")
    assert (generation.state, generation.content_refused) == (State.FAILED, True)


@for_each("wire", [AIMLAPI, KLING], ids=["aimlapi", "kling"])
@for_each(
    "withheld",
    [
        {"video": {"respect_moderation": False}},
        {"video": None, "respect_moderation": False},
        {"video": None, "raiMediaFilteredCount": 1},
    ],
    ids=str,
)
def test_a_flag_alone_tells_that_a_clip_is_withheld(wire: Wire, withheld: dict[str, Any]) -> None:
    generation = wire.parse_status(answer({"id": "g", "status": "completed", **withheld}), "g")
    assert (generation.state, generation.content_refused) == (State.FAILED, True)


@for_each("wire", [AIMLAPI, KLING], ids=["aimlapi", "kling"])
def test_a_clip_that_is_there_was_not_withheld_whatever_its_flag_says(wire: Wire) -> None:
    clip = {"url": "https://files.example.com/a.mp4", "respect_moderation": False}
    assert wire.parse_status(answer({"id": "g", "status": "done", "video": clip}), "g").state is State.COMPLETED


@for_each("wire", [AIMLAPI, KLING], ids=["aimlapi", "kling"])
@for_each("error", ["<html>{}</html>", "bad gateway: <!DOCTYPE html><p>{}</p>", {"message": "<HTML>{}"}], ids=str)
def test_a_page_that_a_failed_generation_quotes_refuses_no_content(wire: Wire, error: Any) -> None:
    quoted = json.loads(json.dumps(error).replace("{}", "Blocked: a content policy violation"))
    generation = wire.parse_status(answer({"id": "g", "status": "failed", "error": quoted}), "g")
    assert (generation.state, generation.content_refused) == (State.FAILED, False)


def test_a_reason_beside_a_partner_s_code_is_read_once_the_generation_has_failed() -> None:
    refused = {
        "task_id": "g",
        "status": "Fail",
        "base_resp": {"status_code": 1026, "status_msg": "input new_sensitive"},
    }
    assert AIMLAPI.parse_status(answer(refused), "g").content_refused
    plain = {"task_id": "g", "status": "Fail", "base_resp": {"status_code": 0, "status_msg": "success"}}
    assert AIMLAPI.parse_status(answer(plain), "g").error == "no reason given"


def test_a_generation_that_failed_for_another_reason_was_not_refused() -> None:
    failed = {"id": "g", "status": "error", "error": {"name": "InferenceError", "message": "no GPU"}}
    assert not AIMLAPI.parse_status(answer(failed), "g").content_refused
    task = {"code": 0, "data": {"task_id": "t", "task_status": "failed", "task_status_msg": "Internal error"}}
    assert not KLING.parse_status(answer(task), "t").content_refused


@for_each(
    ("body", "status", "field"),
    [
        ({"code": 1301, "message": "Content policy: the input may be unsafe"}, 400, None),
        ({"code": 1300, "message": "The image triggers the platform's strategy"}, 400, "image"),
        ({"code": "sensitive_words_detected", "message": "user sensitive words detected"}, 400, None),
        ({"code": 1201, "message": "prompt contains sensitive words"}, 400, "prompt"),
        ({"error": {"message": "Your prompt was flagged as harmful", "type": "invalid_request_error"}}, 400, "prompt"),
        ({"task_status": "failed", "task_status_msg": "Failure to pass the risk control system"}, 200, None),
    ],
)
def test_kling_and_its_gateways_refuse_the_content_of_a_submission(body: Any, status: int, field: str | None) -> None:
    with pytest.raises(ContentRefused) as caught:
        KLING.parse_submission(answer(body, status), "av-1")
    assert caught.value.field == field


@for_each(
    "body",
    [
        {"code": 0, "data": {"task_status": "failed", "task_status_msg": "Failure to pass the risk control system"}},
        {"code": 0, "data": {"task_status": "failed", "task_status_msg": "1301: unsafe"}},
        {"code": 1301, "message": "no", "data": {"task_id": "t", "task_status": "failed"}},
        {"code": "success", "data": {"status": "FAILURE", "fail_reason": "the prompt violates the content rules"}},
        {"task_id": "t", "status": "failed", "error": {"code": 400, "message": "moderation_blocked"}},
    ],
)
def test_a_task_of_kling_ends_refused_in_every_shape(body: Any) -> None:
    assert KLING.parse_status(answer(body), "t").content_refused


@for_each(
    ("body", "reason"),
    [
        ({"error": {"code": "content_policy_violation", "message": "No clip"}}, "content_policy_violation: No clip"),
        ({"error": {"code": "content_filter", "message": "No clip"}}, "content_filter: No clip"),
        ({"error": {"code": 1301, "message": "No clip"}}, "1301: No clip"),
        ({"error": {"type": "moderation_blocked", "code": "x", "message": "No clip"}}, "moderation_blocked: No clip"),
        ({"error": {"code": "content_filter"}, "task_status_msg": "No clip"}, "content_filter: No clip"),
        ({"error": {"code": "content_filter", "message": "Our safety system said no"}}, "Our safety system said no"),
    ],
)
def test_a_code_of_moderation_counts_beside_a_neutral_message(body: Any, reason: str) -> None:
    for task in ({"task_id": "t", "status": "failed"} | body, {"data": {"id": "t", "status": "failed"} | body}):
        seen = KLING.parse_status(answer(task), "t")
        assert (seen.content_refused, seen.error) == (True, reason)


def test_a_word_beside_a_failed_task_is_read_as_its_code() -> None:
    body = {"code": "content_filter", "message": "No clip", "data": {"task_id": "t", "task_status": "failed"}}
    assert KLING.parse_status(answer(body), "t").content_refused


@for_each("error", [{"code": "server_error", "message": "No clip"}, {"code": 500, "message": "No clip"}])
def test_another_code_beside_a_neutral_message_is_no_moderation(error: Any) -> None:
    seen = KLING.parse_status(answer({"task_id": "t", "status": "failed", "error": error}), "t")
    assert (seen.content_refused, seen.error) == (False, "No clip")


def test_a_task_that_nobody_has_is_no_refusal_whatever_its_message_says() -> None:
    with pytest.raises(ServiceError) as caught:
        KLING.parse_status(answer({"code": 1203, "message": "no such task: see our content policy"}, 404), "t")
    assert type(caught.value) is Rejected


def test_a_journal_keeps_that_a_job_was_refused_and_which_input_it_was() -> None:
    error = ContentRefused("the prompt: was refused", field="prompt", generation_id="g")
    kept = progress_of(columns_of(Progress(Stage.FAILED, generation_id="g", request_id="av-1", error=error))).error
    assert isinstance(kept, ContentRefused)
    assert isinstance(kept, GenerationFailed)
    assert isinstance(kept, Rejected)
    assert (str(kept), kept.field, kept.generation_id, kept.request_id) == (str(error), "prompt", "g", "av-1")
