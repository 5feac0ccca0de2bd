"""A Kling task as the gateways show it, in three shapes."""

from __future__ import annotations

from typing import Any

from aimlvideo.sandbox.behaviour import Behaviour
from aimlvideo.sandbox.generation import Generation, Phase
from aimlvideo.sandbox.links import file_link
from aimlvideo.sandbox.seeded_random import Dice

_NATIVE = {"queued": "submitted", "generating": "processing", "completed": "succeed", "error": "failed"}
_WRAPPED = {"queued": "SUBMITTED", "generating": "IN_PROGRESS", "completed": "SUCCESS", "error": "FAILURE"}
_FLAT = {"queued": "queued", "generating": "processing", "completed": "succeeded", "error": "failed"}
_PROGRESS = {"queued": "0%", "generating": "50%", "completed": "100%", "error": "100%"}
_REASONS = {
    "completed": "The video could not be made",
    "error": "Internal error while generating the video",
    "moderated": "Failure to pass the risk control system",
    "overloaded": "1303: parallel task over resource pack limit",
}


def as_task(behaviour: Behaviour, generation: Generation, phase: Phase, host: str) -> dict[str, Any]:
    """Return the native task object, which is also what a callback carries."""
    created = round(generation.created * 1000)
    task: dict[str, Any] = {
        "task_id": generation.id,
        "task_status": _NATIVE[phase],
        "task_status_msg": _REASONS[generation.fate.ending] if phase == "error" else "",
        "task_info": {"external_task_id": generation.external_task_id},
        "created_at": created,
        "updated_at": created
        + round(1000 * ((generation.ended_at or generation.queued_until) - generation.accepted_at)),
    }
    if phase == "completed":
        url = file_link(host, behaviour.seed, generation)
        video = {"id": f"{generation.id}-0", "url": url, "duration": f"{generation.seconds_of_video:g}"}
        task["task_result"] = {"videos": [video]}
    if behaviour.odd_fields:
        task["final_unit_deduction"] = "1"
    return task


def in_shape(behaviour: Behaviour, generation: Generation, phase: Phase, host: str) -> dict[str, Any]:
    """Return the answer to a status check in the gateway's shape; its message never tells of a failure."""
    task = as_task(behaviour, generation, phase, host)
    dice = Dice(behaviour.seed, generation.id)
    shape = behaviour.kling_shape
    if shape == "mixed":
        shape = dice.pick("shape", ("native", "wrapped", "flat"))
    if shape == "wrapped":
        return _wrapped(task, generation, phase)
    if shape == "flat":
        return _flat(task, generation, phase, dice)
    return {"code": 0, "message": "SUCCEED", "request_id": dice.letters("request", 32), "data": task}


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


def _flat(task: dict[str, Any], generation: Generation, phase: Phase, dice: Dice) -> dict[str, Any]:
    status = "completed" if phase == "completed" and dice.roll("word") < 0.5 else _FLAT[phase]
    data: dict[str, Any] = {"task_id": generation.id, "status": status, "format": "mp4", "metadata": None}
    if phase == "completed":
        data["url"] = task["task_result"]["videos"][0]["url"]
    if phase == "error":
        data["error"] = {"code": 400, "message": task["task_status_msg"]}
    return {"code": "success", "message": "SUCCEED", "data": data}
