"""Every parameter of every model: what is right passes, what is wrong is refused by its name."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimlvideo.core.catalog.model import Model
from aimlvideo.core.catalog.validation import Checked, check
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.problems import WITHOUT_NUL
from tests.cases import for_each, one_in
from tests.core.request_strategies import CATALOG, MODELS, beside, least, mistakes, plain, requests

MULTI = "kling-video/v1.6/standard/multi-image-to-video"
V16 = "kling-video/v1.6/pro/image-to-video"
V3 = "klingai/video-v3-standard-image-to-video"
OMNI = "klingai/video-v3-omni-720p-image-to-video"
PICTURES = ["a.png", "b.png"]


class PilLike:
    """What a PIL image can do, as far as it is looked at."""

    size = (300, 300)

    def save(self, fp: Any, format: str | None = None) -> None: ...  # noqa: A002


def ask(
    model: Model | str, service: str = "aimlapi", strict: bool = False, legacy: bool = False, **params: Any
) -> Checked:
    name = model if isinstance(model, str) else model.id
    return check(VideoJob(name, id="job", **params), CATALOG, service=service, strict=strict, legacy=legacy)


def fields(checked: Checked) -> set[str]:
    return {problem.field for problem in checked.problems}


@one_in(3, "part", range(3))
def test_any_request_made_from_the_facts_is_accepted_and_sent_as_it_is(part: int) -> None:
    models = MODELS[part::3]

    @settings(max_examples=max(settings.default.max_examples, len(models)))
    @given(st.sampled_from(models).flatmap(lambda model: st.tuples(st.just(model), requests(model))))
    def accepted(asked: tuple[Model, dict[str, Any]]) -> None:
        model, params = asked
        checked = ask(model, strict=True, **params)
        assert not checked.problems
        assert not checked.warnings
        assert checked.params == {name: value for name, value in params.items() if value is not None}

    accepted()


@one_in(3, "part", range(3))
def test_each_single_mistake_is_refused_with_its_field_named(part: int) -> None:
    for model in MODELS[part::3]:
        right = least(model)
        assert not ask(model, model.service, **right).problems
        made = 0
        for name, param in model.params.items():
            for what, value, path in mistakes(param, name):
                wrong = {**beside(model, name), name: value}
                checked = ask(model, model.service, **wrong)
                assert [problem.field for problem in checked.problems] == [path], (model.id, what, name, value, checked)
                made += 1
        assert made >= 2 * len(model.params)


@for_each("model", MODELS, ids=lambda model: model.id)
def test_what_is_missing_is_named_with_what_it_takes(model: Model) -> None:
    right = least(model)
    for name in right:
        without = {key: value for key, value in right.items() if key != name}
        checked = ask(model, model.service, **without)
        assert fields(checked) == {name}
        assert checked.problems[0].got in {"nothing", "neither"}


@for_each("model", MODELS, ids=lambda model: model.id)
def test_a_misspelt_name_is_told_the_nearest_right_one(model: Model) -> None:
    for name, param in model.params.items():
        wrong = {**least(model), f"{name}q": plain(param)}
        remarked, refused = ask(model, **wrong), ask(model, strict=True, **wrong)
        assert [problem.field for problem in remarked.warnings] == [f"{name}q"]
        assert name in remarked.warnings[0].hint
        assert remarked.params[f"{name}q"] == plain(param)
        assert not remarked.problems
        assert fields(refused) == {f"{name}q"}


def test_all_that_is_wrong_is_said_at_once() -> None:
    checked = ask(V3, image_url=3, duration=99, cfg_scale=2, elements=[{"frontal_image_url": ""}], strict=True, wat=1)
    assert fields(checked) == {
        "image_url",
        "duration",
        "cfg_scale",
        "elements[0].frontal_image_url",
        "elements[0].reference_image_urls",
        "wat",
        "prompt",
    }
    assert all(problem.job == "job" for problem in checked.problems)


@for_each(
    ("given", "sent"),
    [
        ({"duration": "5"}, {"duration": 5}),
        ({"duration": 10.0}, {"duration": 10}),
        ({"image_list": ("a", "b")}, {"image_list": ["a", "b"]}),
        ({"aspect_ratio": None}, {}),
    ],
    ids=str,
)
def test_harmless_differences_are_mended_silently(given: dict[str, Any], sent: dict[str, Any]) -> None:
    checked = ask(MULTI, **{"image_list": PICTURES, **given})
    assert checked == Checked({"image_list": PICTURES, **sent})


def test_what_only_the_legacy_url_takes_is_remarked_elsewhere() -> None:
    params = {"image_list": PICTURES, "external_task_id": "mine", "type": "multi-image-to-video"}
    assert ask(MULTI, legacy=True, **params) == Checked(params)
    elsewhere = ask(MULTI, **params)
    assert not elsewhere.problems
    assert {remark.field for remark in elsewhere.warnings} == {"external_task_id", "type"}


@for_each(
    ("params", "wrong"),
    [
        ({"image_url": "a"}, {"prompt"}),
        ({"image_url": "a", "prompt": "p"}, set()),
        ({"image_url": "a", "prompt": "p", "ratio": "1:1", "aspect_ratio": "16:9"}, {"aspect_ratio"}),
        ({"image_url": "a", "prompt": "p", "ratio": "1:1"}, set()),
    ],
)
def test_the_legacy_url_has_rules_of_its_own(params: dict[str, Any], wrong: set[str]) -> None:
    assert fields(ask(V16, legacy=True, **params)) == wrong
    assert not ask(V16, **params).problems


@for_each(("text", "value"), [("true", True), ("False", False), ("0.5", 0.5), ("1", 1)])
def test_a_table_of_texts_gives_switches_and_numbers(text: str, value: Any) -> None:
    name = "generate_audio" if isinstance(value, bool) else "cfg_scale"
    assert ask(V3, image_url="a", prompt="p", **{name: text}).params[name] == value


def test_a_duration_that_is_wanted_as_text_may_be_given_as_a_number() -> None:
    model = CATALOG.find("runway-gen3/turbo/image-to-video")
    assert model is not None
    assert ask(model, **least(model), duration=5).params["duration"] == "5"


@for_each(
    ("model", "given", "ours"),
    [
        (V16, "last_image_url", "tail_image_url"),
        (V16, "image_tail", "tail_image_url"),
        (V16, "negativePrompt", "negative_prompt"),
        (V16, "guidance_scale", "cfg_scale"),
        (V3, "tailImageUrl", "tail_image_url"),
        ("bytedance/seedance-1-5-pro", "tail_image_url", "last_image_url"),
        ("bytedance/seedance-1-5-pro", "first_frame_url", "image_url"),
        ("runway/gen4_turbo", "ratio", "aspect_ratio"),
    ],
)
def test_another_name_for_the_same_thing_is_understood_and_said(model: str, given: str, ours: str) -> None:
    found = CATALOG.find(model)
    assert found is not None
    right = {**least(found), "prompt": "p"}
    right.pop(ours, None)
    value = plain(found.params[ours])
    checked = ask(model, **{**right, given: value})
    assert checked.params == {**right, ours: value}
    assert [(remark.field, remark.expected) for remark in checked.warnings] == [(given, f"taken as {ours}")]
    assert not checked.problems


def test_image_urls_is_understood_as_image_list() -> None:
    checked = ask(MULTI, image_urls=PICTURES)
    assert checked.params == {"image_list": PICTURES}
    assert str(checked.warnings[0]) == "job 'job': image_urls: taken as image_list"


def test_two_names_for_one_thing_with_two_values_are_a_problem_and_with_one_are_not() -> None:
    assert fields(ask(MULTI, image_list=PICTURES, image_urls=["c", "d"])) == {"image_urls"}
    same = ask(MULTI, image_list=PICTURES, image_urls=PICTURES)
    assert (same.params, same.problems) == ({"image_list": PICTURES}, ())


@for_each("name", [model.id for model in MODELS if "multi_prompt" in model.params])
def test_exactly_one_of_prompt_and_multi_prompt(name: str) -> None:
    model = CATALOG.find(name)
    assert model is not None
    right = {key: value for key, value in least(model).items() if key != "prompt"}
    shots = plain(model.params["multi_prompt"])
    assert not ask(name, **right, multi_prompt=shots).problems
    assert not ask(name, **right, multi_prompt=None, prompt="p").problems
    assert fields(ask(name, **right, prompt="p", multi_prompt=shots)) == {"multi_prompt"}
    assert fields(ask(name, **right)) == {"prompt"}


@for_each(("audio", "refused"), [(True, True), ("true", True), (None, True), (False, False)])
def test_no_last_picture_with_sound_on_the_omni_models(audio: Any, refused: bool) -> None:
    checked = ask(OMNI, image_url="a", tail_image_url="b", prompt="p", generate_audio=audio)
    assert fields(checked) == ({"tail_image_url"} if refused else set())


@for_each("picture", ["a.png", "https://x/y", b"\x89PNG", Path("a.png"), PurePosixPath("b"), PilLike()])
def test_a_local_picture_stands_wherever_a_link_does(picture: Any) -> None:
    assert ask(V16, image_url=picture).params["image_url"] is picture
    element = {"reference_image_urls": [picture]}
    assert ask(V3, image_url="a", prompt="p", elements=[element]).params["elements"] == [element]


def test_a_picture_is_no_sound() -> None:
    assert fields(ask("veed/fabric-1.0", image_url="a", audio_url=PilLike())) == {"audio_url"}


@for_each(
    "value",
    [
        "x" * 10**7,
        b"x" * 10**7,
        "data:image/png;base64," + "A" * 10**7,
        ["y" * 10**6] * 1000,
        10**5000,
        {"a": "b" * 999},
    ],
    ids=["text", "bytes", "data", "list", "number", "object"],
)
def test_a_message_never_carries_megabytes(value: Any) -> None:
    (problem,) = ask(MULTI, image_list=PICTURES, duration=value).problems
    assert len(problem.got) <= 60


def test_the_form_that_was_meant_is_the_one_that_is_checked() -> None:
    right = {"reference": {"type": "video", "url": "a"}}
    assert fields(ask("runway/act_two", character={"type": "image", "url": 3}, **right)) == {"character.url"}
    assert fields(ask("runway/act_two", character={"type": "sound"}, **right)) == {"character"}
    assert not ask("runway/act_two", character={"type": "image", "url": b"x"}, **right).problems


def test_a_part_whose_name_is_no_text_is_a_problem_or_a_remark_and_no_crash() -> None:
    checked = ask(V16, image_url="a", camera_control={5: "x"})
    assert [problem.field for problem in (*checked.problems, *checked.warnings)] == ["camera_control[5]"]


# -- models and services ----------------------------------------------------------------------------------------------


def test_an_unknown_model_is_told_the_nearest_and_how_to_learn_new_ones() -> None:
    (problem,) = ask("klingai/video-v3-standart-image-to-video", prompt="p").problems
    assert problem.field == "model"
    assert V3 in problem.hint
    assert "aimlvideo models --refresh" in problem.hint


@for_each("model", [None, 5, ["a"], ""])
def test_a_model_that_is_no_name_is_a_problem_and_no_crash(model: Any) -> None:
    assert fields(ask_raw(model)) == {"model"}


def ask_raw(model: Any) -> Checked:
    return check(VideoJob(model, id="job"), CATALOG)


@pytest.mark.parametrize(
    ("model", "service", "way_out"), [("kling-v1-6", "aimlapi", "--service kling"), (V16, "kling", "--service aimlapi")]
)
def test_a_model_of_the_other_service_is_told_the_way_there(model: str, service: str, way_out: str) -> None:
    (problem,) = ask(model, service, prompt="p", image_url="a").problems
    assert problem.field == "model"
    assert way_out in problem.hint


def test_the_gateways_own_names_and_objects_become_ours() -> None:
    checked = ask("kling-v1-6", "kling", prompt="p", image_list=[{"image": "a"}, {"image": b"b"}, "c"], duration="10")
    assert checked == Checked({"prompt": "p", "image_list": ["a", b"b", "c"], "duration": 10})
    checked = ask("kling-v1-6", "kling", image="a", image_tail="b")
    assert checked == Checked({"image_url": "a", "tail_image_url": "b"})


@for_each(
    ("params", "wrong"),
    [
        ({}, {"prompt"}),
        ({"prompt": ""}, {"prompt"}),
        ({"image_list": PICTURES}, {"prompt"}),
        ({"image_list": PICTURES, "image_url": "c", "prompt": "p"}, {"image_url"}),
        ({"image_list": ["a"] * 5, "prompt": "p"}, {"image_list"}),
        ({"image_list": [{"picture": "a"}, "b"], "prompt": "p"}, {"image_list[0]"}),
        ({"prompt": "p" * 2501}, {"prompt"}),
        ({"prompt": "p", "mode": "fast", "duration": 7}, {"mode", "duration"}),
        ({"image_url": "a"}, set()),
    ],
)
def test_the_gateway_has_rules_of_its_own(params: dict[str, Any], wrong: set[str]) -> None:
    assert fields(ask("kling-v1-6", "kling", **params)) == wrong


def test_a_gateway_model_that_nobody_listed_passes_with_a_remark() -> None:
    checked = ask("kling-v9-ultra", "kling", prompt="p")
    assert not checked.problems
    assert [remark.field for remark in checked.warnings] == ["model"]
    assert fields(ask("kling-v9-ultra", "kling", prompt="p", duration=6)) == {"duration"}
    assert fields(ask("kling-v9-ultra", "aimlapi", prompt="p")) == {"model"}


# -- files among the parameters ---------------------------------------------------------------------------------------


def test_files_are_found_and_replaced_at_every_depth_and_nothing_given_is_changed() -> None:
    model = CATALOG.find(V3)
    assert model is not None
    given = {
        "prompt": "p",
        "image_url": b"1",
        "elements": [{"reference_image_urls": ("2", "3")}, {"video_url": "4"}],
        "new": "5",
    }
    replaced = model.replace_media(given, lambda path, value: f"<{path}>")
    assert replaced == {
        "prompt": "p",
        "image_url": "<image_url>",
        "elements": [
            {
                "reference_image_urls": [
                    "<elements[0].reference_image_urls[0]>",
                    "<elements[0].reference_image_urls[1]>",
                ]
            },
            {"video_url": "<elements[1].video_url>"},
        ],
        "new": "5",
    }
    assert given["image_url"] == b"1"
    assert dict(model.media_fields(given)) == {
        "image_url": b"1",
        "elements[0].reference_image_urls[0]": "2",
        "elements[0].reference_image_urls[1]": "3",
        "elements[1].video_url": "4",
    }


@for_each(
    ("model", "params", "found"),
    [
        (V16, {"dynamic_masks": [{"mask": "m", "trajectories": []}]}, ["dynamic_masks[0].mask"]),
        ("klingai/kling-video-v1.6-pro-effects", {"image_url": "a"}, ["image_url"]),
        ("klingai/kling-video-v1.6-pro-effects", {"image_url": ["a", "b"]}, ["image_url[0]", "image_url[1]"]),
        ("luma/ray-2", {"keyframes": {"frame0": {"type": "image", "url": "a"}}}, ["keyframes.frame0.url"]),
        ("luma/ray-2", {"keyframes": {"frame0": {"type": "generation", "id": "a"}, "frame1": None}}, []),
        ("klingai/avatar-pro", {"audio_url": "a", "image_url": None}, ["audio_url"]),
    ],
)
def test_files_are_found_in_every_form_of_a_parameter(model: str, params: dict[str, Any], found: list[str]) -> None:
    known = CATALOG.find(model)
    assert known is not None
    assert [path for path, _ in known.media_fields(params)] == found


@for_each("name", ["max_spend", "strict", "api_key", "timeout", "retry_failed", "output"])
def test_a_setting_among_the_parameters_is_refused_and_not_sent(name: str) -> None:
    checked = check(VideoJob("alibaba/wan-2-6-t2v", prompt="waves", **{name: "sk-1"}), CATALOG)
    assert [problem.field for problem in checked.problems] == [name]
    assert "not a parameter of the model" in str(checked.problems[0])
    assert "sk-1" not in str(checked.problems[0])


@for_each("prompt", ["", " \n", "\u200b", "\ufeff \u200d"])
def test_a_prompt_in_which_there_is_nothing_to_see_is_none(prompt: str) -> None:
    assert fields(ask("alibaba/wan-2-6-t2v", prompt=prompt)) == {"prompt"}


@for_each(
    ("prompt", "gap"),
    [
        ("a {colour} fox", "{colour}"),
        ("a {{ colour }} fox", "{{ colour }}"),
        ("Film of ${product name}", "${product name}"),
        ("a {red|blue} fox", "{red|blue}"),
        ('{"scene": "a fox", "camera": {"move": "pan"}}', None),
        ("<<<image_1>>> waves at @Element1, {}", None),
        ("an empty set: { }, a list: {1, 2, 3}, code: {x: 1; y}", None),
    ],
)
def test_a_gap_of_a_template_that_nothing_filled_in_is_remarked_before_it_is_bought(
    prompt: str, gap: str | None
) -> None:
    checked = ask("alibaba/wan-2-6-t2v", prompt=prompt)
    assert checked.params["prompt"] == prompt
    assert not checked.problems
    assert [problem.got for problem in checked.warnings] == ([repr(gap)] if gap else [])


def test_a_remark_about_a_text_hides_no_rule_that_it_breaks() -> None:
    sound = {"audio_url": "https://a/b.mp3", "lip_sync_tts_content": "Hello {name}", "lip_sync_tts_speaker": "Auto"}
    checked = ask("pixverse/lip-sync", video_url="https://a/b.mp4", **sound)
    assert "lip_sync_tts_content" in fields(checked)
    assert len(checked.warnings) == 1


def test_an_id_that_no_database_can_hold_is_the_job_s_own_mistake() -> None:
    checked = check(VideoJob("alibaba/wan-2-6-t2v", id="a\0b", prompt="x"), CATALOG)
    assert [str(problem) for problem in checked.problems] == [
        "job 'a\\x00b': id: text without NUL characters, got 'a\\x00b'"
    ]


@for_each(
    "link",
    [
        "https://",
        "http://[::1",
        "HTTPS://:80/a.png",
        "https://x:99999/a",
        "https://<host>/a.png",
        "https://.../a.png",
        "https://my site/a.png",
    ],
)
def test_a_link_that_leads_nowhere_is_refused_wherever_it_stands(link: str) -> None:
    assert fields(ask(V16, prompt="x", image_url=link)) == {"image_url"}
    assert fields(ask(MULTI, prompt="x", image_list=["https://x.test/a.png", link])) == {"image_list[1]"}


@for_each("link", ["https://x.test/a b.png", "https://bücher.test/ä.png?x=[1]#f", "https://x.test"])
def test_a_link_as_people_write_it_passes(link: str) -> None:
    assert not ask(V16, prompt="x", image_url=link).problems


@for_each("number", [2**63, -(2**63) - 1, float("inf"), float("nan"), 10**50])
def test_a_number_that_no_service_holds_is_refused_wherever_it_stands(number: float) -> None:
    assert fields(ask("alibaba/wan-2-6-t2v", prompt="x", seed=number)) == {"seed"}
    assert fields(ask("alibaba/wan-2-6-t2v", prompt="x", odd={"a": [1, number]})) == {"odd.a[1]"}


def test_the_largest_numbers_that_are_held_pass() -> None:
    assert not ask("alibaba/wan-2-6-t2v", prompt="x", odd=[2**63 - 1, -(2**63), 1e300]).problems


def test_a_number_of_another_library_is_sent_as_one_of_python() -> None:
    checked = ask(
        V16, prompt="x", image_url="a.png", duration=np.int64(5), cfg_scale=np.float32(0.5), newer=np.int32(7)
    )
    assert not checked.problems
    assert json.loads(json.dumps(checked.params)) == {
        "prompt": "x", "image_url": "a.png", "duration": 5, "cfg_scale": 0.5, "newer": 7
    }  # fmt: skip


def test_a_value_of_an_unknown_parameter_that_no_request_can_hold_is_refused_by_its_name() -> None:
    for value in (date(2026, 1, 1), b"raw", PurePosixPath("a.png"), {"a": object()}, [np.int64(1)]):
        assert fields(ask(V16, prompt="x", image_url="a.png", newer=value)) == {"newer"}


def test_a_text_with_a_nul_in_it_is_refused_wherever_it_stands() -> None:
    job = VideoJob("alibaba/wan-2-6-t2v", prompt="a\0b", extra=[{"text": "c\0"}])
    refused = {problem.field for problem in check(job, CATALOG).problems if problem.expected == WITHOUT_NUL}
    assert refused == {"prompt", "extra[0].text"}
