"""A crew ends when it is cancelled, whoever calls it at that moment."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from aimlvideo.pipeline.crew import Crew
from tests.cases import for_each


@for_each("turns", range(8))
async def test_a_call_while_the_crew_is_cancelled_begins_nothing_that_nobody_ends(turns: int) -> None:
    pieces, loop = [1], asyncio.get_running_loop()

    def call_after(turns: int, called: Callable[[], None]) -> None:
        if turns:
            loop.call_soon(call_after, turns - 1, called)
        else:
            called()

    async def work(piece: int) -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            call_after(turns, crew.call)

    crew: Crew[int] = Crew(lambda: pieces.pop() if pieces else None, work, lambda: 4)
    running = asyncio.ensure_future(crew.run())
    await asyncio.sleep(1)
    running.cancel()
    await asyncio.wait([running], timeout=5)
    assert running.done()


async def test_what_there_is_before_the_crew_works_is_taken_when_it_begins() -> None:
    pieces, done = [3, 2, 1], list[int]()

    async def work(piece: int) -> None:
        done.append(piece)

    crew: Crew[int] = Crew(lambda: pieces.pop() if pieces else None, work, lambda: 4)
    crew.call(len(pieces))
    running = asyncio.ensure_future(crew.run())
    await asyncio.sleep(1)
    running.cancel()
    await asyncio.wait([running])
    assert done == [1, 2, 3]


async def test_a_timer_s_call_is_answered_while_all_are_busy_and_no_task_is_begun_outside_of_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with anyio.create_task_group() as tasks:
        group, start_soon = type(tasks), type(tasks).start_soon

    def started_by_a_task(*args: Any, **named: Any) -> Any:
        assert asyncio.current_task() is not None, "anyio refuses this where `sniffio` is installed"
        return start_soon(*args, **named)

    monkeypatch.setattr(group, "start_soon", started_by_a_task)
    loop, pieces, began_at = asyncio.get_running_loop(), deque[int](), list[float]()

    async def work(piece: int) -> None:
        began_at.append(loop.time())
        await asyncio.sleep(1000)

    def ring() -> None:
        pieces.append(1)
        crew.call()

    crew: Crew[int] = Crew(lambda: pieces.popleft() if pieces else None, work, lambda: 3)
    running = asyncio.ensure_future(crew.run())
    began = loop.time()
    for seconds in (1, 2, 3, 4):
        loop.call_at(began + seconds, ring)
    await asyncio.sleep(10)
    running.cancel()
    await asyncio.wait([running])
    assert began_at == [began + 1, began + 2, began + 3]
