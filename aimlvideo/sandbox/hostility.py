"""Answers as no sound service gives them: without end, too slow, too deep, of wrong types, with odd headers and links.

Each kind is a share of its own in `Behaviour`, and they add up: one answer may have odd types, odd headers and trickle.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from aiohttp import web

from aimlvideo.sandbox.behaviour import HOSTILE, Behaviour
from aimlvideo.sandbox.responses import cut_connection
from aimlvideo.sandbox.seeded_random import Dice

TOO_DEEP = b"[" * 51_200 + b"]" * 51_200
"""100 KB of brackets."""
CHUNK = b" " * 2**18
TRICKLE = 1.0
"""Seconds between two bytes of an answer that trickles."""
UNPACKED = 2**28
"""Bytes that a gzip bomb unpacks to."""
LONG_HEADER = "h" * 2**16

HALF = "\ud83d"
"""The first half of an emoji, which is no character."""
STEERING = "\x1b]0;hostile\x07\x1b[2J\x9b31m\r\x00"
"""What sets a terminal's title, clears its screen, and colours it."""

ODD_LINKS: tuple[Any, ...] = (
    "http://127.0.0.1:99999/a.mp4",
    f"http://{'a' * 64}.invalid/a.mp4",
    f"http://{'ä' * 70}.invalid/a.mp4",
    "http://[::1/a.mp4",
    "http://[fe80::1%25lo]:1/a.mp4",
    f"https://{HALF}/a.mp4",
    f"http://127.0.0.1:1/{HALF}\x00\r\nX-Injected: 1",
    "http://127.0.0.1:0/a.mp4",
    "http://127.0.0.1:-1/a.mp4",
    "http://127.0.0.1:port/a.mp4",
    "http:///a.mp4",
    "https://",
    "//",
    "",
    "   \n",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "ftp://127.0.0.1/a.mp4",
    "data:video/mp4;base64,AAAA",
    "data:video/mp4;base64,%%%",
    "data:,",
    f"http://127.0.0.1:1/{'x' * 100_000}",
    "../../../etc/passwd",
    "http://user:pass@127.0.0.1:1/a.mp4",
    12345,
    None,
    [],
    {"url": None},
    ["http://127.0.0.1:1/a.mp4", 7],
    True,
)

ODD_REDIRECTS = (
    "http://127.0.0.1:99999/",
    f"http://{'a' * 64}.invalid/",
    "http://[::1/",
    "http://\xed\xa0\xbd/",
    "http://127.0.0.1:0/",
    "http://127.0.0.1:port/",
    "ftp://127.0.0.1/",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "http://",
    "//",
    "",
    "%zz",
    "\x7f",
    "?" + "x" * 60_000,
    "SELF",
)
"""Where redirects lead; `SELF` is the address that was asked for, so that it never ends."""

ODD_HEADERS = (
    b"x-inference-id: \xed\xa0\xbd",
    b"x-inference-id: \xff\x80\x1b[2J",
    b"x-request-id: \x00\x01",
    b"Retry-After: -1",
    b"Retry-After: 1e400",
    b"Retry-After: nan",
    b"Retry-After: " + b"9" * 400,
    b"Date: Thu, 99 Foo 0000 99:99:99 GMT",
    b"Date: Mon, 01 Jan 9999 00:00:00 GMT",
    b"Date: \xff",
    b"Content-Type: \xff/\xfe; charset=\xed\xa0\x80",
    b"Content-Type: application/json; charset=utf-7",
    b"Content-Encoding: gzip",
    b"Content-Encoding: zstd",
    b"Content-Encoding: br, gzip",
    b"x-aimlapi-usd-spent: inf",
    b"x-aimlapi-usd-spent: -1e308",
    b"x-aimlapi-credits-used: " + b"9" * 5000,
    b"ETag: \xed\xa0\xbd",
    b"Set-Cookie: " + b"a=b; " * 500,
    b"Location: http://127.0.0.1:99999/",
    b"Content-Range: bytes 0-1/0",
    b"no colon at all",
    b": no name",
    b"X-Folded: a\r\n b",
)

ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 10**400, 1e308, float("nan"), float("inf"), "", " ", "\x00", HALF),
    *([], {}, [[]], [None], {"": None}, "9" * 5000, 12345, -0.0),
)


def station_of(request: web.Request) -> str:
    """Return at which station of a job's way a request is made; an empty text for the sandbox's own pages."""
    path = request.path
    if path.startswith(("/__sandbox/", "/pictures/")):
        return ""
    if path.startswith("/files/"):
        return "files"
    if request.method == "POST":
        return "submit"
    if path.startswith(("/v2/billing", "/v1/key", "/v2/usage", "/v2/logs", "/account/")):
        return "account"
    if path.startswith(("/v1/models", "/models", "/api/v1/models", "/model/", "/docs-json/")):
        return "catalogue"
    return "status"


def is_hostile(behaviour: Behaviour, station: str) -> bool:
    """Tell whether answers of a station may be odd at all."""
    return station in behaviour.hostile_at and any(getattr(behaviour, name) for name in HOSTILE)


async def made_odd(
    behaviour: Behaviour, dice: Dice, request: web.Request, answer: web.StreamResponse
) -> web.StreamResponse:
    """Return an answer with what chance adds to it, or one that goes nowhere where it was sent in an odd way."""
    if answer.prepared or not isinstance(answer, web.Response):
        return answer

    _oddly_worded(behaviour, dice, request, answer)
    for number in range(2) if dice.happens("large_headers", behaviour.large_headers) else ():
        answer.headers[f"X-Padding-{number}"] = LONG_HEADER
    if (raw := _raw_parts(behaviour, dice, request, answer)) is not None:
        return _raw(request, answer, *raw)
    return await _oddly_long(behaviour, dice, request, answer)


def _raw_parts(
    behaviour: Behaviour, dice: Dice, request: web.Request, answer: web.Response
) -> tuple[int, bytes, list[bytes]] | None:
    """Return the status, the body and more header lines of an answer that no library would write; None: it is not."""
    body = _bytes_of(answer)
    # Only clips are redirected: the client follows no redirect of the API, which would carry the key along.
    if station_of(request) == "files" and dice.happens("odd_redirects", behaviour.odd_redirects):
        place = dice.pick("redirect", ODD_REDIRECTS).replace("SELF", str(request.url))
        return 302, b"", [f"Location: {place}".encode("latin-1", "replace"), b"Content-Length: 0"]
    length = f"Content-Length: {len(body)}".encode()
    if dice.happens("odd_headers", behaviour.odd_headers):
        return answer.status, body, [dice.pick("header", ODD_HEADERS), length]
    if dice.happens("cut_without_length", behaviour.cut_without_length):
        return answer.status, body[: len(body) // 2], []
    return None


async def _oddly_long(
    behaviour: Behaviour, dice: Dice, request: web.Request, answer: web.Response
) -> web.StreamResponse:
    """Return an answer that unpacks to too much, or send one without end."""
    if dice.happens("gzip_bomb", behaviour.gzip_bomb):
        # In a thread: packing 256 MB takes a second, in which nobody else would be answered.
        answer.body = await asyncio.to_thread(bomb)
        answer.headers["Content-Encoding"] = "gzip"
    elif dice.happens("endless_body", behaviour.endless_body):
        return await _written(request, answer, CHUNK, 0.0)
    elif dice.happens("slow_body", behaviour.slow_body):
        return await _written(request, answer, b" ", TRICKLE)
    return answer


@lru_cache(maxsize=1)
def bomb() -> bytes:
    """Return a small body that unpacks to a large one."""
    pack = zlib.compressobj(9, wbits=31)
    chunk = b" " * 2**20
    return b"".join([*(pack.compress(chunk) for _ in range(UNPACKED // len(chunk))), pack.flush()])


def odd_text(behaviour: Behaviour, dice: Dice, station: str, text: bytes) -> bytes:
    """Return a JSON text with the oddities of its content; one that is no JSON as it is."""
    if dice.happens("deep_json", behaviour.deep_json):
        return TOO_DEEP
    try:
        value = json.loads(text)
    except ValueError:
        return text
    if dice.happens("odd_links", behaviour.odd_links):
        value = _replaced(value, _is_file_link, lambda _: dice.pick("link", ODD_LINKS))
    if dice.happens("surrogates", behaviour.surrogates):
        value = _replaced(value, _is_plain_text, lambda words: words + HALF)
    if dice.happens("control_characters", behaviour.control_characters):
        value = _replaced(value, _is_plain_text, lambda words: STEERING + words)
    # Only there: in other answers nothing lists choices.
    if station == "catalogue" and dice.happens("huge_enums", behaviour.huge_enums):
        _widen(value)
    if dice.happens("odd_types", behaviour.odd_types):
        value = _with_odd_value(value, dice)
    return json.dumps(value, separators=(",", ":")).encode()


def _oddly_worded(behaviour: Behaviour, dice: Dice, request: web.Request, answer: web.Response) -> None:
    if answer.content_type == "application/json" and (body := _bytes_of(answer)):
        odd = odd_text(behaviour, dice, station_of(request), body)
        if odd != body:
            answer.body = odd


def _bytes_of(answer: web.Response) -> bytes:
    return bytes(answer.body) if isinstance(answer.body, bytes | bytearray) else b""


def _is_file_link(name: str, value: Any) -> bool:
    return isinstance(value, str) and "/files/" in value


def _is_plain_text(name: str, value: Any) -> bool:
    """Tell what is said to people; ids and links stay, else nobody could find what was bought."""
    return isinstance(value, str) and "id" not in name.lower() and "://" not in value and name not in ("model", "path")


def _replaced(value: Any, applies: Callable[[str, Any], bool], change: Callable[[Any], Any], name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _replaced(part, applies, change, key) for key, part in value.items()}
    if isinstance(value, list):
        return [_replaced(part, applies, change, name) for part in value]
    return change(value) if applies(name, value) else value


def _widen(document: Any) -> None:
    """Give the parameters in a document more choices than anybody can hold."""
    for properties in _properties_in(document):
        for schema in properties.values():
            if isinstance(schema, dict) and schema.get("type") in ("integer", "number"):
                schema["enum"] = [0, 1, 2, 200_000_000]
            elif isinstance(schema, dict) and "enum" in schema:
                schema["enum"] = [*schema["enum"], *(f"word-{number}" for number in range(20_000))]


def _properties_in(value: Any) -> Iterator[dict[str, Any]]:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if isinstance(value, dict) and isinstance(value.get("properties"), dict):
        yield value["properties"]
    for part in parts:
        yield from _properties_in(part)


def _with_odd_value(value: Any, dice: Dice) -> Any:
    """Replace one part of a value, or all of it, by a value of another type."""
    places = list(_places_in(value))
    odd = dice.pick("odd value", ODD_VALUES)
    holder, key = dice.pick("odd place", [*places, (None, None)])
    if holder is None:
        return odd
    holder[key] = odd
    return value


def _places_in(value: Any) -> Iterator[tuple[Any, Any]]:
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _places_in(value[key])


def _raw(request: web.Request, answer: web.Response, status: int, body: bytes, more: list[bytes]) -> web.Response:
    """Write an answer byte by byte, and close the connection."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode(), *more, b"Connection: close"]
    lines += [f"{name}: {value}".encode() for name, value in answer.headers.items() if name != "Content-Length"]
    if request.transport is not None:
        # Past the web library, which refuses to write what no server should send.
        request.transport.write(b"\r\n".join([*lines, b"", body]))
        request.transport.close()
    return web.Response()


async def _written(request: web.Request, answer: web.Response, part: bytes, pause: float) -> web.StreamResponse:
    """Write blanks, for as long as somebody reads them."""
    stream = web.StreamResponse(status=answer.status, headers=answer.headers)
    stream.content_length = None
    await stream.prepare(request)
    try:
        while True:
            await stream.write(part)
            await asyncio.sleep(pause)
    except ConnectionError:
        return cut_connection(request)
