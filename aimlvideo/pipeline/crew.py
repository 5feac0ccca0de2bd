"""A crew: workers who take one piece of work after the other, and are called when there is some."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from anyio.abc import TaskGroup

from aimlvideo.shell.task_groups import task_group

T = TypeVar("T")


class Crew(Generic[T]):
    """At most so many tasks, begun as they are needed and used again: none is made for a single piece of work.

    `take` gives the next piece, or None while there is none; `work` does it. `most` says how many may work now. They
    work in the group `tasks`, until that is left; a crew without one works while it is `run`, and timers may call it.
    """

    def __init__(
        self,
        take: Callable[[], T | None],
        work: Callable[[T], Awaitable[None]],
        most: Callable[[], int],
        tasks: TaskGroup | None = None,
    ) -> None:
        self._take, self._work, self._most, self._tasks = take, work, most, tasks
        self._is_called_by_timers = tasks is None
        self._idle: list[asyncio.Future[None]] = []
        self._size = 0
        self._called = 0  # workers that were called and have not looked yet

    async def run(self) -> None:
        """Work, until this is cancelled; an error that `work` raises ends the whole crew."""
        try:
            async with task_group(wait=True) as self._tasks:
                self.call()
        finally:
            self._tasks = None

    def call(self, pieces: int = 1) -> None:
        """Have as many workers look for work as `pieces` wait; where all are busy, the next to be free does so anyway.

        All at once: one that called the next would cost a pass of the event loop for each piece.
        """
        while self._called < pieces and self._size - len(self._idle) < self._most() and self._call_one():
            self._called += 1

    def _call_one(self) -> bool:
        while self._idle:
            # Done already: this one was cancelled while it waited, and would never come.
            if not (called := self._idle.pop()).done():
                called.set_result(None)
                return True
        # A task that begins in a group whose cancellation is through would never be cancelled, and hold it open.
        if self._tasks is None or self._tasks.cancel_scope.cancel_called:
            return False
        self._size += 1
        self._tasks.start_soon(self._serve)
        return True

    async def _serve(self) -> None:
        self._called -= 1
        while True:
            piece = self._take() if self._size - len(self._idle) <= self._most() else None
            if piece is None:
                self._idle.append(called := asyncio.get_running_loop().create_future())
                await called
                self._called -= 1
            else:
                # Begun here, for the next call: in a timer's callback, which is no task, anyio begins none wherever
                # `sniffio` is installed, as many libraries have it.
                if self._is_called_by_timers and not self._idle:
                    self.call()
                await self._work(piece)
