"""Typed jobs: up to date with the catalogue, and the same as the plain ones."""

from __future__ import annotations

import inspect
import pickle
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import aimlvideo.models
from aimlvideo.codegen.builders import BUILDER_MODULES, class_name, modules, typed_dict_name
from aimlvideo.core.catalog.catalog import Catalog, load_catalog
from aimlvideo.core.catalog.validation import check
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.models.base import TypedJob
from aimlvideo.models.klingai import V3StandardImageToVideo, V16ProImageToVideo, V16StandardMultiImageToVideo
from tests.cases import for_each

CATALOG = load_catalog()
HERE = Path(aimlvideo.models.__file__).parent


def module(name: str) -> ModuleType:
    return import_module(f"aimlvideo.models.{name}")


def classes() -> list[type[TypedJob]]:
    found = [made for name in BUILDER_MODULES for made in vars(module(name)).values()]
    return [made for made in found if isinstance(made, type) and issubclass(made, TypedJob) and made is not TypedJob]


@for_each("name", BUILDER_MODULES)
def test_the_module_checked_in_is_what_the_catalogue_gives(name: str) -> None:
    text = modules(CATALOG, Catalog.source())[name]
    assert (HERE / f"{name}.py").read_text("utf-8") == text


def test_every_model_of_these_developers_has_one_class() -> None:
    wanted = sorted(model.id for model in CATALOG if model.developer in BUILDER_MODULES or model.service == "kling")
    assert sorted(made.MODEL for made in classes()) == wanted


def test_a_typed_job_takes_what_its_model_takes_and_requires_what_it_requires() -> None:
    for made in classes():
        model = CATALOG.find(made.MODEL)
        assert model is not None
        arguments = dict(inspect.signature(made).parameters)
        assert arguments.pop("id").default is None
        assert arguments.keys() == {name for name, param in model.params.items() if not param.legacy}
        for name, argument in arguments.items():
            assert argument.kind is inspect.Parameter.KEYWORD_ONLY
            assert (argument.default is inspect.Parameter.empty) == model.params[name].required


def test_a_typed_job_is_the_plain_job_with_the_same_id_and_content() -> None:
    typed = V3StandardImageToVideo(image_url="a.png", prompt="p", duration=8)
    plain = VideoJob("klingai/video-v3-standard-image-to-video", image_url="a.png", prompt="p", duration=8)
    assert isinstance(typed, VideoJob)
    assert (typed.model, typed.params, typed.id) == (plain.model, plain.params, plain.id)
    assert not check(typed, CATALOG, strict=True).problems


def test_a_typed_job_keeps_its_id_and_can_be_renamed_and_sent_to_another_process() -> None:
    job = V16StandardMultiImageToVideo(image_list=["a", "b"], id="mine")
    assert job.id == "mine"
    assert job.with_id("yours").params == {"image_list": ["a", "b"]}
    assert pickle.loads(pickle.dumps(job)).params == job.params


def test_what_is_not_given_is_not_asked() -> None:
    assert V16ProImageToVideo(image_url="a").params == {"image_url": "a"}
    assert V16ProImageToVideo(image_url="a", cfg_scale=0).params == {"image_url": "a", "cfg_scale": 0}


def test_an_argument_that_a_model_does_not_have_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="tail"):
        V16StandardMultiImageToVideo(image_list=["a", "b"], tail_image_url="c")  # type: ignore[call-arg]


def test_the_documentation_of_a_class_has_units_limits_time_and_source() -> None:
    said = inspect.getdoc(V3StandardImageToVideo) or ""
    assert "about 235 s" in said
    assert "seconds. A whole number from 3 to 15, default 5" in said
    assert "Exactly one of prompt and multi_prompt" in said
    assert Catalog.source() in said


@for_each(
    ("model", "name"),
    [
        ("klingai/video-v3-standard-image-to-video", "V3StandardImageToVideo"),
        ("kling-video/v1.6/pro/image-to-video", "V16ProImageToVideo"),
        ("klingai/kling-video-v1.6-pro-effects", "V16ProEffects"),
        ("google/veo-3.1-t2v-fast", "Veo31T2VFast"),
        ("video-01", "Video01"),
        ("kling-v1-6", "KlingV16"),
    ],
)
def test_class_names_follow_from_ids(model: str, name: str) -> None:
    assert class_name(model) == name


def test_the_name_of_a_part_is_the_singular_of_its_parameter() -> None:
    assert [typed_dict_name(name) for name in ("dynamic_masks", "trajectories", "elements")] == [
        "DynamicMask",
        "Trajectory",
        "Element",
    ]
