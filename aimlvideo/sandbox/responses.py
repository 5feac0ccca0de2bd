"""Bodies in, answers out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from aimlvideo.sandbox.generation import Generation
from aimlvideo.sandbox.prices import CREDITS_PER_USD
from aimlvideo.sandbox.refusals import Refusal

_encode = json.JSONEncoder(separators=(",", ":")).encode


async def read_json(request: web.Request) -> dict[str, Any]:
    """Return the body, which must be a JSON object."""
    try:
        body = json.loads(await request.read())
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Refusal("not JSON")
    return body


def as_json(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return an answer in JSON."""
    return web.Response(
        body=_encode(body).encode(),
        status=status,
        headers=headers,
        content_type="application/json",
    )


def about(generation: Generation, answer: web.Response) -> web.Response:
    """Name on an answer the generation that it is about, and once that is completed, what it cost."""
    answer.headers["x-inference-id"] = generation.id
    if generation.ended_at is not None and generation.completed:
        answer.headers["x-aimlapi-credits-used"] = str(round(generation.price * CREDITS_PER_USD))
        answer.headers["x-aimlapi-usd-spent"] = str(generation.price)
    return answer


def cut_connection(request: web.Request) -> web.Response:
    """Cut the connection; the answer returned goes nowhere."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
