"""What there is: the list of models, each model's document, and how long they take these days."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Any
from urllib.parse import quote

from aiohttp import web
from yarl import URL

from aimlvideo.sandbox.behaviour import Behaviour
from aimlvideo.sandbox.catalogue import Model, all_models, find_model
from aimlvideo.sandbox.ledger import iso
from aimlvideo.sandbox.middleware import WORLD, only
from aimlvideo.sandbox.prices import price_entry
from aimlvideo.sandbox.responses import Refusal, as_json
from aimlvideo.sandbox.state import World
from aimlvideo.sandbox.timing import parse_law

VIDEO = "internal/video-generations/submit"
"""The `type` of a video model."""

_ROOTS = ("", "/v1", "/api/v1")
_DEPRECATION_WORDS = ("deprecations", "deprecated")
_PERCENTILES = {"p50": 0.5, "p75": 0.75, "p90": 0.9, "p99": 0.99}
_OTHERS = {"sandbox/chat": "chat-completion", "sandbox/picture": "image-generations", "sandbox/voice": "tts"}


def model_routes() -> list[web.RouteDef]:
    """Return the handlers of the public pages."""
    return [
        web.get("/v1/models", list_models),
        *(web.get(f"{root}/models/{word}", list_deprecations) for root in _ROOTS for word in _DEPRECATION_WORDS),
        web.get("/model/{model:.+}", show_model),
        web.get("/docs-json/{model:.+}", show_document),
        web.get("/models/metrics", show_metrics),
    ]


async def list_models(request: web.Request) -> web.Response:
    """Answer the list of models, or 304 to who has it already."""
    only(
        request,
        *("include", "details", "id", "type", "tags", "capabilities"),
        *("modalities", "input_modalities", "output_modalities"),
    )
    return _tagged(request, _list_at(request.url), "max-age=60")


@lru_cache(maxsize=8)
def _list_at(url: URL) -> bytes:
    # Each command asks for the whole list, which no behaviour changes: to make it takes 10 ms.
    sections = {section for value in url.query.getall("include", []) for section in value.split(",")}
    models = [model for model in all_models().values() if _is_wanted(url, model.id, model.aliases, VIDEO, "video")]
    entries = [_entry(model, str(url.origin()), sections) for model in models]
    entries += [_other(name, kind) for name, kind in _OTHERS.items() if _is_wanted(url, name, (), kind, "text")]
    return _encoded({"object": "list", "data": entries})


async def show_model(request: web.Request) -> web.Response:
    """Answer one model, by its id or an alias."""
    only(request, "include", "details")
    model = find_model(request.match_info["model"])
    if model is None:
        raise Refusal("unknown model")
    sections = {section for value in request.query.getall("include", []) for section in value.split(",")}
    return as_json(_entry(model, str(request.url.origin()), sections))


async def list_deprecations(request: web.Request) -> web.Response:
    """Answer which models go, or are gone, and what comes in their place; or 304 to who has it already."""
    only(request, "status", "since")
    statuses = {word for value in request.query.getall("status", []) for word in value.split(",")}
    statuses &= {"deprecated", "superseded", "withdrawn"}
    since = request.query.get("since", "")
    entries = [_deprecation(entry) for entry in request.app[WORLD].behaviour.deprecations]
    chosen = [
        entry
        for entry in entries
        if (not statuses or entry["status"] in statuses) and (entry["deprecated_at"] or "9") >= since
    ]
    return _tagged(request, _encoded({"object": "list", "data": chosen}), "max-age=300")


def withdrawn_models(behaviour: Behaviour) -> set[str]:
    """Return the ids of the models that are gone."""
    return {str(entry["id"]) for entry in behaviour.deprecations if entry["status"] == "withdrawn"}


def _deprecation(entry: Mapping[str, Any]) -> dict[str, Any]:
    names = ("deprecated_at", "shutdown_at", "replaced_by", "reason")
    return {"aliases": [], **dict.fromkeys(names), **entry}


def _encoded(body: Any) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def _tagged(request: web.Request, text: bytes, cache: str) -> web.Response:
    """Return a body with a tag over its data, or 304 to who has this tag already."""
    # Weak, as the service's is: it says that the content means the same.
    tag = f'W/"{sha256(text).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": cache}
    if tag in request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers=headers)
    return web.Response(body=text, headers=headers, content_type="application/json")


async def show_document(request: web.Request) -> web.Response:
    """Answer a model's OpenAPI document."""
    model = find_model(request.match_info["model"])
    if model is None:
        raise Refusal("unknown model")
    return as_json(_document_of(model, str(request.url.origin())))


async def show_metrics(request: web.Request) -> web.Response:
    """Answer how long models took lately: what was seen here, else what others see of the documented ones."""
    only(request, "aliases")
    aliases = request.query.getall("aliases", [])
    if len(aliases) > 100:
        detail = {"path": ["aliases"], "expected": "at most 100", "received": str(len(aliases))}
        raise Refusal("invalid", message="Query validation error", details=[detail])
    world = request.app[WORLD]
    models = [model for model in map(find_model, aliases) if model] if aliases else list(all_models().values())
    entries = [
        {"alias": model.id, "endpoint": model.path, "metrics": {"duration_ms": percentiles}}
        for model in models
        if (percentiles := _percentiles(world, world.behaviour, model))
    ]
    return as_json({"window_seconds": 86_400, "generated_at": iso(time.time()), "models": entries})


def _is_wanted(url: URL, name: str, aliases: tuple[str, ...], kind: str, output: str) -> bool:
    query = url.query
    names = query.getall("id", [name])
    return (
        (name in names or any(alias in names for alias in aliases))
        and kind in query.getall("type", [kind])
        and output in query.getall("output_modalities", [output])
    )


def _entry(model: Model, origin: str, sections: set[str]) -> dict[str, Any]:
    place = quote(model.id)
    info = {
        "name": model.id.rpartition("/")[2].replace("-", " ").title(),
        "developer": model.developer,
        "releasedAt": "2026-01-01T00:00:00.000Z",
        "docsUrl": f"{origin}/docs/{place}",
        "docsJson": f"{origin}/docs-json/{place}",
    }
    entry = {"id": model.id, "aliases": list(model.aliases), "type": VIDEO, "tags": ["video"], "info": info}
    optional = {
        "pricing": price_entry(model.id),
        "capabilities": sorted(name for name in ("prompt", "image_url", "generate_audio") if name in model.params),
        "modalities": {"input": _inputs(model), "output": ["video"]},
    }
    return entry | {name: section for name, section in optional.items() if name in sections}


def _inputs(model: Model) -> list[str]:
    media = {kind for kind in ("image", "video", "audio") for name in model.params if name.startswith(kind)}
    return [*(["text"] if "prompt" in model.params else []), *sorted(media)]


def _other(name: str, kind: str) -> dict[str, Any]:
    info = {"name": name, "developer": "Sandbox"}
    return {"id": name, "aliases": [], "type": kind, "tags": [], "info": info}


def _percentiles(world: World, behaviour: Behaviour, model: Model) -> dict[str, int] | None:
    # What was really seen here comes first: published percentiles and the sandbox's own behaviour agree.
    if seen := sorted(world.seconds_seen.get(model.id, ())):
        return {name: round(1000 * seen[int(share * len(seen))]) for name, share in _PERCENTILES.items()}
    if model.seconds is None:
        return None
    law = parse_law(behaviour.seconds)
    return {
        name: round(1000 * behaviour.time_scale * law.quantile(share, model.seconds))
        for name, share in _PERCENTILES.items()
    }


def _document_of(model: Model, origin: str) -> dict[str, Any]:
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
