"""Bodies in, answers out; why a request is refused, and how each service says so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from aimlvideo.sandbox.generation import Generation
from aimlvideo.sandbox.prices import CREDITS_PER_USD


@dataclass(frozen=True, slots=True)
class Words:
    """How a refusal is said: AI/ML API's status and message, Kling's business code and its documented status."""

    status: int
    message: str
    code: int
    kling_status: int
    kling_message: str


REFUSALS = {
    "no key": Words(401, "You provided no API key", 1001, 401, "Authorization is empty"),
    "wrong key": Words(401, "Invalid API key", 1002, 401, "Authorization is invalid"),
    "not JSON": Words(400, "Body is not valid JSON", 1200, 400, "Invalid request parameters"),
    "invalid": Words(400, "Body validation error", 1201, 400, "Invalid parameters"),
    "moderated": Words(
        400, "The prompt was rejected by the content policy", 1301, 400, "Content policy: the input may be unsafe"
    ),
    "unknown model": Words(404, "Model not found", 1203, 404, "The requested model does not exist"),
    "not found": Words(404, "Generation not found", 1203, 404, "The requested resource does not exist"),
    "no such task": Words(404, "Generation not found", 1201, 400, "Task not found by id/external id"),
    "no such path": Words(404, "Cannot find this path", 1202, 404, "The requested method does not exist"),
    "out of credits": Words(
        403, "You've run out of credits. Please top up your balance", 1102, 429, "Account balance not enough"
    ),
    "rate limited": Words(429, "Too Many Requests", 1302, 429, "API request too fast, exceeds preset rate limit"),
    "too many at once": Words(429, "Concurrency limit reached", 1303, 429, "Parallel task over resource pack limit"),
    "key limit": Words(403, "This API key has reached its spending limit", 1103, 403, "Key limit reached"),
    "out of scope": Words(403, "This API key is not allowed to use this model", 1103, 403, "No access to this model"),
    "duplicate": Words(409, "Duplicate id", 1201, 400, "External_task_id already exists"),
    "unavailable": Words(503, "Service unavailable", 5001, 503, "Service temporarily unavailable"),
    "error before": Words(500, "Internal server error", 5000, 500, "Internal server error"),
    "error after": Words(500, "Internal server error", 5000, 500, "Internal server error"),
    "checked too often": Words(429, "Too Many Requests", 1302, 429, "API request too fast, exceeds preset rate limit"),
    "log read too often": Words(429, "Too Many Requests", 1302, 429, "Too many requests"),
    "check failed": Words(
        500, "Something wrong with the server. Please, try again later.", 5000, 500, "Internal error"
    ),
}
"""Every refusal by the name under which `/__sandbox/stats` counts it."""


class Refusal(Exception):
    """A request is refused. `details` tells what is wrong, `retry_after` is in whole seconds."""

    def __init__(
        self,
        kind: str,
        *,
        details: list[dict[str, Any]] | None = None,
        message: str = "",
        status: int | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(kind)
        self.kind = kind
        self.words = REFUSALS[kind]
        self.details = details or []
        self.message = message
        self.status = status
        self.retry_after = retry_after


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
