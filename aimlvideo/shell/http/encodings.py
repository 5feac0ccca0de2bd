"""Bodies as they were meant: decoded by what they are, whatever their label says."""

from __future__ import annotations

import zlib

from aimlvideo.shell.http.bodies import MAX_BODY, TooLarge

_GZIP = b"\x1f\x8b"
ACCEPTED = "gzip, deflate"
"""The encodings that are read here."""


def decoded(body: bytes, encoding: str, limit: int = MAX_BODY) -> bytes:
    """Return a body decoded; one that is not encoded in the way its label says is returned as it came.

    Proxies label plain bodies as `gzip`, and send packed ones without a label. A body that breaks off is a plain one.
    Raises TooLarge as soon as it unpacks to more than `limit` bytes.
    """
    # Before the label: a proxy that unpacks a body often leaves the header as it was, and one that packs forgets to add
    # it.
    if body.startswith(_GZIP):
        return _inflated(body, 31, limit) or body
    if "deflate" in encoding.lower():
        return _inflated(body, 15, limit) or _inflated(body, -15, limit) or body
    return body


def unpacker(head: bytes, encoding: str) -> zlib._Decompress | None:
    """Return what decodes a stream that begins so; None where it is to be taken as it comes."""
    is_packed = head.startswith(_GZIP) and "gzip" in encoding.lower()
    return zlib.decompressobj(31) if is_packed else None


def _inflated(body: bytes, window: int, limit: int) -> bytes | None:
    unpack = zlib.decompressobj(window)
    try:
        plain = unpack.decompress(body, limit + 1)
    except zlib.error:
        return None
    if len(plain) > limit:
        raise TooLarge(f"the answer has more than {limit // 2**20} MB")
    return plain if unpack.eof else None
