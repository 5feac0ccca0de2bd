"""A model's parameters as an OpenAPI 3.0 document."""

from __future__ import annotations

from typing import Any

from aimlvideo.sandbox.catalogue import Model


def document_of(model: Model, origin: str) -> dict[str, Any]:
    """Return the document that `info.docsJson` links to."""
    schema = _as_3_0(model.schema)
    schema["properties"] = {"model": {"type": "string", "enum": [model.id]}} | schema["properties"]
    schema["required"] = ["model", *schema.get("required", [])]
    answer = {"description": "The generation", "content": {"application/json": {"schema": _GENERATION}}}
    post = {
        "operationId": "submit",
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {"200": answer},
        "security": [{"access-token": []}],
    }
    return {
        "openapi": "3.0.0",
        "info": {"title": model.id, "version": "1.0"},
        "servers": [{"url": origin}],
        "paths": {model.path: {"post": post}},
        "components": {"securitySchemes": {"access-token": {"type": "http", "scheme": "bearer"}}},
    }


def _as_3_0(schema: Any) -> Any:
    """Return a JSON Schema as OpenAPI 3.0 writes it, where null is no type but an attribute."""
    if isinstance(schema, list):
        return [_as_3_0(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    changed = {name: _as_3_0(part) for name, part in schema.items()}
    if isinstance(changed.get("type"), list):
        changed |= {"type": changed["type"][0], "nullable": True}
    return changed


_GENERATION = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "status": {"type": "string", "enum": ["queued", "generating", "completed", "error"]},
        "video": {"type": "object", "nullable": True, "properties": {"url": {"type": "string", "format": "uri"}}},
        "error": {"type": "object", "nullable": True, "properties": {}},
    },
    "required": ["id", "status"],
}
