"""What a parameter wants and what it got, in a few words for people."""

from __future__ import annotations

import reprlib
from typing import Any

from aimlvideo.core.catalog.catalog import Param

LONGEST = 60  # characters of a value in a message: a picture as Base64 has millions
MOST = 12  # choices that are listed
_KINDS = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "any": "any value",
}
_FILES = {
    "image": "a picture (link, path or bytes)",
    "video": "a video (link, path or bytes)",
    "audio": "a sound (link, path or bytes)",
    "any": "a file (link, path or bytes)",
}

_brief = reprlib.Repr()
_brief.maxstring = _brief.maxother = _brief.maxlong = LONGEST - 15
_brief.maxlist = _brief.maxtuple = _brief.maxdict = 2
_brief.maxlevel = 3


def preview(value: Any) -> str:
    """Return a value in at most `LONGEST` characters, without first writing out all of it."""
    if isinstance(value, bytes | bytearray):
        return f"{len(value):,} bytes"
    if isinstance(value, str) and value.startswith("data:"):
        return f"{value[: value.find(',', 0, 30) + 1] or 'data:'}… ({len(value):,} characters)"
    text = "a huge number" if isinstance(value, int) and abs(value) > 10**40 else _brief.repr(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def expected(param: Param) -> str:
    """Return what a parameter takes: `one of 5, 10`, `a list of 2 to 4, each a picture (link, path or bytes)`."""
    if param.any_of:
        return " or ".join(dict.fromkeys(expected(form) for form in param.any_of))
    if param.choices:
        return _choices(param.choices)
    if param.media:
        return _FILES[param.media]
    if param.type == "array":
        size = _between(" of {} to {}", " of at least {}", " of at most {}", param.min_items, param.max_items)
        return f"a list{size}" + (f", each {expected(param.item)}" if param.item else "")
    if param.type == "string":
        return _KINDS["string"] + _between(
            " of {} to {} characters", " of at least {} characters", " of at most {} characters",
            param.min_length, param.max_length,
        )  # fmt: skip
    return _KINDS[param.type] + _between(
        " from {} to {}", " of at least {}", " of at most {}", param.minimum, param.maximum
    )


def _choices(choices: tuple[Any, ...]) -> str:
    numbers = len(choices) > 3 and all(isinstance(choice, int) for choice in choices)
    if numbers and all(choice == choices[0] + step for step, choice in enumerate(choices)):
        return f"a whole number from {choices[0]} to {choices[-1]}"
    more = f", … ({len(choices)} in all)" if len(choices) > MOST else ""
    words = ", ".join(str(choice) for choice in choices[:MOST]) + more
    return f"only {words}" if len(choices) == 1 else f"one of {words}"


def _between(both: str, low: str, high: str, least: float | None, most: float | None) -> str:
    if least is not None and most is not None:
        return both.format(least, most)
    if least is not None:
        return low.format(least)
    return "" if most is None else high.format(most)
