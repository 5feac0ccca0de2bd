"""Rates, outstanding generations and the price of a poll, by the caller's clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import pairwise
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimlvideo.core.limits import ConcurrencyLimit, DownloadLimit, PollBudget, RateLimiter
from tests.cases import for_each


def test_requests_start_at_the_pace_of_the_rate():
    rate = RateLimiter(2.0)
    assert [rate.reserve(10.0) for _ in range(4)] == [10.0, 10.5, 11.0, 11.5]
    assert rate.reserve(60.0) == 60.0


def test_a_burst_starts_at_once_after_a_rest():
    rate = RateLimiter(1.0, burst=3)
    assert [rate.reserve(10.0) for _ in range(5)] == [10.0, 10.0, 10.0, 11.0, 12.0]


def test_a_moment_that_is_given_back_goes_to_the_next_unless_it_is_over_or_in_a_pause():
    rate = RateLimiter(1.0)
    assert [rate.reserve(0.0) for _ in range(4)] == [0.0, 1.0, 2.0, 3.0]
    rate.give_back(2.0)
    rate.give_back(1.0)
    assert [rate.reserve(1.0) for _ in range(3)] == [1.0, 2.0, 4.0]
    rate.give_back(4.0)
    assert rate.reserve(4.5) == 5.0
    rate.give_back(5.0)
    rate.paused_until = 8.0
    assert rate.reserve(4.5) == 8.0


def test_what_was_given_back_is_forgotten_when_the_rate_narrows():
    rate = RateLimiter(10.0)
    starts = [rate.reserve(0.0) for _ in range(100)]
    for start in starts[50:]:
        rate.give_back(start)
    rate.on_rejected(0.0, retry_after=1.0)
    later = [rate.reserve(0.0) for _ in range(10)]
    assert all(after - before > 0.105 for before, after in pairwise(later))


def test_without_a_limit_everything_starts_at_once():
    rate = RateLimiter(inf)
    assert [rate.reserve(5.0) for _ in range(3)] == [5.0, 5.0, 5.0]


@given(st.lists(st.floats(0, 10), min_size=1, max_size=80), st.integers(1, 5))
def test_never_more_than_the_burst_and_the_pace_allow(pauses, burst):
    rate, now, starts = RateLimiter(4.0, burst), 0.0, []
    for pause in pauses:
        now += pause
        starts.append(rate.reserve(now))
        assert starts[-1] >= now
    for i, first in enumerate(starts):
        assert sum(first <= start < first + 5 - 1e-6 for start in starts[i:]) <= 5 * 4 + burst


@pytest.mark.parametrize("per_second", [0, -1.0])
def test_a_rate_of_nothing_is_refused(per_second):
    with pytest.raises(ValueError, match="above 0"):
        RateLimiter(per_second)


def test_a_refusal_pauses_all_for_as_long_as_it_says():
    rate = RateLimiter(10.0)
    rate.reserve(0.0)
    rate.on_rejected(0.1, retry_after=7.0)
    assert rate.reserve(0.2) == pytest.approx(7.1)
    assert rate.paused_until == pytest.approx(7.1)


def test_where_it_does_not_say_the_pause_doubles_until_something_is_accepted():
    rate, pauses, now = RateLimiter(10.0), [], 0.0
    for _ in range(4):
        rate.on_rejected(now)
        pauses.append(rate.paused_until - now)
        now = rate.paused_until
    assert pauses == [1.0, 2.0, 4.0, 8.0]
    rate.on_accepted(now)
    rate.on_rejected(now)
    assert rate.paused_until - now == 1.0


def test_thirty_refusals_of_what_was_in_flight_together_narrow_once():
    rate = RateLimiter(30.0)
    for tick in range(100):
        rate.on_accepted(tick / 30)
    for i in range(30):
        rate.on_rejected(3.4 + i / 100)
    assert rate.per_second == pytest.approx(27.0)
    assert rate.paused_until == pytest.approx(3.4 + 0.29 + 1)


def test_a_rate_that_was_never_limited_becomes_what_was_accepted():
    rate = RateLimiter(inf)
    for tick in range(200):
        rate.on_accepted(tick / 20)
    rate.on_rejected(10.0)
    assert rate.per_second == pytest.approx(18, rel=0.15)


def test_a_narrowed_rate_comes_back_by_itself_but_never_above_its_ceiling():
    rate, now = RateLimiter(10.0), 0.0
    for _ in range(20):
        rate.on_rejected(now)
        now += 6
    assert 0.19 < rate.per_second < 1
    while now < 4000:
        now = rate.reserve(now)
        rate.on_accepted(now)
    assert rate.per_second == 10.0


def serve(rate: RateLimiter | PollBudget, limit: float, seconds: float, each: Callable[[float], None] = lambda _: None):
    """Send as fast as `rate` allows to a service that answers `limit` in any second; return (answered, refused)."""
    now, window, answered, refused = 0.0, deque[float](), 0, 0
    while now < seconds:
        now = rate.reserve(now)
        each(now)
        while window and window[0] <= now - 1:
            window.popleft()
        if len(window) >= limit:
            rate.on_rejected(now)
            refused += 1
        else:
            rate.on_accepted(now)
            window.append(now)
            answered += 1
    return answered, refused


@for_each("allowed", [31.0, 60.0, 500.0, inf])
def test_a_hidden_limit_of_30_a_second_is_found_and_kept(allowed):
    answered, refused = serve(RateLimiter(allowed), 30, 1200)
    assert answered / 1200 >= 0.94 * 30
    assert refused / 1200 <= 0.1


def test_outstanding_counts_what_is_taken_and_given():
    slots = ConcurrencyLimit(2)
    assert slots.has_room()
    slots.acquire()
    slots.acquire()
    assert not slots.has_room()
    slots.release()
    assert slots.has_room()
    assert (slots.taken, slots.limit) == (1, 2)


def test_no_room_at_all_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        ConcurrencyLimit(0)


def test_thirty_in_flight_and_many_refusals_narrow_once():
    slots = ConcurrencyLimit(30)
    for _ in range(30):
        slots.acquire()
    for i in range(30):
        slots.on_rejected(100.0 + i / 10)
    assert slots.limit == 26


def test_errors_never_widen():
    slots = ConcurrencyLimit(None)
    for _ in range(100):
        while slots.has_room():
            slots.acquire()
        slots.release()
    assert slots.limit == 8


def bulk(slots: ConcurrencyLimit, hidden: int, seconds: int, takes: int = 60) -> tuple[float, int]:
    """Submit whenever there is room to a service that holds `hidden` at a time; return the mean held and refusals."""
    held: deque[int] = deque()
    total = refused = 0
    for now in range(seconds):
        while held and held[0] <= now - takes:
            held.popleft()
            slots.release()
        for _ in range(3):  # what the rate lets through in a second
            if not slots.has_room():
                break
            slots.acquire()
            if len(held) < hidden:
                held.append(now)
                slots.on_accepted(now)
            else:
                slots.on_rejected(now)
                slots.release()
                refused += 1
        total += len(held)
    return total / seconds, refused


@for_each("asked", [None, 30, 500])
@for_each("hidden", [1, 5, 20])
def test_a_hidden_number_of_places_is_found(asked, hidden):
    held, refused = bulk(ConcurrencyLimit(asked), hidden, 6000)
    assert held >= 0.8 * hidden
    assert refused <= 0.05 * 6000


def test_until_the_first_refusal_each_accepted_one_adds_a_place_and_later_many_add_one():
    limit = ConcurrencyLimit(None)
    while limit.has_room():
        limit.acquire()
    before = limit.limit
    for moment in range(5):
        limit.on_accepted(moment)
        limit.acquire()
    assert limit.limit == before + 5
    limit.on_rejected(10.0)
    for _ in range(3):
        limit.release()
    refused_at = limit.limit
    for moment in range(11, 14):
        limit.on_accepted(moment)
        limit.acquire()
    assert limit.limit <= refused_at + 2


def test_after_a_refusal_no_more_are_tried_than_the_service_held():
    slots = ConcurrencyLimit(30)
    for _ in range(30):
        slots.acquire()
    for _ in range(5):
        slots.on_accepted(0.0)
    for _ in range(25):
        slots.on_rejected(0.5)
        slots.release()
    assert (slots.taken, slots.limit) == (5, 5)
    assert bulk(ConcurrencyLimit(30), 5, 60)[1] <= 5


def test_after_a_refusal_for_what_other_programs_hold_one_more_is_tried_each_time_that_the_service_takes_one():
    slots, limits = ConcurrencyLimit(20), []
    for _ in range(6):
        slots.acquire()
    slots.on_rejected(0.0)
    slots.release()
    for moment in range(1, 4):
        while slots.has_room():
            slots.acquire()
        slots.on_accepted(moment)
        limits.append(slots.limit)
    assert limits == [6, 7, 8]


def test_where_there_is_no_limit_auto_goes_on_widening():
    slots = ConcurrencyLimit(None)
    bulk(slots, 10**9, 120)
    assert slots.limit > 100


def test_narrowed_to_one_it_recovers_when_the_service_does():
    slots = ConcurrencyLimit(20)
    bulk(slots, 1, 600)
    assert slots.limit <= 2
    slots.taken = 0
    bulk(slots, 100, 2400)
    assert slots.limit == 20


def test_it_never_falls_below_one_place():
    slots = ConcurrencyLimit(3)
    for now in range(0, 1000, 6):
        slots.on_rejected(float(now))
    assert slots.limit == 1
    assert slots.has_room()


def test_the_price_rises_while_more_is_wanted_than_there_is_and_falls_back():
    budget = PollBudget(RateLimiter(10))
    for now in range(60):
        for _ in range(20):
            budget.reserve(now)
        budget.tick(now, backlog=200)
    dear = budget.price
    for now in range(60, 400):
        budget.reserve(now)
        budget.tick(now, backlog=0)
    assert dear > 10
    assert budget.price == 0.5


def test_the_price_has_an_upper_bound():
    budget = PollBudget(RateLimiter(1))
    for now in range(1000):
        budget.tick(now, backlog=10**6)
    assert budget.price == 100


def test_without_a_limit_the_price_stays():
    budget = PollBudget(RateLimiter(inf))
    for now in range(10):
        for _ in range(1000):
            budget.reserve(now)
        budget.tick(now, backlog=50)
    assert budget.price == 0.5


def test_a_refused_poll_pauses_all_polls():
    budget = PollBudget(RateLimiter(50))
    budget.rate.on_rejected(10.0, retry_after=3.0)
    assert budget.reserve(10.1) == 13.0
    assert budget.rate.per_second < 50


def saved(limit: DownloadLimit, rate: Callable[[int], float], seconds: float, now: float = 0.0) -> float:
    """Save clips of 1 MB one after the other, at the bytes a second that so many at a time bring."""
    ends = now + seconds
    while now < ends:
        now += 1e6 / rate(limit.limit)
        limit.on_saved(10**6, now, more_wait=True)
    return now


def test_downloads_grow_as_long_as_more_of_them_bring_more():
    limit = DownloadLimit()
    saved(limit, lambda many: many * 1e6, 100)
    assert limit.limit == 32


def test_downloads_stay_few_on_a_line_that_is_full_and_try_again_later():
    limit = DownloadLimit()
    now = saved(limit, lambda many: 8e6, 50)
    assert limit.limit == 8
    saved(limit, lambda many: many * 1e6, 100, now)
    assert limit.limit > 8


def test_two_rounds_of_clips_are_measured_before_more_are_tried():
    limit = DownloadLimit()
    for now in range(16):
        limit.on_saved(10**6, float(now), more_wait=True)
        assert limit.limit == 8
    limit.on_saved(10**6, 16.0, more_wait=True)
    assert limit.limit == 12


def test_downloads_that_were_given_a_number_keep_it():
    limit = DownloadLimit(3)
    saved(limit, lambda many: many * 1e6, 100)
    assert limit.limit == 3


def test_clips_that_come_one_at_a_time_say_nothing_about_the_line():
    limit = DownloadLimit()
    for now in range(1000):
        limit.on_saved(10**6, float(now), more_wait=False)
    assert limit.limit == 8
