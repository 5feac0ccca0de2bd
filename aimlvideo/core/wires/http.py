"""One request out, one answer back, as values. The wires make and read them; the transport carries them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Request:
    """`path` is relative to the service's base URL; `query` values are sent percent-encoded; `body` goes as JSON."""

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

    def json(self) -> Any:
        """Return the body as JSON, or None where it is none. Its texts are texts that can be written and sent on."""
        try:
            told = json.loads(self.body.decode("utf-8-sig", "replace"))
            if b"\\u" in self.body:  # halves of surrogate pairs can be escaped, and written nowhere
                told = json.loads(json.dumps(told, ensure_ascii=False).encode(errors="replace"))
        except (ValueError, RecursionError):
            return None
        return told
