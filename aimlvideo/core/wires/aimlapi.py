"""The AI/ML API: its universal endpoint and the legacy ones, one URL per vendor.

Source: the published OpenAPI documents and examples of docs.aimlapi.com, August 2026.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from aimlvideo.core.catalog.developers import developer_of
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.service_clock import retry_after
from aimlvideo.core.wires.answers import (
    ANSWER_LOST,
    ENDED_STATES,
    ID_FIELDS,
    MAKE_SMALLER,
    MAX_MESSAGE_LENGTH,
    NEVER_PROCESSED,
    NO_METHOD,
    NO_REASON,
    PROXY_REFUSED,
    SAYS_NOTHING,
    STATUS_FIELDS,
    TOO_LARGE,
    Body,
    State,
    counts_as_end,
    error_text,
    failure_text,
    id_in_location,
    is_about_the_path,
    passed_limit,
    shows_under_way,
)
from aimlvideo.core.wires.base import Generation, PathOf
from aimlvideo.core.wires.http import Answer, Request
from aimlvideo.core.wires.json_fields import as_cost, as_id, as_number, as_text
from aimlvideo.core.wires.refusals import (
    cannot_pay,
    nameless,
    refusals_in_words,
    refuse_mixed_up,
    refused_input,
    refuses_content,
)
from aimlvideo.errors import Busy, ContentRefused, Refused, Rejected, ServiceError, Unavailable, Unclear

UNIVERSAL = "/v2/video/generations"
ACCEPTED = 202
BASE_URL_TAILS = re.compile(r"/v[0-9]+(/(video|generate)(/.*)?)?$")
"""What people copy along with a base URL: a version, or the address of an endpoint."""

ALSO_FOR_FREQUENCY = (400, 403, 409, 420, 425)
"""Statuses under which some services refuse requests because there are too many: their words then say so."""

_STATUS_NAMES = frozenset(STATUS_FIELDS)
_SUCCESS = ("success", "ok")
"""Words that stand for a request, too, around the generation that is meant."""
CREDITS_PER_USD = 2_000_000
_REFUSALS = {
    401: "the service does not accept the API key",
    402: "the account cannot pay",
    PROXY_REFUSED: "the proxy wants a name and a password",
}
_ADVICE = {
    401: ". Expected a key of this service: --api-key, AIMLAPI_API_KEY, or api_key",
    402: ". Top up, then run again",
}
_GENERATIONS = ("generations", "generation")
"""The last part of the paths below which a generation may have an address of its own."""
CODES: dict[int, type[ServiceError]] = {
    1000: Unclear,
    1001: Unclear,
    1002: Busy,
    1004: Refused,
    1008: Refused,
    1013: Unclear,
    1024: Unclear,
    1033: Unclear,
    1039: Busy,
    2049: Refused,
}
"""Codes of a partner behind the service (`base_resp.status_code`) that are not about this request alone."""

LEGACY_VENDORS = {"klingai": "kling"}
"""The vendor in a legacy URL, where that is not the developer of the model."""


class AimlApi:
    """The wire of AI/ML API. A model is submitted where `path_of` says, else at the universal endpoint.

    `legacy=True` uses the legacy URLs for every model, not only where the catalogue knows no other.
    """

    shared_checks = None

    def __init__(self, *, legacy: bool = False, path_of: PathOf = lambda model: None) -> None:
        self._legacy = legacy
        self._path_of = path_of

    def submission(self, job: VideoJob, request_id: str, callback_url: str | None = None) -> Request:
        """Return the POST that buys this job. This service calls nobody back."""
        headers = {"X-Client-Request-Id": request_id}
        return Request("POST", self._path(job), body={"model": job.model, **job.params}, headers=headers)

    def parse_submission(self, answer: Answer, request_id: str) -> Generation:
        """Return the generation that a submission's answer names, as `id`, `generation_id` or `task_id`.

        One that is shown under way was bought, whatever the status says: a proxy in between may have set it.
        """
        refuse_mixed_up(answer.headers.get("x-client-request-id"), request_id, answer.status)
        with refusals_in_words(request_id):
            return Generation(_id_shown(answer) or _id_in_headers(answer, request_id))

    def status(self, generation_id: str, job: VideoJob | None = None) -> tuple[Request, ...]:
        """Return the question about a generation. The id is opaque: it may hold `:` and `/`."""
        return (
            Request("GET", self._path(job) if job and job.model else UNIVERSAL, (("generation_id", generation_id),)),
        )

    def remember(self, generation_id: str, question: Request) -> None:
        """There is one place to ask: nothing to remember."""

    def parse_status(self, answer: Answer, generation_id: str) -> Generation:
        """Return the generation as a status check's answer describes it."""
        if answer.status >= 300 and (ended := _end_shown(answer, generation_id)) is not None:
            return ended
        raise_for_error(answer)
        if answer.status == ACCEPTED and not answer.body.strip():
            # It goes on, and there is nothing more to say.
            return Generation(generation_id)
        body = _object(answer)
        word = _word(body)
        # A status, an id or a link makes it an answer about the generation, whatever else stands beside it; an error
        # word alone may be about the request.
        if not (as_text(body.get("id")) or State.named(word) or body.links()[0]):
            _raise_for_body(answer, body)
        if _is_about_the_check(body, word, generation_id):
            raise nameless("the answer is about no generation", answer, None)
        return _generation(body, word, answer, generation_id)

    def _path(self, job: VideoJob) -> str:
        path = self._path_of(job.model) or UNIVERSAL
        if not self._legacy or path != UNIVERSAL:
            return path
        developer = developer_of(job.model)
        return f"/v2/generate/video/{quote(LEGACY_VENDORS.get(developer, developer), safe='')}/generation"


def raise_for_error(answer: Answer, request_id: str | None = None) -> None:
    """Raise the error that an answer of AI/ML API amounts to; return where it is none."""
    if answer.status < 300:
        return
    raise _error_of(answer, answer.status, _message(answer), request_id)


def _raise_for_body(answer: Answer, body: Body, request_id: str | None = None) -> None:
    """Raise the error that a body names under an HTTP status that says nothing of it; return where it names none.

    A generation that failed before it had an id is such an error: whoever sent it was not accepted.
    """
    error = body.error()
    if error is None and request_id is not None and State.named(_word(body)) is State.FAILED:
        error = ("", body.failure(surely_failed=True) or _word(body))
    if error is None:
        return
    code, words = error
    number = int(code) if code.isascii() and code.isdecimal() and len(code) < 10 else None
    text = error_text(words) + (f" (code {code[:60]})" if code else "")
    # Some gateways answer 200 and put the HTTP status into the body: it is treated as if it had been one.
    if number is not None and 300 <= number < 600:
        raise _error_of(answer, number, text, request_id)
    about: dict[str, Any] = {"status": answer.status, "code": number, "request_id": request_id}
    # Unknown codes count as a refusal of this job; only the words for "too many" tell that a later try would do.
    kind = CODES.get(number or 0, Rejected)
    if kind is Rejected and (passed := passed_limit(text)):
        raise Busy(f"the service says: {text}", limit=passed, **about)
    refusal = _content_refusal(text, about) if kind is Rejected else None
    raise refusal or kind(f"the service says: {text}", **about)


def _error_of(  # noqa: PLR0911 - a table: one line a status
    answer: Answer, status: int, message: str, request_id: str | None
) -> ServiceError:
    """Return what an HTTP status amounts to."""
    about: dict[str, Any] = {"status": status, "request_id": request_id, "code": _code(answer)}
    passed = passed_limit(message)
    if status == 429 or (status in ALSO_FOR_FREQUENCY and passed):
        is_at_once = passed == "outstanding" or "concurren" in message.lower()
        limit, wait = "outstanding" if is_at_once else None, retry_after(answer.headers)
        return Busy(f"too many requests ({status}): {message}", retry_after=wait, limit=limit, **about)
    match status:
        case 301 | 302 | 307 | 308:
            return Refused(_redirected(answer), **about)
        # Only of a submission: a 404 on a status check means that there is no such generation, which is no reason to
        # stop.
        case 404 | 405 if request_id is not None and (status == NO_METHOD or is_about_the_path(answer, message)):
            text = f"the service has no such path ({status}): {message}. Check the base URL: --base-url"
            return Refused(text, **about)
        case _ if status in _REFUSALS:
            text = f"{_REFUSALS[status]} ({status}): {message.rstrip('.')}{_ADVICE.get(status, '')}"
            return Refused(text, wrong_key=status == 401, **about)
        case 403 if "credit" in message.lower() or "balance" in message.lower() or cannot_pay(message):
            words = message.rstrip(".")
            return Refused(f"the account is out of credits (403): {words}. Top up, then run again", **about)
        case 403:
            return _content_refusal(message, about) or Refused(
                f"the service does not allow this (403): {message}", **about
            )
        case _ if status in NEVER_PROCESSED:
            wait = retry_after(answer.headers)
            return Unavailable(f"the service is unavailable ({status}): {message}", retry_after=wait, **about)
        case _ if status >= 500 or status < 400 or status in ANSWER_LOST:
            return Unclear(f"the service failed ({status}): {message}", **about)
    advice = f". {MAKE_SMALLER}" if status == TOO_LARGE else ""
    return _content_refusal(message, about) or Rejected(
        f"the service refused the request ({status}): {message}{advice}", **about
    )


def _content_refusal(message: str, about: Mapping[str, Any]) -> ContentRefused | None:
    """Return the error of a request that moderation refused; None where the message says something else."""
    if not refuses_content(message):
        return None
    text = f"the service refused the content ({about['status']}): {message}"
    return ContentRefused(text, field=refused_input(message), **about)


def _cost_of(body: Mapping[str, Any], headers: Mapping[str, str]) -> float | None:
    """Return USD from the header, from `meta.usage.usd_spent`, else from credits (2,000,000 = 1 USD); None: unknown.

    Credits are read in the body, and then in their header. A header tells what this call cost: a status check that
    cost nothing says nothing of the clip.
    """
    meta = body.get("meta")
    usage = meta.get("usage") if isinstance(meta, dict) else None
    usage = usage if isinstance(usage, dict) else {}
    # `:=` passes a 0 by on purpose: a status check costs nothing, and that is not the clip's price.
    if header := as_cost(headers.get("x-aimlapi-usd-spent")):
        return header
    if (spent := as_cost(usage.get("usd_spent"))) is not None:
        return spent
    used = as_cost(usage.get("credits_used"))
    if used is None:
        used = as_cost(headers.get("x-aimlapi-credits-used")) or None
    return None if used is None else used / CREDITS_PER_USD


def _is_about_the_check(body: Body, word: str, generation_id: str) -> bool:
    """Tell whether an answer says that our question failed: it names no generation, or something else without a status.

    The state "unknown" of an empty id is such an answer: ours was lost on the way to the service behind this one. A
    refusal of content is always that of a generation.
    """
    named = _id(body) or ("" if word and "id" in body else None)
    says_nothing = not word or word.lower() in SAYS_NOTHING
    is_another_one = says_nothing and named not in (None, generation_id) and body.failure()
    # The words last: to look through all of them takes longer than to read the rest of a status check.
    is_about_another = body.fails_the_check() or bool(is_another_one)
    return is_about_another and not body.links()[0] and not refuses_content(_all_words(body))


def _end_shown(answer: Answer, generation_id: str) -> Generation | None:
    """Return the generation whose end an answer shows under the HTTP status of an error; None where it shows none."""
    try:
        body = _object(answer)
    except ServiceError:
        return None
    word = _word(body)
    if _id(body) != generation_id or State.named(word) not in ENDED_STATES:
        return None
    generation = _generation(body, word, answer, generation_id)
    return generation if counts_as_end(generation.state, answer.status) else None


def _generation(body: Body, word: str, answer: Answer, generation_id: str) -> Generation:
    error = body.failure()
    links, sizes = body.links(surely_there=State.named(word) is State.COMPLETED and not error)
    state = State.shown_by(word, has_link=bool(links), reason=error_text(error) if error else None)
    # A second look: a reason in an unusual place is believed only once the status says that it failed.
    if state is State.FAILED:
        error = error or body.failure(surely_failed=True)
    ended = state in ENDED_STATES
    why = failure_text(error_text(error), word) if state is State.FAILED else None
    content_refused = why is not None and refuses_content(_all_words(error), word)
    return Generation(
        id=generation_id,
        state=state,
        status=word,
        video_url=links[0] if links else None,
        video_urls=links,
        file_sizes=sizes,
        error=why,
        # Before the end a cost is an estimate or a hold, and may still be given back.
        cost_usd=_cost_of(body, answer.headers) if ended else None,
        named_id=_id(body),
        content_refused=content_refused,
        refused_input=refused_input(why) if why and content_refused else None,
    )


def _id(body: Mapping[str, Any]) -> str | None:
    names = ("id", "generation_id", "task_id", "taskId", "generationId")
    return next((text for name in names if name in body and (text := as_id(body[name]))), None)


def _id_shown(answer: Answer) -> str | None:
    """Return the id in the body of a submission's answer; under the status of an error only that of one under way."""
    try:
        body = _object(answer)
    except ServiceError:
        return None
    was_accepted = answer.status < 300 or shows_under_way(_word(body), body.failure())
    return _id(body) if was_accepted else None


def _id_in_headers(answer: Answer, request_id: str) -> str:
    """Return the generation that only the headers of a submission's answer name; raise the error that it amounts to.

    A paid generation whose id is not found is lost to the user.
    """
    located = id_in_location(answer, _GENERATIONS)
    if located is None:
        raise_for_error(answer, request_id)
    body = _object(answer, request_id) if answer.status < 300 and answer.body.strip() else Body()
    _raise_for_body(answer, body, request_id)
    error = nameless("the answer to a submission names no id", answer, request_id)
    generation_id = located or as_id(answer.headers.get("x-inference-id"))
    if not generation_id or not isinstance(error, Unclear):
        raise error
    return generation_id


def _word(body: Mapping[str, Any]) -> str:
    """Return the status word of an answer; some have it one object further in."""
    for name in ("status", "task_status", "state"):
        value = body.get(name)
        inner = next((value[key] for key in STATUS_FIELDS if key in value), None) if isinstance(value, dict) else value
        if (word := as_text(inner)) and not word.strip().isdecimal():
            return word.strip()
    return ""


def _all_words(error: Any) -> str:
    """Return all that an error says, also the names of its kind that a person is not shown."""
    return error if isinstance(error, str) else json.dumps(error, ensure_ascii=False)


def _message(answer: Answer) -> str:
    body = answer.json()
    fields: dict[str, Any] = body if isinstance(body, dict) else {}
    message: Any = fields.get("message") or fields.get("error") or fields.get("detail")
    if isinstance(message, dict):
        message = message.get("message") or message
    errors = fields.get("errors") or fields.get("meta")
    text = error_text(message) if message else answer.words() or NO_REASON
    more = error_text(errors) if isinstance(errors, list) else errors
    return (f"{text}: {more}" if more else text)[:MAX_MESSAGE_LENGTH]


def _redirected(answer: Answer) -> str:
    target = answer.headers.get("location", "")[:200]
    return f"the service redirects to {target!r} ({answer.status}): set --base-url (base_url=) to that address"


def _code(answer: Answer) -> int | None:
    """Return the number that an error's body has for it beside the HTTP status."""
    body = answer.json()
    places = (body.get("code"), body.get("error")) if isinstance(body, dict) else ()
    numbers = (as_number(place.get("code") if isinstance(place, dict) else place) for place in places)
    return next((int(number) for number in numbers if number), None)


def _object(answer: Answer, request_id: str | None = None) -> Body:
    body = Body.of(answer)
    if body is None:
        raise nameless("the answer is cut short or no JSON object", answer, request_id)
    word_is_of_the_request = _word(body).lower() in _SUCCESS and _id(body) is None
    if not word_is_of_the_request and (not _STATUS_NAMES.isdisjoint(body) or _id(body)):
        return body
    inner = body.inner()
    return inner if inner and any(name in inner for name in (*ID_FIELDS, *STATUS_FIELDS)) else body
