"""AI/ML API's wire: submissions and status checks, on the universal endpoint and on the legacy ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from time import monotonic
from typing import Any

from aiohttp import web

from aimlvideo.sandbox.aimlapi_json import as_generation
from aimlvideo.sandbox.catalogue import Model, find_model
from aimlvideo.sandbox.film.storyboard import plan
from aimlvideo.sandbox.generation import Generation, draw_outcome
from aimlvideo.sandbox.middleware import STUDIO, WORLD, client_request_id, key_of, only
from aimlvideo.sandbox.model_pages import withdrawn_models
from aimlvideo.sandbox.prices import clip_price
from aimlvideo.sandbox.responses import Refusal, about, as_json, cut_connection, read_json
from aimlvideo.sandbox.seeded_random import Dice
from aimlvideo.sandbox.state import Accepted, World
from aimlvideo.sandbox.submissions import lose_answer, receive
from aimlvideo.sandbox.validation import find_faults

UNIVERSAL = "/v2/video/generations"

LEGACY = "/v2/generate/video/{vendor}/generation"


def aimlapi_routes() -> list[web.RouteDef]:
    """Return the handlers of both kinds of path."""
    return [handler for path in (UNIVERSAL, LEGACY) for handler in (web.post(path, _submit), web.get(path, _check))]


async def _submit(request: web.Request) -> web.Response:
    """Answer a submission."""
    world = request.app[WORLD]
    world.tally.posts += 1
    body, chosen = await read_json(request), client_request_id(request)
    dice = world.dice(chosen)
    legacy = request.path != UNIVERSAL

    def judge(dice: Dice) -> Accepted:
        model = _model_at(request.path, body)
        if model.id in withdrawn_models(world.behaviour):
            raise Refusal("unknown model", message=f"Model {model.id!r} has been withdrawn")
        if faults := find_faults(model, body, legacy=legacy):
            raise Refusal("invalid", details=[fault.as_json() for fault in faults])
        wire = "legacy" if legacy else "universal"
        return replace(_accepted(world, model, body, dice), wire=wire, client_request_id=chosen, key=key_of(request))

    generation = receive(world, request.app[STUDIO], dice, judge)
    if lose_answer(world, generation, dice):
        return cut_connection(request)
    return about(generation, _first_answer(request, generation, dice))


async def _check(request: web.Request) -> web.Response:
    """Answer a status check."""
    only(request, "generation_id")
    world = request.app[WORLD]
    generation, dice = world.check_in(_find(world, request.query.get("generation_id", "")))
    if world.drops_check(dice):
        return cut_connection(request)
    return about(generation, as_json(as_generation(world, generation, dice, monotonic(), request.host)))


def _find(world: World, generation_id: str) -> Generation | None:
    generation = world.by_id.get(generation_id)
    return generation if generation and not generation.wire.startswith("kling") else None


def _model_at(path: str, body: Mapping[str, Any]) -> Model:
    """Return the model that a body names; two models are found on their own legacy path only."""
    model = find_model(body.get("model"))
    if model is None:
        raise Refusal("unknown model", message=f"Model {str(body.get('model'))[:100]!r} is not available")
    if model.path not in (UNIVERSAL, path):
        raise Refusal("unknown model", message=f"Model {model.id!r} is not available here, but at {model.path}")
    return model


def _accepted(world: World, model: Model, body: Mapping[str, Any], dice: Dice) -> Accepted:
    params = {name: value for name, value in body.items() if name in model.params}
    board = plan(params, model.default, lambda name: model.params.get(name, {}))
    return Accepted(
        wire="universal",
        model=model.id,
        fate=draw_outcome(world.behaviour, dice, model.seconds, kling=False),
        price=clip_price(model, params, board.seconds),
        board=board,
    )


def _first_answer(request: web.Request, generation: Generation, dice: Dice) -> web.Response:
    world, now = request.app[WORLD], monotonic()
    answer = as_generation(world, generation, dice, now, request.host)
    if generation.wire == "legacy" and dice.roll("named") < 0.5:
        answer["generation_id"] = answer.pop("id")
    return as_json(answer, 201 if dice.roll("201") < 0.5 else 200)
