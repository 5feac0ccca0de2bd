"""Makes `models.json` from published facts: `python -m aimlvideo.sandbox.build_models FACTS.json [MORE.json...]`.

The sandbox reads the facts in its own way, so that it is a second opinion to the client's catalogue.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

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
}


def convert(facts: dict[str, Any], *more: dict[str, Any]) -> dict[str, Any]:
    """Return what the sandbox keeps: per model its path, documented seconds, aliases, rules and JSON Schema."""
    entries = dict(facts["models"])
    for newer in more:
        entries |= newer.get("new_models") or newer["models"]
    models = {name: _model(name, entry) for name, entry in sorted(entries.items())}
    return {"source": facts["source"], "models": models}


def _model(name: str, entry: dict[str, Any]) -> dict[str, Any]:
    params = entry["params"]
    return {
        "path": entry["path"],
        "seconds": entry.get("documented_seconds"),
        "aliases": ALIASES.get(name, []),
        "rules": _rules(name, params),
        "schema": _object(params),
    }


def _rules(name: str, params: dict[str, Any]) -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = []
    if {"prompt", "multi_prompt"} <= params.keys():
        rules.append({"exactly_one": ["prompt", "multi_prompt"]})
    if "omni" in name and {"tail_image_url", "generate_audio"} <= params.keys():
        rules.append({"not_with_audio": "tail_image_url"})
    if "3-0-video" in name or "wan3.0" in name:
        rules += [{"at_most_one": ["image_url", other]} for other in _REFERENCES]
        rules.append({"at_most_one": ["file_url", "link_url"]})
    if name == "minimax/h3-max":
        rules.append({"at_most_together": ["reference_image_urls", "video_urls", "audio_urls"], "limit": 12})
    return rules


_REFERENCES = ("reference_image_urls", "video_urls", "audio_urls", "file_url", "link_url")


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


if __name__ == "__main__":
    facts = [json.loads(Path(name).read_text()) for name in sys.argv[1:]]
    PLACE.write_text(json.dumps(convert(*facts), separators=(",", ":"), ensure_ascii=False))
