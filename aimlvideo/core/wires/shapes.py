"""Whether an answer has the fields that are relied on: what was expected where, and what was there instead."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from aimlvideo.core.wires.json_fields import as_number, as_timestamp

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


def shape_problems(body: Any, fields: Fields) -> Iterator[str]:
    """Yield for each place the first value that is not of its kind. Values are shown by their type and start alone."""
    for place, kind in fields.items():
        for value in _values(body, place.split(".")):
            if not KINDS[kind](value):
                yield f"{place}: expected {kind}, got {_preview(value)}"
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
    if value is MISSING:
        return "nothing"
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "..."
