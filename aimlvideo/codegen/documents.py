"""Published OpenAPI documents in, the models that they describe out: by an address, or from a folder of files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from aimlvideo.core.catalog.openapi import models_of, read_document
from aimlvideo.core.catalog.refresh import LARGEST, parse_document
from aimlvideo.core.wires.aimlapi import UNIVERSAL

NOT_IN_DOCUMENTS = ("developer", "documented_seconds", "aliases")
"""What a model's entry has from elsewhere, and no document says."""
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
            document = parse_document(body)
            described = models_of(document)
            if not described:
                raise ValueError("it names no model")
            for model in described:
                entry = read_document(model, document, usual_path=UNIVERSAL)
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
