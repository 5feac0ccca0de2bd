"""What the answers of every service have in common: words that end a generation, errors under HTTP 200, links."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from aimlvideo.core.wires.generation import State
from aimlvideo.core.wires.http import Answer
from aimlvideo.core.wires.json_fields import as_text

_NO_PATH = re.compile(
    r"cannot (get|post|find this path)|no (such |)(path|route|endpoint)|invalid url|(page|route) not found"
    r"|^not found\.?$",
    re.IGNORECASE,
)
_WORDS = {
    State.QUEUED: "submitted queued in_queue not_start pending waiting created accepted scheduled",
    State.RENDERING: "processing in_progress running generating starting active unknown",
    State.COMPLETED: "succeed succeeded success successful completed complete done finished",
    State.FAILED: "failed failure fail error cancelled canceled aborted terminated expired rejected blocked "
    "timeout timed_out",
}

STATES = {word: state for state, words in _WORDS.items() for word in words.split()}
"""Status words of all services, documented and seen, as `plain_word` writes them."""

MAX_MESSAGE_LENGTH = 500
"""Characters of a service's message that are shown."""

GOOD_CODES = ("", "0", "200", "201", "202", "ok", "success", "succeed", "succeeded")
"""The words for "no error", in lower case."""

ID_FIELDS = ("task_id", "id", "generation_id", "taskId")
STATUS_FIELDS = ("task_status", "status", "state")
GENERATION_FIELDS = (*ID_FIELDS, *STATUS_FIELDS, "video", "videos")
"""An answer with one of these is about a generation, and its `error` is that generation's."""

WRAPPERS = ("data", "response", "result", "output", "task", "generation")
"""Under these names an answer may hold the object that is meant."""

CODE_FIELDS = ("statusCode", "status_code", "code", "errcode", "error_code", "err_code", "errno")
"""Where a body says the number or word of its error; also inside `base_resp`."""

WORDS_FIELDS = ("message", "msg", "status_msg", "errmsg", "error_msg", "error_message", "err_msg", "detail")
"""Where a body says in words what went wrong."""

LINK_FIELDS = ("video", "videos", "video_url", "video_urls", "output", "outputs", "url", "urls")
LINK_KEYS = ("url", "video_url", "uri", "href")


_TOO_OFTEN = re.compile(
    r"""(?ix)
    too[ ]many[ ](requests|calls|queries|attempts) | rate[ _-]?limit | throttl | too[ ](frequent|fast|often)
    | (request|call|query|access)s?[ ](frequency|rate)[ ](limit|exceed|too) | frequency[ ](limit|exceed|control)
    | \b[qr]p[sm]\b | slow[ ]down | requests?[ ]per[ ](second|minute)
    | 频繁 | 频率 | 限流 | 请求过(多|快)
    """
)


def plain_word(word: str) -> str:
    """Return a status word in lower case, without blanks around it, and with `_` for blanks and hyphens inside."""
    return word.strip().lower().replace(" ", "_").replace("-", "_")


def is_known_word(word: str) -> bool:
    """Tell whether a status word says where a generation stands; one that is missing does not."""
    return plain_word(word) in STATES


def state_of(word: str, *, has_link: bool, reason: str | None) -> State:
    """Return what a status word means; where it is unknown or misses its clip, what the rest of the answer shows.

    An unknown word with a link is completed; an unknown word, or completed without a link, is failed where the answer
    gives a reason. Whatever else is unknown is not finished yet.
    """
    state = STATES.get(plain_word(word))
    if state is None and has_link:
        return State.COMPLETED
    if state in (None, State.COMPLETED) and not has_link:
        return State.FAILED if reason else State.RENDERING
    return state or State.RENDERING


def refuses_frequency(text: str) -> bool:
    """Tell whether a message refuses a request because there were too many, not because of what it asks."""
    return bool(_TOO_OFTEN.search(text))


def links_in(body: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[int | None, ...]]:
    """Return the links of all clips of an answer, from the first field that has any, and their sizes in bytes."""
    for name in LINK_FIELDS:
        value = body.get(name)
        if not value:
            continue
        clips = {
            link: _size(clip)
            for clip in (value if isinstance(value, list) else [value])
            for link in [_link(clip)]
            if link
        }
        if clips:
            return tuple(clips), tuple(clips.values())
    return (), ()


def _link(clip: Any) -> str | None:
    if isinstance(clip, str):
        return clip.strip() or None
    if isinstance(clip, dict):
        for name in LINK_KEYS:
            if isinstance(text := clip.get(name), str) and text.strip():
                return text.strip()
    return None


def _size(clip: Any) -> int | None:
    size = clip.get("file_size") if isinstance(clip, dict) else None
    return size if isinstance(size, int) and not isinstance(size, bool) and size > 0 else None


def is_about_the_path(answer: Answer, message: str) -> bool:
    """Tell whether a 404 says that there is nothing at this address, and not that there is no such model."""
    body = answer.json()
    return not isinstance(body, dict) or ("model" not in message.lower() and bool(_NO_PATH.search(message)))


def object_in(body: Any, names: Iterable[str] = WRAPPERS) -> Mapping[str, Any] | None:
    """Return the object that a body holds under one of these names; a list stands for its only entry."""
    for name in names:
        inner = body.get(name)
        if isinstance(inner, list) and len(inner) == 1:
            inner = inner[0]
        if isinstance(inner, dict):
            return inner
    return None


def error_in_body(body: Mapping[str, Any]) -> tuple[str, Any] | None:
    """Return code and words of a body that says itself that the request failed, whatever its HTTP status; else None."""
    base = body.get("base_resp")
    layers = (body, base) if isinstance(base, dict) else (body,)
    words = next((layer[name] for layer in layers for name in WORDS_FIELDS if layer.get(name)), None)
    error = body.get("error") or body.get("errors")
    for value in (layer.get(name) for layer in layers for name in CODE_FIELDS):
        code = "" if value is None or value is False else (as_text(value) or str(value)).strip()
        if code.lower() not in GOOD_CODES:
            return code, words or error
    if body.get("success") is False:
        return "", words or error
    if any(name in body for name in GENERATION_FIELDS):
        return None  # it is about a generation, and so is the error in it
    inner = object_in(body)
    if error and not inner:
        code = (as_text(error.get("code")) if isinstance(error, dict) else None) or ""
        return ("" if code.lower() in GOOD_CODES else code), error
    if body.get("detail") and not inner:
        return "", body["detail"]
    return error_in_body(inner) if inner else None


def reason(error: Any) -> str:
    """Return a generation's error for people, from the shapes in which it comes."""
    match error:
        case str() if error:
            return error[:MAX_MESSAGE_LENGTH]
        case {"detail": [*details]}:
            return "; ".join(_detail(one) for one in details)[:MAX_MESSAGE_LENGTH] or "no reason given"
        case {"message": str(message), **rest}:
            name = rest.get("name") or rest.get("code")
            return (f"{name}: {message}" if name else message)[:MAX_MESSAGE_LENGTH]
        case {"detail": str(detail)}:
            return detail[:MAX_MESSAGE_LENGTH]
        case [_, *_]:
            return "; ".join(map(_detail, error))[:MAX_MESSAGE_LENGTH]
    return "no reason given" if not error else str(error)[:MAX_MESSAGE_LENGTH]


def _detail(one: Any) -> str:
    if not isinstance(one, dict):
        return str(one)
    if "msg" not in one:
        return reason(one)
    loc = one.get("loc")
    place = ".".join(str(part) for part in (loc if isinstance(loc, list) else [loc or ""]) if part != "body")
    return f"{place}: {one.get('msg')}" if place else str(one.get("msg"))
