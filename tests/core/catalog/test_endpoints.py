"""Models that are asked for at several endpoints: which one a job is for, what it takes there, and what is sent."""

from __future__ import annotations

from typing import Any

import pytest

from aimlvideo.core.catalog.endpoints import choose_endpoint, endpoint_facts
from aimlvideo.core.catalog.model import Model
from aimlvideo.core.catalog.rules import _term_holds, rule_sentences
from aimlvideo.core.catalog.validation import Checked, check
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.wires.kling import Kling
from aimlvideo.errors import Problem, Rejected
from aimlvideo.sandbox.kling_validation import find_gateway_faults
from tests.cases import for_each
from tests.core.request_strategies import CATALOG, mistakes

WIRE = Kling()
PICTURE, CLIP, SOUND = "https://a.example/x.png", "https://a.example/x.mp4", "https://a.example/x.mp3"
SHOTS = [{"prompt": "a", "duration": 3}, {"prompt": "b", "duration": 4}]
MULTI_SHOT = {"multi_shot": True, "shot_type": "customize", "multi_prompt": SHOTS, "duration": 7}
FACE = {"face_id": "0", "sound_file": SOUND, "sound_start_time": 0, "sound_end_time": 3000, "sound_insert_time": 100}

Sent = dict[str, Any]

JOBS: dict[str, tuple[str, str, dict[str, Any], Sent]] = {
    "text2video": ("kling-v1", "text2video", {"prompt": "p", "duration": 10}, {"prompt": "p", "duration": "10"}),
    "text2video v2-6 with sound": ("kling-v2-6", "text2video", {"prompt": "p", "sound": True}, {"sound": "on"}),
    "text2video v3, 15 s, 4k": (
        "kling-v3",
        "text2video",
        {"prompt": "p", "duration": 15, "mode": "4k"},
        {"duration": "15", "mode": "4k"},
    ),
    "text2video v3, several shots": (
        "kling-v3",
        "text2video",
        MULTI_SHOT,
        {"multi_prompt": [{"index": 1, "prompt": "a", "duration": "3"}, {"index": 2, "prompt": "b", "duration": "4"}]},
    ),
    "text2video v3, a voice": (
        "kling-v3",
        "text2video",
        {"prompt": "<<<voice_1>>> speaks", "sound": "on", "voice_list": ["v-1"]},
        {"voice_list": [{"voice_id": "v-1"}]},
    ),
    "image2video": (
        "kling-v2-1",
        "image2video",
        {"image_url": PICTURE, "tail_image_url": PICTURE},
        {"image": PICTURE, "image_tail": PICTURE},
    ),
    "image2video, the service's own names": ("kling-v1-6", "image2video", {"image": PICTURE}, {"image": PICTURE}),
    "image2video v3, an element": (
        "kling-v3",
        "image2video",
        {"image_url": PICTURE, "element_list": [17]},
        {"element_list": [{"element_id": 17}]},
    ),
    "multi-image2video": (
        "kling-v1-6",
        "multi-image2video",
        {"prompt": "p", "image_list": [PICTURE, {"image": PICTURE}]},
        {"image_list": [{"image": PICTURE}] * 2},
    ),
    "omni-video o1": (
        "kling-video-o1",
        "omni-video",
        {"prompt": "<<<image_1>>>", "image_list": [PICTURE], "aspect_ratio": "1:1", "duration": 3},
        {"image_list": [{"image_url": PICTURE}], "duration": "3"},
    ),
    "omni-video v3-omni, first and last frame": (
        "kling-v3-omni",
        "omni-video",
        {
            "prompt": "p",
            "image_list": [
                {"image_url": PICTURE, "type": "first_frame"},
                {"image_url": PICTURE, "type": "end_frame"},
            ],
            "duration": 15,
        },
        {"duration": "15"},
    ),
    "omni-video, a clip to edit": (
        "kling-video-o1",
        "omni-video",
        {"prompt": "p", "video_list": [CLIP]},
        {"video_list": [{"video_url": CLIP}]},
    ),
    "motion-control v2-6": (
        "kling-v2-6",
        "motion-control",
        {"image_url": PICTURE, "video_url": CLIP, "character_orientation": "image", "mode": "std"},
        {"image_url": PICTURE, "video_url": CLIP},
    ),
    "motion-control v3": (
        "kling-v3",
        "motion-control",
        {
            "image_url": PICTURE,
            "video_url": CLIP,
            "character_orientation": "video",
            "mode": "pro",
            "keep_original_sound": False,
        },
        {"keep_original_sound": "no"},
    ),
    "video-extend": (
        "kling-video-extend",
        "video-extend",
        {"video_id": "clip-1", "prompt": "p"},
        {"video_id": "clip-1"},
    ),
    "video-extend by its field": ("kling-v1-6", "video-extend", {"video_id": "clip-1"}, {"video_id": "clip-1"}),
    "avatar/image2video": (
        "kling-avatar",
        "avatar/image2video",
        {"image_url": PICTURE, "audio_url": SOUND},
        {"image": PICTURE, "sound_file": SOUND},
    ),
    "avatar/image2video by its name": (
        "kling-v2-6",
        "avatar/image2video",
        {"endpoint": "avatar", "image_url": PICTURE, "audio_id": "a-1"},
        {"image": PICTURE, "audio_id": "a-1"},
    ),
    "lip-sync, a text": (
        "kling-lip-sync",
        "lip-sync",
        {"video_id": "clip-1", "mode": "text2video", "text": "hello", "voice_id": "v", "voice_language": "en"},
        {
            "input": {
                "video_id": "clip-1",
                "mode": "text2video",
                "text": "hello",
                "voice_id": "v",
                "voice_language": "en",
            }
        },
    ),
    "lip-sync, a sound in the service's own form": (
        "kling-lip-sync",
        "lip-sync",
        {"input": {"video_url": CLIP, "mode": "audio2video", "audio_type": "url", "audio_url": SOUND}},
        {"input": {"video_url": CLIP, "mode": "audio2video", "audio_type": "url", "audio_url": SOUND}},
    ),
    "advanced-lip-sync": (
        "kling-advanced-lip-sync",
        "advanced-lip-sync",
        {"session_id": "s", "face_choose": [FACE]},
        {"session_id": "s", "face_choose": [FACE]},
    ),
    "effects, one person": (
        "kling-effects",
        "effects",
        {"effect_scene": "squish", "image_url": PICTURE, "duration": 5},
        {"effect_scene": "squish", "input": {"image": PICTURE, "duration": "5"}},
    ),
    "effects, two persons": (
        "kling-effects",
        "effects",
        {"effect_scene": "hug", "image_list": [PICTURE] * 2, "duration": 5, "model_name": "kling-v1-6", "mode": "std"},
        {
            "input": {
                "images": [PICTURE] * 2,
                "duration": "5",
                "model_name": "kling-v1-6",
                "mode": "std",
            }
        },
    ),
    "multi-elements": (
        "kling-v1-6",
        "multi-elements",
        {"session_id": "s", "edit_mode": "swap", "image_list": [PICTURE], "prompt": "p"},
        {"edit_mode": "swap", "image_list": [{"image": PICTURE}]},
    ),
    "a model that nobody listed": ("kling-v9", "omni-video", {"prompt": "p", "video_list": [CLIP]}, {"prompt": "p"}),
}


def ask(model: str, params: dict[str, Any]) -> Checked:
    return check(VideoJob(model, id="job", **params), CATALOG, service="kling", strict=True)


def wrong(checked: Checked) -> set[str]:
    return {problem.field for problem in checked.problems}


@for_each(("model", "endpoint", "params", "sent"), JOBS.values(), ids=JOBS)
def test_a_job_goes_to_its_endpoint_in_the_service_s_own_words(
    model: str, endpoint: str, params: dict[str, Any], sent: Sent
) -> None:
    checked = ask(model, params)
    assert not checked.problems
    request = WIRE.submission(VideoJob(model, id="job", **checked.params), "av-1")
    assert request.path == f"/kling/v1/videos/{endpoint}"
    assert request.body is not None
    assert {name: request.body.get(name) for name in sent} == sent
    assert "endpoint" not in request.body
    assert request.body.get("external_task_id") == (None if endpoint == "video-extend" else "av-1")
    assert WIRE.status("t", VideoJob(model, **checked.params))[0].path == f"{request.path}/t"


def test_the_model_is_sent_under_both_names_where_an_endpoint_takes_one() -> None:
    for model, endpoint, params, _ in JOBS.values():
        body = WIRE.submission(VideoJob(model, **params), "av-1").body
        assert body is not None
        takes_any = endpoint_facts()["endpoints"][endpoint].get("any_model")
        assert body.get("model_name") == body.get("model") == (None if takes_any else model)
    body = WIRE.submission(
        VideoJob("kling-multi-elements", session_id="s", edit_mode="removal", prompt="p"), "av-1"
    ).body
    assert body is not None
    assert body["model_name"] == body["model"] == "kling-v1-6"


def test_every_endpoint_is_tried_here() -> None:
    assert {endpoint for _, endpoint, _, _ in JOBS.values()} == endpoint_facts()["endpoints"].keys()


REFUSED: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "several pictures for a model that takes none": (
        "kling-v2-master",
        {"prompt": "p", "image_list": [PICTURE]},
        "image_list",
        "multi-image2video",
    ),
    "a motion for a model without": (
        "kling-v1-6",
        {"prompt": "p", "video_url": CLIP, "character_orientation": "image"},
        "character_orientation",
        "motion-control",
    ),
    "an effect beside a first picture": (
        "kling-v3",
        {"image_url": PICTURE, "video_list": [CLIP], "prompt": "p"},
        "video_list",
        "omni-video",
    ),
    "an endpoint that there is not": ("kling-v1-6", {"prompt": "p", "endpoint": "nowhere"}, "endpoint", "text2video"),
    "an endpoint of another model": (
        "kling-v2-6",
        {"prompt": "p", "endpoint": "omni-video"},
        "endpoint",
        "kling-video-o1",
    ),
}


@for_each(("model", "params", "field", "named"), REFUSED.values(), ids=REFUSED)
def test_what_fits_no_endpoint_is_refused_by_name_and_never_sent(
    model: str, params: dict[str, Any], field: str, named: str
) -> None:
    (problem,) = ask(model, params).problems
    assert problem.field == field
    assert named in str(problem)
    with pytest.raises(Rejected, match=field):
        WIRE.submission(VideoJob(model, **params), "av-1")


RULES: dict[str, tuple[str, dict[str, Any], set[str]]] = {
    "prompt or shots": ("kling-v3", {}, {"prompt"}),
    "shots need their switch": ("kling-v3", {"prompt": "p", "shot_type": "intelligence"}, {"shot_type"}),
    "the switch needs a type": ("kling-v3", {"prompt": "p", "multi_shot": True}, {"shot_type"}),
    "customized shots are named": (
        "kling-v3",
        {"prompt": "p", "multi_shot": True, "shot_type": "customize"},
        {"multi_prompt"},
    ),
    "shots add up": ("kling-v3", MULTI_SHOT | {"duration": 8}, {"multi_prompt[].duration"}),
    "shots add up to the default": (
        "kling-v3",
        {k: v for k, v in MULTI_SHOT.items() if k != "duration"},
        {"multi_prompt[].duration"},
    ),
    "a shot has 512 letters": (
        "kling-v3",
        MULTI_SHOT | {"multi_prompt": [{"prompt": "x" * 513, "duration": 7}]},
        {"multi_prompt[0].prompt"},
    ),
    "six shots": ("kling-v3", MULTI_SHOT | {"multi_prompt": [{"prompt": "x", "duration": 1}] * 7}, {"multi_prompt"}),
    "voices need sound": ("kling-v3", {"prompt": "p", "voice_list": ["v"]}, {"voice_list"}),
    "two voices": ("kling-v3", {"prompt": "p", "sound": "on", "voice_list": ["v"] * 3}, {"voice_list"}),
    "v3 lasts 3 to 15 s": ("kling-v3", {"prompt": "p", "duration": 16}, {"duration"}),
    "v2 has no cfg_scale": ("kling-v2-master", {"prompt": "p", "cfg_scale": 0.5}, {"cfg_scale"}),
    "v1 has no sound": ("kling-v1", {"prompt": "p", "sound": "on"}, {"sound"}),
    "cfg_scale is 0 to 1": ("kling-v1", {"prompt": "p", "cfg_scale": 5.0}, {"cfg_scale"}),
    "the camera has limits": (
        "kling-v1",
        {"prompt": "p", "camera_control": {"type": "simple", "config": {"pan": 11}}},
        {"camera_control.config.pan"},
    ),
    "a last frame or a camera": (
        "kling-v1",
        {"image_url": PICTURE, "tail_image_url": PICTURE, "camera_control": {"type": "simple"}},
        {"camera_control"},
    ),
    "a mask or a last frame": (
        "kling-v1",
        {"image_url": PICTURE, "tail_image_url": PICTURE, "static_mask": PICTURE},
        {"static_mask"},
    ),
    "four pictures": ("kling-v1-6", {"prompt": "p", "image_list": [PICTURE] * 5}, {"image_list"}),
    "no end frame alone": (
        "kling-video-o1",
        {"prompt": "p", "aspect_ratio": "1:1", "image_list": [{"image_url": PICTURE, "type": "end_frame"}]},
        {"image_list[].type=first_frame"},
    ),
    "omni needs a shape": ("kling-video-o1", {"prompt": "p"}, {"aspect_ratio"}),
    "o1 from a text is 5 or 10 s": (
        "kling-video-o1",
        {"prompt": "p", "aspect_ratio": "1:1", "duration": 7},
        {"duration"},
    ),
    "a base clip has no first frame": (
        "kling-v3-omni",
        {"prompt": "p", "video_list": [CLIP], "image_list": [{"image_url": PICTURE, "type": "first_frame"}]},
        {"image_list[].type=first_frame"},
    ),
    "sound is off with a clip": ("kling-v3-omni", {"prompt": "p", "video_list": [CLIP], "sound": "on"}, {"sound=on"}),
    "seven pictures and elements": (
        "kling-v3-omni",
        {"prompt": "p", "aspect_ratio": "1:1", "image_list": [PICTURE] * 5, "element_list": [1, 2, 3]},
        {"element_list"},
    ),
    "four with a clip": (
        "kling-v3-omni",
        {"prompt": "p", "video_list": [CLIP], "image_list": [PICTURE] * 5},
        {"image_list"},
    ),
    "one clip": ("kling-v3-omni", {"prompt": "p", "video_list": [CLIP] * 2}, {"video_list"}),
    "a motion has a clip": (
        "kling-v2-6",
        {"image_url": PICTURE, "character_orientation": "image", "mode": "std"},
        {"video_url"},
    ),
    "extend what": ("kling-video-extend", {"prompt": "p"}, {"video_id"}),
    "an avatar speaks": ("kling-avatar", {"image_url": PICTURE}, {"audio_id"}),
    "an avatar has one voice": (
        "kling-avatar",
        {"image_url": PICTURE, "audio_id": "a", "audio_url": SOUND},
        {"audio_url"},
    ),
    "lips say a text": ("kling-lip-sync", {"video_id": "c", "mode": "text2video", "voice_id": "v"}, {"text"}),
    "lips say 120 letters": (
        "kling-lip-sync",
        {"video_id": "c", "mode": "text2video", "voice_id": "v", "text": "x" * 121},
        {"text"},
    ),
    "lips have a clip": ("kling-lip-sync", {"mode": "text2video", "voice_id": "v", "text": "x"}, {"video_id"}),
    "lips have a sound": (
        "kling-lip-sync",
        {"video_id": "c", "mode": "audio2video", "audio_type": "url"},
        {"audio_url"},
    ),
    "a face has a sound": (
        "kling-advanced-lip-sync",
        {"session_id": "s", "face_choose": [{"face_id": "1"}]},
        {"face_choose[].audio_id"},
    ),
    "one face": ("kling-advanced-lip-sync", {"session_id": "s", "face_choose": [FACE] * 2}, {"face_choose"}),
    "an effect has a picture": ("kling-effects", {"effect_scene": "hug"}, {"image_url"}),
    "two persons": ("kling-effects", {"effect_scene": "hug", "image_list": [PICTURE]}, {"image_list"}),
    "nothing is added to a removal": (
        "kling-multi-elements",
        {"session_id": "s", "edit_mode": "removal", "image_list": [PICTURE], "prompt": "p"},
        {"image_list"},
    ),
    "something is swapped in": (
        "kling-multi-elements",
        {"session_id": "s", "edit_mode": "swap", "prompt": "p"},
        {"image_list"},
    ),
}


@for_each(("model", "params", "fields"), RULES.values(), ids=RULES)
def test_a_rule_of_an_endpoint_is_broken_by_name(model: str, params: dict[str, Any], fields: set[str]) -> None:
    assert wrong(ask(model, params)) == fields


def endpoints() -> list[Model]:
    """Return each model at each of its own endpoints."""
    own = endpoint_facts()["models"]
    return [
        at
        for model in CATALOG
        if model.id in own
        for name, at in model.endpoints.items()
        if name in own[model.id]["endpoints"]
    ]


def right(endpoint: Model) -> dict[str, Any]:
    """Return a request that is right at this endpoint, for any of its models."""
    simple = {"text2video": {"prompt": "p"}, "image2video": {"image_url": PICTURE}}
    found = next(params for _, name, params, _ in JOBS.values() if name == endpoint.endpoint)
    return simple.get(endpoint.endpoint, found) | {"endpoint": endpoint.endpoint}


@for_each("endpoint", endpoints(), ids=lambda endpoint: f"{endpoint.id} {endpoint.endpoint}")
def test_each_single_mistake_at_each_endpoint_is_refused_with_its_field_named(endpoint: Model) -> None:
    plain = right(endpoint)
    assert not ask(endpoint.id, plain).problems
    for name, param in endpoint.params.items():
        for what, value, path in mistakes(param, name):
            if value is True and param.choices in (("on", "off"), ("yes", "no")):
                continue  # a switch
            assert path in wrong(ask(endpoint.id, plain | {name: value})), (what, name, value)


def test_every_rule_and_every_endpoint_says_where_it_is_written() -> None:
    for endpoint in endpoints():
        assert endpoint.source
        assert all(rule.source for rule in endpoint.rules)
        assert all(text.endswith(".") for text in rule_sentences(endpoint))
        for rule in endpoint.rules:
            names = [term.lstrip("!").partition("=")[0].partition("[]")[0] for term in (*rule.fields, *rule.conditions)]
            assert rule.kind == "forbidden" or set(names) <= endpoint.params.keys(), (endpoint.id, rule)


SINCE_2026: list[tuple[str, dict[str, Any]]] = [
    ("kling-v3-omni", {"prompt": "p", "aspect_ratio": "1:1", "mode": "4k"}),
    ("kling-v3", MULTI_SHOT | {"image_url": PICTURE, "tail_image_url": PICTURE}),
    (
        "kling-v3-omni",
        MULTI_SHOT
        | {
            "image_list": [
                {"image_url": PICTURE, "type": "first_frame"},
                {"image_url": PICTURE, "type": "end_frame"},
            ]
        },
    ),
]


@for_each(("model", "params"), SINCE_2026)
def test_what_kling_takes_since_april_and_may_2026_is_sent(model: str, params: dict[str, Any]) -> None:
    assert not ask(model, params).problems
    request = WIRE.submission(VideoJob(model, **params), "av-1")
    assert find_gateway_faults(request.path.rpartition("/")[2], request.body or {}) == []


@for_each(
    ("term", "params", "holds"),
    [
        ("a", {"a": 1}, "yes"),
        ("a", {"a": []}, "no"),
        ("!a", {}, "yes"),
        ("a=true", {"a": True}, "yes"),
        ("a=5", {"a": 5}, "yes"),
        ("a[].b=x", {"a": [{"b": "y"}, {"b": "x"}]}, "yes"),
        ("a[].b=x", {"a": ["x"]}, "no"),
        ("a[].b", {"a": "x"}, "no"),
    ],
)
def test_a_term_of_a_rule_is_read(term: str, params: dict[str, Any], holds: str) -> None:
    assert _term_holds(term, params) == holds


def test_an_unknown_model_is_asked_about_everywhere_and_a_known_one_at_its_endpoints() -> None:
    paths = [one.path for one in WIRE.status("t")]
    assert len(paths) == len(set(paths)) == len(endpoint_facts()["endpoints"]) + 1
    assert paths[0] == "/kling/v1/videos/text2video/t"
    assert "/v1/video/generations/t" in paths
    motion = VideoJob("kling-v3", image_url=PICTURE, video_url=CLIP, character_orientation="image", mode="std")
    assert [one.path for one in WIRE.status("t", motion)] == [
        "/kling/v1/videos/motion-control/t",
        "/v1/video/generations/t",
    ]
    assert {one.path for one in WIRE.status("t", VideoJob("kling-video-o1"))} >= {"/kling/v1/videos/omni-video/t"}


def test_a_task_of_the_first_release_is_asked_about_where_it_was_sent() -> None:
    job = VideoJob("kling-v1", prompt="p", image_list=[PICTURE])
    assert [one.path for one in WIRE.status("t", job)] == ["/kling/v1/videos/multi-image2video/t"]


def test_a_model_of_one_endpoint_needs_no_mark() -> None:
    model = CATALOG.find("kling-v3-omni")
    assert model is not None
    chosen = choose_endpoint(model, {"prompt": "p"})
    assert not isinstance(chosen, Problem)
    assert chosen.endpoint == "omni-video"
