"""Documents from outside: read as far as they can be believed."""

from __future__ import annotations

from typing import Any

import pytest

from aimlvideo.core.catalog.catalog import load_catalog
from aimlvideo.core.catalog.model import Model, Param
from aimlvideo.core.catalog.openapi import LARGEST, Document, parsed_document
from aimlvideo.core.catalog.refresh import compare
from aimlvideo.core.catalog.validation import check
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.wires.aimlapi_models import _read_models
from tests.cases import for_each

V16 = "kling-video/v1.6/pro/image-to-video"
UNIVERSAL = "/v2/video/generations"


def catalog_entry(model: str, described: Any, **options: Any) -> dict[str, Any]:
    return Document(described).catalog_entry(model, **options)


def document(schema: Any, path: str = UNIVERSAL, **more: Any) -> dict[str, Any]:
    return {"openapi": "3.0.0", "paths": {path: {"post": post(schema)}}, **more}


def post(schema: Any) -> dict[str, Any]:
    return {"requestBody": {"content": {"application/json": {"schema": schema}}}}


def body(*required: str, **properties: Any) -> dict[str, Any]:
    model = {"type": "string", "enum": ["x/new"]}
    return {"type": "object", "properties": {"model": model, **properties}, "required": ["model", *required]}


def schema_of(param: Param) -> dict[str, Any]:
    """Write a parameter as a JSON Schema, as the service's documents do."""
    names = {
        "minimum": "minimum",
        "maximum": "maximum",
        "minItems": "min_items",
        "maxItems": "max_items",
        "minLength": "min_length",
        "maxLength": "max_length",
    }
    schema: dict[str, Any] = {
        theirs: value for theirs, ours in names.items() if (value := getattr(param, ours)) is not None
    }
    if param.any_of:
        return {"oneOf": [schema_of(form) for form in param.any_of]}
    schema |= {"type": param.type} | ({"nullable": True} if param.nullable else {})
    schema |= {"enum": list(param.choices)} if param.choices else {}
    schema |= {} if param.default is None else {"default": param.default}
    if param.item:
        schema["items"] = schema_of(param.item)
    if param.fields is not None:
        schema |= {
            "properties": {name: schema_of(part) for name, part in param.fields.items()},
            "required": [name for name, part in param.fields.items() if part.required],
        }
    return schema


def document_of(model: Model) -> dict[str, Any]:
    params = {name: param for name, param in model.params.items() if not param.legacy}
    schema = schema_of(Param("object", fields=params))
    schema["properties"]["model"] = {"type": "string", "enum": [model.id]}
    return document({"$ref": "#/components/schemas/Body"}, model.path, components={"schemas": {"Body": schema}})


def test_what_all_147_documents_say_is_what_is_shipped() -> None:
    catalog = load_catalog()
    models = [model for model in catalog if model.service == "aimlapi"]
    refreshed = {model.id: catalog_entry(model.id, document_of(model)) for model in models}
    assert list(compare(catalog, refreshed)) == []
    assert len(refreshed) == 147


def test_a_model_that_was_not_shipped_is_checked_after_a_refresh() -> None:
    entry = catalog_entry("x/new", document(body("prompt", prompt={"type": "string"}, image_url={"type": "string"})))
    catalog = load_catalog({"x/new": entry})
    checked = check(VideoJob("x/new", image_url=b"png"), catalog)
    assert [problem.field for problem in checked.problems] == ["prompt"]
    assert check(VideoJob("x/new", image_url=b"png", prompt="p"), catalog).params == {
        "image_url": b"png",
        "prompt": "p",
    }


def test_references_parts_and_forms_are_put_together() -> None:
    shared = {"Base": body("prompt", prompt={"type": "string"}), "Size": {"type": "string", "enum": ["a"]}}
    schema = {
        "allOf": [
            {"$ref": "#/components/schemas/Base"},
            {"properties": {"size": {"$ref": "#/components/schemas/Size"}}},
        ]
    }
    entry = catalog_entry("x/new", document(schema, components={"schemas": shared}))
    assert entry["params"] == {
        "prompt": {"type": "string", "required": True},
        "size": {"type": "string", "choices": ["a"]},
    }


def test_of_several_requests_the_one_for_this_model_counts_and_the_universal_path_first() -> None:
    other = {"type": "object", "properties": {"model": {"enum": ["x/other"]}, "wrong": {"type": "string"}}}
    right = body(prompt={"type": "string"})
    paths = {"/v2/a": {"post": post(right)}, UNIVERSAL: {"post": post({"oneOf": [other, right]})}, "/get": {"get": {}}}
    entry = catalog_entry("x/new", {"paths": paths}, usual_path=UNIVERSAL)
    assert entry["path"] == UNIVERSAL
    assert list(entry["params"]) == ["prompt"]
    assert catalog_entry("x/now", {"paths": paths}, also=("x/new",), usual_path=UNIVERSAL)["params"] == entry["params"]


def test_newer_ways_to_say_that_nothing_may_be_given_are_understood() -> None:
    entry = catalog_entry(
        "x/new", document(body(seed={"type": ["integer", "null"]}, mode={"const": "std", "type": "string"}))
    )
    model = Model.read("x/new", entry)
    assert model.params["seed"].nullable
    assert model.params["mode"].choices == ("std",)


LOOP = {"type": "object", "properties": {"again": {"$ref": "#/components/schemas/Loop"}}}
DEEP: dict[str, Any] = {"type": "string"}
for _ in range(3000):
    DEEP = {"type": "array", "items": DEEP}
WIDE = {"type": "object", "properties": {f"p{number}": {"type": "string"} for number in range(201)}}


@for_each(
    "broken",
    [
        None,
        [],
        "text",
        {},
        {"paths": 5},
        {"paths": {UNIVERSAL: {"post": 5}}},
        {"paths": {UNIVERSAL: {"post": {}}}},
        document(None),
        document(body()),
        document({**body(prompt={"type": "string"}), "properties": 5}),
        document({"type": "object", "properties": {"model": {"enum": ["another"]}, "prompt": {"type": "string"}}}),
        document(body(a={"$ref": "#/components/schemas/Loop"}), components={"schemas": {"Loop": LOOP}}),
        document(body(a={"$ref": "#/x"}), x={"$ref": "#/x"}),
        document(body(a={"$ref": "#/nowhere"})),
        document(body(a={"$ref": "https://elsewhere.example/x"})),
        document(body(a={"$ref": "file:///etc/passwd"})),
        document(body(a={"$ref": 5})),
        document(body(a=DEEP)),
        document(body(a=WIDE)),
        document(body(a={"$ref": "#/h"}), h={"allOf": [{"$ref": "#/h"}] * 50}),
        document(body(a={"type": "blob"})),
        document(body(a={"type": "string", "enum": ["x"] * 5000})),
        document(body(a={"type": "string", "enum": 5})),
        document(body(a={"type": "string", "enum": ["x" * 10_000]})),
        document(body(a={"type": "string", "default": "x" * 10**6})),
        document(body(a={"type": "integer", "minimum": "low"})),
        document(body(a={"type": "integer", "maximum": float("nan")})),
        document(body(a={"type": "array", "minItems": -5})),
        document(body(**{"x" * 500: {"type": "string"}})),
        document({**body(a={"type": "string"}), "required": [["a"]]}),
        document({**body(a={"type": "string"}), "required": 5}),
        document(body(a=5)),
    ],
)
def test_a_hostile_or_broken_document_is_refused_with_a_short_reason(broken: Any) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        catalog_entry("x/new", broken)
    assert len(str(refused.value)) < 250


@for_each(
    ("broken", "reason"),
    [
        (document(body(a={"$ref": "#/components/schemas/Loop"}), components={"schemas": {"Loop": LOOP}}), "circular"),
        (document(body(a={"$ref": "#/x"}), x={"$ref": "#/x"}), "circular"),
        (document(body(a={"$ref": "https://elsewhere.example/x"})), "outside the document"),
        (document(body(a={"type": "integer", "minimum": 10**400})), "too large"),
        (document({"properties": {"model": {"enum": ["another"]}, "prompt": {}}}), "for this model"),
    ],
)
def test_the_reason_says_what_was_wrong(broken: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        catalog_entry("x/new", broken)


def test_a_small_document_that_unfolds_to_billions_of_parts_is_refused_at_once() -> None:
    def level(number: int) -> Any:
        below = {"$ref": f"#/levels/{number + 1}"} if number < 6 else {"type": "string"}
        return {"type": "object", "properties": {f"p{part}": below for part in range(30)}}

    bomb = document(body(a={"$ref": "#/levels/0"}), levels={str(number): level(number) for number in range(7)})
    with pytest.raises(ValueError, match="parts"):
        catalog_entry("x/new", bomb)


def test_a_body_that_is_too_large_too_deep_or_no_json_is_refused() -> None:
    for text in (b" " * (LARGEST + 1), b"[" * 500_000, b"<html>", b"\xff\xfe"):
        with pytest.raises(ValueError, match=r"."):
            parsed_document(text)


# -- the list ---------------------------------------------------------------------------------------------------------


def entry(name: Any, **more: Any) -> dict[str, Any]:
    return {
        "id": name,
        "type": "internal/video-generations/submit",
        "info": {"docsJson": "https://d.example/x"},
        **more,
    }


def test_video_models_are_listed_with_their_aliases_and_broken_entries_left_out() -> None:
    entries = [entry("a", aliases=["b", 5]), entry(5), 7, {}, entry("chat", type="chat-completion"), entry("c", info=5)]
    listed = _read_models({"data": entries})
    assert [(model.id, model.aliases) for model in listed] == [("a", ("b",)), ("c", ())]
    assert _read_models(entries) == listed


def test_a_listed_model_has_the_name_of_whoever_made_it_where_the_service_says_it() -> None:
    infos = [{"developer": "Kling AI"}, {"developer": None}, {}]
    listed = _read_models([entry(str(number), info=info) for number, info in enumerate(infos)])
    assert [model.developer for model in listed] == ["Kling AI", "", ""]


@for_each(
    ("address", "asked"),
    [
        ("https://docs.example/a.json", True),
        ("/docs/a.json", True),
        ("http://127.0.0.1:8080/a.json", True),
        ("http://docs.example/a.json", False),
        ("file:///etc/passwd", False),
        ("//elsewhere.example/a", False),
        ("http://[", False),
        (5, False),
        (None, False),
    ],
)
def test_only_safe_addresses_are_asked_for_documents(address: Any, asked: bool) -> None:
    (listed,) = _read_models([entry("a", info={"docsJson": address})])
    assert bool(listed.document) is asked


@for_each("answer", [None, 5, {}, {"data": {}}, "x"])
def test_a_list_that_is_none_is_refused(answer: Any) -> None:
    with pytest.raises(ValueError, match="not a list"):
        _read_models(answer)


def test_a_model_that_goes_on_under_another_id_is_not_told_as_removed() -> None:
    sora = load_catalog().find("openai/sora-2-t2v")
    assert sora is not None
    renamed = {**catalog_entry(sora.id, document_of(sora)), "aliases": [sora.id]}
    removed = {
        change.model for change in compare(load_catalog(), {"openai/sora-2-text": renamed}) if change.what == "removed"
    }
    assert sora.id not in removed
    assert "openai/sora-2-i2v" in removed


def test_what_changed_is_told_model_by_model_and_field_by_field() -> None:
    catalog = load_catalog()
    models = {model.id: catalog_entry(model.id, document_of(model)) for model in catalog if model.service == "aimlapi"}
    del models["openai/sora-2-t2v"]
    models["x/new"] = models[V16]
    changed = {**models[V16], "params": {**models[V16]["params"]}}
    changed["params"]["duration"] = {"type": "integer", "choices": [5, 10, 15], "default": 5}
    changed["params"]["fps"] = {"type": "integer"}
    del changed["params"]["cfg_scale"]
    models[V16] = changed
    found = [(change.what, change.model, change.field) for change in compare(catalog, models)]
    assert found == [
        ("removed", "openai/sora-2-t2v", ""),
        ("changed", V16, "duration"),
        ("removed", V16, "cfg_scale"),
        ("added", V16, "fps"),
        ("added", "x/new", ""),
    ]
    (duration,) = [change for change in compare(catalog, models) if change.field == "duration"]
    assert (duration.before, duration.after) == ("one of 5, 10, default 5", "one of 5, 10, 15, default 5")
