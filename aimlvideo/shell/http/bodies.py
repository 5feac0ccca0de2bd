"""Answers as they may be: of a size that can be held, with headers that can be written, and without the key."""

from __future__ import annotations

import base64
import json
import os
import re
import zlib
from collections.abc import Iterator, Mapping
from socket import gaierror
from typing import Self
from urllib.parse import quote

import aiohttp
import anyio
from multidict import CIMultiDict

MAX_BODY = 16 * 2**20
"""Bytes of an answer, decoded: the largest known, a list of all models, has a tenth."""
SMALL_BODY = 2**18
"""Bytes that every answer may take at the same time; those of more wait for one of a few places."""
LARGE_AT_ONCE = 4
STRIDE, LEAST = 10.0, 2**17
"""Seconds, and bytes that have to come within them in such a place, where others wait for it."""
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")


class TooLarge(aiohttp.ClientPayloadError):
    """An answer goes on beyond what any answer has."""


def loss_reason(error: BaseException) -> str:
    """Return why an answer was lost, in words."""
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientPayloadError):
        # Behind them, or in their place, aiohttp shows objects of its own.
        return str(error).partition("<")[0].rstrip(": ") or "Server disconnected"
    if isinstance(error, aiohttp.ClientResponseError) and not isinstance(error, aiohttp.ClientHttpProxyError):
        # What came is no HTTP. The status is aiohttp's own, and below the bytes it draws, on lines of its own, where.
        return f"it is no HTTP: {' '.join(error.message.rstrip(' ^').split())}"
    # aiohttp says the host once more, and asyncio the address as a tuple: the system's words say it all. Of a proxy it
    # says which one.
    if isinstance(error, aiohttp.ClientConnectorError) and not isinstance(error, aiohttp.ClientProxyConnectionError):
        if isinstance(error.os_error, gaierror):
            return error.os_error.strerror or str(error)
        if isinstance(error.os_error, ConnectionError) and error.os_error.errno:
            return os.strerror(error.os_error.errno)
    return str(error) or type(error).__name__


class _TooSlow(aiohttp.ClientPayloadError):
    """A large answer trickles in a place that others wait for."""


async def read_body(response: aiohttp.ClientResponse, places: anyio.Semaphore) -> bytes:
    """Return an answer's body, decoded. Raises TooLarge, and what `_as_sent` raises."""
    return _decoded(await _as_sent(response, places), response.headers.get("Content-Encoding", ""))


async def _as_sent(response: aiohttp.ClientResponse, places: anyio.Semaphore) -> bytes:
    """Return an answer's body; a large one is read where one of the `places` is free.

    Raises TooLarge as soon as it is: nothing more of it is read or unpacked; and TooSlow for one that trickles while
    others wait.
    """
    content = response.content
    body = bytearray(await content.readany())
    while len(body) < SMALL_BODY and not content.at_eof():
        body += await content.readany()
    if content.at_eof():
        return bytes(body)
    # What a connection has read ahead is bounded: while this one waits, its sender waits too.
    async with places:
        while len(body) <= MAX_BODY and not content.at_eof():
            enough = min(len(body) + LEAST, MAX_BODY + 1)
            with anyio.move_on_after(STRIDE) as stride:
                while len(body) < enough and not content.at_eof():
                    body += await content.readany()
            # Without this, as many slow servers as there are places would keep all other large answers out.
            if stride.cancelled_caught and places.statistics().tasks_waiting:
                raise _TooSlow(f"the answer trickles: {len(body):,} bytes came, and other answers wait")
    if len(body) > MAX_BODY:
        raise TooLarge(f"the answer has more than {MAX_BODY // 2**20} MB")
    return bytes(body)


def clean_headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Return headers whose values are text that can be written anywhere; raw bytes are taken for UTF-8."""
    written = "".join(headers.values())
    if written.isascii() and written.isprintable():
        return headers
    return CIMultiDict((name, _clean(value)) for name, value in headers.items())


def _clean(value: str) -> str:
    if value.isascii() and value.isprintable():
        return value
    raw = value.encode("utf-8", "surrogateescape" if _is_raw(value) else "replace")
    return _CONTROL.sub("", raw.decode("utf-8", "replace"))


def _is_raw(value: str) -> bool:
    return all("\udc80" <= letter <= "\udcff" for letter in value if "\ud800" <= letter <= "\udfff")


def spellings(secret: str) -> tuple[str, ...]:
    """Return a key as it may stand in an answer: plain, percent-encoded, escaped for JSON, in Base64; longest first."""
    in_json = json.dumps(secret)[1:-1]
    raw = secret.encode()
    forms = {
        secret,
        quote(secret, safe=""),
        quote(secret, safe="").lower(),
        quote(secret),
        in_json,
        in_json.replace("/", "\\/"),
        "".join(f"\\u{ord(letter):04x}" for letter in secret),
        "".join(f"%{byte:02X}" for byte in raw),
        base64.b64encode(raw).decode(),
        base64.b64encode(raw).decode().rstrip("="),
        base64.urlsafe_b64encode(raw).decode().rstrip("="),
        base64.b64encode(f"Bearer {secret}".encode()).decode(),
    }
    # Longest first: where one spelling is part of another, replacing the short one would leave the rest of the key.
    return tuple(sorted((form for form in forms if form), key=lambda form: (-len(form), form)))


_GZIP = b"\x1f\x8b"
_WINDOW = 31
"""How zlib is told that it is gzip."""
MOST_MEMBERS = 64
ACCEPTED = "gzip, deflate"
"""The encodings that are read here."""


def _decoded(body: bytes, encoding: str) -> bytes:
    """Return a body decoded; one that is not encoded in the way its label says is returned as it came.

    Proxies label plain bodies as `gzip`, and send packed ones without a label. A body that breaks off is a plain one.
    Raises TooLarge as soon as it unpacks to more than 16 MB.
    """
    # Before the label: a proxy that unpacks a body often leaves the header as it was, and one that packs it forgets to
    # add one.
    if body.startswith(_GZIP):
        return _gunzipped(body) or body
    if "deflate" in encoding.lower():
        return _inflated(body, 15) or _inflated(body, -15) or body
    return body


class Unpacker:
    """Unpacks a stream of gzip piece by piece; it may be several packed behind each other, which count as one."""

    def __init__(self) -> None:
        self._member, self._members = zlib.decompressobj(_WINDOW), 1

    @classmethod
    def of(cls, head: bytes, encoding: str) -> Self | None:
        """Return what decodes a stream that begins so; None where it is to be taken as it comes."""
        is_packed = head.startswith(_GZIP) and "gzip" in encoding.lower()
        return cls() if is_packed else None

    @property
    def eof(self) -> bool:
        """Whether all that has begun has ended."""
        return self._member.eof

    def unpack(self, packed: bytes, most: int) -> Iterator[bytes]:
        """Give what this unpacks to, in pieces of at most `most` bytes. Raises zlib.error."""
        while packed:
            if self._member.eof:
                # What is no gzip behind the end fills up a block.
                if not packed.startswith(_GZIP[:1]):
                    return
                self._members += 1
                # Each one's rest is copied: a million of a few bytes would hold the event loop up.
                if self._members > MOST_MEMBERS:
                    raise zlib.error(f"more than {MOST_MEMBERS} packed bodies behind each other")
                self._member = zlib.decompressobj(_WINDOW)
            yield self._member.decompress(packed, most)
            packed = self._member.unused_data if self._member.eof else self._member.unconsumed_tail


def _gunzipped(body: bytes) -> bytes | None:
    plain, unpacker = bytearray(), Unpacker()
    try:
        for piece in unpacker.unpack(body, MAX_BODY + 1):
            plain += piece
            _refuse_large(plain)
    except zlib.error:
        return None
    return bytes(plain) if unpacker.eof else None


def _inflated(body: bytes, window: int) -> bytes | None:
    unpack = zlib.decompressobj(window)
    try:
        plain = unpack.decompress(body, MAX_BODY + 1)
    except zlib.error:
        return None
    _refuse_large(plain)
    return plain if unpack.eof else None


def _refuse_large(plain: bytes | bytearray) -> None:
    if len(plain) > MAX_BODY:
        raise TooLarge(f"the answer has more than {MAX_BODY // 2**20} MB")
