"""A block of tasks that raises what went wrong, and not a group around it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio.abc import TaskGroup

from aimlvideo.errors import VideoError

log = logging.getLogger("aimlvideo")


@asynccontextmanager
async def task_group(*, wait: bool = False) -> AsyncIterator[TaskGroup]:
    """Give a task group; on leaving, its tasks are cancelled, or waited for with `wait`.

    The first error of the block is raised as it was, without a group around it.
    """
    error: BaseException | None = None
    try:
        async with anyio.create_task_group() as tasks:
            yield tasks
            if not wait:
                tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        error = _first(group)
    _raise_ungrouped(error)


@asynccontextmanager
async def background_tasks(*works: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[asyncio.TaskGroup]:
    """Let `works` go on beside a block, until it is left; an error of theirs ends the block. More tasks may join.

    Unlike `task_group` it may be left by another task than the one that entered it: test fixtures and servers do that.
    """
    error: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(work()) for work in works]
            try:
                yield tasks
            finally:
                # Only these: tasks that joined later may write something down, and end with their own work.
                for task in running:
                    task.cancel()
    except BaseExceptionGroup as group:
        error = _first(group)
    _raise_ungrouped(error)


def is_being_cancelled() -> bool:
    """Tell whether the task that asks is to end: where not, a CancelledError is another one's, which it waits for.

    As it is, that would end the task that waits without a word, and nobody would go on with its work.
    """
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _raise_ungrouped(error: BaseException | None) -> None:
    """Raise an error that was taken out of a group, after the `except` block that caught the group.

    Inside that block, Python would make the group the error's `__context__`, also with `from None`; and a notebook,
    which follows `__context__` to show an error, hangs on a group or shows the traceback of an older cell.
    """
    if error is not None:
        raise error


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error of a group; the others are logged, because only one can be raised."""
    # The first is the cause, as a rule: the others come of the cancellation that it set off.
    first, *others = group.exceptions
    # A full disk meets several tasks with the same words: a person reads them once.
    seen = {(type(first), str(first))}
    for other in others:
        if not isinstance(other, asyncio.CancelledError) and (what := (type(other), str(other))) not in seen:
            seen.add(what)
            # An error of ours says what happened and what to do; of a fault of the code a traceback tells more.
            where = None if isinstance(other, VideoError) else other
            log.error("another error at the same time: %s", str(other) or type(other).__name__, exc_info=where)
    return first
