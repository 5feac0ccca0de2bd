"""Gathered facts about models in, the text of `catalog.json` out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aimlvideo.core.catalog.corrections import correct


def convert(facts: Mapping[str, Any], *more: Mapping[str, Any]) -> dict[str, Any]:
    """Return the whole content of catalog.json; `facts` has a model's path, params and documented_seconds by id.

    Models of `more` are added, under `models` or `new_models`.
    """
    gathered = {**facts["models"]}
    for newer in more:
        gathered |= newer.get("new_models") or newer["models"]
    models = {
        name: correct(name, model["path"], _known_fields(model["params"]), model.get("documented_seconds"))
        for name, model in sorted(gathered.items())
    }
    return {"source": facts["source"], "service": "aimlapi", "models": models}


def _known_fields(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters without remarks for people, and without kinds of file that are not looked into here."""
    return {name: _known_field(param) for name, param in params.items()}


def _known_field(param: Mapping[str, Any]) -> dict[str, Any]:
    remarks = ("note", "formats", "accepts")
    plain = {key: value for key, value in param.items() if key not in remarks}
    if plain.get("media", "any") not in ("image", "video", "audio", "any"):
        del plain["media"]
    if "item" in plain:
        plain["item"] = _known_field(plain["item"])
    return plain


def dump(catalog: Mapping[str, Any]) -> str:
    """Return the text of catalog.json: one line per parameter, so that a change reads well."""
    parts = [f'"{key}": {json.dumps(catalog[key])}' for key in ("source", "service")]
    parts.append(f'"models": {{\n{_dump_models(catalog["models"])}\n}}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _dump_models(models: Mapping[str, Any]) -> str:
    return ",\n".join(f"{json.dumps(name)}: {_dump_model(model)}" for name, model in models.items())


def _dump_model(model: Mapping[str, Any]) -> str:
    head = "".join(f"{json.dumps(key)}: {json.dumps(model[key])}, " for key in model if key != "params")
    params = ",\n".join(f"  {json.dumps(key)}: {json.dumps(param)}" for key, param in model["params"].items())
    return f'{{{head}"params": {{\n{params}}}}}'
