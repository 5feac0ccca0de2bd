"""One request out, one answer back, as values. The wires make and read them; the transport carries them."""

from __future__ import annotations

import json
import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

from aimlvideo.core.jobs.job import DEEPEST, is_too_deep

MOST_VALUES = 500_000
"""Lists, objects and their parts in one answer: Python takes 50 times their bytes. The longest list has a tenth."""
BOMS_UTF16 = (BOM_UTF16_BE, BOM_UTF16_LE)
MOST_WORDS = 300
"""Letters of an answer that is shown as it came."""
WEB_PAGE = "a web page"
"""What the page of whoever lies in between is called: no word of it is the service's."""
_TITLE = r"(?is)\A\s*<.*?<title[^>]*>(.*?)</title>"
_HALVES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Request:
    """`path` is relative to the service's base URL, or the whole link of a clip.

    `query` values are sent percent-encoded; `body` goes as JSON.
    """

    method: str
    path: str
    query: Mapping[str, str] | tuple[tuple[str, str], ...] = ()
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. Headers are found by their name in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def of(cls, body: Any = b"", status: int = 200, headers: Mapping[str, str] | None = None) -> Self:
        """Return an answer with this body: bytes as they are, anything else as JSON."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return cls(status, {name.lower(): value for name, value in (headers or {}).items()}, raw)

    def json(self) -> Any:
        """Return the body as JSON, or None where it is none. Its texts are texts that can be written and sent on."""
        return _parsed_json(self.body)

    def words(self) -> str:
        """Return what the body says for people where it is no JSON, in one line: how it begins, or a page's title."""
        text = self.body[:4096].decode(errors="replace")
        # The page of a proxy begins with a screen of styles, and says in its title what is wrong.
        if title := re.match(_TITLE, text):
            import html  # noqa: PLC0415 - 3 ms, and few answers are pages

            if words := " ".join(html.unescape(title[1]).split()):
                return f'{WEB_PAGE}: "{words[:MOST_WORDS]}"'
        return " ".join(text[:MOST_WORDS].split())


class Transport(Protocol):
    """Whatever carries requests to a service: one coroutine, a request in, an answer out, whatever its status.

    A request's `path` is relative to the service's base URL; a clip's link is asked for by GET with the whole link as
    `path`. Redirects are answers and are not followed. Where none comes, `send` raises `Unavailable` if the request
    surely never left, and `Unclear` if nobody knows; an `OSError` or `TimeoutError` counts as `Unclear`.
    """

    async def send(self, request: Request, /) -> Answer:
        """Return the service's answer to one request."""
        ...


def _parsed_json(raw: bytes) -> Any:
    """Return JSON, or None where it is none or has more values than any answer; its texts can be written and sent."""
    if len(raw) > MOST_VALUES and sum(map(raw.count, (b"[", b"{", b","))) > MOST_VALUES:
        return None
    try:
        value = _decoded(raw.decode("utf-16") if raw[:2] in BOMS_UTF16 else _as_utf8(raw))
        # Some gateways put the whole answer into a text, which is JSON itself.
        if isinstance(value, str) and value.lstrip().startswith("{"):
            value = _decoded(value)
        # Halves of surrogate pairs can be escaped, and written nowhere.
        if b"\\u" in raw:
            value = json.loads(_HALVES.sub("\N{REPLACEMENT CHARACTER}", json.dumps(value, ensure_ascii=False)))
    except (ValueError, RecursionError):
        return None
    # Nearly every answer ends here: walking through it costs more than parsing did.
    if raw.count(b"[") + raw.count(b"{") <= DEEPEST:
        return value
    return None if is_too_deep(value) else value


def _as_utf8(raw: bytes) -> str:
    return raw.removeprefix(BOM_UTF8).decode("utf-8", "replace")


def _decoded(text: str) -> Any:
    try:
        return _STRICT.decode(text)
    except ValueError:
        # An object with something behind it (a comment of a proxy, a second object), or with a number of thousands of
        # digits: what it says of a generation counts all the same.
        text = text.lstrip()
        if not text.startswith("{"):
            raise
        return _LENIENT.raw_decode(text)[0]


def _number(digits: str) -> int | None:
    """Return a number; None for one of thousands of digits, which Python refuses to read."""
    with suppress(ValueError):
        return int(digits)
    return None


_STRICT, _LENIENT = json.JSONDecoder(), json.JSONDecoder(parse_int=_number)
