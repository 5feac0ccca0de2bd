"""Whether an answer has the fields that are relied on: what was expected where, and what was there instead."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from aimlvideo.core.wires.http import Answer
from aimlvideo.core.wires.json_fields import as_number, as_timestamp

BODY = "body"
"""The place of an answer as a whole."""
MAX_SHOWN = 40
KINDS: Mapping[str, Callable[[Any], bool]] = {
    "a number": lambda value: as_number(value) is not None,
    "text": lambda value: isinstance(value, str) and bool(value),
    "text or null": lambda value: value is None or isinstance(value, str),
    "true or false": lambda value: isinstance(value, bool),
    "a list": lambda value: isinstance(value, list),
    "an object": lambda value: isinstance(value, dict),
    "a moment": lambda value: as_timestamp(value) > 0,
}
Fields = Mapping[str, str]
"""Of what kind each field is, by its place: `data[].amount.usd`."""


class Oddity(NamedTuple):
    """One thing in an answer that is not as it should be; `field` is its place."""

    field: str
    expected: str
    got: str

    def __str__(self) -> str:
        return f"{self.field}: expected {self.expected}, got {self.got}"


def oddities(answer: Answer, fields: Fields) -> Iterator[Oddity]:
    """Yield what is wrong with an answer to a free question: its status, its form, or the first value in each place.

    Values are shown by their type and start alone.
    """
    if answer.status != 200:
        yield Oddity("HTTP status", "200", str(answer.status))
        return
    body = answer.json()
    if not isinstance(body, dict | list):
        yield Oddity(BODY, "a JSON object", _preview(answer.body[: MAX_SHOWN + 1].decode(errors="replace")))
        return
    for place, kind in fields.items():
        for value in _values(body, place.split(".")):
            if not KINDS[kind](value):
                # One of each place: a list of a thousand rows has the same mistake a thousand times.
                yield Oddity(place, kind, _preview(value))
                break


def _values(value: Any, path: list[str]) -> Iterator[Any]:
    if not path:
        yield value
        return
    name, *rest = path
    inner = value.get(name.removesuffix("[]"), MISSING) if isinstance(value, dict) else MISSING
    if not name.endswith("[]"):
        yield from _values(inner, rest)
    elif isinstance(inner, list):
        for entry in inner:
            yield from _values(entry, rest)
    else:
        yield inner


MISSING = object()


def _preview(value: Any) -> str:
    """Return what a value is, in a few words."""
    if value is MISSING or value == "":
        return "nothing"
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "..."
