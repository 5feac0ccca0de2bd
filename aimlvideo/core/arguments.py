"""What a program passes to a method, checked before anything is sent: a wrong one is named, with what was expected."""

from __future__ import annotations

from math import isfinite
from types import UnionType

from aimlvideo.core.formatting import preview
from aimlvideo.errors import UsageError


def check_argument(name: str, value: object, kinds: type | UnionType, expected: str) -> None:
    """Raise UsageError for an argument of another type, or a number without an end; True and False are no numbers."""
    is_right = isinstance(value, kinds) and (kinds is bool or not isinstance(value, bool))
    if not is_right or (isinstance(value, float) and not isfinite(value)):
        raise UsageError(f"{name} is {preview(value)}: expected {expected}")
