"""Whatever bytes come in, a reader gives what it is for, or an error of this package: never another exception."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.readers import READERS

WORDS = st.sampled_from(
    [
        *("id", "generation_id", "status", "video", "url", "error", "detail", "message", "code", "data", "task_id"),
        *("task_status", "task_result", "videos", "meta", "usage", "credits_used", "completed", "succeed", "models"),
        *("version", "written", "events", "exposure", "date", "etag", "paths", "post", "properties", "enum", "model"),
        *("prompt", "image_url", "type", "aliases", "developer", "path", "params", "choices", "endpoints", "file"),
        *("files", "video_urls", "cost", "usd", "created", "amount", "pricing", "info", "refused", "service", "rules"),
    ]
)
PLAIN = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | WORDS
    | st.sampled_from(["\ud800", "\x00", 10**400, -1, 1e308, "1e999", "../x"])
)  # fmt: skip
VALUES = st.recursive(
    PLAIN, lambda parts: st.lists(parts, max_size=4) | st.dictionaries(WORDS, parts, max_size=6), max_leaves=24
)


def as_bytes(value: Any) -> bytes:
    return json.dumps(value).encode()


INPUTS = (
    st.binary(max_size=200)
    | VALUES.map(as_bytes)
    | st.builds(lambda first, value: bytes([first]) + as_bytes(value), st.integers(0, 9), VALUES)
    | st.builds(lambda value, cut: as_bytes(value)[:cut], VALUES, st.integers(0, 80))
    | st.sampled_from([b"[" * 5000, b'{"a":' * 5000, b"\xff\xfe", b"\0" * 50, b"1" * 5000, b'{"models": {"a": {}}}'])
)


@pytest.mark.parametrize("name", READERS)
@given(data=INPUTS)
def test_a_reader_of_foreign_bytes_raises_nothing_of_its_own(name: str, data: bytes) -> None:
    READERS[name](data)
