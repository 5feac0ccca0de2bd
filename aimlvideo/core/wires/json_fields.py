"""What a field of somebody else's JSON is worth: text, a number, or nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from math import isfinite
from typing import Any

from aimlvideo.core.jobs.columns import MOST_COST


def as_text(value: Any) -> str | None:
    """Return a text, or a whole number as text; None for nothing and for everything else."""
    # Ids come as numbers too; a bool is an int in Python, and no id.
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value else None


LONGEST_ID = 512
"""Characters: what is longer is no id, and an index of a database cannot hold it."""


def as_id(value: Any) -> str | None:
    """Return an id, as text; None for what is none, and for a text of which a part was unreadable: it names nothing."""
    text = as_text(value)
    return text if text and len(text) <= LONGEST_ID and text.isprintable() and "\ufffd" not in text else None


def as_number(value: Any) -> float | None:
    """Return a finite number, also from its text; None for everything else."""
    # Without `|`, which makes a new type of these at each call; most fields that are asked for are missing.
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if isfinite(number) else None


def as_cost(value: Any) -> float | None:
    """Return a number of USD or credits; None where it is none, less than nothing, or more than anything costs."""
    number = as_number(value)
    return number if number is not None and 0 <= number <= MOST_COST else None


def as_timestamp(value: Any) -> float:
    """Return seconds since 1970 from ISO 8601 (UTC where no zone is named), seconds or milliseconds; 0 for neither."""
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            pass
    number = as_number(value) or 0.0
    # Milliseconds from 1973 on are above 1e11, seconds until the year 5138 below it.
    return number / (1000 if number > 1e11 else 1)
