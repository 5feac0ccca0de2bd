"""Answers: their JSON has only texts that can be written, nothing too deep; headers are found in any case."""

from __future__ import annotations

from typing import Any

from aimlvideo.core.jobs.job import DEEPEST
from aimlvideo.core.wires.http import Answer
from tests.cases import for_each


@for_each(
    ("body", "value"),
    [
        (rb'{"id": "half a pair: \ud83d"}', {"id": "half a pair: \N{REPLACEMENT CHARACTER}"}),
        (rb'{"\udcbd": [1]}', {"\N{REPLACEMENT CHARACTER}": [1]}),
        (rb'"a whole one: \ud83d\ude00, and \u00e9"', "a whole one: \U0001f600, and é"),
        (b"\xef\xbb\xbf[1]", [1]),
        (rb'"{\"id\": \"g \\ud83d\"}"', {"id": "g \N{REPLACEMENT CHARACTER}"}),
        (rb'"{ cut"', None),
        (b"no json", None),
        (b"", None),
    ],
    ids=["half", "half as a name", "whole", "a mark before it", "in a text", "cut in a text", "words", "nothing"],
)
def test_the_texts_of_an_answer_can_be_written_and_sent_on(body: bytes, value: Any) -> None:
    assert Answer(200, {}, body).json() == value


@for_each("levels", [DEEPEST // 2, 40])
def test_lists_and_objects_count_together_as_levels(levels: int) -> None:
    body = b'[{"a":' * levels + b"1" + b"}]" * levels
    is_read = Answer(200, {}, body).json() is not None
    assert is_read == (2 * levels <= DEEPEST)


def test_an_answer_is_made_of_bytes_or_of_what_can_be_json() -> None:
    assert Answer.of(b"plain", 404, {"Retry-After": "3"}) == Answer(404, {"retry-after": "3"}, b"plain")
    assert Answer.of({"id": "g"}) == Answer(200, {}, b'{"id": "g"}')
