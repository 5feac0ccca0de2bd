"""Refusals that stand in a submission's answer in words only: an empty account under HTTP 200, and the like."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aimlvideo.core.formatting import redact_for_display
from aimlvideo.core.wires.http import Answer
from aimlvideo.core.wires.moderation import refused_input, refuses_content
from aimlvideo.errors import ContentRefused, Refused, Rejected, ServiceError, Unclear

MAX_WORDS = 300
"""Characters that are shown of an answer that names no generation."""

ECHOES = ("prompt", "negative_prompt", "input", "request", "params", "parameters")
"""Fields in which an answer repeats what it was sent: their words are ours."""

_CANNOT_PAY = re.compile(
    r"""(?ix)
    \b(insufficient|not[ ]enough|no[ ](remaining|more)|r[ua]n[ ]out[ ]of|out[ ]of)[ _-]+(\w+[ _-]+){0,2}
      (balance|credits?|funds?|quota|money)\b
    | \b(balance|credits?|funds?|quota)[ _-]+((is|are|was|has[ ]been)[ ])?
      (not[ _]enough|insufficient|exhausted|too[ ]low|used[ ]up|empty)\b
    | \bin[ ]arrears\b | payment[ _-]?required | \b(please|must|need[ ]to)[ ](top[ ]?up|recharge)\b
    | \baccount\b.{0,20}\b(suspended|frozen|overdue|disabled|deactivated)\b
    | 余额不足 | 欠费
    """
)


def cannot_pay(text: str) -> bool:
    """Tell whether a service's message says that the account has nothing left, or may not buy."""
    return bool(_CANNOT_PAY.search(text))


@contextmanager
def refusals_in_words() -> Iterator[None]:
    """Read a submission's answer: an error that says in words that the account cannot pay is one of the account."""
    try:
        yield
    except Rejected as error:
        if isinstance(error, ContentRefused) or not cannot_pay(str(error)):
            raise
        raise _unpaid(str(error), error) from error


def nameless(problem: str, answer: Answer, request_id: str | None) -> ServiceError:
    """Return what an answer amounts to that names no generation: a refusal where its words are one, else unclear.

    What is not understood is said in the service's own words, behind the `problem`.
    """
    about: dict[str, Any] = {"status": answer.status, "request_id": request_id}
    words = redact_for_display(_words(answer))
    is_whole = answer.status < 300 and (answer.json() is not None or not answer.body.lstrip().startswith((b"{", b"[")))
    if is_whole and cannot_pay(words):
        return _unpaid(f"the service says: {words}", Unclear(words, **about))
    if is_whole and refuses_content(words):
        text = f"the service refused the content ({answer.status}): {words}"
        return ContentRefused(text, field=refused_input(words), **about)
    return Unclear(f"{problem}; it says: {words}" if words else problem, **about)


def _unpaid(text: str, error: ServiceError) -> Refused:
    about: dict[str, Any] = {"status": error.status, "code": error.code, "request_id": error.request_id}
    return Refused(f"the account cannot pay: {text}. Top up, then run again", **about)


def _words(answer: Answer) -> str:
    """Return what an answer says for people: the only text of its body, or the body as it came."""
    raw = answer.body[:2000].decode(errors="replace").strip()
    if raw in ("", "{}", "[]", "null"):
        return ""
    body = answer.json()
    if not isinstance(body, dict):
        return raw[:MAX_WORDS]
    telling = {
        name: value for name, value in body.items() if name not in ECHOES and value not in (None, "", False, True)
    }
    only = next(iter(telling.values()), "")
    return (only if len(telling) == 1 and isinstance(only, str) else json.dumps(telling, ensure_ascii=False))[
        :MAX_WORDS
    ]
