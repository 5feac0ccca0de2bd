"""How long a failure is worth waiting for."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimlvideo.core.retries import LONGEST_WAIT, retry_after, retry_delays
from aimlvideo.errors import Busy, DownloadFailed, Unavailable, Unclear
from tests.cases import for_each

NOW = "Sat, 01 Aug 2026 10:00:00 GMT"


@for_each(
    ("value", "date", "seconds"),
    [
        ("7", "", 7),
        (" 0.5 ", "", 0.5),
        ("0", "", 0),
        ("-3", "", 0),
        ("86400", "", LONGEST_WAIT),
        ("inf", "", LONGEST_WAIT),
        ("nan", "", None),
        ("", "", None),
        ("soon", "", None),
        ("Sat, 01 Aug 2026 10:00:30 GMT", NOW, 30),
        ("Sat, 01 Aug 2026 12:00:30 +0200", NOW, 30),
        ("Sat, 01 Aug 2026 09:00:00 GMT", NOW, 0),
        ("Sun, 02 Aug 2026 10:00:00 GMT", NOW, LONGEST_WAIT),
        ("Sat, 01 Aug 2026 10:00:30 GMT", "", None),
        ("Sat, 01 Aug 2026 10:00:30 -0000", NOW, 30),
        ("Sat, 99 Aug 2026 10:00:30 GMT", NOW, None),
        ("Sat, 01 Aug 99999999999 10:00:30 GMT", NOW, None),
    ],
)
def test_a_service_says_in_seconds_or_with_a_date_how_long_to_wait(
    value: str, date: str, seconds: float | None
) -> None:
    assert retry_after({"retry-after": value, "date": date}) == seconds


def test_without_the_header_nothing_is_said() -> None:
    assert retry_after({}) is None


@given(value=st.text(max_size=40), date=st.text(max_size=40))
def test_whatever_stands_in_the_header_it_is_a_wait_or_none(value: str, date: str) -> None:
    wait = retry_after({"retry-after": value, "date": date})
    assert wait is None or 0 <= wait <= LONGEST_WAIT


def test_waits_double_up_to_the_most() -> None:
    wait = retry_delays(first=1, most=10)
    assert next(wait) == 0
    error = Unclear("lost")
    assert [wait.send(error) for _ in range(6)] == [1, 2, 4, 8, 10, 10]


@pytest.mark.parametrize("kind", [Busy, Unavailable, DownloadFailed])
def test_a_wait_is_never_shorter_than_the_service_asked_for(kind: type[Busy | DownloadFailed]) -> None:
    wait = retry_delays(first=1, most=10)
    next(wait)
    given_waits = [wait.send(kind("busy", retry_after=asked)) for asked in (5, 0, None, 60, 3)]
    assert given_waits == [5, 2, 4, 60, 10]


def test_waits_without_an_error_grow_all_the_same() -> None:
    wait = retry_delays()
    next(wait)
    assert all(later >= earlier for earlier, later in pairwise(wait.send(None) for _ in range(10)))
