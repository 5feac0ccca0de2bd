"""What is known of models in, the text of `catalog.json` out: from published OpenAPI documents, and gathered facts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from aimlvideo.core.catalog.corrections import correct
from aimlvideo.core.catalog.openapi import LARGEST, Document, parsed_document
from aimlvideo.core.wires.aimlapi import UNIVERSAL

NOT_IN_DOCUMENTS = ("developer", "documented_seconds", "aliases")
"""What a model's entry has from elsewhere, and no document says."""
SERVICES = ("service", "other_services")
"""Who has a model, where that is not AI/ML API."""
PATIENCE = 60.0
"""Seconds for which an address may take to answer."""


def updated(content: Mapping[str, Any], place: str) -> tuple[dict[str, Any], list[str]]:
    """Return the content of catalog.json with the models that the documents at a place describe; and what was refused.

    Models that no document describes stay as they are. Raises ValueError where the place has no document at all.
    """
    models, refused, documents = dict(content["models"]), list[str](), 0
    for name, body in bodies(place):
        documents += 1
        try:
            document = Document(parsed_document(body))
            described = document.models()
            if not described:
                raise ValueError("it names no model")
            for model in described:
                entry = document.catalog_entry(model, usual_path=UNIVERSAL)
                before = content["models"].get(model, {})
                # What was measured or read elsewhere outlives a new document.
                models[model] = entry | {key: before[key] for key in NOT_IN_DOCUMENTS if key in before}
        except ValueError as error:
            refused.append(f"{name}: {error}")
    if not documents:
        raise ValueError(f"{place}: expected a document's address, a JSON file, or a folder of them")
    return {**content, "models": dict(sorted(models.items()))}, refused


def bodies(place: str) -> Iterator[tuple[str, bytes]]:
    """Yield the documents at an address, in a file, or in a folder and below it, each with its name."""
    if place.startswith(("https://", "http://127.0.0.1", "http://localhost")):
        with urlopen(place, timeout=PATIENCE) as answer:
            yield place, answer.read(LARGEST + 1)
        return
    path = Path(place)
    for file in [path] if path.is_file() else sorted(path.rglob("*.json")):
        yield str(file), file.read_bytes()


def convert(facts: Mapping[str, Any], *more: Mapping[str, Any]) -> dict[str, Any]:
    """Return the whole content of catalog.json; `facts` has a model's path, params and documented_seconds by id.

    Models of `more` are added, under `models` or `new_models`.
    """
    gathered = {**facts["models"]}
    for newer in more:
        gathered |= newer.get("new_models") or newer["models"]
    models = {
        name: correct(name, model["path"], _known_fields(model["params"]), model.get("documented_seconds"))
        | {key: model[key] for key in SERVICES if key in model}
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
