"""Gathered facts about models in, the form of `catalog.json` out: defaults mended, rules between fields added."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aimlvideo.codegen.gateway import ANY_GATEWAY, GATEWAY

# Ids that carry no developer, or another name for one that has several.
DEVELOPERS = {
    "kling-video": "klingai",
    "wan": "alibaba",
    "veo2": "google",
    "veo-3.1-lite-generate-001": "google",
    "video-01": "minimax",
    "video-01-live2d": "minimax",
    "gen3a_turbo": "runway",
    "runway-gen3": "runway",
}

# What a document leaves out: these are files, though nothing marks them so.
UNMARKED_MEDIA = {"mask": "image", "audio_url": "audio"}

# Accepted on the legacy URL only, by the models named.
LEGACY = {
    "kling-video/v1.6/standard/multi-image-to-video": {
        "type": {"type": "string", "choices": ["multi-image-to-video"], "legacy": True},
        "external_task_id": {"type": "string", "legacy": True},
    },
    "kling-video/v1.6/pro/image-to-video": {
        "ratio": {"type": "string", "choices": ["16:9", "9:16", "1:1"], "legacy": True},
        "aspect_ratio": {"type": "string", "choices": ["16:9", "9:16", "1:1"], "legacy": True},
    },
}

PYTHON = {"string": (str,), "integer": (int,), "number": (int, float), "array": (list,), "object": (dict,)}


def developer_of(model: str) -> str:
    """Return the developer's short name: the part of the id before the slash, or whose model it is known to be."""
    first = model.split("/", maxsplit=1)[0]
    return DEVELOPERS.get(first, first)


def convert(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the whole content of catalog.json."""
    models = {name: convert_model(name, facts["models"][name]) for name in sorted(facts["models"])}
    return {"source": facts["source"], "models": models, "gateway": GATEWAY, "any_gateway": ANY_GATEWAY}


def convert_model(name: str, model: Mapping[str, Any]) -> dict[str, Any]:
    """Return one model's entry of catalog.json."""
    params = {key: mend(key, param) for key, param in {**model["params"], **LEGACY.get(name, {})}.items()}
    entry = {"developer": developer_of(name), "path": model["path"]}
    if seconds := model.get("documented_seconds"):
        entry["documented_seconds"] = seconds
    if rules := rules_for(name, params):
        entry["rules"] = rules
    return {**entry, "params": params}


def mend(name: str, param: Mapping[str, Any]) -> dict[str, Any]:
    """Return a parameter with its default in its own type (or without one), and files marked as such."""
    mended = dict(param)
    if "default" in mended and not _fits(mended, mended["default"]):
        default = _converted(mended.pop("default"), mended.get("type", ""))
        if default is not None and _fits(mended, default):
            mended["default"] = default
    if mended.get("type") == "string" and name in UNMARKED_MEDIA:
        mended.setdefault("media", UNMARKED_MEDIA[name])
    if "item" in mended:
        mended["item"] = mend("", mended["item"])
    if "fields" in mended:
        mended["fields"] = {key: mend(key, part) for key, part in mended["fields"].items()}
    if "any_of" in mended:
        mended["any_of"] = [mend(name, form) for form in mended["any_of"]]
    return mended


def _fits(param: Mapping[str, Any], value: Any) -> bool:
    kinds = PYTHON.get(param.get("type", ""), (object,) if param.get("type") != "boolean" else (bool,))
    right = isinstance(value, kinds) and (not isinstance(value, bool) or bool in kinds or object in kinds)
    return right and value in (param.get("choices") or [value])


def _converted(value: Any, kind: str) -> Any:
    """Return `"5"` as 5 and `"true"` as True; None where that cannot be done."""
    if kind == "string":
        return str(value)
    try:
        return json.loads(str(value).lower())
    except ValueError:
        return None


def rules_for(name: str, params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what holds between the parameters of a model."""
    rules: list[dict[str, Any]] = []
    if {"prompt", "multi_prompt"} <= params.keys():
        rules.append({"kind": "exactly_one", "fields": ["prompt", "multi_prompt"]})
    if "omni" in name and {"tail_image_url", "generate_audio"} <= params.keys():
        rules.append({"kind": "forbidden_when", "fields": ["tail_image_url"], "when": {"generate_audio": True}})
    return rules


def dump(catalog: Mapping[str, Any]) -> str:
    """Return the text of catalog.json: one line per parameter, so that a change reads well."""
    parts = [f'"source": {json.dumps(catalog["source"])}']
    parts += [f'"{key}": {{\n{_dump_models(catalog[key])}\n}}' for key in ("models", "gateway")]
    parts.append(f'"any_gateway": {_dump_model(catalog["any_gateway"])}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _dump_models(models: Mapping[str, Any]) -> str:
    return ",\n".join(f"{json.dumps(name)}: {_dump_model(model)}" for name, model in models.items())


def _dump_model(model: Mapping[str, Any]) -> str:
    head = "".join(f"{json.dumps(key)}: {json.dumps(model[key])}, " for key in model if key != "params")
    params = ",\n".join(f"  {json.dumps(key)}: {json.dumps(param)}" for key, param in model["params"].items())
    return f'{{{head}"params": {{\n{params}}}}}'
