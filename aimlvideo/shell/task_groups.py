"""A block of tasks that raises what went wrong, and not a group around it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio.abc import TaskGroup


@asynccontextmanager
async def task_group() -> AsyncIterator[TaskGroup]:
    """Give a task group; on leaving, its tasks are cancelled, and the first error of the block is raised as it was."""
    try:
        async with anyio.create_task_group() as tasks:
            yield tasks
            tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise _first(group) from None


@asynccontextmanager
async def background_tasks(*works: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Let `works` go on beside a block, until it is left; an error of theirs ends the block.

    Unlike `block` it may be left by another task than the one that entered it: test fixtures and servers do that.
    """
    try:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(work()) for work in works]
            try:
                yield
            finally:
                for task in running:
                    task.cancel()
    except BaseExceptionGroup as group:
        raise _first(group) from None


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
