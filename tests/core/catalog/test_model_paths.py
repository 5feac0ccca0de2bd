"""Models that a path names, at Kling itself: what each takes, what is sent, and where its task is found.

What is sent is judged by the sandbox, which has its own table of them.
"""

from __future__ import annotations

import os
from base64 import b64encode
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from aimlvideo.core.catalog.endpoints import endpoint_facts
from aimlvideo.core.catalog.model import Model
from aimlvideo.core.catalog.rules import file_limits, rule_sentences
from aimlvideo.core.catalog.validation import Checked, check, model_of
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.services import service_of
from aimlvideo.core.wires.base import LookupById
from aimlvideo.core.wires.http import Request
from aimlvideo.errors import Refused, Rejected, Unclear, UsageError
from aimlvideo.sandbox.kling_tasks import OFFERS, find_task_faults
from aimlvideo.sandbox.kling_validation import picture_faults
from aimlvideo.shell.files.media import Media
from tests.cases import for_each
from tests.core.request_strategies import CATALOG, mistakes
from tests.core.wires.answers import answer

SERVICE = service_of("kling-official")
WIRE = SERVICE.wire(legacy=False, path_of=lambda model: None)
PICTURE, CLIP = "https://a.example/x.png", "https://a.example/x.mp4"
FACTS = endpoint_facts(model_in_path=True)
FIRST = {"type": "first_frame", "url": PICTURE}
RIGHT: dict[str, dict[str, Any]] = {
    "text-to-video": {"prompt": "waves"},
    "image-to-video": {"image_url": PICTURE},
    "omni-video": {"prompt": "waves", "aspect_ratio": "1:1"},
    "motion-control": {"image_url": PICTURE, "video_url": CLIP, "character_orientation": "image"},
}
PATHS = [f"{endpoint}/{model}" for model, entry in FACTS["models"].items() for endpoint in entry["endpoints"]]


def ask(model: str, params: dict[str, Any]) -> Checked:
    return check(VideoJob(model, id="job", **params), CATALOG, strict=True, service=SERVICE.name)


def sent(model: str, params: dict[str, Any], callback_url: str | None = None) -> Request:
    checked = ask(model, params)
    assert not checked.problems, checked.problems
    return WIRE.submission(VideoJob(model, id="job", **checked.params), "av-1", callback_url)


def test_the_sandbox_knows_the_same_paths_from_the_same_pages() -> None:
    assert set(PATHS) == OFFERS.keys()


@for_each("path", PATHS)
def test_each_path_is_sent_what_its_page_says(path: str) -> None:
    endpoint, _, model = path.partition("/")
    request = sent(model, {**RIGHT[endpoint], "endpoint": endpoint})
    assert (request.method, request.path) == ("POST", f"/{path}")
    assert request.body is not None
    assert not list(find_task_faults(path, request.body))
    assert request.body["options"] == {"external_task_id": "av-1"}


@for_each("path", PATHS)
def test_each_single_mistake_at_each_path_is_refused_with_its_field_named(path: str) -> None:
    endpoint, _, model = path.partition("/")
    at = CATALOG.find(model).endpoints[endpoint]  # type: ignore[union-attr]
    plain = {**RIGHT[endpoint], "endpoint": endpoint}
    for name, param in at.params.items():
        for what, value, place in mistakes(param, name):
            fields = {problem.field for problem in ask(model, plain | {name: value}).problems}
            assert place in fields, (what, name, value)


def test_settings_and_frames_stand_where_kling_wants_them_and_lengths_are_numbers() -> None:
    request = sent(
        "kling-3.0",
        {"prompt": "waves", "image_url": PICTURE, "tail_image_url": PICTURE, "duration": 7, "audio": "native"},
        "https://me.example/call",
    )
    assert request.path == "/image-to-video/kling-3.0"
    assert request.body == {
        "contents": [
            {"type": "prompt", "text": "waves"},
            FIRST,
            {"type": "last_frame", "url": PICTURE},
        ],
        "settings": {"duration": 7, "audio": "native"},
        "options": {"callback_url": "https://me.example/call", "external_task_id": "av-1"},
    }


def test_a_body_as_kling_s_pages_write_it_is_taken_as_it_is() -> None:
    contents = [{"type": "prompt", "text": "@hero waves"}, FIRST, {"type": "element", "element_id": "17", "id": "hero"}]
    options = {"callback_url": "https://me.example/mine", "watermark_info": {"enabled": True}}
    request = sent(
        "kling-3.0",
        {"contents": contents, "settings": {"resolution": "4k", "multi_shot": False}, "options": options},
        "https://me.example/call",
    )
    assert request.body == {
        "contents": contents,
        "settings": {"resolution": "4k", "multi_shot": False},
        "options": {**options, "external_task_id": "av-1"},
    }


WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "no prompt": ("kling-3.0-turbo", {}, "prompt"),
    "no first frame": ("kling-3.0", {"contents": [{"type": "prompt", "text": "p"}]}, "image_url"),
    "a last frame alone": ("kling-3.0", {"prompt": "p", "tail_image_url": PICTURE}, "image_url"),
    "the prompt twice": (
        "kling-3.0",
        {"prompt": "p", "image_url": PICTURE, "contents": [{"type": "prompt", "text": "q"}]},
        "prompt",
    ),
    "the first frame twice": ("kling-3.0", {"image_url": PICTURE, "contents": [FIRST]}, "image_url"),
    "3.0 Turbo ends with no picture": (
        "kling-3.0-turbo",
        {"image_url": PICTURE, "tail_image_url": PICTURE},
        "tail_image_url",
    ),
    "3.0 Turbo always has sound": ("kling-3.0-turbo", {"prompt": "p", "audio": "native"}, "audio"),
    "2.6 has sound at 1080p": ("kling-2.6", {"prompt": "p", "audio": "native"}, "audio"),
    "2.5 ends with a picture at 1080p": (
        "kling-2.5-turbo",
        {"image_url": PICTURE, "tail_image_url": PICTURE, "resolution": "720p"},
        "tail_image_url",
    ),
    "an omni clip needs a shape": ("kling-3.0-omni", {"prompt": "p"}, "aspect_ratio"),
    "a clip to edit has no first frame": (
        "kling-3.0-omni",
        {"prompt": "p", "image_url": PICTURE, "contents": [{"type": "base_video", "url": CLIP}]},
        "image_url",
    ),
    "a clip to follow has no sound made": (
        "kling-3.0-omni",
        {"prompt": "p", "audio": "native", "contents": [{"type": "feature_video", "url": CLIP}]},
        "audio",
    ),
    "O1 from a first frame is 5 or 10 s": (
        "kling-o1",
        {"prompt": "p", "image_url": PICTURE, "duration": 7},
        "duration",
    ),
    "motion wants to know whom to follow": (
        "kling-3.0",
        {"image_url": PICTURE, "video_url": CLIP},
        "character_orientation",
    ),
    "motion has no 4k": (
        "kling-3.0",
        {"image_url": PICTURE, "video_url": CLIP, "character_orientation": "image", "resolution": "4k"},
        "resolution",
    ),
}


@for_each(("model", "params", "field"), WRONG.values(), ids=WRONG)
def test_what_kling_s_pages_rule_out_is_refused_by_name(model: str, params: dict[str, Any], field: str) -> None:
    assert {problem.field for problem in ask(model, params).problems} == {field}


def test_a_clip_in_its_own_list_lets_an_omni_clip_go_without_a_shape_and_o1_be_of_any_length() -> None:
    for kind in ("feature_video", "base_video"):
        assert not ask("kling-3.0-omni", {"prompt": "p", "contents": [{"type": kind, "url": CLIP}]}).problems
    further = {"image_url": PICTURE, "contents": [{"type": "refer_image", "url": PICTURE}]}
    assert not ask("kling-o1", {"prompt": "p", "duration": 7, **further}).problems


KINDS = ("prompt", "first_frame", "last_frame", "refer_image", "feature_video", "base_video", "image", "video")


@for_each("path", [path for path in PATHS if OFFERS[path].contents])
def test_what_a_path_does_not_take_among_its_contents_is_refused_before_it_is_left_out_and_billed(path: str) -> None:
    endpoint, _, model = path.partition("/")
    for kind in (*KINDS, "element", "voice"):
        entry = {"type": kind, "url": PICTURE, "text": "waves", "element_id": "1", "voice_id": "1", "id": "1"}
        checked = ask(model, {"endpoint": endpoint, "character_orientation": "image", "contents": [entry]})
        refused = "contents[0].type" in {problem.field for problem in checked.problems}
        assert refused == (kind not in OFFERS[path].contents), kind


def test_a_field_of_another_endpoint_is_refused_with_where_it_belongs() -> None:
    (problem,) = ask("kling-3.0", {"prompt": "p", "endpoint": "omni-video"}).problems
    assert "one of text-to-video, image-to-video, motion-control" in str(problem)
    assert "omni-video takes kling-3.0-omni, kling-o1" in str(problem)


def test_what_may_be_new_at_kling_is_refused_with_what_to_do() -> None:
    (problem,) = ask("kling-3.0-turbo", {"prompt": "p", "settings": {"film_grain": 3}}).problems
    assert "film_grain: no such parameter of this model, got 3" in str(problem)
    assert "where this one is new, update aimlvideo" in str(problem)
    (problem,) = ask("kling-3.0-turbo", {"prompt": "p", "durations": 5, "duration": 10}).problems
    assert "update" not in str(problem)


@for_each(("model", "refused"), [("kling-3.0", True), ("kling-v3", False)])
def test_a_parameter_that_kling_would_leave_out_and_bill_is_refused(model: str, refused: bool) -> None:
    checked = check(VideoJob(model, id="job", prompt="waves", sond="on"), CATALOG, service=SERVICE.name)
    assert [problem.field for problem in checked.problems] == (["sond"] if refused else [])
    assert [problem.field for problem in checked.warnings] == ([] if refused else ["sond"])


@for_each("model", ["kling-3.0-omni", "kling-o1"])
def test_the_seed_that_kling_checks_and_does_not_document_stands_among_an_omni_clip_s_settings(model: str) -> None:
    request = sent(model, {**RIGHT["omni-video"], "seed": 7})
    assert request.body is not None
    assert request.body["settings"]["seed"] == 7
    assert not list(find_task_faults(request.path.removeprefix("/"), request.body))
    assert [problem.field for problem in ask(model, {**RIGHT["omni-video"], "seed": "x"}).problems] == ["seed"]


@for_each(("model", "most"), [("kling-3.0", 50), ("kling-3.0-omni", 50), ("kling-v3", 10)])
def test_a_picture_may_be_as_large_as_the_api_of_its_model_takes(model: str, most: int, tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    Image.new("RGB", (300, 300)).save(picture)
    os.truncate(picture, most * 2**20)
    at = model_of(VideoJob(model, image_url=str(picture)), CATALOG, SERVICE.name)
    assert isinstance(at, Model)
    media = Media(None, file_limits(at, {}, "image_url", SERVICE.media))
    media.check(picture)
    os.truncate(picture, most * 2**20 + 1)
    with pytest.raises(UsageError, match=f"at most {most} MB"):
        media.check(picture)


def test_the_sandbox_refuses_a_picture_beyond_the_limit_of_its_api() -> None:
    file = BytesIO()
    Image.new("RGB", (300, 300)).save(file, "PNG")
    picture = b64encode(file.getvalue() + bytes(2**20)).decode()
    assert not list(picture_faults(("url",), picture))
    assert [fault.expected for fault in picture_faults(("url",), picture, 2**20)] == ["at most 1 MB"]


def test_what_is_said_of_an_endpoint_as_a_whole_is_kept() -> None:
    omni = CATALOG.find("kling-3.0-omni").endpoints["omni-video"]  # type: ignore[union-attr]
    assert any("documented on no page" in sentence for sentence in rule_sentences(omni))


def test_every_rule_says_where_it_is_written_and_names_parameters_of_its_endpoint() -> None:
    for model in FACTS["models"]:
        entry = CATALOG.find(model)
        assert isinstance(entry, Model)
        assert entry.services == ("kling-official",)
        for at in entry.endpoints.values():
            assert at.source
            assert all(text.endswith(".") and "|" not in text for text in rule_sentences(at))
            assert all(rule.source for rule in at.rules)


# -- its task ---------------------------------------------------------------------------------------------------------

JOB = VideoJob("kling-3.0-turbo", id="job", prompt="waves")


def row(**changes: Any) -> dict[str, Any]:
    """Return a task as Kling's pages show it."""
    return {
        "id": "893605946402811985",
        "status": "succeeded",
        "message": "",
        "create_time": 1781080778802,
        "update_time": 1781080794151,
        "external_id": "av-1",
        "outputs": [
            {"type": "image", "url": "https://k.example/cover.png"},
            {
                "type": "video",
                "id": "v-1",
                "url": "https://k.example/a.mp4",
                "watermark_url": "https://k.example/w.mp4",
                "duration": "5",
            },
        ],
        "billing": [{"charge_type": "unit", "amount": "2.4", "package_type": "video"}],
        **changes,
    }


def envelope(data: Any) -> Any:
    return answer({"code": 0, "message": "SUCCEED", "request_id": "r", "data": data})


def test_its_task_is_asked_for_in_the_list_of_all_and_read_from_there() -> None:
    (question,) = WIRE.status("t", JOB)
    assert (question.method, question.path, question.query) == ("GET", "/tasks", (("task_ids", "t"),))
    assert WIRE.status("t")[-1] == question, "where nobody knows which model it is, every place is asked"
    assert len({one.path for one in WIRE.status("t")}) == len(WIRE.status("t"))
    seen = WIRE.parse_status(envelope([row()]), "893605946402811985")
    assert seen.video_urls == ("https://k.example/a.mp4",), "no picture, and nothing with a mark"
    assert (seen.cost_units, seen.cost_usd, seen.request_id) == (2.4, None, "av-1")
    assert seen.created_at == pytest.approx(1781080778.802)


def test_a_task_that_is_not_in_the_list_is_missing_as_behind_a_404() -> None:
    with pytest.raises(Rejected) as missing:
        WIRE.parse_status(envelope([]), "t")
    assert missing.value.status == 404
    with pytest.raises(Unclear):
        WIRE.parse_status(answer({"code": 5000, "message": "Internal error", "data": []}, 500), "t")


def test_what_a_task_took_from_the_balance_is_its_cost_in_dollars_and_in_no_other_currency() -> None:
    cash = {"charge_type": "cash", "cash_type": "balance", "amount": "0.42", "list_price": "0.5"}
    dollars = WIRE.parse_status(envelope([row(billing=[{**cash, "currency": "USD"}])]), "t")
    assert (dollars.cost_usd, dollars.cost_units) == (0.42, None)
    yuan = WIRE.parse_status(envelope([row(billing=[{**cash, "currency": "CNY"}])]), "t")
    assert (yuan.cost_usd, yuan.cost_units) == (None, None)


def test_a_failed_task_says_why_in_its_message() -> None:
    failed = row(status="failed", message="Failure to pass the risk control system", outputs=[], billing=[])
    seen = WIRE.parse_status(envelope([failed]), "t")
    assert (seen.state.value, seen.error) == ("failed", "Failure to pass the risk control system")
    assert seen.content_refused


def test_a_lost_submission_is_found_by_the_id_that_we_chose_and_no_other() -> None:
    lookup = SERVICE.lookup
    assert isinstance(lookup, LookupById)
    question = lookup.request("av-1", JOB)
    assert (question.path, question.query) == ("/tasks", (("external_task_ids", "av-1"),))
    found = lookup.read(envelope([row(id="other", external_id="av-2"), row()]), "av-1")
    assert found is not None
    assert found.id == "893605946402811985"
    assert lookup.read(envelope([]), "av-1") is None
    assert lookup.read(envelope([row(external_id="av-2")]), "av-1") is None
    assert lookup.takes_ids(JOB)
    assert not lookup.takes_ids(VideoJob(JOB.model, prompt="p", external_task_id="a,b")), "asked for as two ids"


def test_all_tasks_are_listed_page_by_page() -> None:
    tasks = SERVICE.tasks
    assert tasks is not None
    place = tasks.place_of(JOB)
    assert place in tasks.places()
    assert tasks.place_of(VideoJob("kling-v3", prompt="p")) == "text2video"
    first, second = tasks.request(place, None), tasks.request(place, "next")
    assert (first.method, first.path, (first.body or {})["cursor"]) == ("POST", "/tasks", "")
    assert (second.body or {})["cursor"] == "next"
    page = {"result": [row()], "count": 1, "next_cursor": "next", "has_more": True}
    assert [task.request_id for task in tasks.read(None, envelope(page))[0]] == ["av-1"]
    assert tasks.read(None, envelope(page))[1] == "next"
    assert tasks.read("next", envelope({**page, "has_more": False}))[1] is None


def test_only_a_key_in_one_part_opens_them_and_a_pair_is_told_so_before_anything_is_sent() -> None:
    submission, (question,) = WIRE.submission(JOB, "av-1"), WIRE.status("t", JOB)
    for request in (submission, question):
        assert SERVICE.authorize(request, "one-part", 1.8e9) == {"Authorization": "Bearer one-part"}
        with pytest.raises(Refused, match="expected an API key in one part") as refused:
            SERVICE.authorize(request, "access:secret-of-mine", 1.8e9)
        assert "secret-of-mine" not in str(refused.value)
    assert SERVICE.tasks is not None
    with pytest.raises(Rejected):  # nothing is listed for a pair, which bought nothing there
        SERVICE.authorize(SERVICE.tasks.request("/tasks", None), "access:secret", 1.8e9)


def test_a_model_that_kling_names_in_the_path_and_nobody_knows_yet_is_refused_and_left_to_gateways() -> None:
    job = VideoJob("kling-4.0", id="a", prompt="waves")
    (problem,) = check(job, CATALOG, service="kling-official").problems
    assert "the models that Kling names in the path" in str(problem)
    for model in ("kling-4.0", "kling-3.0"):
        assert not check(VideoJob(model, id="a", prompt="waves"), CATALOG, service="kling").problems
    assert not check(VideoJob("kling-v77", id="a", prompt="waves"), CATALOG, service="kling-official").problems
