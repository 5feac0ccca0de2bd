"""Answers in shapes that services of this family give beside the documented ones: errors, reasons, places of links."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest

from aimlvideo.core.links import resolve_link
from aimlvideo.core.wires.aimlapi import AimlApi
from aimlvideo.core.wires.answers import State
from aimlvideo.core.wires.base import Wire
from aimlvideo.core.wires.http import Answer
from aimlvideo.core.wires.kling import Kling
from aimlvideo.errors import Busy, ContentRefused, Refused, Rejected, ServiceError, Unclear
from tests.cases import for_each
from tests.core.wires.answers import answer

WIRES: dict[str, Wire] = {"aimlapi": AimlApi(), "kling": Kling()}
both = for_each("wire", WIRES.values(), ids=WIRES)
FILM = "https://cdn.example.com/a.mp4?sig=a%2Bb"
OTHER = "https://cdn.example.com/b.mp4"

REFUSALS: dict[str, tuple[Any, type[ServiceError], str]] = {
    "nested error object": ({"data": {"error": {"code": "E7", "message": "no such voice"}}}, Rejected, "no such voice"),
    "nested error text": ({"data": {"error": "bad prompt"}}, Rejected, "bad prompt"),
    "success false": ({"success": False, "message": "no such voice"}, Rejected, "no such voice"),
    "success as a text": ({"success": "false", "message": "no such voice"}, Rejected, "no such voice"),
    "ok false": ({"ok": False, "error": "no such voice"}, Rejected, "no such voice"),
    "errcode": ({"errcode": 40035, "errmsg": "no such voice"}, Rejected, "no such voice"),
    "ret": ({"ret": 1, "msg": "no such voice"}, Rejected, "no such voice"),
    "retcode": ({"retcode": 10001, "message": "no such voice"}, Rejected, "no such voice"),
    "status error": ({"status": "error", "message": "no such voice"}, Rejected, "no such voice"),
    "status fail": ({"status": "fail", "msg": "no such voice"}, Rejected, "no such voice"),
    "an array": ([{"error": {"message": "no such voice"}}], Rejected, "no such voice"),
    "errors": ({"errors": [{"message": "no such voice"}, {"message": "b"}]}, Rejected, "no such voice; b"),
    "Code and Message": ({"Code": "InvalidParameter", "Message": "no such voice"}, Rejected, "no such voice"),
    "ResponseMetadata": (
        {"ResponseMetadata": {"Error": {"Code": "NoVoice", "Message": "no such voice"}}},
        Rejected,
        "no such voice",
    ),
    "problem details": ({"title": "Bad", "status": 400, "detail": "no such voice"}, Rejected, "no such voice"),
    "fault": ({"fault": {"faultstring": "no such voice"}}, Rejected, "no such voice"),
    "a key nobody knows": ({"success": False, "message": "Invalid API key"}, Refused, "Invalid API key"),
    "not authenticated": ({"detail": "Not authenticated"}, Refused, "Not authenticated"),
    "too often": ({"success": False, "message": "Too many requests"}, Busy, "Too many requests"),
    "a quota violation is no content": ({"fault": {"faultstring": "Rate limit quota violation"}}, Busy, "quota"),
    "content": ({"success": False, "message": "the prompt was flagged as harmful"}, ContentRefused, "flagged"),
}


@both
@for_each(("body", "kind", "words"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_under_http_200_is_one_in_the_service_s_words(
    wire: Wire, body: Any, kind: type[ServiceError], words: str
) -> None:
    with pytest.raises(ServiceError) as caught:
        wire.parse_submission(answer(body), "av-1")
    assert type(caught.value) is kind
    assert words in str(caught.value)


@both
@for_each(("body", "code"), [({"errcode": 40035, "errmsg": "x"}, 40035), ({"ret": "17", "msg": "x"}, 17)])
def test_the_code_of_an_error_is_kept(wire: Wire, body: Any, code: int) -> None:
    with pytest.raises(Rejected) as caught:
        wire.parse_submission(answer(body), "av-1")
    assert caught.value.code == code


@both
def test_an_id_that_no_index_of_a_database_can_hold_names_no_generation(wire: Wire) -> None:
    endings: dict[int, AbstractContextManager[Any]] = {512: nullcontext(), 513: pytest.raises(Unclear)}
    for length, ending in endings.items():
        name = "g" * length
        told = {"id": name, "code": 0, "data": {"task_id": name, "task_status": "submitted"}}
        with ending:
            assert wire.parse_submission(answer(told), "av-1").id == name


@both
@for_each("body", [[], 5, "text", True, {}, {"message": "Internal Server Error"}, {"ret": 0}])
def test_what_says_neither_yes_nor_no_stays_in_doubt(wire: Wire, body: Any) -> None:
    with pytest.raises(Unclear):
        wire.parse_submission(answer(body), "av-1")


@both
@for_each(
    "body",
    [
        {"generationId": "g-1", "status": "queued"},
        {"errcode": 0, "errmsg": "ok", "data": {"task_id": "g-1"}},
        {"ret": 0, "data": {"id": "g-1", "status": "queued"}},
        {"output": {"task_id": "g-1", "task_status": "PENDING"}, "request_id": "r-1"},
        {"code": 0, "data": json.dumps({"task_id": "g-1", "task_status": "submitted"})},
    ],
    ids=str,
)
def test_a_submission_that_was_accepted_names_its_id(wire: Wire, body: Any) -> None:
    accepted = wire.parse_submission(answer(body), "av-1")
    assert accepted.id == "g-1"
    assert not accepted.ended


PLACES: dict[str, Any] = {
    "video": {"video": {"url": FILM}},
    "video.uri": {"video": {"uri": FILM}},
    "video.urls": {"video": {"urls": [FILM]}},
    "video.download_url": {"video": {"download_url": FILM}},
    "videos": {"videos": {"url": FILM}},
    "videoUrl": {"videoUrl": FILM},
    "output": {"output": FILM},
    "output, a list": {"output": [FILM]},
    "output.video": {"output": {"video": FILM}},
    "output.videos": {"output": {"videos": [{"url": FILM}]}},
    "output.results": {"output": {"results": [{"url": FILM}]}},
    "result": {"result": FILM},
    "result.url": {"result": {"url": FILM}},
    "result.video": {"result": {"video": {"url": FILM}}},
    "results": {"results": [{"url": FILM}]},
    "data.url": {"data": {"url": FILM}},
    "data, a list": {"data": [{"url": FILM}]},
    "urls": {"urls": [FILM]},
    "generation.video": {"generation": {"video": FILM}},
    "assets.video": {"assets": {"video": FILM}},
    "content.video_url": {"content": {"video_url": FILM}},
    "file.download_url": {"file": {"download_url": FILM}},
    "task_result": {"task_result": {"videos": [{"url": FILM}]}},
}


@both
@for_each("body", PLACES.values(), ids=PLACES)
def test_a_finished_clip_is_found_wherever_its_link_stands(wire: Wire, body: Any) -> None:
    seen = wire.parse_status(answer({"id": "g-1", "status": "completed", **body}), "g-1")
    assert (seen.state, seen.video_urls) == (State.COMPLETED, (FILM,))


@both
@for_each(
    "body", [{"urls": [FILM, OTHER]}, {"results": [{"url": FILM}, {"url": OTHER}]}, {"output": [FILM, OTHER]}], ids=str
)
def test_all_clips_are_found_wherever_they_stand(wire: Wire, body: Any) -> None:
    seen = wire.parse_status(answer({"id": "g-1", "status": "completed", **body}), "g-1")
    assert seen.video_urls == (FILM, OTHER)


@both
@for_each(
    "body",
    [
        {"output_url": FILM},
        {"video": {"video": {"url": FILM}}},
        {"video": {"url": [FILM]}},
        {"response": {"generateVideoResponse": {"generatedSamples": [{"video": {"uri": FILM}}]}}},
        {"response": {"clips": [{"video": {"uri": "https://cdn.example.com/v1/files/7:download"}}]}},
        {"outputs": [{"type": "video", "value": FILM}]},
        {"output": {"works": [{"cover": {"resource": OTHER}, "resource": {"resource": FILM}}]}},
    ],
    ids=str,
)
def test_a_clip_that_is_surely_there_is_found_in_unusual_places(wire: Wire, body: Any) -> None:
    echo = {"input": {"video_url": OTHER}, "thumbnail_url": OTHER}
    completed = {"id": "g-1", "status": "completed", **echo, **body}
    assert wire.parse_status(answer(completed), "g-1").video_urls in (
        (FILM,),
        ("https://cdn.example.com/v1/files/7:download",),
    )


@both
@for_each("place", ["task_info", "taskInfo", "clips"])
def test_the_video_that_a_clip_was_made_of_is_not_taken_for_it(wire: Wire, place: str) -> None:
    body = {"task_id": "g-1", "task_status": "succeed", "task_result": {"videos": []}}
    made_of = {"parent_video": {"id": "v-1", "url": OTHER, "duration": "5"}}
    assert wire.parse_status(answer({**body, place: made_of}), "g-1").state is State.RENDERING
    if place != "clips":
        begun_with = {"first_video": {"id": "v-1", "url": OTHER}}
        assert wire.parse_status(answer({**body, place: begun_with}), "g-1").state is State.RENDERING


@both
@for_each(
    "behind",
    [b"\n<!-- served by a proxy -->", b'\n{"id": "g-2"}', b', "of": ' + b"9" * 5000 + b"}"],
    ids=lambda behind: behind[:12],
)
def test_what_stands_behind_an_answer_hides_nothing_of_it(wire: Wire, behind: bytes) -> None:
    body = json.dumps({"id": "g-1", "status": "completed", "video": {"url": FILM}}).encode()
    seen = wire.parse_status(
        Answer.of(body.removesuffix(b"}") + behind if behind.startswith(b",") else body + behind), "g-1"
    )
    assert seen.video_urls == (FILM,)


@both
def test_an_answer_in_utf_16_is_read(wire: Wire) -> None:
    body = json.dumps({"id": "g-1", "status": "completed", "video": {"url": FILM}}).encode("utf-16")
    assert wire.parse_status(Answer.of(body), "g-1").video_urls == (FILM,)


@both
@for_each(
    ("clip", "link"),
    [
        ({"resource": "https://cdn.example/marked.mp4", "resource_without_watermark": FILM}, FILM),
        ({"resource_without_watermark": FILM, "resource": "https://cdn.example/marked.mp4"}, FILM),
        ({"resource": FILM, "resource_without_watermark": ""}, FILM),
        ({"resource": FILM}, FILM),
    ],
    ids=str,
)
def test_the_clip_without_a_watermark_is_taken_where_there_are_both(wire: Wire, clip: Any, link: str) -> None:
    work = {"cover": {"resource": "https://cdn.example/c.jpg", "resource_without_watermark": ""}, "video": clip}
    seen = wire.parse_status(answer({"id": "g-1", "status": "completed", "output": {"works": [work]}}), "g-1")
    assert seen.video_urls == (link,)


@both
@for_each(
    "body",
    [
        {"input": {"video_url": FILM}},
        {"params": {"video": FILM}},
        {"result": "a dancer in the rain"},
        {"data": [{"cover": FILM}]},
        {"thumbnail_url": FILM},
        {"output": {"watermark_url": FILM}},
    ],
    ids=str,
)
def test_what_was_sent_and_what_is_no_clip_is_not_taken_for_the_clip(wire: Wire, body: Any) -> None:
    seen = wire.parse_status(answer({"id": "g-1", "status": "completed", **body}), "g-1")
    assert (seen.state, seen.video_urls) == (State.RENDERING, ())


@both
@for_each(
    "body",
    [
        {"message": "no GPU"},
        {"reason": "no GPU"},
        {"failure_reason": "no GPU"},
        {"fail_reason": "no GPU"},
        {"errors": ["no GPU"]},
        {"error": {"message": "no GPU"}},
        {"error": {"reason": "no GPU"}},
        {"failure": {"reason": "no GPU"}},
        {"error_message": "no GPU"},
        {"raiMediaFilteredReasons": ["no GPU"]},
    ],
    ids=str,
)
def test_a_failure_has_its_reason_wherever_that_stands(wire: Wire, body: Any) -> None:
    seen = wire.parse_status(answer({"id": "g-1", "status": "failed", **body}), "g-1")
    assert (seen.state, seen.error) == (State.FAILED, "no GPU")


@both
@for_each(
    ("body", "state"),
    [
        ({"status": "unknown"}, State.RENDERING),
        ({"status": "UNKNOWN", "video_url": FILM}, State.COMPLETED),
        ({"status": " Unknown", "error": {"message": "no GPU"}}, State.FAILED),
        ({"status": "UNKNOWN", "fail_reason": "no GPU"}, State.FAILED),
        ({"status": "UNKNOWN", "fail_reason": "", "error": None}, State.RENDERING),
    ],
    ids=str,
)
def test_a_service_that_does_not_know_the_status_says_it_with_the_clip_or_the_reason(
    wire: Wire, body: Any, state: State
) -> None:
    assert wire.parse_status(answer({"id": "g-1", **body}), "g-1").state is state


@both
def test_a_word_of_success_around_a_generation_is_about_the_request(wire: Wire) -> None:
    body = {"status": "success", "data": {"id": "g-1", "status": "processing"}}
    seen = wire.parse_status(answer(body), "g-1")
    assert (seen.state, seen.status) == (State.RENDERING, "processing")


@both
@for_each("status", [400, 404, 409, 500, 502])
def test_a_clip_that_is_there_is_done_whatever_the_http_status_says(wire: Wire, status: int) -> None:
    seen = wire.parse_status(answer({"id": "g-1", "status": "completed", "video": {"url": FILM}}, status), "g-1")
    assert (seen.state, seen.video_url) == (State.COMPLETED, FILM)


@both
@for_each("status", [400, 422])
def test_a_generation_that_an_answer_shows_failed_has_failed_though_its_status_refuses_the_question(
    wire: Wire, status: int
) -> None:
    body = {"id": "g-1", "status": "failed", "error": {"message": "no face in the picture"}}
    seen = wire.parse_status(answer(body, status), "g-1")
    assert (seen.state, seen.error) == (State.FAILED, "no face in the picture")


@both
@for_each(
    ("body", "status"),
    [
        ({"id": "g-1", "status": "failed", "error": {"message": "no worker answered"}}, 502),
        ({"id": "g-1", "status": "error", "error": {"message": "slow down"}}, 429),
        ({"id": "g-1", "status": "failed", "error": {"message": "no such key"}}, 401),
        ({"status": "error", "error": {"message": "no such page"}}, 400),
        ({"id": "g-1", "status": "generating"}, 400),
        ({"id": "g-1", "status": "completed"}, 400),
    ],
    ids=str,
)
def test_any_other_refused_question_says_nothing_of_a_generation(wire: Wire, body: Any, status: int) -> None:
    with pytest.raises(ServiceError):
        wire.parse_status(answer(body, status), "g-1")


@both
@for_each(
    ("body", "kind"),
    [
        ({"status": "error", "message": "Too many requests, slow down"}, Busy),
        ({"status": "fail", "message": "Request frequency exceeded"}, Busy),
        ({"status": "error", "message": "Internal error"}, Unclear),
        ({"status": "error", "message": "Unauthorized", "request_id": "r-1"}, Unclear),
    ],
    ids=str,
)
def test_an_error_that_names_no_generation_is_that_of_the_check(
    wire: Wire, body: Any, kind: type[ServiceError]
) -> None:
    with pytest.raises(ServiceError) as caught:
        wire.parse_status(answer(body), "g-1")
    assert type(caught.value) is kind


@for_each("body", [{"id": "req-9", "error": {"message": "no such page"}}, {"id": "req-9", "error": "Internal error"}])
def test_an_error_beside_another_id_and_without_a_status_is_that_of_the_check(body: Any) -> None:
    wire = WIRES["aimlapi"]
    with pytest.raises(Unclear):
        wire.parse_status(answer(body), "g-1")
    assert wire.parse_status(answer({**body, "id": "g-1"}), "g-1").state is State.FAILED
    assert wire.parse_status(answer({**body, "status": "error"}), "g-1").state is State.FAILED


@both
@for_each(
    "words",
    [
        "Too many concurrent generations",
        "Concurrency limit exceeded",
        "You have reached the maximum number of concurrent tasks",
        "parallel task over resource pack limit",
        "code: 1303, message: no",
        "The number of parallel requests exceeds your plan",
        "too many active tasks, wait for one to finish",
    ],
)
@for_each(
    ("body", "status"),
    [
        ({"message": "WORDS"}, 400),
        ({"message": "WORDS"}, 403),
        ({"error": {"message": "WORDS"}}, 409),
        ({"message": "WORDS"}, 429),
        ({"code": "fail_to_fetch_task", "message": "WORDS", "data": None}, 200),
        ({"success": False, "message": "WORDS"}, 200),
    ],
    ids=str,
)
def test_too_many_at_once_passes_by_waiting_under_any_status(wire: Wire, body: Any, status: int, words: str) -> None:
    said = json.loads(json.dumps(body).replace("WORDS", words))
    with pytest.raises(Busy) as caught:
        wire.parse_submission(answer(said, status), "av-1")
    assert caught.value.limit == "outstanding"


@both
@for_each(
    "words",
    [
        "video frame rate limit is 24 to 60 fps",
        "The bitrate limit of 50 Mbps is exceeded",
        "sample-rate limit: 48 kHz",
        "采样频率不支持",
        "too many active elements in element_list",
        "too many simultaneous people in the picture",
    ],
)
def test_a_limit_of_what_a_job_is_made_of_is_not_waited_for(wire: Wire, words: str) -> None:
    with pytest.raises(Rejected):
        wire.parse_submission(answer({"message": words, "code": 400}, 400), "av-1")


@both
@for_each(
    "words",
    [
        "The model is overloaded, please try again later",
        "the system is busy",
        "we are at capacity",
        "系统繁忙",
        "The upstream load of this group is saturated",
        "当前分组上游负载已饱和",
    ],
)
@for_each(
    ("body", "status"),
    [
        ({"message": "WORDS"}, 400),
        ({"error": {"message": "WORDS"}}, 200),
        ({"success": False, "message": "WORDS"}, 200),
    ],
    ids=str,
)
def test_a_service_that_is_busy_is_asked_again_under_any_status(wire: Wire, body: Any, status: int, words: str) -> None:
    said = json.loads(json.dumps(body).replace("WORDS", words))
    with pytest.raises(Busy):
        wire.parse_submission(answer(said, status), "av-1")


@both
@for_each(
    "words",
    [
        "two parallel lines are not allowed",
        "image 1303 is too small",
        "4 running dogs at most",
        "colours are saturated",
    ],
)
def test_what_only_sounds_like_too_many_at_once_refuses_the_job(wire: Wire, words: str) -> None:
    with pytest.raises(Rejected):
        wire.parse_submission(answer({"message": words}, 400), "av-1")


@both
def test_a_message_alone_is_no_failure(wire: Wire) -> None:
    seen = wire.parse_status(answer({"id": "g-1", "status": "pondering", "message": "soon"}), "g-1")
    assert seen.state is State.RENDERING


@for_each(
    ("link", "address"),
    [
        ("//cdn.x/a.mp4?s=1%2B", "https://cdn.x/a.mp4?s=1%2B"),
        ("/files/a.mp4", "https://api.example.com/files/a.mp4"),
        ("files/a.mp4?s=1%2B", "https://api.example.com/files/a.mp4?s=1%2B"),
        ("HTTPS://cdn.x/A.mp4", "https://cdn.x/A.mp4"),
        (" \t https://cdn.x/a.mp4\r\n", "https://cdn.x/a.mp4"),
        ("\ufeffhttps://cdn.x/a.mp4\u200b", "https://cdn.x/a.mp4"),
        ("<https://cdn.x/a.mp4>", "https://cdn.x/a.mp4"),
        ('"https://cdn.x/a.mp4"', "https://cdn.x/a.mp4"),
        ("https:\\\\cdn.x\\a.mp4", "https://cdn.x/a.mp4"),
    ],
)
def test_a_link_in_an_odd_form_leads_where_a_browser_would_go(link: str, address: str) -> None:
    assert resolve_link(link, "https://api.example.com") == address


@for_each(
    ("word", "state"),
    [
        (" Completed ", State.COMPLETED),
        ("IN-PROGRESS", State.RENDERING),
        ("FA\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}LED", State.FAILED),
        ("\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}N PROGRESS", State.RENDERING),
        ("FA\N{LATIN SMALL LETTER DOTLESS I}LED".swapcase(), State.FAILED),
        ("process\N{LATIN SMALL LETTER DOTLESS I}ng", State.RENDERING),
        ("Ready", State.COMPLETED),
        ("Request Moderated", State.FAILED),
        ("Content Moderated", State.FAILED),
        ("nsfw", State.FAILED),
        ("TASK_STATUS_FAILED", State.FAILED),
        ("MEDIA_GENERATION_STATUS_SUCCESSFUL", State.COMPLETED),
        ("Queueing", State.QUEUED),
        ("dreaming", State.RENDERING),
        ("THROTTLED", State.QUEUED),
        ("status_", None),
        ("moderating", None),
        ("fallen", None),
    ],
)
def test_a_status_word_is_read_in_every_spelling(word: str, state: State | None) -> None:
    assert State.named(word) is state
