"""Small pieces of work share a hop to a thread, and each gets what came of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from aimlvideo.shell.shared_hops import SharedHops

pytestmark = pytest.mark.real_time


class Desk:
    """Work that waits until it is let go, and notes which thread did it."""

    def __init__(self) -> None:
        self.go, self.begun = threading.Event(), threading.Event()
        self.done: list[tuple[object, int]] = []

    def slow(self) -> str:
        self.begun.set()
        assert self.go.wait(10)
        return self.quick("slow")()

    def quick(self, name: str) -> Callable[[], str]:
        def work() -> str:
            self.done.append((name, threading.get_ident()))
            return name

        return work


async def began(desk: Desk) -> None:
    await asyncio.get_running_loop().run_in_executor(None, desk.begun.wait)


async def test_what_comes_while_a_thread_is_busy_is_done_in_one_hop(monkeypatch: pytest.MonkeyPatch) -> None:
    hops, desk, results = SharedHops(1), Desk(), list[str]()
    counted: list[int] = []
    do = hops._do

    def noted(hop: Any, loop: Any) -> None:
        counted.append(len(hop.pieces))
        do(hop, loop)

    monkeypatch.setattr(hops, "_do", noted)

    async def run(work: Callable[[], str]) -> None:
        results.append(await hops.run(work))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run, desk.slow)
        await began(desk)
        for name in "abc":
            tasks.start_soon(run, desk.quick(name))
        await asyncio.sleep(0)
        assert not desk.done
        desk.go.set()
    assert sorted(results) == ["a", "b", "c", "slow"]
    assert counted == [1, 3]
    assert threading.get_ident() not in {thread for _, thread in desk.done}  # nothing holds the event loop up


async def test_each_gets_its_own_error_and_the_others_their_results() -> None:
    hops, desk = SharedHops(1), Desk()

    def broken() -> str:
        raise OSError("the disk is full")

    ends: dict[str, object] = {}

    async def run(name: str, work: Callable[[], str]) -> None:
        try:
            ends[name] = await hops.run(work)
        except OSError as error:
            ends[name] = str(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run, "slow", desk.slow)
        await began(desk)
        tasks.start_soon(run, "first", broken)
        tasks.start_soon(run, "second", desk.quick("second"))
        await asyncio.sleep(0)
        desk.go.set()
    assert ends == {"slow": "slow", "first": "the disk is full", "second": "second"}


async def test_no_cancellation_cuts_work_off() -> None:
    hops, desk, ends = SharedHops(1), Desk(), list[str]()

    async def run(work: Callable[[], str]) -> None:
        try:
            ends.append(await hops.run(work))
        finally:
            ends.append(f"left after {[name for name, _ in desk.done]}")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run, desk.slow)
        await began(desk)
        tasks.start_soon(run, desk.quick("next"))
        await asyncio.sleep(0)
        tasks.cancel_scope.cancel()
        asyncio.get_running_loop().call_later(0.02, desk.go.set)
    assert ends.count("slow") == 1
    assert "left after ['slow', 'next']" in ends  # it had been accepted, and was done before its task went


@pytest.mark.parametrize("ended", ["the one that leads", "the one that waits", "the next to lead"])
async def test_a_task_that_is_ended_from_outside_leaves_nobody_waiting(ended: str) -> None:
    hops, desk = SharedHops(1), Desk()
    leader = asyncio.ensure_future(hops.run(desk.slow))
    await began(desk)
    second, third = (asyncio.ensure_future(hops.run(desk.quick(name))) for name in ("second", "third"))
    await asyncio.sleep(0)
    if ended == "the next to lead":
        # In the very pass in which it is woken.
        hops._waiting[0].turn.add_done_callback(lambda _: second.cancel())
    else:
        (leader if ended == "the one that leads" else second).cancel()
        await asyncio.sleep(0)
    desk.go.set()
    assert await asyncio.wait_for(third, 10) == "third"
    assert await asyncio.wait_for(hops.run(desk.quick("fourth")), 10) == "fourth"
    await asyncio.gather(leader, second, return_exceptions=True)
    assert ("second" in {name for name, _ in desk.done}) == (ended == "the one that leads")


async def test_pieces_that_come_one_at_a_time_go_each_at_once() -> None:
    hops, desk = SharedHops(), Desk()
    assert [await hops.run(desk.quick(name)) for name in "abc"] == ["a", "b", "c"]
