"""The tables of what Kling and its gateways have, row by row: paths (3), submissions (4), queries (5), fields (6)."""

from __future__ import annotations

from typing import Any

import pytest

from aimlvideo.core.catalog.catalog import load_catalog
from aimlvideo.core.catalog.validation import check
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.wires.answers import State
from aimlvideo.core.wires.kling import HELPER, MODELS_SERVICE, ROOT, Kling
from aimlvideo.core.wires.kling_tasks import Tasks
from aimlvideo.errors import InvalidJobs, Rejected, ServiceError
from tests.cases import for_each
from tests.core.wires.answers import answer

WIRE, CATALOG = Kling(), load_catalog()
LINK, FILM = "https://a.example/a.png", "https://a.example/a.mp4"
HOME = "/kling/v1/videos"
OMNI = {"prompt": "p", "aspect_ratio": "16:9"}
LIPS = {"video_url": FILM, "mode": "text2video", "text": "hello", "voice_id": "v", "voice_language": "en"}
FACE = {"face_id": "0", "audio_id": "a", "sound_start_time": 0, "sound_end_time": 9, "sound_insert_time": 0}

TABLE_3: dict[str, tuple[str, dict[str, Any], str]] = {
    "text2video": ("kling-v2-6", {"prompt": "p"}, "text2video"),
    "image2video": ("kling-v2-6", {"prompt": "p", "image_url": LINK}, "image2video"),
    "multi-image2video": ("kling-v1-6", {"prompt": "p", "image_list": [LINK]}, "multi-image2video"),
    "omni-video": ("kling-video-o1", OMNI, "omni-video"),
    "motion-control": (
        "kling-v3",
        {"image_url": LINK, "video_url": FILM, "character_orientation": "image", "mode": "std"},
        "motion-control",
    ),
    "video-extend": ("kling-video-extend", {"video_id": "clip-1"}, "video-extend"),
    "avatar/image2video": ("kling-avatar", {"image_url": LINK, "audio_id": "a"}, "avatar/image2video"),
    "lip-sync (old, one call)": ("kling-lip-sync", LIPS, "lip-sync"),
    "identify-face + advanced-lip-sync": (
        "kling-advanced-lip-sync",
        {"session_id": "s", "face_choose": [FACE]},
        "advanced-lip-sync",
    ),
    "effects": ("kling-effects", {"effect_scene": "squish", "image_url": LINK}, "effects"),
    "multi-elements": (
        "kling-multi-elements",
        {"session_id": "s", "edit_mode": "removal", "prompt": "p"},
        "multi-elements",
    ),
}


@for_each(("model", "params", "path"), TABLE_3.values(), ids=TABLE_3)
def test_table_3_each_kind_of_task_is_submitted_at_its_own_path(model: str, params: dict[str, Any], path: str) -> None:
    checked = check(VideoJob(model, id="a", **params), CATALOG, service="kling")
    assert not checked.problems
    assert WIRE.submission(VideoJob(model, **checked.params), "av-1").path == f"{HOME}/{path}"


TABLE_3_HELPERS: dict[str, dict[str, Any]] = {
    "identify-face": {"video_url": FILM},
    "multi-elements/init-selection": {"video_id": "clip-1"},
    "multi-elements/add-selection": {"session_id": "s", "frame_index": 0, "points": [{"x": 0.5, "y": 0.5}]},
    "multi-elements/delete-selection": {"session_id": "s", "frame_index": 0, "points": [{"x": 0.5, "y": 0.5}]},
    "multi-elements/clear-selection": {"session_id": "s"},
    "multi-elements/preview-selection": {"session_id": "s"},
}


@for_each(("name", "params"), TABLE_3_HELPERS.items(), ids=TABLE_3_HELPERS)
def test_table_3_each_call_that_prepares_a_task_has_its_own_path(name: str, params: dict[str, Any]) -> None:
    request = HELPER.request(name, params)
    assert (request.method, request.path, request.body) == ("POST", f"{HOME}/{name}", params)
    assert HELPER.read(answer({"code": 0, "data": {"session_id": "s"}})) == {"session_id": "s"}


@for_each(
    ("name", "params", "field"),
    [
        ("identify-face", {}, "video_id"),
        ("identify-face", {"video_id": "c", "video_url": FILM}, "video_url"),
        ("identify-face", {"video_url": FILM, "face": 1}, "face"),
        ("multi-elements/add-selection", {"session_id": "s"}, "frame_index"),
        ("identify-faces", {}, "helper"),
    ],
)
def test_a_call_that_lacks_something_is_refused_by_name_and_not_sent(
    name: str, params: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidJobs) as caught:
        HELPER.request(name, params)
    assert field in {problem.field for problem in caught.value.problems}


@for_each("body", [{"code": 1201, "message": "no such clip"}, {"error": {"message": "no"}}, b"<html>"])
def test_a_call_that_the_service_refuses_is_its_error(body: Any) -> None:
    with pytest.raises(ServiceError):
        HELPER.read(answer(body))


TABLE_4: dict[str, Any] = {
    "native": {
        "code": 0,
        "message": "SUCCEED",
        "request_id": "r",
        "data": {
            "task_id": "t-1",
            "task_status": "submitted",
            "task_info": {"external_task_id": "av-1"},
            "created_at": 1722769557708,
            "updated_at": 1722769557708,
        },
    },
    "OpenAI video object": {
        "id": "t-1",
        "task_id": "t-1",
        "object": "video",
        "model": "kling-v1-6",
        "status": "",
        "progress": 0,
        "created_at": 1722769557,
    },
    "flat id": {"code": 0, "message": "", "task_id": "t-1"},
    "bare": {"task_id": "t-1", "status": "queued"},
}


@for_each("body", TABLE_4.values(), ids=TABLE_4)
def test_table_4_a_submission_names_its_task(body: Any) -> None:
    assert WIRE.parse_submission(answer(body), "av-1").id == "t-1"


@for_each("word", ["task_not_exist", "fail_to_fetch_task", "model_price_error", "invalid_request"])
def test_table_4_an_error_of_new_api_is_a_refusal(word: str) -> None:
    with pytest.raises(Rejected, match="in its words"):
        WIRE.parse_submission(answer({"code": word, "message": "in its words", "data": None}, 400), "av-1")


RESULT = {"videos": [{"id": "c", "url": FILM, "watermark_url": "https://a.example/marked.mp4", "duration": "5.1"}]}
TABLE_5: dict[str, Any] = {
    "native": {"code": 0, "data": {"task_id": "t-1", "task_status": "succeed", "task_result": RESULT}},
    "wrapped, result_url": {"code": "success", "data": {"status": "SUCCESS", "progress": "100%", "result_url": FILM}},
    "wrapped, fail_reason": {"code": "success", "data": {"status": "SUCCESS", "fail_reason": FILM}},
    "wrapped, native inside": {
        "code": "success",
        "data": {"status": "SUCCESS", "data": {"code": 0, "data": {"task_status": "succeed", "task_result": RESULT}}},
    },
    "flat": {"code": "success", "data": {"status": "succeeded", "url": FILM, "format": "mp4"}},
    "bare": {"task_id": "t-1", "status": "completed", "url": FILM, "metadata": {"duration": 5, "seed": 1}},
    "OpenAI video": {
        "id": "t-1",
        "object": "video",
        "status": "completed",
        "progress": 100,
        "metadata": {"url": FILM},
    },
    "qiniu-like": {"id": "t-1", "status": "succeed", "task_result": RESULT},
}


@for_each("body", TABLE_5.values(), ids=TABLE_5)
def test_table_5_a_finished_task_gives_its_clip(body: Any) -> None:
    seen = WIRE.parse_status(answer(body), "t-1")
    assert (seen.state, seen.video_url) == (State.COMPLETED, FILM)


def test_table_5_an_openai_video_may_have_a_content_page_in_place_of_a_link() -> None:
    seen = WIRE.parse_status(answer({"id": "t-1", "object": "video", "status": "completed"}), "t-1")
    assert seen.video_url == "/v1/videos/t-1/content"


def test_table_5_units_say_what_a_task_cost() -> None:
    task = {"task_id": "t", "task_status": "succeed", "task_result": RESULT, "final_unit_deduction": "1.4"}
    assert WIRE.parse_status(answer({"code": 0, "data": task}), "t").cost_units == 1.4


SHOTS = [{"prompt": "one", "duration": 2}, {"prompt": "two", "duration": 3}]
MASKS = [{"mask": LINK, "trajectories": [{"x": 0, "y": 0}, {"x": 9, "y": 9}]}]
TABLE_6: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "text2video: names, texts, mode, length as a text": (
        "kling-v2-6",
        {"prompt": "p", "negative_prompt": "n", "mode": "pro", "duration": 10, "aspect_ratio": "1:1", "sound": "on"},
        {"model_name": "kling-v2-6", "model": "kling-v2-6", "duration": "10", "sound": "on", "mode": "pro"},
    ),
    "text2video: camera_control": (
        "kling-v1",
        {"prompt": "p", "camera_control": {"type": "simple", "config": {"zoom": -10}}},
        {"camera_control": {"type": "simple", "config": {"zoom": -10}}},
    ),
    "text2video: v3 in shots": (
        "kling-v3",
        {"multi_shot": True, "shot_type": "customize", "multi_prompt": SHOTS, "duration": 5},
        {
            "multi_prompt": [
                {"index": 1, "prompt": "one", "duration": "2"},
                {"index": 2, "prompt": "two", "duration": "3"},
            ]
        },
    ),
    "image2video: image and image_tail": (
        "kling-v1-6",
        {"image_url": LINK, "tail_image_url": LINK},
        {"image": LINK, "image_tail": LINK},
    ),
    "image2video: masks": ("kling-v1", {"image_url": LINK, "dynamic_masks": MASKS}, {"dynamic_masks": MASKS}),
    "multi-image2video: entries are objects": (
        "kling-v1-6",
        {"prompt": "p", "image_list": [LINK, LINK]},
        {"image_list": [{"image": LINK}, {"image": LINK}]},
    ),
    "omni-video: entries name image_url": (
        "kling-v3-omni",
        {**OMNI, "image_list": [{"image_url": LINK, "type": "first_frame"}]},
        {"image_list": [{"image_url": LINK, "type": "first_frame"}], "duration": None},
    ),
    "omni-video: a video to edit": (
        "kling-video-o1",
        {"prompt": "p", "video_list": [{"video_url": FILM, "refer_type": "base", "keep_original_sound": "yes"}]},
        {"video_list": [{"video_url": FILM, "refer_type": "base", "keep_original_sound": "yes"}]},
    ),
    "motion-control": (
        "kling-v2-6",
        {"image_url": LINK, "video_url": FILM, "character_orientation": "video", "mode": "pro"},
        {"image_url": LINK, "video_url": FILM, "character_orientation": "video", "model_name": "kling-v2-6"},
    ),
    "video-extend: the clip's id, and no model": (
        "kling-video-extend",
        {"video_id": "clip-1", "prompt": "p"},
        {"video_id": "clip-1", "prompt": "p", "model_name": None, "external_task_id": None},
    ),
    "avatar/image2video": (
        "kling-avatar",
        {"image_url": LINK, "sound_file": "https://a.example/a.mp3"},
        {"image": LINK, "sound_file": "https://a.example/a.mp3", "model_name": None},
    ),
    "lip-sync: inside input": ("kling-lip-sync", LIPS, {"input": LIPS}),
    "advanced-lip-sync": (
        "kling-advanced-lip-sync",
        {"session_id": "s", "face_choose": [FACE]},
        {"session_id": "s", "face_choose": [FACE]},
    ),
    "effects: two persons inside input": (
        "kling-effects",
        {"effect_scene": "hug", "image_list": [LINK, LINK], "duration": 5},
        {"effect_scene": "hug", "input": {"images": [LINK, LINK], "duration": "5"}},
    ),
    "multi-elements": (
        "kling-multi-elements",
        {"session_id": "s", "edit_mode": "swap", "image_list": [LINK], "prompt": "p", "duration": 5},
        {"edit_mode": "swap", "image_list": [{"image": LINK}], "duration": "5", "model_name": "kling-v1-6"},
    ),
    "common: callback_url, our id, the mark": (
        "kling-v2-6",
        {"prompt": "p", "callback_url": "https://me.example/c", "watermark_info": {"enabled": True}},
        {"callback_url": "https://me.example/c", "watermark_info": {"enabled": True}, "external_task_id": "av-1"},
    ),
}


@for_each(("model", "params", "sent"), TABLE_6.values(), ids=TABLE_6)
def test_table_6_fields_are_sent_in_the_service_s_own_words(
    model: str, params: dict[str, Any], sent: dict[str, Any]
) -> None:
    checked = check(VideoJob(model, id="a", **params), CATALOG, service="kling")
    assert not checked.problems
    body = WIRE.submission(VideoJob(model, **checked.params), "av-1").body or {}
    assert {name: body.get(name) for name in sent} == sent


TABLE_6_WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "texts have 2,500 characters at most": ("kling-v1-6", {"prompt": "p" * 2501}, "prompt"),
    "cfg_scale not with v2": ("kling-v2-master", {"prompt": "p", "cfg_scale": 0.5}, "cfg_scale"),
    "cfg_scale from 0 to 1": ("kling-v1-6", {"prompt": "p", "cfg_scale": 5}, "cfg_scale"),
    "sound from v2-6 on": ("kling-v2-1", {"prompt": "p", "sound": "on"}, "sound"),
    "5 or 10 s before v3": ("kling-v2-6", {"prompt": "p", "duration": 7}, "duration"),
    "3 to 15 s with v3": ("kling-v3", {"prompt": "p", "duration": 16}, "duration"),
    "4k with v3 alone": ("kling-v2-6", {"prompt": "p", "mode": "4k"}, "mode"),
    "shots add up to the length": (
        "kling-v3",
        {"multi_shot": True, "shot_type": "customize", "multi_prompt": SHOTS, "duration": 9},
        "multi_prompt[].duration",
    ),
    "a camera moves at most 10": (
        "kling-v1",
        {"prompt": "p", "camera_control": {"type": "simple", "config": {"zoom": 11}}},
        "camera_control.config.zoom",
    ),
    "one picture at least": ("kling-v1-6", {"endpoint": "image2video", "prompt": "p"}, "image_url"),
    "6 masks at most": ("kling-v1", {"image_url": LINK, "dynamic_masks": MASKS * 7}, "dynamic_masks"),
    "4 pictures at most": ("kling-v1-6", {"prompt": "p", "image_list": [LINK] * 5}, "image_list"),
    "omni: no end frame alone": (
        "kling-v3-omni",
        {**OMNI, "image_list": [{"image_url": LINK, "type": "end_frame"}]},
        "image_list[].type=first_frame",
    ),
    "omni: no sound with a video": (
        "kling-v3-omni",
        {**OMNI, "sound": "on", "video_list": [{"video_url": FILM}]},
        "sound=on",
    ),
    "motion-control: the orientation": (
        "kling-v3",
        {"image_url": LINK, "video_url": FILM, "mode": "std"},
        "character_orientation",
    ),
    "video-extend: the clip's id": ("kling-video-extend", {"prompt": "p"}, "video_id"),
    "avatar: one sound": ("kling-avatar", {"image_url": LINK}, "audio_id"),
    "advanced-lip-sync: one face": (
        "kling-advanced-lip-sync",
        {"session_id": "s", "face_choose": [FACE, FACE]},
        "face_choose",
    ),
    "effects: two pictures for two persons": (
        "kling-effects",
        {"effect_scene": "kiss", "image_url": LINK},
        "image_list",
    ),
    "effects: one picture for one": (
        "kling-effects",
        {"effect_scene": "expansion", "image_list": [LINK, LINK]},
        "image_list",
    ),
    "effects: one picture or two": ("kling-effects", {"effect_scene": "hug"}, "image_url"),
    "multi-elements: no pictures with removal": (
        "kling-multi-elements",
        {"session_id": "s", "edit_mode": "removal", "prompt": "p", "image_list": [LINK]},
        "image_list",
    ),
}


@for_each(("model", "params", "field"), TABLE_6_WRONG.values(), ids=TABLE_6_WRONG)
def test_table_6_what_an_endpoint_does_not_take_is_refused_by_name(
    model: str, params: dict[str, Any], field: str
) -> None:
    problems = check(VideoJob(model, id="a", **params), CATALOG, service="kling").problems
    assert field in {problem.field for problem in problems}, problems


def test_a_page_of_the_list_gives_each_task_with_our_id_and_its_age() -> None:
    rows = [
        {"task_id": "t-2", "task_status": "submitted", "created_at": 1722769557708},
        {"task_id": "t-1", "task_status": "succeed", "task_info": {"external_task_id": "av-1"}, "task_result": RESULT},
        None,
    ]
    listed = Tasks(ROOT, MODELS_SERVICE).list
    request = listed.request(listed.place_of(VideoJob("kling-v1-6", prompt="p")), "2")
    assert (request.path, dict(request.query)["pageNum"]) == (f"{HOME}/text2video", "2")
    tasks, following = listed.read("2", answer({"code": 0, "data": rows}))
    assert following == "3"
    assert listed.read("3", answer({"code": 0, "data": []})) == ([], None)
    assert [(task.id, task.request_id) for task in tasks] == [("t-2", None), ("t-1", "av-1")]
    assert tasks[0].created_at == pytest.approx(1722769557.708)


def test_a_task_that_was_found_is_asked_about_there_alone() -> None:
    wire = Kling()
    places = wire.status("t-1")
    assert len(places) > 5
    wire.remember("t-1", places[3])
    assert wire.status("t-1") == (places[3],)
    assert len(wire.status("t-2")) == len(places)
