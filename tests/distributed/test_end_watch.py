"""Who waits for jobs asks rarely, and together with all others who wait."""

from __future__ import annotations

import asyncio

import anyio

from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress
from aimlvideo.core.jobs.result import Result
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.distributed.job_list import LONGEST, _EndWatch


class List:
    """A job list that counts its questions; `ends` says when each job ends."""

    def __init__(self, **ends: float) -> None:
        self.ends = ends
        self.questions: list[int] = []

    async def read(self, ids: list[str]) -> list[Result]:
        self.questions.append(len(ids))
        now = asyncio.get_running_loop().time()
        return [Result.of(VideoJob("m", id=name), Progress(Stage.SAVED)) for name in ids if self.ends[name] <= now]


async def wait_for(watch: _EndWatch, name: str) -> float:
    """Return when the end of a job was heard of."""
    with watch.waiting([name]):
        (result,) = await watch.ended([name])
    assert result.job.id == name
    return asyncio.get_running_loop().time()


async def test_a_long_wait_takes_few_questions_and_is_answered_soon() -> None:
    jobs = List(a=600.0)
    heard = await wait_for(_EndWatch(jobs.read), "a")
    assert 600 <= heard <= 600 + LONGEST
    assert len(jobs.questions) < 320


async def test_many_who_wait_ask_one_question_together() -> None:
    names = [f"job{number}" for number in range(200)]
    jobs = List(**dict.fromkeys(names, 60.0))
    watch = _EndWatch(jobs.read)
    heard: list[float] = []

    async def one(name: str) -> None:
        heard.append(await wait_for(watch, name))

    async with anyio.create_task_group() as tasks:
        for name in names:
            tasks.start_soon(one, name)
    assert len(heard) == 200
    assert max(heard) <= 60 + LONGEST
    assert len(jobs.questions) < 300, "one for each who comes, and then one for all at a time"


async def test_when_one_has_ended_the_others_are_asked_about_soon_again() -> None:
    jobs = List(first=60.0, second=1000.0)
    watch, heard = _EndWatch(jobs.read), list[float]()

    async def second() -> None:
        heard.append(await wait_for(watch, "second"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(second)
        ended = await wait_for(watch, "first")
        jobs.ends["second"] = ended + 0.3
    assert heard[0] - ended < 1


async def test_who_comes_late_is_answered_at_once_and_who_leaves_is_forgotten() -> None:
    jobs = List(slow=100.0, ended=0.0)
    watch = _EndWatch(jobs.read)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait_for, watch, "slow")
        await anyio.sleep(30)
        assert await wait_for(watch, "ended") == 30
        with anyio.move_on_after(0.5):
            await wait_for(watch, "slow")
    assert not watch._results
    assert not watch._waiters
