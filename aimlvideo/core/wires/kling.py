"""Kling-style gateways: bodies and places of their own; `kling_answers` reads what comes back.

Source: the Kling API reference and the documents of gateways that resell it, August 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.wires.base import PathOf
from aimlvideo.core.wires.generation import Generation, State
from aimlvideo.core.wires.http import Answer, Request
from aimlvideo.core.wires.kling_answers import MAX_MESSAGE_LENGTH, read_task, task_of_object
from aimlvideo.errors import Rejected, Unclear

ROOT = "/kling/v1/videos"
ENDPOINTS = ("multi-image2video", "image2video", "text2video")


class Kling:
    """The wire of a Kling-style gateway. A model's tasks are below the path that `path_of` names, else below `ROOT`."""

    def __init__(self, *, legacy: bool = False, path_of: PathOf = lambda model: None) -> None:
        self._path_of = path_of

    def submission(self, job: VideoJob, request_id: str, callback_url: str | None = None) -> Request:
        """Return the POST that buys this job; its `external_task_id` is the id that we chose."""
        body = {**body_of(job.model, job.params), "external_task_id": request_id}
        if callback_url:
            body.setdefault("callback_url", callback_url)
        root = self._path_of(job.model) or ROOT
        return Request(
            "POST", f"{root}/{endpoint_of(job.params)}", body=body, headers={"X-Client-Request-Id": request_id}
        )

    def accepted(self, answer: Answer, request_id: str) -> Generation:
        """Return the generation that a submission's answer names.

        A body that says the submission failed and names no task is a refusal; one that says neither is unclear.
        """
        task = read_task(answer, request_id)
        if task.id:
            return task.as_generation(task.id)
        if task.state is State.FAILED:
            raise Rejected(
                f"the gateway says: {(task.reason or task.status)[:MAX_MESSAGE_LENGTH]} (HTTP {answer.status})",
                status=answer.status,
                request_id=request_id,
            )
        raise Unclear("the answer to a submission names no task", status=answer.status, request_id=request_id)

    def status(self, generation_id: str, job: VideoJob | None = None) -> tuple[Request, ...]:
        """Return the question about a task; every kind in turn where the job is not known."""
        kinds = (endpoint_of(job.params),) if job and job.params else ENDPOINTS
        root = (self._path_of(job.model) if job else None) or ROOT
        return tuple(Request("GET", f"{root}/{kind}/{quote(generation_id, safe='')}") for kind in kinds)

    def seen(self, answer: Answer, generation_id: str) -> Generation:
        """Return the generation as a status check's answer describes it, in any shape."""
        return read_task(answer).as_generation(generation_id)


def external_task_request(request_id: str, job: VideoJob) -> Request:
    """Return the question about a task by the `external_task_id` that we chose: Kling itself answers it."""
    return Request("GET", f"{ROOT}/{endpoint_of(job.params)}/{quote(request_id, safe='')}")


def read_external_task(answer: Answer, request_id: str) -> Generation | None:
    """Return the task found by our id: None where there is none, or where the answer is about something else."""
    task = read_task(answer)
    return task.as_generation(task.id) if task.id and task.external_id == request_id else None


def endpoint_of(params: Mapping[str, Any]) -> str:
    """Return the endpoint's last word: several pictures, one picture, or none."""
    if params.get("image_list"):
        return ENDPOINTS[0]
    return ENDPOINTS[1] if params.get("image_url") or params.get("image") else ENDPOINTS[2]


def body_of(model: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return a submission's body: this wire's field names, durations as strings, pictures as objects."""
    body = {_FIELDS.get(name, name): value for name, value in params.items() if value is not None}
    if isinstance(pictures := body.get("image_list"), list | tuple):
        body["image_list"] = [one if isinstance(one, dict) else {"image": one} for one in pictures]
    if "duration" in body:
        seconds = body["duration"]
        body["duration"] = str(int(seconds) if isinstance(seconds, float) and seconds.is_integer() else seconds)
    return {"model_name": model, "model": model, **body}  # with `model` alone, Kling makes and bills a kling-v1 clip


_FIELDS = {"image_url": "image", "tail_image_url": "image_tail"}


def task_in_callback(body: Any) -> str | None:
    """Return the task id in a callback's body, or None where it has none."""
    task = task_of_object(body)
    return task.id if task else None
