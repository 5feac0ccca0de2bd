"""Slots go to those who wait, first come, first served, and none is lost or given twice."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from aimlvideo.core.limits import ConcurrencyLimit, RateLimiter
from aimlvideo.pipeline.limiters import RateGate, SlotLimiter
from aimlvideo.shell import clock


async def test_slots_are_given_in_the_order_in_which_they_were_asked_for() -> None:
    slots, order = SlotLimiter(ConcurrencyLimit(2)), []

    async def wait(number: int) -> None:
        await slots.acquire()
        order.append(number)

    async with anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(wait, number)
        await anyio.sleep(1)
        assert order == [0, 1]
        for _ in range(3):
            slots.release()
            await anyio.sleep(1)
    assert order == [0, 1, 2, 3, 4]
    assert slots.outstanding.taken == 2


@pytest.mark.parametrize("handed_first", [True, False])
async def test_a_slot_of_one_that_is_cancelled_as_it_gets_it_goes_to_the_next(handed_first: bool) -> None:
    slots = SlotLimiter(ConcurrencyLimit(1))
    await slots.acquire()
    first, second = (asyncio.ensure_future(slots.acquire()) for _ in range(2))
    await anyio.sleep(1)
    if handed_first:
        slots.release()
    first.cancel()
    if not handed_first:
        slots.release()
    with anyio.fail_after(5):
        await second
    assert first.cancelled()
    assert slots.outstanding.taken == 1


async def test_a_pause_holds_those_who_wait_already_and_is_never_shortened() -> None:
    gate, started = RateGate(RateLimiter(1.0)), []

    async def wait() -> None:
        await gate.wait_turn()
        started.append(clock.loop() - began)

    began = clock.loop()
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(wait)
        await anyio.sleep(0.5)
        gate.pause(30)
        gate.pause(10)
    assert started == pytest.approx([0, 30.5, 31.5])
