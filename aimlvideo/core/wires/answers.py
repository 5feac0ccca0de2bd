"""What the answers of every service have in common: words that end a generation, errors under HTTP 200, links."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aimlvideo.core.wires.generation import State
from aimlvideo.core.wires.json_fields import as_text

STATES = {
    **dict.fromkeys(("submitted", "queued", "not_start", "pending", "waiting", "created"), State.QUEUED),
    **dict.fromkeys(("processing", "in_progress", "running", "generating", "active", "unknown"), State.RENDERING),
    **dict.fromkeys(
        ("succeed", "succeeded", "success", "successful", "completed", "complete", "done", "finished"), State.COMPLETED
    ),
    **dict.fromkeys(
        ("failed", "failure", "fail", "error", "cancelled", "canceled", "expired", "rejected", "timeout", "timed_out"),
        State.FAILED,
    ),
}
"""Status words of all services, documented and seen, as `plain_word` writes them."""

GOOD_CODES = ("", "0", "200", "201", "202", "ok", "success", "succeed", "succeeded")
"""The words for "no error", in lower case."""

GENERATION_FIELDS = ("status", "video", "videos", "task_status", "state")
"""An answer with one of these is about a generation, and its `error` is that generation's."""

LINK_FIELDS = ("video", "videos", "video_url", "video_urls", "output", "outputs", "url", "urls")
LINK_KEYS = ("url", "video_url", "uri", "href")


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


def links_in(body: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[int | None, ...]]:
    """Return the links of all clips of an answer, from the first field that has any, and their sizes in bytes."""
    for name in LINK_FIELDS:
        value = body.get(name)
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
    if not isinstance(clip, dict):
        return None
    texts = (clip[name].strip() for name in LINK_KEYS if isinstance(clip.get(name), str))
    return next((text for text in texts if text), None)


def _size(clip: Any) -> int | None:
    size = clip.get("file_size") if isinstance(clip, dict) else None
    return size if isinstance(size, int) and not isinstance(size, bool) and size > 0 else None


def error_in_body(body: Mapping[str, Any]) -> tuple[str, Any] | None:
    """Return code and words of a body that says itself that the request failed, whatever its HTTP status; else None."""
    base = body.get("base_resp")
    base = base if isinstance(base, dict) else {}
    words = body.get("message") or base.get("status_msg") or body.get("msg") or body.get("detail")
    error = body.get("error")
    for value in (body.get("statusCode"), base.get("status_code"), body.get("code")):
        code = "" if value is None or value is False else (as_text(value) or str(value)).strip()
        if code.lower() not in GOOD_CODES:
            return code, words or error
    if error and not any(name in body for name in GENERATION_FIELDS):
        return (as_text(error.get("code")) or "" if isinstance(error, dict) else ""), error
    if body.get("success") is False:
        return "", words or error
    return None
