"""What each service takes and what it refuses."""

from __future__ import annotations

import json
from base64 import b64encode
from io import BytesIO
from typing import Any

from PIL import Image

from aimlvideo.sandbox import accepts
from aimlvideo.sandbox.build_models import PLACE, convert, with_documents
from aimlvideo.sandbox.catalogue import all_models
from aimlvideo.sandbox.kling_validation import find_gateway_faults
from aimlvideo.sandbox.model_pages import _document_of
from tests.cases import for_each
from tests.sandbox.http_client import BODIES, MULTI, PICTURE, PRO, TASK, V3

OMNI = "klingai/video-v3-omni-720p-image-to-video"
TURBO = "klingai/video-v3-standard-turbo-text-to-video"
DATA = "data:image/png;base64,iVBORw0KGgo="


@for_each(
    ("model", "params"),
    [
        (MULTI, {}),
        (MULTI, {"duration": "10"}),
        (MULTI, {"image_list": [DATA] * 4}),
        (MULTI, {"nobody_knows_this": 1}),
        (PRO, {"cfg_scale": 1, "tail_image_url": DATA}),
        (V3, {"prompt": None, "multi_prompt": ["one", "two"]}),
        (OMNI, {"image_url": PICTURE, "prompt": "x"}),
        (OMNI, {"image_url": PICTURE, "prompt": "x", "tail_image_url": PICTURE, "generate_audio": False}),
        (TURBO, {"prompt": "x", "multi_prompt": None}),
        ("klingai/v1.6-pro-image-to-video", {"image_url": PICTURE}),
        (
            "runway-gen3/turbo/image-to-video",
            {"prompt": "x", "image_url": DATA, "last_image_url": DATA, "duration": "5"},
        ),
    ],
)
def test_ai_ml_api_takes(model: str, params: dict[str, Any]) -> None:
    body = {
        name: value for name, value in (BODIES.get(model, {}) | params).items() if value is not None or name in params
    }
    body = body if model == TURBO else {name: value for name, value in body.items() if value is not None}
    assert accepts(model, body) == []


@for_each(
    ("model", "params", "field"),
    [
        (MULTI, {"image_list": [PICTURE]}, "image_list"),
        (MULTI, {"image_list": [PICTURE] * 5}, "image_list"),
        (MULTI, {"image_list": [PICTURE, "a.png"]}, "image_list[1]"),
        (MULTI, {"duration": 6}, "duration"),
        (MULTI, {"duration": "five"}, "duration"),
        (MULTI, {"duration": True}, "duration"),
        (PRO, {"image_url": "iVBORw0KGgo="}, "image_url"),
        (PRO, {"cfg_scale": 1.1}, "cfg_scale"),
        (V3, {"multi_prompt": ["one"]}, "prompt"),
        (V3, {"elements": [{"reference_image_urls": []}]}, "elements[0].reference_image_urls"),
        (OMNI, {"image_url": PICTURE, "prompt": "x", "tail_image_url": PICTURE}, "tail_image_url"),
        (TURBO, {"multi_prompt": [{"duration": 3}]}, "multi_prompt[0].prompt"),
        ("nobody/nothing", {}, "model"),
    ],
)
def test_ai_ml_api_refuses_and_names_the_field(model: str, params: dict[str, Any], field: str) -> None:
    problems = accepts(model, BODIES.get(model, {}) | params)
    assert [problem.partition(":")[0] for problem in problems] == [field]


def test_a_missing_field_is_named() -> None:
    assert accepts(V3, {}) == [
        "image_url: expected a value, received nothing",
        "prompt: expected exactly one of prompt and multi_prompt, received none",
    ]


def base64_picture(wide: int, high: int, kind: str = "PNG") -> str:
    file = BytesIO()
    Image.new("RGB", (wide, high)).save(file, kind)
    return b64encode(file.getvalue()).decode()


@for_each(
    ("kind", "fields"),
    [
        ("text2video", {}),
        ("text2video", {"mode": "pro", "duration": "10", "aspect_ratio": "9:16", "cfg_scale": 0.5}),
        ("image2video", {"image": base64_picture(300, 750), "prompt": ""}),
        ("image2video", {"image_tail": PICTURE}),
        ("multi-image2video", {"image_list": [{"image": base64_picture(300, 300, "JPEG")}]}),
    ],
)
def test_the_gateway_takes(kind: str, fields: dict[str, Any]) -> None:
    assert find_gateway_faults(kind, TASK | fields) == []


@for_each(
    ("kind", "fields", "path"),
    [
        ("text2video", {"duration": 5}, "duration"),
        ("text2video", {"prompt": ""}, "prompt"),
        ("text2video", {"callback_url": 5}, "callback_url"),
        ("text2video", {"prompt": "x" * 2501}, "prompt"),
        ("text2video", {"mode": "fast"}, "mode"),
        ("text2video", {"aspect_ratio": "4:3"}, "aspect_ratio"),
        ("text2video", {"model": "veo"}, "model"),
        ("text2video", {"cfg_scale": 2}, "cfg_scale"),
        ("image2video", {}, "image"),
        ("image2video", {"image": DATA}, "image"),
        ("image2video", {"image": "not Base64"}, "image"),
        ("image2video", {"image": base64_picture(299, 400)}, "image"),
        ("image2video", {"image": base64_picture(300, 751)}, "image"),
        ("image2video", {"image": base64_picture(300, 300, "GIF")}, "image"),
        ("multi-image2video", {}, "image_list"),
        ("multi-image2video", {"image_list": [PICTURE]}, "image_list[0].image"),
        ("multi-image2video", {"image_list": [{"image": PICTURE}] * 5}, "image_list"),
    ],
)
def test_the_gateway_refuses_and_names_the_field(kind: str, fields: dict[str, Any], path: str) -> None:
    assert [str(fault).partition(":")[0] for fault in find_gateway_faults(kind, TASK | fields)] == [path]


def test_defaults_of_the_wrong_type_are_put_right_when_the_facts_are_read() -> None:
    params = {
        "duration": {"type": "integer", "default": "5"},
        "loop": {"type": "boolean", "default": "true"},
        "fps": {"type": "string", "default": 24},
    }
    facts = {"source": "here", "models": {"one": {"path": "/x", "params": params}}}
    read = convert(facts)["models"]["one"]["schema"]["properties"]
    assert [field["default"] for field in read.values()] == [5, True, "24"]


def test_documents_add_models_and_change_those_that_are_there() -> None:
    body = {
        "required": ["model", "prompt"],
        "properties": {
            "model": {"type": "string", "enum": ["one", "two"]},
            "prompt": {"$ref": "#/components/schemas/Prompt"},
            "seed": {"type": "integer", "nullable": True, "default": "5"},
        },
    }
    document = {
        "paths": {"/v2/x": {"post": {"requestBody": {"content": {"application/json": {"schema": body}}}}}},
        "components": {"schemas": {"Prompt": {"type": "string", "maxLength": 9}}},
    }
    before = {"path": "/old", "seconds": 7.0, "aliases": ["uno"], "rules": [], "schema": {}}
    kept = {"source": "documents, 2026-01-01", "models": {"one": before, "three": before}}
    read = with_documents(kept, [document], "2026-02-03")
    one = read["models"]["one"]
    assert read["source"] == "documents, 2026-02-03"
    assert read["models"].keys() == {"one", "two", "three"}
    assert read["models"]["three"] == before
    assert (one["path"], one["seconds"], one["aliases"]) == ("/v2/x", 7.0, ["uno"])
    assert one["schema"] == {
        "type": "object",
        "properties": {
            "prompt": {"type": "string", "maxLength": 9},
            "seed": {"type": ["integer", "null"], "default": 5},
        },
        "required": ["prompt"],
    }


def test_from_the_documents_that_it_serves_the_sandbox_learns_what_it_knew() -> None:
    known = json.loads(PLACE.read_text("utf-8"))
    documents = [_document_of(model, "http://127.0.0.1") for model in all_models().values()]
    assert with_documents(known, json.loads(json.dumps(documents)), "2026-08-21") == known
