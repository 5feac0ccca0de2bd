"""A crew ends when it is cancelled, whoever calls it at that moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

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
