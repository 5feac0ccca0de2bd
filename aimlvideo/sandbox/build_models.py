"""Makes `models.json`, what the sandbox knows of the models, from published documents or from gathered facts.

- `python -m aimlvideo.sandbox.build_models documents PLACE`: take the models of OpenAPI documents at an address, in a
  file, or in a folder; the other models stay as they are.
- `python -m aimlvideo.sandbox.build_models facts FACTS.json [MORE.json...]`: make it anew; a later file adds models.

The sandbox reads both in its own way, so that it is a second opinion to the client's catalogue.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.request import urlopen

PLACE = Path(__file__).with_name("models.json")
"""Where the sandbox keeps what it knows of the models."""

ALIASES = {
    "kling-video/v1.6/standard/multi-image-to-video": ["klingai/v1.6-standard-multi-image-to-video"],
    "kling-video/v1.6/pro/image-to-video": ["klingai/v1.6-pro-image-to-video"],
    "klingai/video-v3-standard-image-to-video": ["kling-video/v3/standard/image-to-video"],
    "google/veo3": ["veo3"],
    "video-01": ["minimax/video-01"],
}
"""Older names that `/v1/models` lists and the service still takes."""

_LIMITS = {
    "choices": "enum",
    "min": "minimum",
    "max": "maximum",
    "min_items": "minItems",
    "max_items": "maxItems",
    "min_length": "minLength",
    "max_length": "maxLength",
}
_MEDIA = {
    "image": "An image: a link, or Base64 as a data: URI.",
    "video": "A video: a link, or Base64 as a data: URI.",
    "audio": "A sound file: a link, or Base64 as a data: URI.",
    "any": "A media file: a link, or Base64 as a data: URI.",
    "document": "A document: a link.",
    "page": "A web page: a link.",
}


def convert(facts: dict[str, Any], *more: dict[str, Any]) -> dict[str, Any]:
    """Return what the sandbox keeps: per model its path, documented seconds, aliases, rules and JSON Schema."""
    entries = dict(facts["models"])
    for newer in more:
        entries |= newer.get("new_models") or newer["models"]
    models = {name: _model(name, entry) for name, entry in sorted(entries.items())}
    return {"source": facts["source"], "models": models}


def with_documents(known: dict[str, Any], documents: list[Any], today: str) -> dict[str, Any]:
    """Return what the sandbox keeps, with the models that OpenAPI documents name; `today` is the day of the reading.

    Aliases and measured seconds are in no document, and stay.
    """
    models = dict(known["models"])
    for document in documents:
        for path, schema in _bodies(document):
            properties = dict(schema["properties"])
            model = properties.pop("model", {})
            required = [name for name in schema.get("required", ()) if name != "model"]
            read = {"type": "object", "properties": properties} | ({"required": required} if required else {})
            for name in model.get("enum", [model["const"]] if "const" in model else []):
                before = models.get(name, {})
                models[name] = {
                    "path": path,
                    "seconds": before.get("seconds"),
                    "aliases": before.get("aliases", ALIASES.get(name, [])),
                    "rules": _rules(name, properties),
                    "schema": _with_named_media(name, deepcopy(read)),
                }
    source = re.sub(r"\d{4}-\d\d-\d\d", today, known["source"])
    return {"source": source, "models": dict(sorted(models.items()))}


def _bodies(document: Any) -> Iterator[tuple[str, Any]]:
    """Yield the path and the schema, as read, of each body that can be POSTed, one for each of its alternatives."""
    for path, methods in document["paths"].items():
        content = _read(document, methods.get("post", {}).get("requestBody", {})).get("content", {})
        schema = content.get("application/json", {}).get("schema", {})
        for form in schema.get("oneOf") or schema.get("anyOf") or [schema]:
            if "properties" in form:
                yield path, form


def _read(document: Any, schema: Any) -> Any:
    """Return a part of a document with its references followed, and with JSON Schema's word for what may be null."""
    if isinstance(schema, list):
        return [_read(document, part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if reference := schema.get("$ref"):
        target = document
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]
        return _read(document, target)
    read = {name: _read(document, part) for name, part in schema.items() if name not in ("nullable", "allOf")}
    for part in _read(document, schema.get("allOf", [])):
        properties = {**read.get("properties", {}), **part.get("properties", {})}
        required = [*read.get("required", []), *part.get("required", [])]
        read = {**read, **part} | {"properties": properties, "required": required}
    kind = read.get("type")
    if isinstance(kind, str) and "default" in read:
        read["default"] = _of_its_type(kind, read["default"])
    if schema.get("nullable") is True and isinstance(kind, str):
        read["type"] = [kind, "null"]
    return read


def _model(name: str, entry: dict[str, Any]) -> dict[str, Any]:
    params = entry["params"]
    return {
        "path": entry["path"],
        "seconds": entry.get("documented_seconds"),
        "aliases": ALIASES.get(name, []),
        "rules": _rules(name, params),
        "schema": _with_named_media(name, _object(params)),
    }


def _with_named_media(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    kind = next((kind for family, kind in _NAMED_MEDIA.items() if re.fullmatch(family, name)), "")
    for field in schema["properties"].values() if kind else ():
        for part in (field, field.get("items", {})):
            if part.get("format") == "uri":
                part["format"] = f"uri-or-{kind}"
    return schema


def _rules(name: str, params: dict[str, Any]) -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = []
    if {"prompt", "multi_prompt"} <= params.keys():
        rules.append({"exactly_one": ["prompt", "multi_prompt"]})
    if "omni" in name and {"tail_image_url", "generate_audio"} <= params.keys():
        rules.append({"not_with_audio": "tail_image_url"})
    return rules + [rule for family, prose in _PROSE for rule in prose if re.fullmatch(family, name)]


_REFERENCES = ("reference_image_urls", "video_urls", "audio_urls", "file_url", "link_url")
_SEEN = ["image_url", "last_image_url", "image_urls", "reference_image_urls", "video_url", "video_urls"]
_STILL = {"formats": ["JPEG", "PNG"], "widest": 2.5}

_PROSE: list[tuple[str, list[dict[str, Any]]]] = [
    (r"pixverse/v5/.*", [{"if": {"resolution": ["1080p"]}, "then": {"duration": [5]}}]),
    (r"pixverse/v5\.5/.*", [{"if": {"resolution": ["1080p"]}, "then": {"duration": [5, 10]}}]),
    (r"krea/krea-wan-14b/text-to-video", [{"remainder": "num_frames", "of": 12, "is": 6}]),
    (r"google/veo-3-1-lite-generate-preview", [{"with": "last_image_url", "then": {"duration": [8]}}]),
    (
        r"luma/ray-3\.2",
        [
            {"if": {"exr_export": [True]}, "then": {"hdr": [True]}},
            {"if": {"hdr": [True]}, "then": {"duration": [5], "resolution": ["720p", "1080p"]}},
            {"if": {"loop": [True]}, "then": {"type": ["video"]}},
        ],
    ),
    (r"minimax/h3|bytedance/.*seedance-2.*", [{"with": name, "one_of": _SEEN} for name in ("audio_url", "audio_urls")]),
    (r"minimax/h3-max", [{"with": "audio_urls", "one_of": ["reference_image_urls", "video_urls"]}]),
    (r"minimax/h3-max", [{"at_most_together": ["reference_image_urls", "video_urls", "audio_urls"], "limit": 12}]),
    (r"minimax/h3-max", [{"media": name, "shortest": 2, "longest": 15} for name in ("video_urls", "audio_urls")]),
    (
        r"klingai/kling-video-v1\.6-(pro|standard)-effects",
        [
            {"if": {"effect_scene": ["hug", "kiss", "heart_gesture"]}, "count": "image_url", "is": 2},
            {"if": {"effect_scene": ["squish", "expansion"]}, "count": "image_url", "is": 1},
        ],
    ),
    (r"x-ai/grok-imagine-video", [{"at_most_one": ["image_url", "reference_images"]}]),
    (
        r"beeble/switchx-video-to-video",
        [
            {"if": {"alpha_mode": ["custom", "select"]}, "one_of": ["alpha_url"]},
            {"one_of": ["prompt", "reference_image_url"]},
        ],
    ),
    (
        r"pixverse/lip-sync",
        [
            {"exactly_one": ["audio_url", "lip_sync_tts_content"]},
            {"at_most_one": ["audio_url", "lip_sync_tts_speaker"]},
            {"with": "lip_sync_tts_content", "one_of": ["lip_sync_tts_speaker"]},
            {"with": "lip_sync_tts_speaker", "one_of": ["lip_sync_tts_content"]},
        ],
    ),
    (
        r"openai/sora-2(-pro)?-i2v",
        [
            {"media": "image_url", "if": {"resolution": [lines], "aspect_ratio": [shape]}, "size": size}
            for lines, shape, size in (
                ("720p", "16:9", [1280, 720]),
                ("720p", "9:16", [720, 1280]),
                ("1080p", "16:9", [1792, 1024]),
                ("1080p", "9:16", [1024, 1792]),
            )
        ],
    ),
    (
        r"minimax/h3|video-01|minimax/hailuo-.*",
        [{"media": "image_url", **_STILL, "megabytes": 20, "smallest": 301}],
    ),
    (
        r"klingai/video-v3-standard-turbo-.*",
        [{"media": "image_url", **_STILL, "megabytes": 50, "smallest": 300}],
    ),
    (r"klingai/avatar-.*", [{"media": "audio_url", "formats": ["mp3", "wav", "mp4", "aac"], "megabytes": 5}]),
    (r"bytedance/omnihuman.*", [{"media": "audio_url", "shorter": 30}]),
    (
        r"alibaba/wan-?3[-.]0-video",
        [
            {"with": "last_image_url", "one_of": ["image_url"]},
            *({"at_most_one": ["image_url", other]} for other in _REFERENCES),
            {"at_most_one": ["file_url", "link_url"]},
            *({"media": name, "longest": 15} for name in ("video_urls", "audio_urls")),
        ],
    ),
]
"""What the documents say in prose only, by the models that each rule is for.

`if`: with these values, the defaults filled in; `with`: where this is sent.
"""

_NAMED_MEDIA = {
    r"google/gemini-omni-.*": "gs",
    r"bytedance/(dreamina-seedance-2-(0-mini|5)|seedance-2-0(-fast)?)": "asset",
}
"""The models that take a name for a file which the service has already, and of which kind."""


def _object(params: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": {name: _field(field) for name, field in params.items()}}
    if required := [name for name, field in params.items() if field.get("required")]:
        schema["required"] = required
    return schema


def _field(field: dict[str, Any]) -> dict[str, Any]:
    if "any_of" in field:
        return {"anyOf": [_field(option) for option in field["any_of"]]}
    kind = field["type"]
    schema: dict[str, Any] = _object(field["fields"]) if "fields" in field else {"type": kind}
    schema |= {_LIMITS[name]: value for name, value in field.items() if name in _LIMITS}
    if "item" in field:
        schema["items"] = _field(field["item"])
    if field.get("media") in _MEDIA:
        schema |= {"format": "uri", "description": _MEDIA[field["media"]]}
    if "default" in field:
        schema["default"] = _of_its_type(kind, field["default"])
    if field.get("nullable"):
        schema["type"] = [kind, "null"]
    return schema


def _of_its_type(kind: str, default: Any) -> Any:
    """Return a default as its parameter's type wants it; some documents have `"5"` for 5, or "true" for true."""
    if kind == "boolean" and isinstance(default, str):
        return default.lower() == "true"
    if kind in ("integer", "number") and isinstance(default, str):
        number = float(default)
        return int(number) if number.is_integer() else number
    return str(default) if kind == "string" and default is not None else default


def documents_at(place: str) -> list[Any]:
    """Return the documents at an address, in a file, or in a folder and below it."""
    if place.startswith(("https://", "http://127.0.0.1", "http://localhost")):
        with urlopen(place, timeout=60) as answer:
            return [json.loads(answer.read())]
    files = [Path(place)] if Path(place).is_file() else sorted(Path(place).rglob("*.json"))
    return [json.loads(file.read_text("utf-8")) for file in files]


def main(arguments: list[str]) -> int:
    """Write what was asked for; return the exit code."""
    match arguments:
        case ["documents", place]:
            today = f"{datetime.now(UTC):%Y-%m-%d}"
            content = with_documents(json.loads(PLACE.read_text("utf-8")), documents_at(place), today)
        case ["facts", *names] if names:
            content = convert(*(json.loads(Path(name).read_text("utf-8")) for name in names))
        case _:
            sys.stderr.write(f"{__doc__}\n")
            return 2
    PLACE.write_text(json.dumps(content, separators=(",", ":"), ensure_ascii=False), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
