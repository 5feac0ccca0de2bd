"""Kling-style gateways: business codes under HTTP 200, and a status answer in three shapes.

Source: the Kling API reference and the documents of gateways that resell it, August 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.retries import retry_after
from aimlvideo.core.wires.aimlapi import MAX_MESSAGE_LENGTH
from aimlvideo.core.wires.generation import Generation, State
from aimlvideo.core.wires.http import Answer, Request
from aimlvideo.core.wires.json_fields import as_text
from aimlvideo.errors import Busy, Refused, Rejected, Unavailable, Unclear

ROOT = "/kling/v1/videos"
ENDPOINTS = ("multi-image2video", "image2video", "text2video")

STATES = {
    "submitted": State.QUEUED,
    "queued": State.QUEUED,
    "processing": State.RENDERING,
    "in_progress": State.RENDERING,
    "succeed": State.COMPLETED,
    "succeeded": State.COMPLETED,
    "success": State.COMPLETED,
    "completed": State.COMPLETED,
    "failed": State.FAILED,
    "failure": State.FAILED,
}
"""Task states of the native, the wrapped and the flat shape, in lower case. Other words mean "not finished yet"."""

GOOD_CODES = ("", "0", "200", "ok", "success", "succeed")
"""The words for "no error", in lower case."""
PASSING_CODES = {1302: "rate", 1303: "outstanding"}
"""Too many a second, too many at once: these pass by waiting, at least 1 s."""
LASTING_CODES = frozenset({1000, 1001, 1002, 1003, 1004, 1100, 1101, 1102, 1103, 1304})
"""Key, account, arrears, address: waiting never cures these."""
UNCLEAR_CODES = frozenset({5000, 5002})
UNAVAILABLE_CODE = 5001
REFUSED_STATUSES = (301, 302, 307, 308, 401, 402, 403)
"""Elsewhere, the key, the account: every request fares the same."""
UNKNOWN_TASK_CODES = frozenset({1202, 1203})


class Kling:
    """The wire of a Kling-style gateway."""

    service = "kling"
    base_url = "https://api.ezmodel.cloud"
    keys = "your gateway's dashboard"
    has_request_log = False

    def submission(self, job: VideoJob, request_id: str, callback_url: str | None = None) -> Request:
        """Return the POST that buys this job; its `external_task_id` is the id that we chose."""
        body = {**body_of(job.model, job.params), "external_task_id": request_id}
        if callback_url:
            body.setdefault("callback_url", callback_url)
        return Request(
            "POST", f"{ROOT}/{endpoint_of(job.params)}", body=body, headers={"X-Client-Request-Id": request_id}
        )

    def accepted(self, answer: Answer, request_id: str) -> Generation:
        """Return the generation that a submission's answer names."""
        data = _data(answer, request_id)
        name = _task_id(data)
        if not name:
            raise Unclear("the answer to a submission names no task", status=answer.status, request_id=request_id)
        return _generation(data, name)

    def status(self, generation_id: str, job: VideoJob | None = None) -> tuple[Request, ...]:
        """Return the question about a task; every kind in turn where the job is not known."""
        kinds = (endpoint_of(job.params),) if job and job.params else ENDPOINTS
        return tuple(Request("GET", f"{ROOT}/{kind}/{quote(generation_id, safe='')}") for kind in kinds)

    def by_external_id(self, request_id: str, job: VideoJob) -> Request:
        """Return the question about a task by the `external_task_id` that we chose: Kling itself answers it."""
        return Request("GET", f"{ROOT}/{endpoint_of(job.params)}/{quote(request_id, safe='')}")

    def found(self, answer: Answer, request_id: str) -> Generation | None:
        """Return the task found by our id: None where there is none, or where the answer is about something else."""
        data = _data(answer, request_id)
        native = _native(data)
        info = native.get("task_info")
        theirs = info.get("external_task_id") if isinstance(info, dict) else native.get("external_task_id")
        name = _task_id(data)
        return _generation(data, name) if name and theirs == request_id else None

    def seen(self, answer: Answer, generation_id: str) -> Generation:
        """Return the generation as a status check's answer describes it, in any of the three shapes."""
        return _generation(_data(answer), generation_id)


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
    return {"model": model, **body}


_FIELDS = {"image_url": "image", "tail_image_url": "image_tail"}


def task_in_callback(body: Any) -> str | None:
    """Return the task id in a callback's body (the bare task object), or None where it has none."""
    if not isinstance(body, dict):
        return None
    inner = body.get("data")
    given = (body.get("task_id"), body.get("id"), inner.get("task_id") if isinstance(inner, dict) else None)
    return next((name for name in map(as_text, given) if name), None)


def _data(answer: Answer, request_id: str | None = None) -> dict[str, Any]:
    """Return the `data` object of an answer; raise the error that the answer amounts to."""
    told = answer.json()
    told = told if isinstance(told, dict) else {}
    code, data = told.get("code"), told.get("data")
    word = "" if code is None or code is False else (as_text(code) or str(code)).lower()
    if answer.status >= 300 or word not in GOOD_CODES:
        said = as_text(told.get("message")) or answer.body[:200].decode(errors="replace") or "no reason given"
        _raise(answer, _number(word), said[:MAX_MESSAGE_LENGTH], request_id)
    if not isinstance(data, dict):
        raise Unclear("the answer is cut short or has no data", status=answer.status, request_id=request_id)
    return data


def _number(word: str) -> int | None:
    return int(word) if word.isascii() and word.isdecimal() and len(word) < 10 else None


def _raise(answer: Answer, code: int | None, said: str, request_id: str | None) -> None:
    """Raise what a code amounts to, else what the HTTP status does; a status may stand in the code, under HTTP 200."""
    status = code if code is not None and 300 <= code < 600 and answer.status < 300 else answer.status
    about: dict[str, Any] = {"status": status, "code": code, "request_id": request_id}
    text = f"the gateway says: {said} (HTTP {answer.status}" + (")" if code is None else f", code {code})")
    wait = retry_after(answer.headers)
    if code in LASTING_CODES or status in REFUSED_STATUSES:
        raise Refused(text, **about)
    if code in PASSING_CODES or status == 429:
        limit = PASSING_CODES.get(code) if code else None
        raise Busy(text, retry_after=max(wait or 0.0, 1.0), limit=limit, **about)
    if code == UNAVAILABLE_CODE or status == 503:
        raise Unavailable(text, retry_after=wait, **about)
    if code in UNCLEAR_CODES or status >= 500 or status in (303, 408):
        raise Unclear(text, **about)
    if code in UNKNOWN_TASK_CODES:
        about["status"] = 404
    raise Rejected(text, **about)


def _task_id(data: Mapping[str, Any]) -> str | None:
    given = (_native(data).get("task_id"), data.get("task_id"), data.get("id"))
    return next((name for name in map(as_text, given) if name), None)


def _native(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the native task object: `data` itself, or the one inside a wrapped answer."""
    inner = data.get("data")
    if isinstance(inner, dict) and isinstance(inner.get("data"), dict):
        inner = inner["data"]
    return inner if isinstance(inner, dict) else data


def _generation(data: Mapping[str, Any], generation_id: str) -> Generation:
    """Read the task's own status, or the gateway's where that one has ended; a message above them does not count."""
    native = _native(data)
    words = [as_text(one) for one in (native.get("task_status"), data.get("status"), native.get("status"))]
    known = [word for word in words if word]
    ended = [word for word in known if STATES.get(word.lower()) in (State.FAILED, State.COMPLETED)]
    word = next(iter(ended or known), "")
    state = STATES.get(word.lower(), State.RENDERING)
    url = _link(native) or as_text(data.get("url")) or as_text(native.get("url"))
    if state is State.COMPLETED and not url:
        state = State.RENDERING  # the link is still on its way
    return Generation(
        id=generation_id,
        state=state,
        status=word,
        video_url=url,
        error=_reason(data, native) if state is State.FAILED else None,
    )


def _link(native: Mapping[str, Any]) -> str | None:
    result = native.get("task_result")
    videos = result.get("videos") if isinstance(result, dict) else None
    first = videos[0] if isinstance(videos, list) and videos else None
    return as_text(first.get("url")) if isinstance(first, dict) else None


def _reason(data: Mapping[str, Any], native: Mapping[str, Any]) -> str:
    error = data.get("error")
    inside = error.get("message") if isinstance(error, dict) else error
    given = (native.get("task_status_msg"), data.get("fail_reason"), inside)
    said = next((words for words in map(as_text, given) if words), "no reason given")
    return said[:MAX_MESSAGE_LENGTH]
