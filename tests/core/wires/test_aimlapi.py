"""AI/ML API: what goes out, what each answer means, and what it cost."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aimlvideo.core.catalog.catalog import load_catalog
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.wires.aimlapi import AimlApi, _cost_of, raise_for_error
from aimlvideo.core.wires.aimlapi_account import BALANCE, LEDGER, LOG
from aimlvideo.core.wires.answers import State, error_text
from aimlvideo.core.wires.base import Generation
from aimlvideo.core.wires.http import Answer
from aimlvideo.core.wires.kling import LOOKUP, Kling, read_callback
from aimlvideo.errors import MOVED, Busy, NotAccepted, Refused, Rejected, ServiceError, Unavailable, Unclear
from tests.cases import for_each
from tests.core.wires.answers import ODD_BODIES, answer
from tests.schemas.strategies import LETTERS

WIRE = AimlApi()


def catalog_path(model: str) -> str | None:
    entry = load_catalog().find(model)
    return entry.path if entry else None


JOB = VideoJob("kling-video/v1.6/pro/image-to-video", prompt="waves", image_url="https://example.com/a.png", duration=5)


# Requests ----------------------------------------------------------------------------------------------------------


def test_a_submission_has_the_model_its_parameters_and_our_id() -> None:
    request = WIRE.submission(JOB, "av-1", "https://us.example.com/called")
    assert (request.method, request.path, request.query) == ("POST", "/v2/video/generations", ())
    assert request.body == {"model": JOB.model, **JOB.params}
    assert request.headers == {"X-Client-Request-Id": "av-1"}


def test_a_question_names_the_generation_whatever_its_id_holds() -> None:
    (request,) = WIRE.status("d7c67219:veed/fabric-1.0-fast")
    assert request.path == "/v2/video/generations"
    assert dict(request.query) == {"generation_id": "d7c67219:veed/fabric-1.0-fast"}


@for_each(
    ("model", "legacy", "vendor"),
    [
        ("kling-video/v1.6/pro/image-to-video", True, "kling"),
        ("klingai/video-v3-standard-image-to-video", True, "kling"),
        ("wan/v2.2/t2v", True, "alibaba"),
        ("veo2/image-to-video", True, "google"),
        ("video-01", True, "minimax"),
        ("gen3a_turbo", True, "runway"),
        ("newcomer/v1", True, "newcomer"),
        ("../v1/models?x", True, ".."),
        ("a b?c", True, "a%20b%3Fc"),
        ("wan/v2.1/1.3b/text-to-video", False, "alibaba"),
        ("runway-gen3/turbo/image-to-video", False, "kling"),
        ("runway-gen3/turbo/image-to-video", True, "kling"),
        ("kling-video/v1.6/pro/image-to-video", False, None),
    ],
)
def test_the_legacy_url_names_the_vendor(model: str, legacy: bool, vendor: str | None) -> None:
    wire, job = AimlApi(legacy=legacy, path_of=catalog_path), VideoJob(model)
    path = f"/v2/generate/video/{vendor}/generation" if vendor else "/v2/video/generations"
    assert wire.submission(job, "av-1").path == path
    assert [request.path for request in wire.status("gen-1", job)] == [path]


def test_every_model_without_a_vendor_in_its_name_has_one_in_its_legacy_url() -> None:
    nameless = [model for model in load_catalog() if "/" not in model.id and "aimlapi" in model.services]
    assert nameless
    for model in nameless:
        path = AimlApi(legacy=True).submission(VideoJob(model.id), "av-1").path
        assert path == f"/v2/generate/video/{model.developer}/generation"


# Answers -----------------------------------------------------------------------------------------------------------


def test_a_model_is_submitted_and_asked_about_where_the_catalogue_says() -> None:
    wire, job = AimlApi(path_of={"new/one": "/v3/videos"}.get), VideoJob("new/one")
    assert wire.submission(job, "av-1").path == "/v3/videos"
    assert [request.path for request in wire.status("gen-1", job)] == ["/v3/videos"]
    assert wire.submission(VideoJob("another"), "av-1").path == "/v2/video/generations"


@pytest.mark.parametrize("legacy", [False, True])
def test_a_generation_of_an_unknown_model_is_asked_about_at_the_universal_endpoint(legacy: bool) -> None:
    wire = AimlApi(legacy=legacy, path_of=catalog_path)
    for job in (None, VideoJob("")):
        assert [request.path for request in wire.status("gen-1", job)] == ["/v2/video/generations"]


@for_each(
    ("body", "headers", "name"),
    [
        ({"id": "gen-1", "status": "queued"}, {}, "gen-1"),
        ({"generation_id": "gen-2"}, {}, "gen-2"),
        ({"id": None, "generation_id": "gen-3"}, {}, "gen-3"),
        ({"id": 17}, {}, "17"),
        ({"status": "queued"}, {"x_inference_id": "gen-4"}, "gen-4"),
        ({"id": {"a": 1}}, {"x_inference_id": "gen-5"}, "gen-5"),
        ({"task_id": "gen-6"}, {"x_inference_id": "every-answer-has-one"}, "gen-6"),
        ({"data": {"id": "gen-7"}}, {"x_inference_id": "every-answer-has-one"}, "gen-7"),
        ({"code": 0, "data": [{"task_id": "gen-8", "status": "queued"}]}, {}, "gen-8"),
        ([{"id": "gen-9", "status": "queued"}], {}, "gen-9"),
    ],
)
def test_an_accepted_submission_names_its_generation(body: Any, headers: dict[str, str], name: str) -> None:
    for status in (200, 201):
        assert WIRE.parse_submission(answer(body, status, **headers), "av-1").id == name


NAMELESS = [body for name, body in ODD_BODIES.items() if name != "a huge number"]
"""Odd bodies that name no generation: a huge number is a name."""


@for_each("body", [*NAMELESS, b'{"id": true}', b'{"id": {}}', b'{"id": ""}'], ids=repr)
def test_a_submission_whose_answer_names_no_generation_is_in_doubt(body: bytes) -> None:
    with pytest.raises(Unclear) as caught:
        WIRE.parse_submission(answer(body, 201), "av-1")
    assert caught.value.request_id == "av-1"
    assert caught.value.status == 201


@for_each("body", [body for body in NAMELESS if body != b"{}"], ids=repr)
def test_a_status_check_with_an_odd_answer_says_nothing(body: bytes) -> None:
    with pytest.raises(Unclear, match="cut short or no JSON object"):
        WIRE.parse_status(answer(body), "gen-1")


VIDEO = {"url": "https://cdn.example.com/a.mp4?sig=a%2Bb", "content_type": "video/mp4", "file_size": 1, "new": []}


@for_each(
    ("word", "state"),
    [
        ("queued", State.QUEUED),
        ("waiting", State.QUEUED),
        ("generating", State.RENDERING),
        ("active", State.RENDERING),
        ("completed", State.COMPLETED),
        ("succeeded", State.COMPLETED),
        ("Completed", State.COMPLETED),
        ("error", State.FAILED),
        ("failed", State.FAILED),
        *((word, State.COMPLETED) for word in ("succeed", "success", "done", "finished", " Done ", "SUCCESS")),
        *((word, State.FAILED) for word in ("cancelled", "canceled", "expired", "rejected", "fail", "timeout")),
        (" Timed out\n", State.FAILED),
        ("upscaling", State.COMPLETED),
        ("", State.COMPLETED),
        (None, State.COMPLETED),
        (["completed"], State.COMPLETED),
    ],
)
def test_a_status_word_says_where_a_generation_stands_and_a_link_what_a_new_one_means(word: Any, state: State) -> None:
    seen = WIRE.parse_status(answer({"id": "x", "status": word, "video": VIDEO, "error": "why"}), "gen-1")
    assert seen.id == "gen-1"
    assert seen.state is state
    assert seen.status == (word.strip() if isinstance(word, str) else "")
    assert seen.error == ("why" if state is State.FAILED else None)


@for_each("word", ["upscaling", "completed", "done", ""])
def test_without_a_link_a_reason_is_the_end_and_no_reason_is_not_finished_yet(word: str) -> None:
    body = {"id": "gen-1", "status": word, "video": None}
    failed = WIRE.parse_status(answer({**body, "error": {"name": "Gone", "message": "no frames"}}), "gen-1")
    assert (failed.state, failed.error) == (State.FAILED, "Gone: no frames")
    assert WIRE.parse_status(answer({**body, "error": None}), "gen-1").state is State.RENDERING


@for_each("named", ["", None, "gen-2"], ids=repr)
def test_an_unknown_state_of_another_or_no_generation_is_about_the_question(named: str | None) -> None:
    words = {"name": "Error", "message": "invalid params, task_id cannot by empty"}
    body = {"id": named, "status": "unknown", "error": words}
    with pytest.raises(Unclear, match=r"about no generation.*task_id cannot by empty"):
        WIRE.parse_status(answer(body), "gen-1")
    with pytest.raises(Unclear, match="about no generation"):
        WIRE.parse_status(answer({**body, "status": "UNKNOWN"}), "gen-1")
    assert WIRE.parse_status(answer({**body, "id": "gen-1"}), "gen-1").state is State.FAILED


@for_each(
    ("status", "advice"),
    [(401, "Expected a key of this service: --api-key, AIMLAPI_API_KEY, or api_key"), (402, "Top up, then run again")],
)
def test_who_has_a_wrong_key_or_no_money_is_told_what_to_do_after_the_service_s_own_words(
    status: int, advice: str
) -> None:
    with pytest.raises(Refused) as caught:
        WIRE.parse_submission(answer({"message": "Not today."}, status), "av-1")
    assert str(caught.value).endswith(f"({status}): Not today. {advice}")


def test_a_word_that_goes_on_goes_on_whatever_stands_beside_it() -> None:
    assert (
        WIRE.parse_status(answer({"status": "generating", "error": "slow", "video": VIDEO}), "g").state
        is State.RENDERING
    )


@for_each(
    ("fields", "links"),
    [
        ({"video": [{"url": "https://a/1"}, {"url": "https://a/2"}]}, ("https://a/1", "https://a/2")),
        ({"video": [{"url": "https://a/1"}, {"url": None}, None, {"url": "https://a/1"}]}, ("https://a/1",)),
        ({"video": [], "videos": [{"url": "https://a/1"}]}, ("https://a/1",)),
        ({"video": ["https://a/1", " https://a/2 "]}, ("https://a/1", "https://a/2")),
        ({"video": "https://a/1"}, ("https://a/1",)),
        ({"video": {"video_url": "https://a/1"}}, ("https://a/1",)),
        ({"video": None, "video_url": "https://a/1"}, ("https://a/1",)),
    ],
)
def test_a_generation_may_have_several_clips_and_all_were_paid_for(fields: Any, links: tuple[str, ...]) -> None:
    seen = WIRE.parse_status(answer({"status": "completed", **fields}), "gen-1")
    assert (seen.state, seen.video_url, seen.video_urls) == (State.COMPLETED, links[0], links)


def test_the_size_of_each_clip_is_kept_where_the_answer_says_it() -> None:
    said = (12, "many", 0, -1, True)
    clips = [{"url": f"https://a/{number}", "file_size": size} for number, size in enumerate(said)]
    sizes = WIRE.parse_status(answer({"status": "completed", "video": clips}), "gen-1").file_sizes
    assert sizes == (12, None, None, None, None), "no clip would ever be as large"
    unsaid = WIRE.parse_status(answer({"status": "completed", "video": clips[1:]}), "gen-1")
    assert (len(unsaid.video_urls), unsaid.file_sizes) == (4, ()), "nothing is kept where it says none"


@for_each("video", [None, {}, {"url": None}, {"url": ""}, {"url": ["x"]}, [], [None]])
def test_completed_without_a_link_is_not_ready_yet(video: Any) -> None:
    seen = WIRE.parse_status(answer({"status": "completed", "video": video}), "gen-1")
    assert (seen.state, seen.video_url) == (State.RENDERING, None)


def test_a_link_comes_out_byte_for_byte() -> None:
    assert WIRE.parse_status(answer({"status": "completed", "video": VIDEO}), "g").video_url == VIDEO["url"]


@for_each(
    ("error", "words"),
    [
        ({"name": "moderation", "message": "not allowed"}, "moderation: not allowed"),
        ({"message": "not allowed"}, "not allowed"),
        ({"detail": [{"loc": ["body", "image_url"], "msg": "unreachable", "type": "x"}]}, "image_url: unreachable"),
        ({"detail": [{"loc": [], "msg": "a"}, {"loc": ["body", "b", 0], "msg": "b"}]}, "a; b.0: b"),
        ({"detail": [{"loc": 7, "msg": "a"}, "b", None]}, "7: a; b; None"),
        ({"detail": "busy"}, "busy"),
        ({"detail": []}, "no reason given"),
        ("moderated", "moderated"),
        ("", "no reason given"),
        (None, "no reason given"),
        ({}, "no reason given"),
        ([], "no reason given"),
        ({"code": 7}, "{'code': 7}"),
        (404, "404"),
    ],
)
def test_a_generation_s_error_is_read_from_each_of_its_shapes(error: Any, words: str) -> None:
    assert error_text(error) == words
    seen = WIRE.parse_status(answer({"status": "error", "error": error}), "gen-1")
    assert (seen.state, seen.error) == (State.FAILED, words)


@for_each(
    ("status", "words"),
    [
        ("blocked", "no reason given, but the status 'blocked'"),
        ("TIMED_OUT", "no reason given, but the status 'TIMED_OUT'"),
        ("Failed", "no reason given"),
        ("error", "no reason given"),
    ],
)
def test_without_a_reason_a_status_that_says_more_than_failed_is_the_reason(status: str, words: str) -> None:
    assert WIRE.parse_status(answer({"status": status, "error": None}), "gen-1").error == words
    assert WIRE.parse_status(answer({"status": status, "error": {"message": "why"}}), "gen-1").error == "why"


@for_each(
    ("body", "kind", "words", "code"),
    [
        ({"base_resp": {"status_code": 1026, "status_msg": "input new_sensitive"}}, Rejected, "new_sensitive", 1026),
        ({"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}, Refused, "insufficient", 1008),
        ({"base_resp": {"status_code": 1002, "status_msg": "rate limit"}}, Busy, "rate limit", 1002),
        *(
            ({"base_resp": {"status_code": code, "status_msg": "system"}}, Unclear, "system", code)
            for code in (1000, 1001, 1013, 1024, 1033)
        ),
        ({"base_resp": {"status_code": 1039, "status_msg": "token limit"}}, Busy, "token limit", 1039),
        *(({"base_resp": {"status_code": code, "status_msg": "key"}}, Refused, "key", code) for code in (1004, 2049)),
        ({"statusCode": 400, "message": "Body validation error"}, Rejected, "Body validation error", None),
        ({"statusCode": "401", "message": "Unauthorized"}, Refused, "Unauthorized", None),
        ({"statusCode": 429, "message": "slow down"}, Busy, "slow down", None),
        ({"error": "no such voice"}, Rejected, "no such voice", None),
        ({"error": {"message": "no such voice", "code": 17}}, Rejected, "no such voice", 17),
        ({"code": 1301, "message": "content policy"}, Rejected, "content policy", 1301),
        ({"code": "invalid_voice", "message": "no such voice"}, Rejected, "no such voice", None),
        ({"success": False, "message": "no such voice"}, Rejected, "no such voice", None),
        ({"errcode": 17, "errmsg": "no such voice"}, Rejected, "no such voice", 17),
        ({"error_code": "E17", "error_msg": "no such voice"}, Rejected, "no such voice", None),
        ({"detail": "no such voice"}, Rejected, "no such voice", None),
        ({"detail": [{"loc": ["body", "voice"], "msg": "unknown"}]}, Rejected, "voice: unknown", None),
        ({"errors": [{"message": "no such voice"}]}, Rejected, "no such voice", None),
        ({"data": {"error": "no such voice"}}, Rejected, "no such voice", None),
        ({"data": {"code": 17, "message": "no such voice"}}, Rejected, "no such voice", 17),
    ],
    ids=str,
)
def test_an_error_under_http_200_reaches_the_user_and_is_no_doubt(
    body: Any, kind: type[ServiceError], words: str, code: int | None
) -> None:
    for read in (lambda told: WIRE.parse_submission(told, "av-1"), lambda told: WIRE.parse_status(told, "gen-1")):
        with pytest.raises(kind, match=words) as caught:
            read(answer(body, x_inference_id="every-answer-has-one"))
        assert caught.value.code == code


@for_each("word", ["error", "failed", "Rejected", "aborted", "blocked", "Terminated"])
def test_a_submission_that_failed_and_names_no_id_is_rejected_and_not_doubted(word: str) -> None:
    body = {"status": word, "error": {"name": "Moderation", "message": "not allowed"}}
    with pytest.raises(Rejected, match="Moderation: not allowed"):
        WIRE.parse_submission(answer(body), "av-1")
    assert WIRE.parse_submission(answer({**body, "id": "gen-1"}), "av-1").id == "gen-1"


@for_each("fields", [{"code": 200}, {"statusCode": 200}, {"base_resp": {"status_code": 0}}, {"code": 0}])
def test_a_code_that_means_well_is_no_error(fields: Any) -> None:
    assert WIRE.parse_submission(answer({"id": "gen-1", "status": "queued", **fields}), "av-1").id == "gen-1"
    assert WIRE.parse_status(answer({"status": "done", "video": VIDEO, **fields}), "gen-1").state is State.COMPLETED


def test_the_code_of_an_error_is_kept_beside_the_http_status() -> None:
    for body in ({"message": "m", "code": 1234}, {"error": {"message": "m", "code": "1234"}}):
        with pytest.raises(Rejected) as caught:
            WIRE.parse_submission(answer(body, 422), "av-1")
        assert (caught.value.status, caught.value.code) == (422, 1234)


# Errors ------------------------------------------------------------------------------------------------------------

NO_CREDITS = "You've run out of credits. Please top up your balance or update your payment method"


@for_each(
    ("status", "message", "kind"),
    [
        (400, "Body validation error", Rejected),
        (401, "Unauthorized", Refused),
        (402, "Payment required", Refused),
        (403, NO_CREDITS, Refused),
        (403, "Not allowed", Refused),
        (404, "No such model", Rejected),
        (408, "Request timeout", Unclear),
        (409, "Conflict", Rejected),
        (413, "Too large", Rejected),
        (422, "Unprocessable", Rejected),
        (429, "Too many requests", Busy),
        (500, "Internal error", Unclear),
        (502, "Bad gateway", Unclear),
        (503, "Unavailable", Unavailable),
        (504, "Timeout", Unclear),
        (524, "A timeout occurred", Unclear),
        (303, "See other", Unclear),
        (307, "Moved", Refused),
    ],
)
def test_a_status_says_whether_the_same_request_may_be_sent_again(
    status: int, message: str, kind: type[ServiceError]
) -> None:
    body = {"message": message, "path": "/", "requestId": "r", "statusCode": str(status), "timestamp": "now"}
    for raw in (answer(body, status), answer({"message": message}, status)):
        with pytest.raises(ServiceError) as caught:
            WIRE.parse_submission(raw, "av-1")
        assert type(caught.value) is kind
        assert (caught.value.status, caught.value.request_id) == (status, "av-1")
        assert status == 307 or message in str(caught.value)
        with pytest.raises(kind):
            WIRE.parse_status(raw, "gen-1")


@for_each(
    ("message", "advice"),
    [
        (NO_CREDITS, "Top up"),
        ("Insufficient balance", "Top up"),
        ("You've run out of funds.", r"out of credits .*funds\. Top up"),
        ("Not allowed", "does not allow this"),
    ],
)
def test_an_account_that_is_empty_is_told_from_what_is_not_allowed(message: str, advice: str) -> None:
    with pytest.raises(Refused, match=advice):
        raise_for_error(answer({"message": message}, 403))


@pytest.mark.parametrize("status", [429, 503])
def test_how_long_to_wait_is_what_the_service_says(status: int) -> None:
    with pytest.raises(NotAccepted) as caught:
        raise_for_error(answer({}, status, retry_after="7"))
    assert caught.value.retry_after == 7
    with pytest.raises(NotAccepted) as caught:
        raise_for_error(answer({}, status))
    assert caught.value.retry_after is None


def test_a_concurrency_limit_is_told_from_a_rate() -> None:
    for message, limit in (("Concurrency limit reached", "outstanding"), ("Too many requests", None)):
        with pytest.raises(Busy) as caught:
            raise_for_error(answer({"message": message}, 429))
        assert caught.value.limit == limit


@for_each(
    "body",
    [
        b"<html>404</html>",
        b"",
        {"message": "Cannot POST /v2/video"},
        {"message": "Not Found"},
        {"message": "Cannot find this path"},
    ],
)
def test_a_404_on_the_path_itself_is_about_the_setting_and_not_about_the_job(body: Any) -> None:
    with pytest.raises(Refused, match="--base-url"):
        WIRE.parse_submission(answer(body, 404), "av-1")
    with pytest.raises(Rejected):
        WIRE.parse_status(answer(body, 404), "gen-1")


def test_a_404_about_the_model_is_about_the_job() -> None:
    with pytest.raises(Rejected, match="not available"):
        WIRE.parse_submission(answer({"message": "Model 'x' is not available"}, 404), "av-1")


def test_an_empty_answer_is_no_end_and_names_a_generation_in_its_header() -> None:
    assert WIRE.parse_submission(answer(b"", 202, x_inference_id="gen-1"), "av-1").id == "gen-1"
    assert WIRE.parse_status(answer(b"", 202), "gen-1").state is State.RENDERING
    with pytest.raises(Unclear):
        WIRE.parse_submission(answer(b"", 202), "av-1")


@for_each("status", MOVED)
def test_a_redirect_says_where_the_base_url_should_lead(status: int) -> None:
    with pytest.raises(Refused, match=r"redirects to 'https://www\.example\.com/' \(30\d\): set --base-url"):
        raise_for_error(answer(b"", status, location="https://www.example.com/"))


WRONG_TYPE = {
    "code": "invalid_type",
    "expected": "string",
    "received": "undefined",
    "path": ["image_list", 0],
    "message": "Required",
}


@for_each(
    ("body", "words"),
    [
        ({"message": "Body validation error", "errors": [{"path": ["duration"]}]}, "error: {'path': ['duration']}"),
        (
            {"message": "Body validation error", "meta": [WRONG_TYPE, {"path": ["model"], "message": "Expected 'a'"}]},
            "error: image_list.0: Required, expected string, received undefined; model: Expected 'a'",
        ),
        ({"error": {"message": "no such model"}}, "no such model"),
        ({"error": "no such model"}, "no such model"),
        ({"detail": "no such model"}, "no such model"),
        ({}, "{}"),
        (b"", "no reason given"),
        (b"<html>" + b"x" * 100_000, "<html>xxx"),
        ({"message": "m" * 100_000}, "mmm"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_an_error_is_told_in_the_service_s_words_and_briefly(body: Any, words: str) -> None:
    with pytest.raises(Rejected) as caught:
        raise_for_error(answer(body, 400))
    assert words in str(caught.value)
    assert len(str(caught.value)) < 600


# Money -------------------------------------------------------------------------------------------------------------


def usage(**used: Any) -> dict[str, Any]:
    return {"meta": {"usage": used}}


@for_each(
    ("told", "header", "usd"),
    [
        ({}, "0.21", 0.21),
        (usage(credits_used=420_000), "0.5", 0.5),
        (usage(credits_used=420_000), None, 0.21),
        (usage(credits_used=420_000, usd_spent=0.3), None, 0.3),
        (usage(credits_used="420000"), None, 0.21),
        (usage(credits_used=420_000), "0", 0.21),
        (usage(usd_spent=0.3), "0", 0.3),
        (usage(usd_spent=0), None, 0.0),
        (usage(credits_used=0), None, 0.0),
        ({}, "0", None),
        ({}, None, None),
        (usage(), None, None),
        (usage(tokens_used=9000), None, None),
        (usage(credits_used=None), None, None),
        (usage(credits_used=True), None, None),
        (usage(credits_used=-5), "-1", None),
        (usage(usd_spent=float("nan")), "nan", None),
        (usage(usd_spent=float("inf")), "inf", None),
        (usage(usd_spent=10**400), "x", None),
        (usage(usd_spent={}), "", None),
        ({"meta": None}, None, None),
        ({"meta": {"usage": []}}, None, None),
        ({"meta": "x"}, None, None),
    ],
)
def test_what_a_clip_cost_is_known_or_unknown_and_never_guessed(
    told: dict[str, Any], header: str | None, usd: float | None
) -> None:
    assert _cost_of(told, {} if header is None else {"x-aimlapi-usd-spent": header}) == usd


def test_a_cost_is_that_of_a_generation_that_has_ended() -> None:
    body = {"status": "generating", **usage(credits_used=1)}
    assert WIRE.parse_status(answer(body, x_aimlapi_usd_spent="0.5"), "g").cost_usd is None
    assert WIRE.parse_submission(answer({"id": "g", **body}, x_aimlapi_usd_spent="0.5"), "av").cost_usd is None
    assert WIRE.parse_status(answer({**body, "status": "error"}, x_aimlapi_usd_spent="0.5"), "g").cost_usd == 0.5


# Anything at all ---------------------------------------------------------------------------------------------------

ERROR = {"detail": [{"loc": ["body", "image_url"], "msg": "unreachable"}]}
MADE = {"id": "g", "status": "completed", "video": VIDEO, "error": None, **usage(credits_used=1, usd_spent=0.1)}
TASK = {"task_id": "t", "task_status": "succeed", "task_result": {"videos": [{"url": "https://a"}]}}
LOG_PAGE = {"data": [{"created": "2026-08-01", "status": "failed", "cost": {"usd": 1}, "client_request_id": "a"}]}
GOOD_BODIES = [
    MADE,
    {"generation_id": "g", "status": "error", "error": ERROR},
    {"id": "g", "status": "failed", "error": {"name": "n", "message": "m"}},
    {"message": "m", "statusCode": "400", "error": {"message": "m"}, "errors": [{"path": ["a"]}]},
    {"code": 0, "message": "m", "data": {**TASK, "task_info": {"external_task_id": "av-1"}}},
    {"code": 0, "data": {**TASK, "task_status": "failed", "task_status_msg": "m"}},
    {"code": "success", "data": {"task_id": "t", "status": "SUCCESS", "data": {**TASK, "external_task_id": "av-1"}}},
    {"code": "success", "data": {"task_id": "t", "status": "failed", "error": {"message": "m"}, "fail_reason": "m"}},
    {"code": "1302", "message": "m"},
    LOG_PAGE,
    {"data": [{"created": 1, "type": "MODEL_USAGE", "amount": 1, "reference_id": "g"}], "next_cursor": "c"},
    {"current_balance": 12.5},
]
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(LETTERS, max_size=5),
    st.sampled_from(["\ud83d", "²", "0", "9" * 5000, 10**400, "0001-01-01T00:00:00", "9999-12-31T23:59:59-23:59"]),
)
JSON = st.recursive(LEAVES, lambda one: st.lists(one, max_size=2) | st.dictionaries(st.text(LETTERS), one, max_size=2))


@st.composite
def spoiled(draw: st.DrawFn) -> Any:
    """Return a good body of which one to three parts are something else."""
    body = json.loads(json.dumps(draw(st.sampled_from(GOOD_BODIES))))
    for _ in range(draw(st.integers(1, 3))):
        place, path = body, []
        while isinstance(place, dict | list) and place and (not path or draw(st.booleans())):
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            path.append((place, draw(st.sampled_from(keys))))
            place = path[-1][0][path[-1][1]]
        if path:
            path[-1][0][path[-1][1]] = draw(JSON)
    return body


BODIES = st.one_of(spoiled().map(lambda body: json.dumps(body).encode()), st.binary(max_size=60))
HEADERS = st.dictionaries(
    st.sampled_from(["retry-after", "x-aimlapi-usd-spent", "x-inference-id", "location", "date"]),
    st.text(LETTERS, max_size=20),
)
ANSWERS = st.builds(Answer, st.sampled_from([200, 200, 201, 204, 302, 400, 401, 403, 429, 500, 503]), HEADERS, BODIES)
READERS = {
    "aimlapi accepted": lambda told: WIRE.parse_submission(told, "av-1"),
    "aimlapi seen": lambda told: WIRE.parse_status(told, "gen-1"),
    "kling accepted": lambda told: Kling().parse_submission(told, "av-1"),
    "kling seen": lambda told: Kling().parse_status(told, "gen-1"),
    "kling found": lambda told: LOOKUP.read(told, "av-1"),
    "kling called": lambda told: read_callback(told.json()),
    "log": LOG.read,
    "ledger": LEDGER.read,
    "balance": BALANCE.read,
}


@pytest.mark.parametrize("name", READERS)
@given(told=ANSWERS)
@example(told=answer(LOG_PAGE))  # few answers are whole enough for a reader of pages
def test_no_answer_whatsoever_makes_a_reader_raise_anything_but_a_service_error(name: str, told: Answer) -> None:
    try:
        read = READERS[name](told)
    except ServiceError as error:
        str(error).encode()
        return
    repr(read).encode()
    if isinstance(read, Generation):
        assert read.id
        read.id.encode()
        assert isinstance(read.video_url, str | None)
        assert isinstance(read.error, str | None)
        assert isinstance(read.cost_usd, float | None)
        assert read.state is not State.COMPLETED or read.video_url
        json.dumps([read.video_url, read.error, read.status], ensure_ascii=False).encode()
    elif isinstance(read, list):
        assert len(read) <= 100
        assert {type(row.request_id) for row in read} <= {str, type(None)}


def test_the_words_of_a_running_generation_are_not_searched_for_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    # The commonest answer of all: the search takes four times as long as the rest of its reading.
    monkeypatch.setattr("aimlvideo.core.wires.aimlapi.refuses_content", lambda words: pytest.fail("searched"))
    assert AimlApi().parse_status(answer({"id": "g", "status": "generating"}), "g").state is State.RENDERING
