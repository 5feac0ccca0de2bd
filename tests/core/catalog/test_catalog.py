"""The catalogue as it is shipped, and with what a refresh adds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import aimlvideo.core.catalog
from aimlvideo.codegen.documents import convert, dump
from aimlvideo.core.catalog.catalog import load_catalog
from aimlvideo.core.catalog.corrections import correct
from aimlvideo.core.catalog.model import DEPTH, Model
from tests.cases import for_each

CATALOG = load_catalog()
SHIPPED = Path(aimlvideo.core.catalog.__file__).with_name("catalog.json")
V16 = "kling-video/v1.6/pro/image-to-video"


def test_every_model_of_the_service_and_the_gateways_are_known() -> None:
    services = [model.service for model in CATALOG]
    assert services.count("aimlapi") == 147
    assert CATALOG.find("kling-v1-6") in list(CATALOG)
    assert len(CATALOG) == len(services)


def test_only_two_models_have_a_path_of_their_own() -> None:
    own = {model.id: model.path for model in CATALOG if model.service == "aimlapi" and "v2/video" not in model.path}
    assert own == {
        "wan/v2.1/1.3b/text-to-video": "/v2/generate/video/alibaba/generation",
        "runway-gen3/turbo/image-to-video": "/v2/generate/video/kling/generation",
    }


def test_every_default_is_among_the_choices_and_within_the_limits() -> None:
    for model in CATALOG:
        for name, param in model.params.items():
            if param.default is None:
                continue
            assert not param.choices or param.default in param.choices, (model.id, name)
            assert param.minimum is None or param.default >= param.minimum, (model.id, name)
            assert param.maximum is None or param.default <= param.maximum, (model.id, name)


def test_a_model_is_read_once() -> None:
    assert CATALOG.find(V16) is CATALOG.find(V16)
    assert load_catalog() is CATALOG


@for_each(
    ("asked", "nearest"),
    [
        ("kling-video/v1.6/pro/image-to-vide", V16),
        ("KLING-VIDEO/V1.6/PRO/IMAGE-TO-VIDEO", V16),
        ("sora-2-t2v", "openai/sora-2-t2v"),
        ("kling-v16", "kling-v1-6"),
    ],
)
def test_the_nearest_id_is_found_for_one_that_is_not_quite_right(asked: str, nearest: str) -> None:
    assert CATALOG.find(asked) is None
    assert nearest in CATALOG.nearest(asked)


def test_nothing_is_near_to_nonsense() -> None:
    assert CATALOG.nearest("%%%") == []


def test_a_refreshed_model_stands_above_the_shipped_one_and_is_found_by_its_alias() -> None:
    entry = {"developer": "new", "path": "/v2/video/generations", "params": {"prompt": {"type": "string"}}}
    catalog = load_catalog({V16: entry, "new/one": {**entry, "aliases": ["one"]}})
    assert list(catalog.find(V16).params) == ["prompt"]  # type: ignore[union-attr]
    assert catalog.find(V16).documented_seconds == 186  # type: ignore[union-attr]
    assert catalog.find("one") is catalog.find("new/one")
    assert "tail_image_url" in CATALOG.find(V16).params  # type: ignore[union-attr]
    assert "one" not in CATALOG


@for_each(
    "entry",
    [
        None,
        7,
        {},
        {"developer": "x", "path": "/", "params": []},
        {"developer": "x", "path": "/", "params": {"a": {"type": "blob"}}},
        {"developer": "x", "path": "/", "params": {"a": {"type": "string", "min_length": "many"}}},
        {"developer": "x", "path": "/", "params": {"a": {"type": "string", "min_length": -1}}},
        {"developer": "x", "path": "/", "params": {"a": {"type": "integer", "min": float("nan")}}},
        {"developer": "x", "path": "/", "params": {}, "rules": [{}]},
        {"developer": "x", "path": "/", "params": {}, "documented_seconds": "long"},
    ],
    ids=str,
)
def test_a_broken_entry_is_left_out_and_what_was_known_stays(entry: Any) -> None:
    catalog = load_catalog({V16: entry, "good": {"developer": "x", "path": "/", "params": {}}})
    assert "tail_image_url" in catalog.find(V16).params  # type: ignore[union-attr]
    assert "good" in catalog
    with pytest.raises(ValueError, match=r"."):
        Model.read("x", entry)


def test_a_broken_entry_of_a_model_that_nobody_knew_is_no_model_and_gives_away_no_alias() -> None:
    broken = {"developer": "x", "path": "/", "params": {"a": {"type": "blob"}}, "aliases": [V16, "blob"]}
    catalog = load_catalog({"broken": broken, "worse": None})
    for name in ("broken", "worse", "blob"):
        assert name not in catalog
    assert catalog.nearest("broke") == []
    assert len(catalog) == len(list(catalog)) == len(CATALOG)


def test_of_a_refreshed_model_the_last_entry_that_can_be_read_counts() -> None:
    entry = {"developer": "x", "path": "/", "params": {"a": {"type": "string"}}}
    broken = {**entry, "documented_seconds": "long"}
    assert load_catalog({V16: entry}).with_refreshed({V16: broken}).find(V16).params.keys() == {"a"}  # type: ignore[union-attr]
    again = load_catalog({V16: broken}).with_refreshed({V16: entry}).find(V16)
    assert again.params.keys() == {"a"}  # type: ignore[union-attr]
    assert again.documented_seconds == 186  # type: ignore[union-attr]


def test_of_a_refreshed_catalogue_only_the_models_that_are_asked_for_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = {"developer": "x", "path": "/", "params": {}}
    asked: list[str] = []
    read = Model.read
    monkeypatch.setattr(Model, "read", lambda name, *entry: asked.append(name) or read(name, *entry))
    catalog = load_catalog({f"new/{number}": entry for number in range(100)})
    assert catalog.find("new/7")
    assert catalog.find(V16)
    assert set(asked) <= {"new/7", V16}


def test_a_parameter_inside_itself_is_refused() -> None:
    raw: dict[str, Any] = {"type": "string"}
    for _ in range(DEPTH + 1):
        raw = {"type": "array", "item": raw}
    with pytest.raises(ValueError, match="deep"):
        Model.read("m", {"developer": "", "path": "p", "endpoint": "p", "params": {"x": raw}})


def test_a_gateway_model_that_is_not_listed_has_the_common_form() -> None:
    model = CATALOG.find_unlisted("kling-v77")
    assert model is not None
    assert model.params.keys() >= CATALOG.find("kling-v1-6").params.keys()  # type: ignore[union-attr]
    assert CATALOG.find_unlisted("kling-video/v1.6") is None
    assert CATALOG.find_unlisted("sora-2") is None


# -- making it --------------------------------------------------------------------------------------------------------


@for_each(
    ("param", "default"),
    [
        ({"type": "integer", "default": "5"}, 5),
        ({"type": "boolean", "default": "True"}, True),
        ({"type": "number", "default": "0.5"}, 0.5),
        ({"type": "string", "default": 5}, "5"),
        ({"type": "integer", "default": "five"}, None),
        ({"type": "integer", "default": True}, None),
        ({"type": "integer", "choices": [5, 10], "default": "7"}, None),
        ({"type": "string", "choices": ["720p"], "default": "720p"}, "720p"),
    ],
    ids=str,
)
def test_a_default_of_the_wrong_type_is_mended_or_left_out(param: dict[str, Any], default: Any) -> None:
    entry = correct("x/y", "/", {"duration": param})
    assert entry["params"]["duration"].get("default") == default


def test_files_that_no_document_marks_are_known_by_their_names() -> None:
    names = {"mask": "image", "audio_url": "audio", "video_urls": "video", "last_image_url": "image", "url": "any"}
    entry = correct("x/y", "/", {name: {"type": "string"} for name in [*names, "callback_url", "prompt", "image_size"]})
    assert {name: param["media"] for name, param in entry["params"].items() if "media" in param} == names


def test_developers_are_grouped_by_who_made_the_model() -> None:
    models = ("kling-video/v1.6/pro/image-to-video", "veo2", "new-one/x")
    assert [correct(model, "/", {})["developer"] for model in models] == ["klingai", "google", "new-one"]


def test_the_shipped_file_is_what_the_converter_writes() -> None:
    content = json.loads(SHIPPED.read_text("utf-8"))
    facts = {"source": content["source"], "models": content["models"]}
    assert dump(convert(facts)) == SHIPPED.read_text("utf-8")


def test_a_model_of_another_service_is_still_that_ones_when_the_catalogue_is_made_anew() -> None:
    model = {"path": "/clips", "params": {}, "service": "another", "other_services": ["a-third"]}
    made = convert({"source": "", "models": {"one": model}})["models"]["one"]
    assert (made["service"], made["other_services"]) == ("another", ["a-third"])


def test_what_only_the_legacy_url_takes_is_marked_so_in_a_document_that_is_read_anew() -> None:
    for model in CATALOG:
        legacy = {name for name, param in model.params.items() if param.legacy}
        read_anew = correct(model.id, model.path, {})["params"]
        assert {name for name, param in read_anew.items() if param.get("legacy")} == legacy
