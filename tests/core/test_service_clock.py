"""The service's clock is the one that its answers say, carried on by one that nobody can set."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimlvideo.core.service_clock import LONGEST_WAIT, ServiceClock, _moment, offset_remark, retry_after
from tests.cases import for_each
from tests.schemas.strategies import LETTERS

NOON = {"date": "Thu, 26 Nov 2026 12:00:00 GMT"}
NOON_SECONDS = 1_795_694_400.0


def test_the_time_goes_on_between_answers_whatever_the_wall_clock_does() -> None:
    clock = ServiceClock()
    assert clock.at(100.0) is None
    clock.observe(NOON, monotonic=100.0, wall=5.0)
    assert clock.at(160.0) == NOON_SECONDS + 60
    assert clock.offset == NOON_SECONDS - 5


@for_each("headers", [{}, {"date": "noon"}, {"date": ""}, {**NOON, "age": "3600"}])
def test_an_answer_without_a_date_or_from_a_cache_says_nothing(headers: dict[str, str]) -> None:
    clock = ServiceClock()
    clock.observe(headers, monotonic=0.0, wall=0.0)
    assert clock.at(1.0) is None


@pytest.mark.parametrize("date", ["Thu, 26 Nov 2026 12:00:00 -0000", "Thu, 26 Nov 2026 12:00:00"])
@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/New_York"])
def test_a_date_without_a_zone_is_not_one_of_this_machine_s_zone(
    date: str, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    _moment.cache_clear()
    try:
        clock = ServiceClock()
        clock.observe({"date": date}, monotonic=0.0, wall=0.0)
        assert clock.at(0.0) == NOON_SECONDS
        assert retry_after({"retry-after": "Thu, 26 Nov 2026 12:00:07 GMT", "date": date}) == 7.0
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_person_is_told_of_a_large_offset_and_its_direction() -> None:
    assert offset_remark(None) is None
    assert offset_remark(30.0) is None
    assert "300 s behind the service's" in (offset_remark(300.0) or "")
    assert "3600 s ahead of the service's" in (offset_remark(-3600.0) or "")


@for_each("date", ["Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 01 Jan 1900 00:00:00 GMT", "Thu, 99 Foo", ""])
def test_a_date_that_no_journal_could_keep_says_nothing(date: str) -> None:
    clock = ServiceClock()
    clock.observe({"date": date}, monotonic=1.0, wall=1.0)
    assert clock.at(2.0) is None
    assert clock.offset is None


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


@given(value=st.text(LETTERS, max_size=40), date=st.text(LETTERS, max_size=40))
def test_whatever_stands_in_the_header_it_is_a_wait_or_none(value: str, date: str) -> None:
    wait = retry_after({"retry-after": value, "date": date})
    assert wait is None or 0 <= wait <= LONGEST_WAIT
