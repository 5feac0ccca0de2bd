"""The AI/ML API: its universal endpoint and the legacy ones, one URL per vendor.

Source: the published OpenAPI documents and examples of docs.aimlapi.com, August 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.retries import retry_after
from aimlvideo.core.wires.base import PathOf
from aimlvideo.core.wires.generation import Generation, State
from aimlvideo.core.wires.http import Answer, Request
from aimlvideo.core.wires.json_fields import as_cost, as_text
from aimlvideo.errors import Busy, Refused, Rejected, Unavailable, Unclear

UNIVERSAL = "/v2/video/generations"
CREDITS_PER_USD = 2_000_000
MAX_MESSAGE_LENGTH = 500
"""Characters of a service's message that are shown."""

STATES = {
    "queued": State.QUEUED,
    "waiting": State.QUEUED,
    "generating": State.RENDERING,
    "active": State.RENDERING,
    "completed": State.COMPLETED,
    "succeeded": State.COMPLETED,
    "error": State.FAILED,
    "failed": State.FAILED,
}
"""Status words, documented and seen. A word that is not here means "not finished yet"."""

VENDORS = {
    "klingai": "kling",
    "kling-video": "kling",
    "alibaba": "alibaba",
    "wan": "alibaba",
    "google": "google",
    "veo2": "google",
    "minimax": "minimax",
    "video-01": "minimax",
    "video-01-live2d": "minimax",
    "runway": "runway",
    "gen3a_turbo": "runway",
    "bytedance": "bytedance",
    "pixverse": "pixverse",
    "luma": "luma",
    "openai": "openai",
}
"""The vendor in a legacy URL, by the first part of a model's id; any other first part names its vendor itself."""


class AimlApi:
    """The wire of AI/ML API. A model is submitted where `path_of` says, else at the universal endpoint.

    `legacy=True` uses the legacy URLs for every model, not only where the catalogue knows no other.
    """

    def __init__(self, *, legacy: bool = False, path_of: PathOf = lambda model: None) -> None:
        self._legacy = legacy
        self._path_of = path_of

    def submission(self, job: VideoJob, request_id: str, callback_url: str | None = None) -> Request:
        """Return the POST that buys this job. This service calls nobody back."""
        headers = {"X-Client-Request-Id": request_id}
        return Request("POST", self._path(job), body={"model": job.model, **job.params}, headers=headers)

    def accepted(self, answer: Answer, request_id: str) -> Generation:
        """Return the generation that a submission's answer names, as `id` or `generation_id`."""
        raise_for_error(answer, request_id)
        told = _object(answer, request_id)
        given = (told.get("id"), told.get("generation_id"), answer.headers.get("x-inference-id"))
        name = next((known for known in map(as_text, given) if known), None)
        if not name:
            raise Unclear("the answer to a submission names no id", status=answer.status, request_id=request_id)
        return _generation(told, answer, name)

    def status(self, generation_id: str, job: VideoJob | None = None) -> tuple[Request, ...]:
        """Return the question about a generation. The id is opaque: it may hold `:` and `/`."""
        return (
            Request("GET", self._path(job) if job and job.model else UNIVERSAL, (("generation_id", generation_id),)),
        )

    def seen(self, answer: Answer, generation_id: str) -> Generation:
        """Return the generation as a status check's answer describes it."""
        raise_for_error(answer)
        return _generation(_object(answer), answer, generation_id)

    def _path(self, job: VideoJob) -> str:
        path = self._path_of(job.model) or UNIVERSAL
        if not self._legacy or path != UNIVERSAL:
            return path
        first = job.model.split("/")[0]
        return f"/v2/generate/video/{quote(VENDORS.get(first, first), safe='')}/generation"


def raise_for_error(answer: Answer, request_id: str | None = None) -> None:
    """Raise the error that an answer of AI/ML API amounts to; return where it is none."""
    if answer.status < 300:
        return
    said = _message(answer)
    about: dict[str, Any] = {"status": answer.status, "request_id": request_id}
    match answer.status:
        case 301 | 302 | 307 | 308:
            raise Refused(_redirected(answer), **about)
        case 401:
            raise Refused(f"the service does not accept the API key (401): {said}", wrong_key=True, **about)
        case 402:
            raise Refused(f"the account cannot pay (402): {said}. Top up, then run again", **about)
        case 403 if "credit" in said.lower() or "balance" in said.lower():
            raise Refused(f"the account is out of credits (403): {said}. Top up, then run again", **about)
        case 403:
            raise Refused(f"the service does not allow this (403): {said}", **about)
        case 429:
            limit = "outstanding" if "concurren" in said.lower() else None
            wait = retry_after(answer.headers)
            raise Busy(f"too many requests ({answer.status}): {said}", retry_after=wait, limit=limit, **about)
        case 503:
            wait = retry_after(answer.headers)
            raise Unavailable(f"the service is unavailable (503): {said}", retry_after=wait, **about)
        case status if status >= 500 or status < 400 or status == 408:
            raise Unclear(f"the service failed ({status}): {said}", **about)
        case status:
            raise Rejected(f"the service refused the request ({status}): {said}", **about)


def cost_of(told: Mapping[str, Any], headers: Mapping[str, str]) -> float | None:
    """Return USD from the header, from `meta.usage.usd_spent`, else from credits (2,000,000 = 1 USD); None: unknown.

    The header tells what this call cost: a status check that cost nothing says nothing of the clip.
    """
    meta = told.get("meta")
    usage = meta.get("usage") if isinstance(meta, dict) else None
    usage = usage if isinstance(usage, dict) else {}
    if header := as_cost(headers.get("x-aimlapi-usd-spent")):
        return header
    if (spent := as_cost(usage.get("usd_spent"))) is not None:
        return spent
    used = as_cost(usage.get("credits_used"))
    return None if used is None else used / CREDITS_PER_USD


def _generation(told: Mapping[str, Any], answer: Answer, generation_id: str) -> Generation:
    word = as_text(told.get("status")) or ""
    video = told.get("video")
    url = as_text(video.get("url")) if isinstance(video, dict) else None
    state = STATES.get(word.lower(), State.RENDERING)
    if state is State.COMPLETED and not url:
        state = State.RENDERING  # the link is still on its way
    ended = state in (State.COMPLETED, State.FAILED)
    return Generation(
        id=generation_id,
        state=state,
        status=word,
        video_url=url,
        error=reason(told.get("error")) if state is State.FAILED else None,
        cost_usd=cost_of(told, answer.headers) if ended else None,
    )


def reason(error: Any) -> str:
    """Return a generation's error for people, from the three shapes in which it comes."""
    match error:
        case str() if error:
            return error[:MAX_MESSAGE_LENGTH]
        case {"detail": [*details]}:
            return "; ".join(_detail(one) for one in details)[:MAX_MESSAGE_LENGTH] or "no reason given"
        case {"message": str(message), **rest}:
            name = rest.get("name")
            return (f"{name}: {message}" if name else message)[:MAX_MESSAGE_LENGTH]
        case {"detail": str(detail)}:
            return detail
    return "no reason given" if not error else str(error)[:MAX_MESSAGE_LENGTH]


def _detail(one: Any) -> str:
    if not isinstance(one, dict):
        return str(one)
    loc = one.get("loc")
    place = ".".join(str(part) for part in (loc if isinstance(loc, list) else [loc or ""]) if part != "body")
    return f"{place}: {one.get('msg')}" if place else str(one.get("msg"))


def _message(answer: Answer) -> str:
    body = answer.json()
    told: dict[str, Any] = body if isinstance(body, dict) else {}
    said: Any = told.get("message") or told.get("error") or told.get("detail")
    if isinstance(said, dict):
        said = said.get("message") or said
    errors = told.get("errors") or told.get("meta")
    text = str(said) if said else answer.body[:200].decode(errors="replace").strip() or "no reason given"
    return (f"{text} {errors}" if errors else text)[:MAX_MESSAGE_LENGTH]


def _redirected(answer: Answer) -> str:
    target = answer.headers.get("location", "")[:200]
    return f"the service redirects to {target!r} ({answer.status}): set --base-url (base_url=) to that address"


def _object(answer: Answer, request_id: str | None = None) -> dict[str, Any]:
    told = answer.json()
    if not isinstance(told, dict):
        raise Unclear("the answer is cut short or no JSON object", status=answer.status, request_id=request_id)
    return told
