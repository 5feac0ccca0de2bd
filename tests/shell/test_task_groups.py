"""What leaves a block of tasks is the error itself: a notebook that meets a group hangs, or shows an older cell."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from aimlvideo import errors
from aimlvideo.client import VideoClient
from aimlvideo.shell.task_groups import background_tasks, task_group
from tests.cases import for_each
from tests.fakes import JOB, FakeClient, FakeService

CLASSES = [one for one in vars(errors).values() if inspect.isclass(one) and issubclass(one, errors.VideoError)]
RAISED = [
    *(one([]) if one is errors.InvalidJobs else one("wrong") for one in CLASSES),
    ValueError("a slip"),
    KeyError("a slip"),
    ExceptionGroup("the user's own", [ValueError("a slip")]),
]


def behind(error: BaseException) -> Iterator[BaseException]:
    """Give all errors that a traceback of this one would show."""
    for other in (error.__context__, error.__cause__):
        if other is not None:
            yield other
            yield from behind(other)


def groups_behind(error: BaseException) -> list[BaseException]:
    return [one for one in behind(error) if isinstance(one, BaseExceptionGroup)]


async def nothing() -> None:
    await anyio.sleep_forever()


@asynccontextmanager
async def nested() -> AsyncIterator[None]:
    async with background_tasks(nothing), task_group(), background_tasks(nothing):
        yield


@for_each("error", RAISED, ids=lambda error: type(error).__name__)
@for_each("block", [task_group, lambda: background_tasks(nothing), nested], ids=["tasks", "back", "both"])
async def test_an_error_leaves_a_block_as_it_was_and_without_a_group_behind_it(block: Any, error: Exception) -> None:
    error.__cause__ = cause = OSError("why")
    with pytest.raises(type(error)) as raised:
        async with block():
            raise error
    assert raised.value is error
    assert error.__cause__ is cause
    assert groups_behind(error) == []


@for_each("error", RAISED[:-1], ids=lambda error: type(error).__name__)
@for_each("block", ["tasks", "background"])
async def test_an_error_of_a_task_leaves_its_block_in_the_same_way(block: str, error: Exception) -> None:
    async def fails() -> None:
        await anyio.sleep(1)
        raise error

    async def in_the_background() -> None:
        async with nested(), background_tasks(fails):
            await anyio.sleep_forever()

    async def among_tasks() -> None:
        async with nested(), task_group() as tasks:
            tasks.start_soon(fails)
            await anyio.sleep_forever()

    with pytest.raises(type(error)) as raised:
        await {"background": in_the_background, "tasks": among_tasks}[block]()
    assert raised.value is error
    assert groups_behind(error) == []


async def test_the_other_errors_of_one_moment_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def fails(text: str) -> None:
        raise ValueError(text)

    async def all_fail() -> None:
        async with task_group() as tasks:
            for text in ("first", "second", "third"):
                tasks.start_soon(fails, text)
            await anyio.sleep_forever()

    with caplog.at_level(logging.ERROR, "aimlvideo"), pytest.raises(ValueError, match="first"):
        await all_fail()
    assert [record.getMessage().rpartition(" ")[2] for record in caplog.records] == ["second", "third"]


async def test_a_block_that_waits_sees_its_tasks_to_their_end() -> None:
    ended: list[int] = []

    async def works(number: int) -> None:
        await anyio.sleep(number)
        ended.append(number)

    async with task_group(wait=True) as tasks:
        for number in (2, 1):
            tasks.start_soon(works, number)
    assert ended == [1, 2]


async def test_a_cancelled_block_is_cancelled() -> None:
    async def waits() -> None:
        async with nested():
            await anyio.sleep_forever()

    task = asyncio.create_task(waits())
    await anyio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as raised:
        await task
    assert groups_behind(raised.value) == []


@for_each("error", RAISED[:-1], ids=lambda error: type(error).__name__)
async def test_an_error_leaves_a_client_and_a_run_without_a_group_behind_it(error: Exception, tmp_path: Path) -> None:
    with pytest.raises(type(error)) as outside:
        async with FakeClient(FakeService()):
            raise error
    assert outside.value is error
    assert groups_behind(error) == []

    async def run() -> None:
        async with FakeClient(FakeService()) as client, client.run([JOB], tmp_path) as results:
            async for _ in results:
                pass
            raise error

    with pytest.raises(type(error)) as inside:
        await run()
    assert inside.value is error
    assert groups_behind(error) == []


async def test_a_wrong_model_is_refused_without_a_group_behind_it() -> None:
    client: VideoClient
    with pytest.raises(errors.InvalidJobs) as raised:
        async with FakeClient(FakeService()) as client:
            await client.generate("no/such-model", prompt="x")
    assert groups_behind(raised.value) == []


@pytest.mark.parametrize(
    ("others", "lines"),
    [
        ([errors.DiskFailed("the disk is full")], []),
        ([errors.DiskFailed("the journal is gone")], ["another error at the same time: the journal is gone"]),
        ([ValueError("a slip")], ["another error at the same time: a slip"]),
    ],
    ids=["the same", "another of ours", "a fault"],
)
async def test_what_goes_wrong_at_the_same_time_is_said_once_and_shows_code_only_for_a_fault(
    others: list[Exception], lines: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(error: Exception) -> None:
        raise error

    async def fail_together() -> None:
        async with task_group(wait=True) as tasks:
            for error in (errors.DiskFailed("the disk is full"), *others):
                tasks.start_soon(fail, error)

    with pytest.raises(errors.DiskFailed, match="the disk is full"):
        await fail_together()
    assert [record.getMessage() for record in caplog.records] == lines
    assert ["Traceback" in caplog.text] == [any(isinstance(one, ValueError) for one in others)]
