"""What services of Kling's kind answer, whatever wraps it: tables say where each thing may stand.

Sources: the Kling API reference, the source and documents of new-api, documents of a dozen gateways, November 2026.
An answer is read as *layers*: the body, and each object inside it under one of `WRAPPERS`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from aimlvideo.core.service_clock import retry_after
from aimlvideo.core.wires.answers import (
    ANSWER_LOST,
    ENDED_STATES,
    GOOD_CODES,
    ID_FIELDS,
    MAKE_SMALLER,
    MAX_MESSAGE_LENGTH,
    NEVER_PROCESSED,
    NO_METHOD,
    NO_REASON,
    PROXY_REFUSED,
    STATUS_FIELDS,
    TOO_LARGE,
    Body,
    State,
    counts_as_end,
    error_text,
    failure_text,
    is_about_the_path,
    passed_limit,
    shows_under_way,
)
from aimlvideo.core.wires.base import Generation
from aimlvideo.core.wires.http import Answer
from aimlvideo.core.wires.json_fields import as_cost, as_id, as_text, as_timestamp
from aimlvideo.core.wires.refusals import (
    cannot_pay,
    lacks_money,
    nameless,
    refused_input,
    refuses_content,
    unpaid,
)
from aimlvideo.errors import Busy, ContentRefused, Refused, Rejected, ServiceError, Unavailable, Unclear

MAX_LAYERS = 6
EXTERNAL_ID_FIELDS = (("task_info", "external_task_id"), ("external_task_id",), ("external_id",))
CREATED_FIELDS = ("created_at", "create_time", "submit_time")
TASK_LINK_FIELDS: tuple[tuple[str, ...], ...] = (
    ("task_result", "videos", "url"),
    ("task_result", "url"),
    ("task_result", "video_url"),
    ("videos", "url"),
    ("outputs", "url"),
    ("video", "url"),
    ("url",),
    ("video_url",),
    ("result_url",),
    ("metadata", "url"),
)
"""Where the clips' links stand: the first place that has any, in the innermost layer that has one. `watermark_url`
beside them is another file, and is never taken."""
OTHER_OUTPUTS = ("image", "audio", "voice", "element")
"""The `type` of what may stand in a list of links, and is no clip."""
REASON_FIELDS = (("task_status_msg",), ("fail_reason",), ("error", "message"), ("error", "code"), ("error",))
REASON_CODE_FIELDS = (("error", "code"), ("error", "type"))
"""Where a word or a number says why a task failed, beside words that may say no more than that it did."""

PASSING_CODES = {1302: "rate", 1303: "outstanding"}
"""Too many a second, too many at once: these pass by waiting."""
LEAST_PAUSE = 1.0
"""Seconds: gateways say "too fast" without a `Retry-After`, or with one of 0."""
LASTING_CODES = frozenset({1000, 1001, 1002, 1003, 1004, 1100, 1101, 1102, 1103, 1304})
"""Key, account, arrears, address: waiting never cures these."""
UNPAID_CODES = (1101, 1102)
"""In arrears; a pack that is used up or has expired."""
REJECTED_CODES = frozenset({1200, 1201, 1202, 1203, 1300, 1301})
"""This request is wrong, under whatever HTTP status."""
CONTENT_CODES = frozenset({1300, 1301})
"""The platform's policy, or its content safety, was triggered; these stand in reasons of failed tasks, too."""
_CONTENT_NUMBERS = frozenset(map(str, CONTENT_CODES))
UNCLEAR_CODES = frozenset({5000, 5002})
UNAVAILABLE_CODE = 5001
KEY_CODES = frozenset({1000, 1001, 1002, 1003, 1004, 401})
"""The key is missing, wrong, not valid yet or not any more."""
REFUSED_STATUSES = (301, 302, 307, 308, 401, 402, 403)
"""Elsewhere, the key, the account: every request fares the same."""
UNKNOWN_TASK_CODES = frozenset({1202, 1203})
_NO_SLOT = re.compile(r"\b1303\b|parallel task over resource pack limit", re.IGNORECASE)
"""Why a task failed that a reseller accepted and then found no slot for: it was neither rendered nor billed."""

CODE_WORDS: dict[str, int | type[ServiceError]] = {
    "task_not_exist": 404,
    "task_not_found": 404,
    "model_price_error": Rejected,
    "model_not_found": Rejected,
    "invalid_request": Rejected,
    "insufficient_user_quota": Refused,
    "pre_consume_token_quota_failed": Refused,
    "quota_not_enough": Refused,
    "insufficient_quota": Refused,
    "content_filter": ContentRefused,
    "sensitive_words_detected": ContentRefused,
    "content_policy_violation": ContentRefused,
    "prompt_blocked": ContentRefused,
    "access_denied": Refused,
    "do_request_failed": Unclear,
}
"""What a gateway of the new-api family says in a word: the HTTP status that it stands for, or what it amounts to."""

_CHARGES = (
    ("final_unit_deduction",),
    ("final_balance_deduction", "quota"),
    ("final_balance_deduction",),
    ("billing", "amount"),
)
"""Where a task says what it took: of a pack, or of the balance, whose currency not every answer names."""


@dataclass(frozen=True, slots=True)
class Task:
    """One task as an answer shows it, in whatever shape; `id` is None where none is named."""

    id: str | None
    external_id: str | None
    state: State
    status: str
    links: tuple[str, ...]
    reason: str | None
    units: float | None
    dollars: float | None
    was_charged: bool
    """Whether anything was taken for it, in whatever units or currency."""
    has_fields: bool
    """Whether the answer speaks of a task at all."""
    created_at: float = 0.0
    """When it was made, in seconds since 1970 by the service's clock; 0 where it does not say."""

    @classmethod
    def read(cls, answer: Answer, request_id: str | None = None) -> Task:
        """Return the task that an answer shows; raise the error that the answer amounts to."""
        body = Body.of(answer)
        if body is not None:
            layers = _layers(body)
            task = _task(layers)
            # Gateways put the error of a failed task where the error of a request stands: with an ended task beside it,
            # it is about that task and not about our question.
            is_its_end = request_id is None and task.id and State.named(task.status) in ENDED_STATES
            error = _stated_error(body)
            why = error or next(filter(None, map(Body.failure, layers)), None)
            if answer.status >= 300 and request_id is not None and task.id and shows_under_way(task.status, why):
                return task
            is_good = answer.status < 300
            if (is_good and error is None) or (is_its_end and (is_good or counts_as_end(task.state, answer.status))):
                is_about_the_check = request_id is None and body.fails_the_check() and not task.content_refused
                if not task.has_fields or is_about_the_check:
                    raise nameless("the answer is cut short or names no task", answer, request_id)
                if task.state is State.FAILED and not task.reason and error:
                    return replace(task, reason=f"{error[1] or 'failed'} (code {error[0]})")
                return task
        raise _as_error(answer, request_id)

    @classmethod
    def read_page(cls, answer: Answer) -> tuple[list[Task], str | None]:
        """Return the tasks of a page of the service's list; raise the error that the answer amounts to.

        Beside them stands the cursor of the next page, empty where none follows; None where pages are counted.
        """
        body = Body.of(answer)
        if body is None or answer.status >= 300 or _stated_error(body) is not None:
            raise _as_error(answer, None)
        rows, cursor = body.get("data"), None
        if isinstance(rows, dict):
            cursor = (as_text(rows.get("next_cursor")) or "") if rows.get("has_more") is not False else ""
            rows = rows.get("result")
        if not isinstance(rows, list):
            raise Unclear("the answer lists no tasks", status=answer.status)
        return [_task(_layers(Body(row))) for row in rows if isinstance(row, dict)], cursor

    @classmethod
    def of_callback(cls, body: object) -> Task | None:
        """Return the task in a callback's body: the bare task object, or one that is wrapped like an answer."""
        return _task(_layers(Body(body))) if isinstance(body, dict) else None

    @property
    def content_refused(self) -> bool:
        """Whether a failed task's reason is moderation: by the code in it, or by its words."""
        return _is_moderation(self.reason or "", self.status)

    def as_generation(self, generation_id: str) -> Generation:
        """Return the generation of this id."""
        completed, failed = self.state is State.COMPLETED, self.state is State.FAILED
        content_refused = failed and self.content_refused
        return Generation(
            id=generation_id,
            state=self.state,
            status=self.status,
            video_url=self.links[0] if self.links else None,
            video_urls=self.links,
            error=failure_text(self.reason or "", self.status) if failed else None,
            cost_units=self.units if completed or failed else None,
            cost_usd=self.dollars if completed or failed else None,
            request_id=self.external_id,
            named_id=self.id,
            created_at=self.created_at,
            content_refused=content_refused,
            refused_input=refused_input(self.reason or "") if content_refused else None,
            never_ran=failed and not self.was_charged and bool(_NO_SLOT.search(self.reason or "")),
        )


_CODE_IN_REASON = re.compile(r"(?i)(?:^|\bcode)\W*(\w+)")


def _is_moderation(reason: str, status: str = "") -> bool:
    codes = _CODE_IN_REASON.findall(reason)
    by_code = any(CODE_WORDS.get(code.lower()) is ContentRefused or code in _CONTENT_NUMBERS for code in codes)
    return by_code or refuses_content(reason, status)


def read_data(answer: Answer) -> Mapping[str, Any]:
    """Return the `data` object of an answer that is about no task; raise the error that the answer amounts to."""
    body = Body.of(answer)
    if body is not None and answer.status < 300 and _stated_error(body) is None:
        return next((layer for layer in _layers(body)[1:]), body)
    raise _as_error(answer, None)


def _as_error(answer: Answer, request_id: str | None) -> ServiceError:
    """Return what an answer amounts to that is an error, or that nobody can read.

    A known code decides, then a code's word, then the HTTP status, which may also stand in the code under HTTP 200.
    """
    body = Body.of(answer) or Body()
    word, message = _stated_error(body) or ("", None)
    if answer.status < 300 and not word and message is None:
        return nameless("the answer is cut short or no JSON object", answer, request_id)
    message = message or as_text(body.get("message")) or answer.words()
    word, message = _upstream_s(word, message or NO_REASON)
    # `isdecimal` alone takes digits of every script, and a long run of them is an id, not a code.
    code = int(word) if word.isascii() and word.isdecimal() and len(word) < 10 else None
    # Gateways answer HTTP 200 and put the real status into the body: the body is believed only where the status says
    # nothing.
    status = code if code is not None and 300 <= code < 600 and answer.status < 300 else answer.status
    shown = "" if not word or word in GOOD_CODES else f", code {word[:60]}"
    smaller = f". {MAKE_SMALLER}" if answer.status == TOO_LARGE else ""
    text = f"the gateway says: {message[:MAX_MESSAGE_LENGTH]} (HTTP {answer.status}{shown}){smaller}"
    meaning = CODE_WORDS.get(word)
    if isinstance(meaning, int):
        return Rejected(text, status=meaning, code=code, request_id=request_id)
    if meaning is not None:
        return _completed(meaning(text, status=status, code=code, request_id=request_id), f"{word} {message}")
    if code is None and (advice := _advice(answer, message, request_id)):
        wrong_key = answer.status == 401 and not cannot_pay(message)
        return Refused(f"{text}. {advice}", status=answer.status, request_id=request_id, wrong_key=wrong_key)
    wait, passed = retry_after(answer.headers), passed_limit(message)
    error = _by_number(text, status, code, wait, request_id)
    if passed and _is_about_this_request(error):
        about: dict[str, Any] = {"status": status, "code": code, "request_id": request_id}
        return Busy(text, retry_after=max(wait or 0.0, LEAST_PAUSE), limit=passed, **about)
    if isinstance(error, Busy) and passed == "outstanding":
        error.limit = passed
    elif isinstance(error, Busy) and not passed and wait is None and lacks_money(message):
        error = Refused(text, status=status, code=code, request_id=request_id)
    if request_id is None and isinstance(error, Rejected) and re.search(_NO_TASK, message):
        error.status = 404
    if code in CONTENT_CODES or (_is_about_this_request(error) and refuses_content(f"{word} {message}")):
        error = ContentRefused(text, status=status, code=code, request_id=request_id)
    return _completed(error, message)


_ITSELF = "Kling itself is --service kling-official"
_NO_TASK = r"(?i)\b(task|video|generation)\b[^.;]{0,60}\b(not[ _](found|exist)|does(n't| not) exist)|任务不存在"
"""How a gateway says, under whatever status, that a task is not one of its own, or is none of this endpoint."""


def _advice(answer: Answer, message: str, request_id: str | None) -> str | None:
    """Return what to do where a request came to the wrong place; None where it came to the right one."""
    is_missing = answer.status == NO_METHOD or (answer.status == 404 and is_about_the_path(answer, message))
    if answer.status == 401:
        return "Top up, then run again" if cannot_pay(message) else f"Expected a key of this gateway; {_ITSELF}"
    if is_missing and request_id is not None:
        return f"There is no such path: check the base URL (--base-url); {_ITSELF}"
    return "The proxy wants a name and a password" if answer.status == PROXY_REFUSED else None


def _is_about_this_request(error: ServiceError) -> bool:
    """Tell an error about what was requested, or how often, from one about a task, the key or the account."""
    if isinstance(error, Refused):
        return error.status == 403 and error.code in (None, 403)
    return isinstance(error, Rejected) and error.status != 404


def _completed(error: ServiceError, words: str) -> ServiceError:
    """Return an error with what its words say beside its kind: which input they refuse, or that nobody paid."""
    if isinstance(error, ContentRefused):
        error.field = refused_input(words)
    is_unpaid = isinstance(error, Refused) and (error.code in UNPAID_CODES or cannot_pay(words))
    return unpaid(str(error), error) if is_unpaid else error


def _by_number(text: str, status: int, code: int | None, wait: float | None, request_id: str | None) -> ServiceError:
    about: dict[str, Any] = {"status": status, "code": code, "request_id": request_id}
    if code in UNKNOWN_TASK_CODES:
        about["status"] = 404
    is_about_the_key = code in KEY_CODES or (code is None and status == 401)
    # A known code counts before the status: gateways have statuses of their own for what lies behind them.
    if is_about_the_key or code in LASTING_CODES:
        return Refused(text, wrong_key=is_about_the_key, **about)
    if code in PASSING_CODES:
        return Busy(text, retry_after=max(wait or 0.0, LEAST_PAUSE), limit=PASSING_CODES[code], **about)
    if code == UNAVAILABLE_CODE:
        return Unavailable(text, retry_after=wait, **about)
    if code in UNCLEAR_CODES:
        return Unclear(text, **about)
    if code in REJECTED_CODES:
        return Rejected(text, **about)
    return _by_status(text, status, wait, about)


def _by_status(text: str, status: int, wait: float | None, about: Mapping[str, Any]) -> ServiceError:
    """Return what an HTTP status amounts to."""
    if status in REFUSED_STATUSES:
        return Refused(text, **about)
    if status == 429:
        return Busy(text, retry_after=max(wait or 0.0, LEAST_PAUSE), **about)
    if status in NEVER_PROCESSED:
        return Unavailable(text, retry_after=wait, **about)
    is_lost = status >= 500 or status in ANSWER_LOST or 300 <= status < 400
    return (Unclear if is_lost else Rejected)(text, **about)


def _stated_error(body: Body) -> tuple[str, str] | None:
    """Return the code, in lower case, and the words of a body that says it is an error; None where it does not."""
    error = body.error()
    return None if error is None else (error[0].lower(), error_text(error[1]))


def _upstream_s(word: str, message: str) -> tuple[str, str]:
    """Return code and message of the service behind a gateway, where the gateway's message quotes that one's body."""
    if not message.lstrip().startswith("{"):
        return word, message
    quoted = Body.of(Answer.of(message.encode()))
    inner = _stated_error(quoted) if quoted is not None else None
    return (inner[0], inner[1] or message) if inner else (word, message)


def _layers(body: Body) -> list[Body]:
    """Return the body and the objects inside it, the outermost first."""
    layers = [body]
    # Gateways wrap the answer of the service behind them, some of them twice; a bound, because an answer may contain
    # itself.
    while len(layers) < MAX_LAYERS and (inner := layers[-1].inner()) is not None:
        layers.append(inner)
    return layers


def _task(layers: list[Body]) -> Task:
    """Read a task: the gateway's own id is the outer one, the clip and the reason are the inner ones.

    Of several states the one that has ended counts, the innermost first; a message beside `code` does not count.
    """
    inward, outward = layers, layers[::-1]
    words = [word for layer in outward for word in _words(layer)]
    if len(words) > 1 and len(layers) > 1 and _words(layers[0]):
        # A word beside the wrapped object is about the request.
        words = words[: -len(_words(layers[0]))]
    # A gateway that caches shows "processing" outside and "succeed" inside, or the reverse: an end does not become
    # undone.
    ended = [word for word in words if State.named(word) in ENDED_STATES]
    word = next(iter(ended or words), "")
    links = _links(outward, word)
    reason, stated = _reasons(outward)
    task_id = next((name for field in ID_FIELDS for layer in inward if (name := as_id(layer.get(field)))), None)
    # In OpenAI's form a clip has no link, and newer gateways of the new-api family, whose tasks name a platform, keep
    # that of the service behind them back: it is read from a page of its own, with the key.
    has_content_page = any(layer.get("object") == "video" or "platform" in layer for layer in layers)
    if has_content_page and task_id and not links and State.named(word) is State.COMPLETED:
        links = (_content_page(task_id),)
    elif task_id and any(link.endswith("/content") for link in links):
        # A gateway names itself as it was set up: as `localhost:3000` where nobody did, or as a host that is shown no
        # key. Its own page of a task is at the address that was asked for the task.
        page = _content_page(task_id)
        links = tuple(page if link.endswith(page) else link for link in links)
    state = State.shown_by(word, has_link=bool(links), reason=stated if word else None)
    external = next((one for one in _texts(outward, EXTERNAL_ID_FIELDS) if one), None)
    has_fields = bool(word or links or task_id or len(layers) > 1)
    created_at = next(
        (moment for layer in outward for name in CREATED_FIELDS if (moment := as_timestamp(layer.get(name)))), 0.0
    )
    was_charged = _was_charged(outward)
    units, dollars = _units(outward, was_charged=was_charged), _charged(outward, "cash", "USD")
    word = word.strip()
    return Task(task_id, external, state, word, links, reason, units, dollars, was_charged, has_fields, created_at)


def _content_page(task_id: str) -> str:
    return f"/v1/videos/{quote(task_id, safe='')}/content"


def _words(layer: Mapping[str, Any]) -> list[str]:
    statuses = (layer.get(name) for name in STATUS_FIELDS)
    return [word for word in statuses if isinstance(word, str) and word.strip() and not word.strip().isdecimal()]


def _links(layers: Sequence[Body], word: str) -> tuple[str, ...]:
    for layer in layers:
        for place in _there(layer, TASK_LINK_FIELDS):
            if links := tuple(dict.fromkeys(link for one in _at(layer, place) if (link := as_text(one)))):
                return links
        # Older gateways put the clip's link there.
        reason = as_text(layer.get("fail_reason"))
        if reason and reason.startswith(("http://", "https://")) and State.named(word) is not State.FAILED:
            return (reason,)
    usual = next((links for layer in layers if (links := layer.links()[0])), ())
    if usual or State.named(word) is not State.COMPLETED:
        return usual
    return next((links for layer in layers if (links := layer.links(surely_there=True)[0])), ())


def _reasons(layers: Sequence[Body]) -> tuple[str | None, str | None]:
    """Return why a task failed, and what of that says by itself that it did: a message does not, unless it refuses.

    A task's own `message` counts only where no `code` makes it the request's. `task_status_msg` tells of every state.
    """
    reasons = [text for text in _texts(layers, REASON_FIELDS) if text.strip().lower() not in GOOD_CODES]
    own = [as_text(layer.get("message")) for layer in layers if "code" not in layer and _words(layer)]
    if not reasons:
        reasons = [error_text(cause) for layer in layers if _words(layer) and (cause := _failure(layer))]
    in_words = [text for text in reasons if not text.startswith(("http://", "https://"))]
    messages = [*_texts(layers, (("task_status_msg",),))]
    causes = [text for text in (*in_words, *reasons) if text not in messages or refuses_content(text)]
    reason, cause = _first_reason(*in_words, *own, *reasons), _first_reason(*causes)
    code = next(filter(_is_moderation, _texts(layers, REASON_CODE_FIELDS)), None)
    # A neutral message beside such a code must not hide it: moderated, a job is never retried unchanged.
    return (f"{code}: {reason}" if code and reason and not _is_moderation(reason) else reason), cause


def _first_reason(*texts: str | None) -> str | None:
    return next((text for text in texts if text and text.strip().lower() not in GOOD_CODES), None)


def _failure(layer: Body) -> Any:
    state = State.named(next(iter(_words(layer)), ""))
    return layer.failure(surely_failed=state is State.FAILED and "code" not in layer)


def _was_charged(layers: Iterable[Mapping[str, Any]]) -> bool:
    return any(as_cost(amount) for layer in layers for place in _there(layer, _CHARGES) for amount in _at(layer, place))


def _units(layers: Sequence[Mapping[str, Any]], *, was_charged: bool) -> float | None:
    """Return the units that a task took; None where that is not said, or where 0 of them is not what it cost."""
    stated = next((units for one in layers if (units := as_cost(one.get("final_unit_deduction"))) is not None), None)
    is_all = stated or (stated is not None and not was_charged)
    return stated if is_all else _charged(layers, "unit", None)


def _charged(layers: Iterable[Mapping[str, Any]], charge_type: str, currency: str | None) -> float | None:
    """Return what a task's `billing` says was charged in this way; None where it says nothing of it."""
    for layer in layers:
        billing = layer.get("billing")
        rows = [row for row in billing if isinstance(row, dict)] if isinstance(billing, list) else []
        amounts = [
            as_cost(row.get("amount"))
            for row in rows
            if row.get("charge_type") == charge_type and currency in (None, row.get("currency"))
        ]
        if amounts and None not in amounts:
            return sum(amount or 0.0 for amount in amounts)
    return None


def _texts(layers: Iterable[Mapping[str, Any]], places: Iterable[tuple[str, ...]]) -> Iterator[str]:
    for layer in layers:
        for place in _there(layer, places):
            yield from (text for one in _at(layer, place) if (text := as_text(one)))


def _there(layer: Mapping[str, Any], places: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return the places that a layer may have: a walk to each would be half the work of a status check."""
    return [place for place in places if place[0] in layer]


def _at(value: Any, place: tuple[str, ...]) -> Iterator[Any]:
    """Yield what stands at a place; a list on the way stands for each of its entries."""
    if isinstance(value, list):
        for entry in value:
            # Beside the clip there may be sounds and pictures of it.
            if not isinstance(entry, dict) or entry.get("type", "video") not in OTHER_OUTPUTS:
                yield from _at(entry, place)
    elif not place:
        yield value
    elif isinstance(value, dict):
        yield from _at(value.get(place[0]), place[1:])
