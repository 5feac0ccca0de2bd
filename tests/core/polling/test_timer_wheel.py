"""The timer wheel against a sorted list."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aimlvideo.core.polling.timer_wheel import TimerWheel

MOMENTS = st.floats(0, 1000, allow_nan=False)


@given(st.lists(MOMENTS, max_size=60), st.lists(MOMENTS, max_size=20))
def test_nothing_is_early_nothing_is_forgotten_and_nothing_is_later_than_its_slot(dues, moments):
    wheel: TimerWheel[tuple[float, int]] = TimerWheel()
    for number, due in enumerate(dues):
        wheel.add(due, (due, number))
    held = sorted((due, number) for number, due in enumerate(dues))
    for now in [*sorted(moments), 2000.0]:
        popped = wheel.pop_due(now)
        assert all(due <= now for due, _ in popped)
        surely = {item for item in held if item[0] <= now - 1 / 32}
        assert surely <= set(popped)
        held = [item for item in held if item not in popped]
        assert len(wheel) == len(held)
    assert not held
    assert wheel.next_due() is None


@given(st.lists(MOMENTS, min_size=1, max_size=60))
def test_items_come_out_slot_by_slot_and_first_in_first_out_within_one(dues):
    wheel: TimerWheel[tuple[float, int]] = TimerWheel()
    for number, due in enumerate(dues):
        wheel.add(due, (due, number))
    popped = wheel.pop_due(2000.0)
    slots = [(-(-due * 32 // 1), number) for due, number in popped]
    assert slots == sorted(slots)


@given(MOMENTS)
def test_the_moment_it_names_is_the_first_at_which_it_gives(due):
    wheel: TimerWheel[str] = TimerWheel()
    wheel.add(due, "x")
    named = wheel.next_due()
    assert named is not None
    assert due <= named <= due + 1 / 32
    assert wheel.pop_due(named - 1e-6) == []
    assert wheel.pop_due(named) == ["x"]


def test_an_item_may_be_added_for_a_moment_that_is_over():
    wheel: TimerWheel[str] = TimerWheel()
    wheel.add(50.0, "late")
    assert wheel.pop_due(100.0) == ["late"]
    wheel.add(20.0, "later still")
    assert wheel.pop_due(100.0) == ["later still"]
    assert len(wheel) == 0
