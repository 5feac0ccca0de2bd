"""Signed links to the files, on another host than the API, with a query that must come back byte for byte."""

from __future__ import annotations

import hmac
from base64 import b64encode
from hashlib import sha256

from aimlvideo.sandbox.generation import Generation

LIFETIME = 7 * 86_400
"""Seconds for which a link is said to hold."""

_ENCODED = str.maketrans({"+": "%2b", "/": "%2F", "=": "%3d", "~": "%7E"})
"""Upper and lower case mixed, and `~` encoded without need: a client that re-encodes the query breaks it."""


def signed_query(seed: int, generation: Generation, link: int) -> str:
    """Return the only query that opens this link of a generation."""
    signed = f"{seed}|{generation.id}|{link}".encode()
    # With letters at its end that every normaliser of URLs changes.
    signature = b64encode(hmac.digest(b"sandbox", signed, sha256)).decode() + "~+"
    return f"Signature={signature.translate(_ENCODED)}&Expires={int(generation.created) + LIFETIME}"


def file_link(host: str, seed: int, generation: Generation, clip: int = 1) -> str:
    """Return the present link to one of a generation's files; `host` is the API's own, as the caller named it."""
    link = generation.link
    name, file = f"{generation.number:06d}-{link}", "video" if clip == 1 else f"video-{clip}"
    return f"http://{other_host(host)}/files/{name}/{file}.mp4?{signed_query(seed, generation, link)}"


def other_host(host: str) -> str:
    """Return the same server under another name: the file host is not the API host."""
    name, colon, port = host.rpartition(":")
    return f"{'127.0.0.1' if name == 'localhost' else 'localhost'}{colon}{port}"
