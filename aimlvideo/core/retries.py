"""Is a failure worth another try, and after how long?"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from math import isnan

from aimlvideo.core.service_clock import seconds_of_date
from aimlvideo.errors import DownloadFailed, NotAccepted

LONGEST_WAIT = 300.0
"""Seconds: no service's `Retry-After` holds a request longer than this."""


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a `Retry-After` header asks for: a number, or a date against the answer's own `Date`."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        return _until(value, headers.get("date", ""))
    return None if isnan(seconds) else min(max(seconds, 0.0), LONGEST_WAIT)


def _until(value: str, date: str) -> float | None:
    try:
        wait = seconds_of_date(value) - seconds_of_date(date)
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
    return min(max(wait, 0.0), LONGEST_WAIT)


def retry_delays(first: float = 0.5, most: float = 20.0) -> Generator[float, Exception | None, None]:
    """Give the seconds to wait before each further try: doubling, and never less than the service asked for.

    The error is sent in, as the library that drives this does.
    """
    wait = first
    error = yield 0.0
    while True:
        requested = error.retry_after if isinstance(error, NotAccepted | DownloadFailed) else None
        error = yield max(wait, requested or 0.0)
        wait = min(2 * wait, most)
