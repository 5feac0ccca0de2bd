"""Refusals that stand in a submission's answer in words only: an empty account under HTTP 200, and the like."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aimlvideo.core.formatting import redact_for_display
from aimlvideo.core.wires.answers import refuses_frequency
from aimlvideo.core.wires.http import Answer
from aimlvideo.core.wires.moderation import refused_input, refuses_content
from aimlvideo.errors import Busy, ContentRefused, Refused, Rejected, ServiceError, Unclear

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


def _cannot_pay(text: str) -> bool:
    """Tell whether a service's message says that the account has nothing left, or may not buy."""
    return bool(_CANNOT_PAY.search(text))


_NO_KEY = re.compile(
    r"""(?ix)
    \b(invalid|incorrect|wrong|missing|expired|unknown|no)[ _-]+(api[ _-]?key|token|access[ _-]?key|credentials?)\b
    | \b(api[ _-]?key|access[ _-]?token|token)[ ](is[ ])?
      (invalid|incorrect|wrong|missing|expired|required|not[ ]valid)\b
    | \b(not[ ]authenticated|unauthenticated|unauthorized|authentication[ ](failed|required))\b | 无效的令牌
    """
)


def _names_no_key(text: str) -> bool:
    """Tell whether a service's message says that it does not take the key."""
    return bool(_NO_KEY.search(text))


@contextmanager
def refusals_in_words() -> Iterator[None]:
    """Read a submission's answer: words of an account that cannot pay, or of a key, are no fault of this request."""
    try:
        yield
    except Rejected as error:
        if isinstance(error, ContentRefused):
            raise
        if _names_no_key(str(error)):
            about: dict[str, Any] = {"status": error.status, "code": error.code, "request_id": error.request_id}
            raise Refused(str(error), wrong_key=True, **about) from error
        if _cannot_pay(str(error)):
            raise _unpaid(str(error), error) from error
        raise


def nameless(problem: str, answer: Answer, request_id: str | None) -> ServiceError:
    """Return what an answer amounts to that names no generation: a refusal where its words are one, else unclear.

    What is not understood is said in the service's own words, behind the `problem`.
    """
    about: dict[str, Any] = {"status": answer.status, "request_id": request_id}
    words = redact_for_display(_words(answer))
    # Half an answer may have lost the id behind its words: what was cut is unclear, whatever its beginning says.
    is_whole = answer.status < 300 and (answer.json() is not None or not answer.body.lstrip().startswith((b"{", b"[")))
    if is_whole and _cannot_pay(words):
        return _unpaid(f"the service says: {words}", Unclear(words, **about))
    # Not for a submission: a gateway that says "too fast" may have accepted it all the same.
    if is_whole and request_id is None and refuses_frequency(words):
        return Busy(f"the service says: {words}", limit="rate", **about)
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
        # What only repeats the request or says "failed" would hide the one text that says why.
        name: value
        for name, value in body.items()
        if name not in ECHOES and value not in (None, "", False, True)
    }
    only = next(iter(telling.values()), "")
    return (only if len(telling) == 1 and isinstance(only, str) else json.dumps(telling, ensure_ascii=False))[
        :MAX_WORDS
    ]
