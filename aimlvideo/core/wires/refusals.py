"""What a refusal means whose kind stands in words only: refused content, an empty account under HTTP 200, and the like.

The words in which the makers of models refuse content are passed on by every service. Sources: error tables and public
threads of Kling, Google Veo, OpenAI, Runway, Luma, MiniMax, ByteDance, Alibaba and PixVerse. A word alone is not enough
("case-sensitive", "safety_checker"): each phrase is one of a refusal.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aimlvideo.core.formatting import redact_for_display
from aimlvideo.core.jobs.request_ids import Intent, is_whole
from aimlvideo.core.wires.answers import passed_limit
from aimlvideo.core.wires.http import MOST_WORDS, WEB_PAGE, Answer
from aimlvideo.errors import Busy, ContentRefused, Refused, Rejected, ServiceError, Unclear

# Texts, which `re` compiles at their first use and keeps: that takes 20 ms, and few starts meet a refusal.
_REFUSALS = r"""(?ix)
    content[ _-]?polic | (usage|community|safety|moderation|acceptable[ ]use)[ ](polic|guideline|standard)
    | violat\w*.{0,60}(polic|guideline|content|terms|responsible) | polic(y|ies)[ _]violation
    | moderation | \bmoderated\b | flagged[ ](as|by|for)
    | \bnsfw\b | risk[ _]?(control|detection)
    | sensitive[ _]?(content|words?|information|material|topics?) | new_sensitive
    | (contains?|contained|be|is|are|too)[ ]sensitive\b
    | (inappropriate|prohibited|unsafe|harmful|offensive|explicit|sexual|violent)[ ](content|input|material|words?)
    | (content|input|prompt|image|video|text)[ ](is|are|was|may[ ]be|might[ ]be|seems)[ ]
      (inappropriate|prohibited|unsafe|harmful|offensive)
    | data_?inspection_?failed | safety[ ](system|filter|settings|reasons|review) | \bsafety\.[a-z]
    | responsible[ ]ai\b | rai[ _]?media[ _]?filtered | copyright | third[ -]party[ ](content|likeness)
    | real[ ]pe(rson|ople) | public[ ]figure
    | 敏感 | 违规 | 风控 | 内容不符合 | 内容安全 | 审核(未|不)通过
    """
_NOT_ABOUT_CONTENT = (
    r"(?i)rate[ _-]?limit|quota[ _-]?violation"
    r"|moderation (service|system|api|check)?\W*(is |was )?(temporarily )?(unavailable|timed? ?out|overloaded|busy)"
)
_PAGE = rf"(?is)\A\s*<.*|<(!doctype|html|head|body)\b.*|\b{WEB_PAGE}: .*"
"""A page, also one that an error's words quote."""
_FIELD = (
    r"(?i)\b(negative_prompt|[a-z]+_(?:image|video|audio|prompt)(?:_urls?|_list)?(?:\[\d+\])?"
    r"|(?:image|video|audio)_(?:urls?|list)(?:\[\d+\])?)"
)
_INPUTS = {
    "prompt": r"(?i)\b(prompt|caption|description)|inputtext|input\W+text|text\W+input|提示词|文本",
    "image": r"(?i)\b(image|picture|photo|frame)s?\b|inputimage|图片|图像",
    "video": r"(?i)\b(input|source|reference)\W+video|inputvideo",
    "audio": r"(?i)\b(input|source|reference)\W+audio|inputaudio",
}


def refuses_content(text: str, status: str = "") -> bool:
    """Tell whether a service's message refuses what was to be shown, rather than how it was requested.

    A generation's `status` may say it alone. A page is of whoever lies in between, whose policies are others.
    """
    words = f"{status.replace('_', ' ')} {re.sub(_PAGE, '', text)}"
    return bool(re.search(_REFUSALS, words)) and not re.search(_NOT_ABOUT_CONTENT, words)


_TIMED_OUT = r"(?i)\bgeneration[ _-]?(has[ _-])?(timeout|timed[ _-]?out)\b"
"""Of a generation that did not finish in the time that the service allows, AI/ML API says so under HTTP 504."""


def says_timed_out(text: str) -> bool:
    """Tell whether a service's message says that a generation took too long for it, and not that an answer did."""
    return bool(re.search(_TIMED_OUT, text))


def refused_input(text: str) -> str | None:
    """Return which input a refusal is about: the parameter it names, else `prompt`, `image`, `video` or `audio`.

    None where the message names no input, or more than one kind, or speaks of the clip that came out.
    """
    if parameter := re.search(_FIELD, text):
        return parameter[1].lower()
    named = [kind for kind, words in _INPUTS.items() if re.search(words, text)]
    return named[0] if len(named) == 1 else None


ECHOES = ("prompt", "negative_prompt", "input", "request", "params", "parameters")
"""Fields in which an answer repeats what it was sent: their words are ours."""

_CANNOT_PAY = r"""(?ix)
    \b(insufficient|not[ ]enough|no[ ](remaining|more)|r[ua]n[ ]out[ ]of|out[ ]of)[ _-]+(\w+[ _-]+){0,2}
      (balance|credits?|funds?|quota|money)\b
    | \b(balance|credits?|funds?|quota)[ _-]+((is|are|was|has[ ]been)[ ])?
      (not[ _]enough|insufficient|exhausted|too[ ]low|used[ ]up|empty)\b
    | \bin[ ]arrears\b | payment[ _-]?required | \b(please|must|need[ ]to)[ ](top[ ]?up|recharge)\b
    | \baccount\b.{0,20}\b(suspended|frozen|overdue|disabled|deactivated)\b
    | \b(not|n't)[ ]have[ ](enough|sufficient|any)[ ](\w+[ ]){0,2}(balance|credits?|funds?|quota|money)\b
    | \bexhausted[ ](balance|credits?|quota)\b | \bused[ ](up[ ])?all[ ](\w+[ ]){0,2}credits?\b
    | \b(billing|spending)[ ](\w+[ ])?limit[ ](has[ ]been[ ])?(reached|exceeded)
    | 余额不足 | 欠费 | (额度|配额)(不足|已?用(尽|完|光))
    """


def cannot_pay(text: str) -> bool:
    """Tell whether a service's message says that the account has nothing left, or may not buy."""
    return bool(re.search(_CANNOT_PAY, text))


def lacks_money(text: str) -> bool:
    """Tell whether a message that refuses with HTTP 429 is about money: a quota alone may be one of each minute."""
    return cannot_pay(re.sub(r"(?i)quota|额度|配额", "", text))


_NO_KEY = r"""(?ix)
    \b(invalid|incorrect|wrong|missing|expired|unknown|no)[ _-]+(api[ _-]?key|token|access[ _-]?key|credentials?)\b
    | \b(api[ _-]?key|access[ _-]?token|token)[ ](is[ ])?
      (invalid|incorrect|wrong|missing|expired|required|not[ ]valid)\b
    | \b(not[ ]authenticated|unauthenticated|unauthorized|authentication[ ](failed|required))\b | 无效的令牌
    """


_TAKEN = r"""(?ix)
    \b(id|key)\b.{0,40}\b(already|duplicat\w*|not[ ]unique|taken|in[ ]use|conflicts?)\b
    | \b(duplicat\w*|already[ ](used|seen|existing))\b.{0,40}\b(id|key)\b
    """
_OUR_ID = r"(?ix) (request|task|external|client|idempotency) [ _-]* (request|task)? [ _-]* (id|key) \b"


def _says_taken(text: str) -> bool:
    """Tell whether a service's message says that it has the id of this request already."""
    named = re.sub(_OUR_ID, " id ", text)
    return named != text and bool(re.search(_TAKEN, named))


def refuse_mixed_up(named_id: str | None, request_id: str, status: int) -> None:
    """Raise Unclear where an answer names the request id of another submission, of this job or not: whoever lies in
    between mixed up two answers, and what became of this submission the other one knows."""
    if is_whole(named_id) and named_id != request_id:
        raise Unclear(f"the answer is to another submission: {named_id}", status=status, request_id=request_id)


@contextmanager
def refusals_in_words(request_id: str) -> Iterator[None]:
    """Read a submission's answer: words of an account that cannot pay, or of a key, are no fault of this request.

    Nor is an id of our own making that is taken: something in between sent the submission twice, and it was accepted.
    """
    try:
        yield
    except Rejected as error:
        if _says_taken(str(error)):
            about: dict[str, Any] = {"status": error.status, "code": error.code, "request_id": request_id}
            if Intent.of(request_id).account is not None:
                raise Unclear(str(error), **about) from error
            used = "The id that this job names itself was used before: give it another"
            raise Rejected(f"{error}. {used}", **about) from error
        if isinstance(error, ContentRefused):
            raise
        if re.search(_NO_KEY, str(error)):
            about = {"status": error.status, "code": error.code, "request_id": error.request_id}
            raise Refused(str(error), wrong_key=True, **about) from error
        if cannot_pay(str(error)):
            raise unpaid(str(error), error) from error
        raise


def nameless(problem: str, answer: Answer, request_id: str | None) -> ServiceError:
    """Return what an answer amounts to that names no generation: a refusal where its words are one, else unclear.

    What is not understood is said in the service's own words, behind the `problem`.
    """
    about: dict[str, Any] = {"status": answer.status, "request_id": request_id}
    words = redact_for_display(_words(answer))
    # Half an answer may have lost the id behind its words: what was cut is unclear, whatever its beginning says.
    is_entire = answer.status < 300 and (answer.json() is not None or not answer.body.lstrip().startswith((b"{", b"[")))
    if is_entire and cannot_pay(words):
        return unpaid(f"the service says: {words}", Unclear(words, **about))
    # Not for a submission: a gateway that says "too fast" may have accepted it all the same.
    if is_entire and request_id is None and (passed := passed_limit(words)):
        return Busy(f"the service says: {words}", limit=passed, **about)
    if is_entire and refuses_content(words):
        text = f"the service refused the content ({answer.status}): {words}"
        return ContentRefused(text, field=refused_input(words), **about)
    return Unclear(f"{problem}; it says: {words}" if words else problem, **about)


def unpaid(text: str, error: ServiceError) -> Refused:
    """Return the refusal of an account that cannot pay, with what to do."""
    about: dict[str, Any] = {"status": error.status, "code": error.code, "request_id": error.request_id}
    return Refused(f"the account cannot pay: {text}. Top up, then run again", **about)


def _words(answer: Answer) -> str:
    """Return what an answer says for people: the only text of its body, or the body as it came."""
    words = answer.words()
    if words in ("", "{}", "[]", "null"):
        return ""
    body = answer.json()
    if not isinstance(body, dict):
        return words
    telling = {
        # What only repeats the request or says "failed" would hide the one text that says why.
        name: value
        for name, value in body.items()
        if name not in ECHOES and value not in (None, "", False, True)
    }
    only = next(iter(telling.values()), "")
    return (only if len(telling) == 1 and isinstance(only, str) else json.dumps(telling, ensure_ascii=False))[
        :MOST_WORDS
    ]
