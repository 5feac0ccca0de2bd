"""How deep lists and objects stand inside each other: what is too deep is refused where it enters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DEEPEST = 32
"""Levels of lists and objects in one job or one answer: no parameter of any model needs more than 6."""


PLAIN = (str, int, float, bool, type(None))
"""Types that hold nothing. They are asked for first: a look whether something is a Mapping costs ten times as much."""


def is_too_deep(value: Any, limit: int = DEEPEST) -> bool:
    """Tell whether a value has more than `limit` levels; it may be of any depth, or hold itself."""
    level = [value] if _has_parts(value) else []
    for _ in range(limit):
        # Each list once in a level: one that holds itself twice would double with every level.
        inner = {
            id(part): part for outer in level for part in _parts(outer) if type(part) not in PLAIN and _has_parts(part)
        }
        if not inner:
            return False
        level = list(inner.values())
    return True


def _has_parts(value: Any) -> bool:
    return type(value) is dict or (not isinstance(value, PLAIN) and isinstance(value, Mapping | list | tuple))


def _parts(value: Any) -> Any:
    return value.values() if type(value) is dict or isinstance(value, Mapping) else value
