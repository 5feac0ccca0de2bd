"""The clock of a service, learned from the `Date` of its answers (ours may be hours off), and the waits it asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache
from math import isfinite, isnan

CLOCK_OFFSET = "clock_offset"
"""The name under which a journal has the seconds by which the service's clock was ahead of this machine's."""
LATEST = 9e10
"""Seconds since 1970, in the year 4821: a journal takes no moment after 1e11."""
LARGE_OFFSET = 60.0
"""Seconds between the two clocks from which on a person is told."""


@dataclass(slots=True)
class ServiceClock:
    """The service's time, carried on between its answers by a clock that nobody can set (`monotonic`, in seconds)."""

    offset: float | None = None
    """Seconds by which the service's clock is ahead of this machine's; None while no answer said its `Date`."""
    _ahead_of_monotonic: float | None = None

    def observe(self, headers: Mapping[str, str], *, monotonic: float, wall: float) -> None:
        """Learn the time from an answer. A copy from a cache on the way (`Age`) says an old one, and is passed over."""
        age, date = headers.get("age"), headers.get("date")
        if not date or (age and age.strip() not in ("", "0")):
            return
        if (moment := _moment(date)) is None:
            return
        self._ahead_of_monotonic, self.offset = moment - monotonic, moment - wall

    def at(self, monotonic: float) -> float | None:
        """Return the service's time, in seconds since 1970; None while it is not known."""
        return None if self._ahead_of_monotonic is None else monotonic + self._ahead_of_monotonic


def _seconds_of_date(text: str) -> float:
    """Return the seconds since 1970 of an HTTP date. Raises TypeError, ValueError, OverflowError or IndexError."""
    date = parsedate_to_datetime(text)
    # One without a zone, as some proxies send it, is UTC: Python takes it for one of this machine's own zone.
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()


@lru_cache(maxsize=16)  # a service that answers a hundred times a second says the same date each time
def _moment(date: str) -> float | None:
    """Return the seconds since 1970 of an HTTP date, None where it is none."""
    try:
        moment = _seconds_of_date(date)
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
    # A date of the year 9999 would be written down, and be damage to whoever reads it.
    return moment if 0 < moment < LATEST else None


def offset_from_text(text: str | None) -> float:
    """Return an offset that was kept as text, 0 where there is none. Raises ValueError for what is no number."""
    offset = float(text or 0.0)
    if not isfinite(offset):
        raise ValueError(f"expected a number of seconds, got {offset}")
    return offset


def offset_remark(offset: float | None) -> str | None:
    """Return what to tell a person of the two clocks; None where they agree, or nothing is known."""
    if offset is None or abs(offset) < LARGE_OFFSET:
        return None
    direction = "behind" if offset > 0 else "ahead of"
    return (
        f"this machine's clock is {abs(offset):.0f} s {direction} the service's: lost answers are looked up by the "
        "service's clock; set this one right (NTP) so that ages and dates agree"
    )


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
        wait = _seconds_of_date(value) - _seconds_of_date(date)
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
    return min(max(wait, 0.0), LONGEST_WAIT)
