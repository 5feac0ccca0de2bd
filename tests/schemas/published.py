"""The published shapes as JSON Schema, by endpoint and by model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

PUBLISHED = Path(__file__).with_name("published.json")


@dataclass(frozen=True)
class Endpoint:
    """What one endpoint takes in its query, by name, and what it answers."""

    parameters: dict[str, dict[str, Any]]
    answer: dict[str, Any]


@cache
def read_published() -> dict[str, Any]:
    """Return the file of shapes."""
    shapes: dict[str, Any] = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    return shapes


@cache
def endpoints() -> dict[str, Endpoint]:
    """Return the service's own endpoints, by method and path."""
    return {
        name: Endpoint(entry["parameters"], json_schema(entry["answer"]))
        for name, entry in read_published()["endpoints"].items()
    }


@cache
def generation_schemas() -> dict[str, dict[str, Any]]:
    """Return the shape of a generation by model; under an empty name that of a status check."""
    found: dict[str, dict[str, Any]] = {}
    for entry in read_published()["generations"]:
        for model in entry["models"]:
            found[model] = json_schema(entry["answer"])
    return found


def json_schema(schema: Any) -> Any:
    """Return an OpenAPI 3.0 schema as JSON Schema: `nullable` becomes a type, on its own it is null.

    One document requires in an object the fields of the object around it: what an object cannot have is not required.
    """
    if not isinstance(schema, dict):
        return schema
    plain = {name: _inside(name, value) for name, value in schema.items() if name not in ("nullable", "example")}
    if "required" in plain and "properties" in plain:
        plain["required"] = [name for name in plain["required"] if name in plain["properties"]]
    if not schema.get("nullable"):
        return plain
    return {"anyOf": [plain, {"type": "null"}]} if plain else {"type": "null"}


def _inside(name: str, value: Any) -> Any:
    if name == "properties":
        return {field: json_schema(schema) for field, schema in value.items()}
    if isinstance(value, list):
        return [json_schema(one) for one in value]
    return json_schema(value)
