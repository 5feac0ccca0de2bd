"""Kling: tasks of eleven kinds, at a gateway's root and at the official one; codes in the body, lengths as texts.

The official root wants a signed token; `kling_official` looks at it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import monotonic
from typing import Any

from aiohttp import web

from aimlvideo.sandbox.behaviour import Behaviour
from aimlvideo.sandbox.film.storyboard import plan
from aimlvideo.sandbox.generation import Generation, draw_outcome
from aimlvideo.sandbox.kling_json import NAMELESS, as_task, first_answer, in_shape
from aimlvideo.sandbox.kling_validation import KINDS, find_gateway_faults, model_of
from aimlvideo.sandbox.middleware import CALLBACK_SENDER, STUDIO, WORLD
from aimlvideo.sandbox.prices import gateway_price
from aimlvideo.sandbox.responses import Refusal, about, as_json, cut_connection, read_json
from aimlvideo.sandbox.seeded_random import Dice
from aimlvideo.sandbox.state import Accepted, World
from aimlvideo.sandbox.submissions import lose_answer, receive

HOME = "/kling/v1/videos/"
OFFICIAL = "/v1/videos/"
_MOST_ROWS = 500
ANY_TASK = "/v1/video/generations/{task_id:.+}"
"""Where one gateway has tasks of motion control asked about."""

SELECTIONS = ("init-selection", "add-selection", "delete-selection", "clear-selection", "preview-selection")

_SECONDS = 127.0
"""Documented processing time of a task."""


def kling_routes() -> list[web.RouteDef]:
    """Return the handlers of all kinds of task, below both roots, and of what belongs to them."""
    routes: list[web.RouteDef] = [web.get(ANY_TASK, check_anywhere), web.get("/account/costs", show_packs)]
    routes += [
        web.post("/account/billing/package", list_deductions),
        web.post("/account/billing/balance", list_deductions),
    ]
    for root in (HOME, OFFICIAL):
        routes.append(web.post(f"{root}identify-face", open_session))
        routes += [web.post(f"{root}multi-elements/{name}", open_session) for name in SELECTIONS]
        for kind in KINDS:
            path = root + kind
            routes += [web.post(path, _submit), web.get(path, list_tasks), web.get(path + "/{task_id:.+}", _check)]
    return routes


async def _submit(request: web.Request) -> web.Response:
    """Answer a submission."""
    world, kind = request.app[WORLD], _kind(request)
    body = await read_submission(request)
    judge = partial(_judge, world, kind, body)
    return answer_submission(request, body.get("external_task_id"), judge, first_answer)


async def read_submission(request: web.Request) -> dict[str, Any]:
    """Count a submission, and return its body."""
    request.app[WORLD].tally.posts += 1
    return await read_json(request)


def answer_submission(
    request: web.Request,
    external: object,
    judge: Callable[[Dice], Accepted],
    shown: Callable[[Behaviour, Generation, str], dict[str, Any]],
) -> web.Response:
    """Answer a submission under the caller's own id, where it has one, as it is `shown`; or raise a `Refusal`."""
    world = request.app[WORLD]
    dice = world.dice(external if isinstance(external, str) else None)
    generation = receive(world, request.app[STUDIO], dice, judge)
    request.app[CALLBACK_SENDER].follow(generation, request.host)
    if lose_answer(world, generation, dice):
        return cut_connection(request)
    return about(generation, as_json(shown(world.behaviour, generation, request.host)))


async def _check(request: web.Request) -> web.Response:
    """Answer a status check, by the task's id or, as on Kling itself, by the id that the caller chose."""
    world, task_id = request.app[WORLD], request.match_info["task_id"]
    generation = world.by_id.get(task_id)
    # Kling itself finds a task by the caller's own id; most gateways do not, and answer as if there were none.
    wire = f"kling/{_kind(request)}"
    if generation is None and world.behaviour.kling_external_query and wire not in NAMELESS:
        generation = world.by_external_id.get(task_id)
    if generation is not None and (generation.wire != wire or _moved(world, generation)):
        generation = None
    if generation is None and request.path.startswith(OFFICIAL):
        world.tally.polls_unknown += 1
        raise Refusal("no such task", message=f"Task not found by id/external id: {task_id}")
    return _checked(request, generation)


async def check_anywhere(request: web.Request) -> web.Response:
    """Answer a status check at the address that knows tasks of all kinds."""
    generation = request.app[WORLD].by_id.get(request.match_info["task_id"])
    return _checked(request, generation if generation and generation.wire.startswith("kling/") else None)


def _checked(request: web.Request, task: Generation | None) -> web.Response:
    world = request.app[WORLD]
    generation, dice = world.check_in(task)
    if world.drops_check(dice):
        return cut_connection(request)
    phase = generation.phase(monotonic())
    word = world.odd_status_word(dice, phase)
    return about(generation, as_json(in_shape(world.behaviour, generation, phase, request.host, word)))


async def list_tasks(request: web.Request) -> web.Response:
    """Answer a page of tasks, newest first; gateways know nothing of it."""
    world, now = request.app[WORLD], monotonic()
    if not world.behaviour.kling_external_query:
        raise Refusal("no such path")
    number, size = request.query.get("pageNum", "1"), request.query.get("pageSize", "30")
    if not (number.isdecimal() and size.isdecimal() and 1 <= int(number) <= 1000 and 1 <= int(size) <= 500):
        raise Refusal("invalid", message="pageNum is from 1 to 1000, pageSize from 1 to 500")
    wire = f"kling/{_kind(request)}"
    mine = [generation for generation in reversed(world.generations) if generation.wire == wire]
    page = mine[(int(number) - 1) * int(size) : int(number) * int(size)]
    tasks = [as_task(world.behaviour, task, task.phase(now), request.host) for task in page]
    return as_json({"code": 0, "message": "SUCCEED", "data": tasks})


async def open_session(request: web.Request) -> web.Response:
    """Answer a call before a task: faces of a clip, which cost a little, or a selection in it."""
    body = await read_json(request)
    name = request.path.rpartition("/")[2]
    if name in ("identify-face", "init-selection"):
        if bool(body.get("video_id")) == bool(body.get("video_url")):
            raise Refusal("invalid", message="exactly one of video_id and video_url")
    elif not body.get("session_id"):
        raise Refusal("invalid", message="session_id is needed")
    data: dict[str, Any] = {"session_id": body.get("session_id") or f"session-{len(str(body))}"}
    if name == "identify-face":
        data["face_data"] = [{"face_id": "0", "face_image": "", "start_time": 0, "end_time": 5000}]
        data["final_unit_deduction"] = "0.05"
    if name == "init-selection":
        data |= {"fps": 24, "original_duration": 5000, "total_frame": 120}
    return as_json({"code": 0, "message": "SUCCEED", "data": data})


async def show_packs(request: web.Request) -> web.Response:
    """Answer the packs of units that were bought in a time: the only one, which is good for a year, 300 days ago."""
    query = request.query
    if not (query.get("start_time", "").isdecimal() and query.get("end_time", "").isdecimal()):
        raise Refusal("invalid", message="start_time and end_time are needed, in milliseconds")
    now, day = int(time.time() * 1000), 86_400_000
    used, bought = sum(task.price for task in _paid(request.app[WORLD])), now - 300 * day
    pack = {
        "resource_pack_name": "Sandbox video pack",
        "resource_pack_id": "pack-1",
        "total_quantity": 1000.0,
        "remaining_quantity": max(1000.0 - used, 0.0),
        "purchase_time": bought,
        "effective_time": bought,
        "invalid_time": now + 65 * day,
        "status": "online",
    }
    packs = [pack] if int(query["start_time"]) <= bought <= int(query["end_time"]) else []
    return as_json({"code": 0, "message": "SUCCEED", "data": {"code": 0, "resource_pack_subscribe_infos": packs}})


def _paid(world: World) -> list[Generation]:
    """Return the tasks that were charged, oldest first: what failed, or is under way, costs nothing."""
    return [task for task in world.generations if task.wire.startswith("kling") and task.ended_at and task.completed]


async def list_deductions(request: web.Request) -> web.Response:
    """Answer a page of what was taken of the packs, oldest first; this account pays for nothing out of a balance."""
    body = await read_json(request)
    page, more = page_by_cursor(
        body, _paid(request.app[WORLD]) if request.path.endswith("/package") else [], _MOST_ROWS
    )
    if not body.get("cursor") and not all(type(body.get(name)) is int for name in ("start_time", "end_time")):
        raise Refusal("invalid", message="start_time and end_time are needed, in milliseconds")
    rows = [
        {
            "package_id": "pack-1",
            "product_type": "video",
            "task_id": task.id,
            "model_name": task.model,
            "deduction_time": str(int(time.time() * 1000)),
            "deduction_amount": float(f"{task.price:g}"),
        }
        for task in page
    ]
    return as_json({"code": 0, "message": "SUCCEED", "data": {"result": {"detail": rows, "count": len(rows)}, **more}})


def page_by_cursor(
    body: Mapping[str, Any], tasks: Sequence[Generation], usual: int
) -> tuple[Sequence[Generation], dict[str, Any]]:
    """Return a page of tasks, `usual` ones where no limit is asked for, and what an answer says of the next page.

    The cursor says how many came before it.
    """
    limit, cursor = body.get("limit", usual), body.get("cursor") or "0"
    if type(limit) is not int or not 1 <= limit <= _MOST_ROWS or not str(cursor).isdecimal():
        raise Refusal("invalid", message="limit is from 1 to 500, cursor that of the page before")
    page = tasks[int(cursor) : int(cursor) + limit]
    following = int(cursor) + len(page)
    return page, {"next_cursor": str(following), "has_more": following < len(tasks)}


def _kind(request: web.Request) -> str:
    below = request.path.removeprefix(HOME).removeprefix(OFFICIAL)
    # The longest first: `image2video` begins other paths too.
    return next(kind for kind in sorted(KINDS, key=len, reverse=True) if below == kind or below.startswith(f"{kind}/"))


def _moved(world: World, generation: Generation) -> bool:
    """Tell whether this gateway has tasks of this kind asked about elsewhere."""
    return generation.wire == "kling/motion-control" and not world.behaviour.kling_motion_query


def _judge(world: World, kind: str, body: Mapping[str, Any], dice: Dice) -> Accepted:
    """Return what is accepted, or raise what is wrong with it."""
    if faults := find_gateway_faults(kind, body):
        unknown = faults[0].path == ("model",)
        raise Refusal("unknown model" if unknown else "invalid", details=[fault.as_json() for fault in faults])
    external = body.get("external_task_id")
    # The id is unique in an account: the service refuses a second task under it, which is what keeps a job from being
    # bought twice.
    if world.behaviour.kling_external_query and external and external in world.by_external_id:
        raise Refusal("duplicate", message=f"External_task_id {external} already exists")
    params = _as_params(kind, body)
    return Accepted(
        wire=f"kling/{kind}",
        model=model_of(body),
        fate=draw_outcome(world.behaviour, dice, _SECONDS, kling=True),
        price=gateway_price(body.get("mode"), float(params["duration"])),
        board=plan(params, {"aspect_ratio": "16:9"}.get, lambda name: {}),
        external_task_id=str(external) if external else None,
        callback_url=body.get("callback_url") or None,
    )


def _as_params(kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Name the fields as a storyboard reads them."""
    inner = body.get("input") if isinstance(body.get("input"), dict) else body
    params = {name: body[name] for name in ("prompt", "aspect_ratio") if name in body}
    params["duration"] = str((inner or body).get("duration", "5"))
    if kind in ("multi-image2video", "multi-elements") and body.get("image_list"):
        params["image_list"] = [entry["image"] for entry in body["image_list"]]
    if kind == "omni-video" and body.get("image_list"):
        params["image_list"] = [entry["image_url"] for entry in body["image_list"]]
    if kind == "image2video":
        params |= {"image_url": body.get("image"), "tail_image_url": body.get("image_tail"), "aspect_ratio": "auto"}
    return params
