"""The Kling gateway's wire: tasks of three kinds, codes in the body, lengths as strings."""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic
from typing import Any

from aiohttp import web

from aimlvideo.sandbox.film.storyboard import plan
from aimlvideo.sandbox.generation import decide_fate
from aimlvideo.sandbox.kling_json import as_task, in_shape
from aimlvideo.sandbox.kling_validation import find_gateway_faults
from aimlvideo.sandbox.middleware import POSTMAN, STUDIO, WORLD
from aimlvideo.sandbox.prices import gateway_price
from aimlvideo.sandbox.refusals import Refusal
from aimlvideo.sandbox.responses import about, as_json, cut_connection, read_json
from aimlvideo.sandbox.seeded_random import Dice
from aimlvideo.sandbox.state import Accepted, World
from aimlvideo.sandbox.status_checks import check_in
from aimlvideo.sandbox.submissions import lose_answer, receive

KINDS = ("multi-image2video", "image2video", "text2video")

_HOME = "/kling/v1/videos/"
_SECONDS = 127.0
"""Documented processing time of a task."""


def routes() -> list[web.RouteDef]:
    """Return the handlers of the three kinds of task."""
    paths = [_HOME + kind for kind in KINDS]
    return [
        route
        for path in paths
        for route in (web.post(path, submit), web.get(path, list_tasks), web.get(path + "/{task_id:.+}", check))
    ]


async def submit(request: web.Request) -> web.Response:
    """Answer a submission."""
    world, kind = request.app[WORLD], request.path.removeprefix(_HOME)
    world.tally.posts += 1
    body = await read_json(request)
    external = body.get("external_task_id")
    dice = world.dice(external if isinstance(external, str) else None)
    generation = receive(world, request.app[STUDIO], dice, lambda dice: _judge(world, kind, body, dice))
    request.app[POSTMAN].follow(generation, request.host)
    if lose_answer(world, generation, dice):
        return cut_connection(request)
    data = as_task(world.behaviour, generation, "queued", request.host)
    body = {"code": 0, "message": "SUCCEED", "request_id": dice.letters("request", 32), "data": data}
    return about(generation, as_json(body))


async def check(request: web.Request) -> web.Response:
    """Answer a status check, by the task's id or, as on Kling itself, by the id that the caller chose."""
    world, asked = request.app[WORLD], request.match_info["task_id"]
    found = world.by_id.get(asked)
    if found is None and world.behaviour.kling_external_query:
        found = world.by_external_id.get(asked)
    if found is not None and found.wire != _wire(request):
        found = None
    generation, dice = check_in(world, found)
    if dice.happens("poll_dropped", world.behaviour.poll_dropped):
        return cut_connection(request)
    phase = generation.phase(monotonic())
    return about(generation, as_json(in_shape(world.behaviour, generation, phase, request.host)))


async def list_tasks(request: web.Request) -> web.Response:
    """Answer a page of tasks, newest first; gateways know nothing of it."""
    world, now = request.app[WORLD], monotonic()
    if not world.behaviour.kling_external_query:
        raise Refusal("no such path")
    number, size = request.query.get("pageNum", "1"), request.query.get("pageSize", "30")
    if not (number.isdecimal() and size.isdecimal() and 1 <= int(number) <= 1000 and 1 <= int(size) <= 500):
        raise Refusal("invalid", message="pageNum is from 1 to 1000, pageSize from 1 to 500")
    mine = [generation for generation in reversed(world.generations) if generation.wire == _wire(request)]
    page = mine[(int(number) - 1) * int(size) : int(number) * int(size)]
    tasks = [as_task(world.behaviour, task, task.phase(now), request.host) for task in page]
    return as_json({"code": 0, "message": "SUCCEED", "data": tasks})


def _wire(request: web.Request) -> str:
    return "kling/" + request.path.removeprefix(_HOME).partition("/")[0]


def _judge(world: World, kind: str, body: Mapping[str, Any], dice: Dice) -> Accepted:
    """Return what is accepted, or raise what is wrong with it."""
    if faults := find_gateway_faults(kind, body):
        unknown = faults[0].path == ("model",)
        raise Refusal("unknown model" if unknown else "invalid", details=[fault.as_json() for fault in faults])
    external = body.get("external_task_id")
    if world.behaviour.kling_external_query and external and external in world.by_external_id:
        raise Refusal("duplicate")
    seconds = float(body.get("duration", "5"))
    return Accepted(
        wire=f"kling/{kind}",
        model=str(body.get("model", body.get("model_name"))),
        fate=decide_fate(world.behaviour, dice, _SECONDS, kling=True),
        price=gateway_price(body.get("mode"), seconds),
        board=plan(_as_params(kind, body), {"aspect_ratio": "16:9"}.get, lambda name: {}),
        external_task_id=str(external) if external else None,
        callback_url=body.get("callback_url") or None,
    )


def _as_params(kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Name the fields as a storyboard reads them."""
    params = {name: body[name] for name in ("prompt", "duration", "aspect_ratio") if name in body}
    params["duration"] = body.get("duration", "5")
    if kind == "multi-image2video":
        params["image_list"] = [entry["image"] for entry in body["image_list"]]
    if kind == "image2video":
        params |= {"image_url": body.get("image"), "tail_image_url": body.get("image_tail"), "aspect_ratio": "auto"}
    return params
