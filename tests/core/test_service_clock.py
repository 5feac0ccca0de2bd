"""The service's clock is the one that its answers say, carried on by one that nobody can set."""

from __future__ import annotations

import time

import pytest

from aimlvideo.core.retries import retry_after
from aimlvideo.core.service_clock import ServiceClock, _moment, offset_remark
from tests.cases import for_each

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


@pytest.mark.parametrize("date", ["Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 01 Jan 1900 00:00:00 GMT", "Thu, 99 Foo", ""])
def test_a_date_that_no_journal_could_keep_says_nothing(date: str) -> None:
    clock = ServiceClock()
    clock.observe({"date": date}, monotonic=1.0, wall=1.0)
    assert clock.at(2.0) is None
    assert clock.offset is None
