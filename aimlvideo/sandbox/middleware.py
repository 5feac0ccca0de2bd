"""What every request and every answer has in common: the key, the headers, the error shapes, the counts."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from time import monotonic
from typing import Any

import anyio
from aiohttp import web

from aimlvideo.sandbox import kling_official
from aimlvideo.sandbox.callbacks import CallbackSender
from aimlvideo.sandbox.film.studio import Studio
from aimlvideo.sandbox.hostility import is_hostile, made_odd, station_of
from aimlvideo.sandbox.ledger import iso
from aimlvideo.sandbox.responses import Refusal, as_json
from aimlvideo.sandbox.seeded_random import Dice
from aimlvideo.sandbox.state import World

WORLD = web.AppKey("world", World)
CALLBACK_SENDER = web.AppKey("callback_sender", CallbackSender)
STUDIO = web.AppKey("studio", Studio)

_PUBLIC = ("/v1/models", "/models/", "/api/v1/models", "/model/", "/docs-json/", "/files/", "/pictures/", "/__sandbox/")
_CHOSEN_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def desk(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let a request in, or refuse it, and put on the answer what every answer carries."""
    world = request.app[WORLD]
    if world.behaviour.latency:
        await anyio.sleep(world.behaviour.latency)
    # Time passes only here: the sandbox has no clock of its own that would have to run between two requests.
    world.settle(monotonic())
    try:
        if not request.path.startswith(_PUBLIC):
            _check_key(world, request)
        answer = await handler(request)
    except Refusal as refusal:
        answer = _refuse(world, request, refusal)
    except web.HTTPException as error:
        answer = _refuse(world, request, Refusal("no such path" if error.status in (404, 405) else "not JSON"))
    except ConnectionError:
        # The caller has hung up, half way through a request or a download.
        return web.Response()
    world.tally.answers[answer.status] += 1
    if not answer.prepared and not request.path.startswith("/files/"):
        _sign(request, answer)
    if world.behaviour.kling_clock and not answer.prepared:
        answer.headers["Date"] = formatdate(time.time() + world.behaviour.kling_clock, usegmt=True)
    if is_hostile(world.behaviour, station_of(request)):
        dice = world.dice(f"hostile {request.method} {client_request_id(request) or request.path_qs}")
        return await made_odd(world.behaviour, dice, request, answer)
    return answer


def client_request_id(request: web.Request) -> str | None:
    """Return the id that the caller chose; one that is not well formed is silently dropped."""
    chosen = request.headers.get("X-Client-Request-Id", "")
    return chosen if _CHOSEN_ID.fullmatch(chosen) else None


def key_of(request: web.Request) -> str:
    """Return the key of a request, or an empty text."""
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def only(request: web.Request, *names: str) -> None:
    """Refuse a parameter that is not documented, as the service does."""
    if unknown := sorted(set(request.query) - set(names)):
        raise wrong(unknown[0], f"one of {', '.join(names)}" if names else "no parameter", "an unknown parameter")


def wrong(name: str, expected: str, received: str) -> Refusal:
    """Return the refusal of a query's parameter."""
    detail = {"path": [name], "expected": expected, "received": received, "message": f"{name}: expected {expected}"}
    return Refusal("invalid", message="Query validation error", details=[detail])


def _refuse(world: World, request: web.Request, refusal: Refusal) -> web.Response:
    """Return a refusal in the shape of the service that was called."""
    if refusal.kind != "error after":
        world.tally.refusals[refusal.kind] += 1
    if not request.path.startswith(("/kling/", "/v1/video/", *kling_official.PATHS)):
        return _aiml_error(request, refusal)
    return _new_api_error(refusal) if world.behaviour.kling_errors == "new-api" else _kling_error(world, refusal)


def _aiml_error(request: web.Request, refusal: Refusal) -> web.Response:
    status = refusal.status or refusal.words.status
    if refusal.kind == "out of credits":
        return as_json(_no_credits(request, refusal.words.message), status)
    request_id = secrets.token_urlsafe(15)
    body: dict[str, Any] = {
        "message": refusal.message or refusal.words.message,
        "path": request.path,
        "requestId": request_id,
        "statusCode": str(status) if status >= 500 else status,
        "timestamp": iso(time.time()),
    }
    if refusal.details:
        body["errors"] = refusal.details
    return as_json(body, status, _retry_after(refusal))


def _no_credits(request: web.Request, message: str) -> dict[str, Any]:
    """Return the body of this refusal as it was recorded: it has another shape than the documented one of errors."""
    return {
        "title": "Forbidden",
        "status": 403,
        "message": message,
        "instance": f"{request.path}?",
        "timestamp": iso(time.time()),
        "error": {"name": "ForbiddenException", "message": message, "data": {"kind": "err_insufficent_credits"}},
    }


def _kling_error(world: World, refusal: Refusal) -> web.Response:
    words = refusal.words
    details = "; ".join(f"{'.'.join(map(str, d['path']))}: expected {d['expected']}" for d in refusal.details)
    dice = Dice(world.behaviour.seed, f"refusal {world.tally.refusals.total()}")
    request_id = dice.letters("id", 32)
    body = {"code": words.code, "message": details or refusal.message or words.kling_message, "request_id": request_id}
    if words.kling_status < 500 and dice.happens("200", world.behaviour.kling_http_200):
        return as_json(body, 200)
    return as_json(body, refusal.status or words.kling_status, _retry_after(refusal))


def _new_api_error(refusal: Refusal) -> web.Response:
    """Say it as a gateway of the new-api family does: a word for the code, and the message of the one behind it."""
    words = refusal.words
    error = {"code": words.code, "message": refusal.message or words.kling_message}
    word, status, message = {
        "not found": ("task_not_exist", 400, "task_not_exist"),
        "no such path": ("invalid_request", 404, "no such path"),
        "invalid": ("invalid_request", 400, str(refusal.details or refusal.message)),
        "out of credits": ("insufficient_user_quota", 403, "the quota is used up"),
        "error before": ("do_request_failed", 500, "connection reset by peer"),
        "error after": ("do_request_failed", 500, "connection reset by peer"),
    }.get(refusal.kind, ("fail_to_fetch_task", words.kling_status, json.dumps(error)))
    return as_json({"code": word, "message": message, "data": None}, status, _retry_after(refusal))


def _retry_after(refusal: Refusal) -> dict[str, str]:
    return {} if refusal.retry_after is None else {"Retry-After": str(refusal.retry_after)}


def _check_key(world: World, request: web.Request) -> None:
    key = key_of(request)
    if not key:
        raise Refusal("no key")
    allowed = world.behaviour.api_keys
    if request.path.startswith(kling_official.PATHS):
        behaviour = world.behaviour
        # Kling issues keys in one part, too, which are sent as they are.
        is_key = key in allowed if allowed is not None else key.count(".") != 2 and not key.startswith("bad")
        takes_tokens = not request.path.startswith(kling_official.MODEL_PATHS)
        now = time.time() + behaviour.kling_clock
        if not is_key and not (takes_tokens and kling_official.is_good_token(key, behaviour.kling_pairs, now)):
            raise Refusal("wrong key")
        return
    if key not in allowed if allowed is not None else key.startswith("bad"):
        raise Refusal("wrong key")


def _sign(request: web.Request, answer: web.StreamResponse) -> None:
    answer.headers["x-request-id"] = secrets.token_urlsafe(15)
    answer.headers.setdefault("x-inference-id", secrets.token_urlsafe(15))
    if chosen := client_request_id(request):
        answer.headers["x-client-request-id"] = chosen
