"""Answers for the readers of the wires."""

from __future__ import annotations

import json
from typing import Any

from aimlvideo.core.wires.http import Answer


def answer(body: Any = None, status: int = 200, **headers: str) -> Answer:
    """Return an answer; a body that is no `bytes` goes as JSON; `retry_after="3"` becomes `retry-after`."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, raw)


ODD_BODIES = {
    "nothing": b"",
    "a page": b"<!DOCTYPE html><html><body>Bad gateway</body></html>",
    "a list": b"[1, 2]",
    "a text": b'"ok"',
    "null": b"null",
    "a number": b"17",
    "cut short": b'{"id": "gen-1", "sta',
    "too deep": b"[" * 100_000,
    "a huge number": b'{"id": ' + b"9" * 5000 + b"}",
    "no text at all": bytes(range(256)),
    "an empty object": b"{}",
}
"""Bodies from which nobody can tell what became of a request."""
