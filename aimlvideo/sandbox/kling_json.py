"""A Kling task as gateways show it: four answers to a submission, seven to a query."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aimlvideo.sandbox.behaviour import Behaviour
from aimlvideo.sandbox.generation import Generation, Phase, file_link
from aimlvideo.sandbox.seeded_random import Dice

_NATIVE = {"queued": "submitted", "generating": "processing", "completed": "succeed", "error": "failed"}
_WRAPPED = {"queued": "SUBMITTED", "generating": "IN_PROGRESS", "completed": "SUCCESS", "error": "FAILURE"}
_FLAT = {"queued": "queued", "generating": "processing", "completed": "succeeded", "error": "failed"}
_OPENAI = {"queued": "queued", "generating": "in_progress", "completed": "completed", "error": "failed"}
_PROGRESS = {"queued": "0%", "generating": "50%", "completed": "100%", "error": "100%"}
_REASONS = {
    "completed": "The video could not be made",
    "error": "Internal error while generating the video",
    "moderated": "Failure to pass the risk control system",
    "overloaded": "1303: parallel task over resource pack limit",
}

NAMELESS = ("kling/lip-sync", "kling/advanced-lip-sync")
"""The wires of tasks that do not show the id which the caller chose, and are not found by it."""
_OF_ANOTHER = ("kling/video-extend", *NAMELESS)
"""The wires of tasks that show the video of which they make another one."""
LISTED = "kling/tasks"
"""The wire of tasks whose model a path names."""

QUERY_SHAPES = ("native", "wrapped", "wrapped-url", "flat", "bare", "openai", "qiniu")


def as_task(behaviour: Behaviour, generation: Generation, phase: Phase, host: str) -> dict[str, Any]:
    """Return the native task object."""
    created = round(generation.created * 1000)
    task: dict[str, Any] = {
        "task_id": generation.id,
        "task_status": _NATIVE[phase],
        "task_status_msg": _REASONS[generation.fate.ending] if phase == "error" else "",
        "task_info": {} if generation.wire in NAMELESS else {"external_task_id": generation.external_task_id},
        "created_at": created,
        "updated_at": created
        + round(1000 * ((generation.ended_at or generation.queued_until) - generation.accepted_at)),
    }
    if generation.wire in _OF_ANOTHER:
        parent = {"id": "parent-0", "url": f"http://{host}/files/parent.mp4", "duration": "5"}
        task["task_info"]["parent_video"] = parent
    if phase == "completed":
        task["task_result"] = {"videos": [_video(behaviour, generation, host)]}
        if behaviour.odd_fields:
            task["final_unit_deduction"] = f"{generation.price:g}"
    return task


def as_listed(behaviour: Behaviour, generation: Generation, phase: Phase, host: str) -> dict[str, Any]:
    """Return the task object of a model that a path names."""
    task = as_task(behaviour, generation, phase, host)
    shown: dict[str, Any] = {
        "id": generation.id,
        "status": _FLAT[phase] if phase != "queued" else "submitted",
        "message": task["task_status_msg"],
        "create_time": task["created_at"],
        "update_time": task["updated_at"],
        "external_id": generation.external_task_id,
    }
    if phase == "completed":
        shown["outputs"] = [{"type": "video", **_video(behaviour, generation, host)}]
        shown["billing"] = [{"charge_type": "unit", "amount": f"{generation.price:g}", "package_type": "video"}]
    return shown


def as_callback(behaviour: Behaviour, generation: Generation, phase: Phase, host: str) -> dict[str, Any]:
    """Return what a callback carries: the task object of its wire."""
    shape = as_listed if generation.wire == LISTED else as_task
    return shape(behaviour, generation, phase, host)


def _video(behaviour: Behaviour, generation: Generation, host: str) -> dict[str, Any]:
    url = file_link(host, behaviour.seed, generation)
    return {
        "id": f"{generation.id}-0",
        "url": url,
        "watermark_url": f"{url}&watermark=1",
        "duration": f"{generation.seconds_of_video:g}",
    }


def first_answer(behaviour: Behaviour, generation: Generation, host: str) -> dict[str, Any]:
    """Return the answer to a submission in the gateway's shape."""
    dice = Dice(behaviour.seed, generation.id)
    match behaviour.kling_answer:
        case "openai":
            return _openai(generation, "queued", host, behaviour)
        case "flat":
            return {"code": 0, "message": "", "task_id": generation.id}
        case "bare":
            return {"task_id": generation.id, "status": "queued"}
    task = as_task(behaviour, generation, "queued", host)
    return in_envelope(task, dice)


def in_shape(
    behaviour: Behaviour, generation: Generation, phase: Phase, host: str, word: str | None = None
) -> dict[str, Any]:
    """Return the answer to a status check in the gateway's shape; its message never tells of a failure.

    A `word` stands for the state in place of the one that the shape has for it.
    """
    task = as_task(behaviour, generation, phase, host)
    dice = Dice(behaviour.seed, generation.id)
    shape: str = behaviour.kling_shape
    if shape == "mixed":
        # By the task's id, not by the call: one gateway answers for one task in one shape.
        shape = dice.pick("shape", QUERY_SHAPES)
    shapes: dict[str, Callable[[], dict[str, Any]]] = {
        "wrapped": lambda: _wrapped(task, generation, phase),
        "wrapped-url": lambda: _wrapped_url(task, generation, phase),
        "flat": lambda: _flat(task, generation, phase, dice),
        "bare": lambda: _bare(task, generation, phase),
        "openai": lambda: _openai(generation, phase, host, behaviour),
        "qiniu": lambda: _qiniu(task, generation, phase),
    }
    shown = shapes.get(shape, lambda: in_envelope(task, dice))()
    return shown if word is None else _with_word(shown, word)


def _with_word(shown: dict[str, Any], word: str) -> dict[str, Any]:
    """Return an answer with another word for the state, wherever it has one."""
    return {
        name: word
        if name in ("status", "task_status")
        else (_with_word(value, word) if isinstance(value, dict) else value)
        for name, value in shown.items()
    }


def in_envelope(data: Any, dice: Dice) -> dict[str, Any]:
    """Return an answer with this in it, as Kling itself wraps it."""
    return {"code": 0, "message": "SUCCEED", "request_id": dice.letters("request", 32), "data": data}


def _wrapped(task: dict[str, Any], generation: Generation, phase: Phase) -> dict[str, Any]:
    data = {
        "task_id": generation.id,
        "status": _WRAPPED[phase],
        "fail_reason": task["task_status_msg"],
        "submit_time": int(generation.created),
        "progress": _PROGRESS[phase],
        "data": {"code": 0, "message": "SUCCEED", "data": task},
    }
    return {"code": "success", "message": "", "data": data}


def _wrapped_url(task: dict[str, Any], generation: Generation, phase: Phase) -> dict[str, Any]:
    """Return a task as newer versions of the gateway show it: its link beside the state, the upstream task hidden."""
    url = task["task_result"]["videos"][0]["url"] if phase == "completed" else ""
    data = {
        "id": generation.number + 1,
        "task_id": generation.id,
        "status": _WRAPPED[phase],
        "fail_reason": task["task_status_msg"],
        "result_url": url,
        "progress": _PROGRESS[phase],
        "data": None,
    }
    return {"code": "success", "message": "", "data": data}


def _flat(task: dict[str, Any], generation: Generation, phase: Phase, dice: Dice) -> dict[str, Any]:
    status = "completed" if phase == "completed" and dice.roll("word") < 0.5 else _FLAT[phase]
    data: dict[str, Any] = {"task_id": generation.id, "status": status, "format": "mp4", "metadata": None}
    if phase == "completed":
        data["url"] = task["task_result"]["videos"][0]["url"]
    if phase == "error":
        data["error"] = {"code": 400, "message": task["task_status_msg"]}
    return {"code": "success", "message": "SUCCEED", "data": data}


def _bare(task: dict[str, Any], generation: Generation, phase: Phase) -> dict[str, Any]:
    shown: dict[str, Any] = {"task_id": generation.id, "status": _OPENAI[phase], "format": "mp4"}
    if phase == "completed":
        shown["url"] = task["task_result"]["videos"][0]["url"]
        shown["metadata"] = {"duration": generation.seconds_of_video, "fps": 24, "seed": 0}
    if phase == "error":
        shown["error"] = {"code": 400, "message": task["task_status_msg"]}
    return shown


def _qiniu(task: dict[str, Any], generation: Generation, phase: Phase) -> dict[str, Any]:
    shown = {"id": generation.id, "status": _NATIVE[phase], "task_status_msg": task["task_status_msg"]}
    return shown | ({"task_result": task["task_result"]} if phase == "completed" else {})


def _openai(generation: Generation, phase: Phase, host: str, behaviour: Behaviour) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": generation.id,
        "task_id": generation.id,
        "object": "video",
        "model": generation.model,
        "status": _OPENAI[phase],
        "progress": int(_PROGRESS[phase].rstrip("%")),
        "created_at": int(generation.created),
    }
    if phase == "completed":
        shown["metadata"] = {"url": file_link(host, behaviour.seed, generation)}
    if phase == "error":
        shown["error"] = {"message": _REASONS[generation.fate.ending], "code": "task_failed"}
    return shown
