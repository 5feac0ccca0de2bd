"""What a program passes to a method, checked before anything is sent: a wrong one is named, with what was expected."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from types import UnionType

from aimlvideo.core.formatting import preview
from aimlvideo.errors import UsageError


def check_argument(name: str, value: object, kinds: type | UnionType, expected: str) -> None:
    """Raise UsageError for an argument of another type, or a number that has no end or more than 64 bits.

    True and False are no numbers, and a text is no list of its letters.
    """
    is_taken_for_another = (isinstance(value, bool) and kinds is not bool) or (
        isinstance(value, str | bytes) and kinds is Iterable
    )
    is_endless = (isinstance(value, float) and not isfinite(value)) or (isinstance(value, int) and abs(value) >= 2**63)
    if not isinstance(value, kinds) or is_taken_for_another or is_endless:
        raise UsageError(f"{name} is {preview(value)}: expected {expected}")
