"""What a worker writes, lets go of and gives up, seen at one whose queue is not there and whose disk is held up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import anyio
import pytest

from aimlvideo.core.jobs.job import Progress, Record, Result, VideoJob
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.money.budget import Budget
from aimlvideo.distributed.open_worker import open_worker
from aimlvideo.distributed.queue import JobQueue, QueueEntry, enqueue_jobs
from aimlvideo.distributed.shared_account import AccountLimits
from aimlvideo.distributed.worker import Worker
from aimlvideo.pipeline.entry import RunSpec
from aimlvideo.pipeline.run import Run
from aimlvideo.shell.journal.postgres import PostgresJournal
from aimlvideo.shell.journal.postgres_sync import open_sync_journal
from tests.fakes import FakeService, FakeTransport

NONE: Any = None
JOB = VideoJob("kling-video/v1.6/pro/image-to-video", id="one", prompt="p")
SENT = Progress().to(Stage.SUBMITTING, request_id="av-1", submitted_at=1.0)


class Journal(PostgresJournal):
    """Commits once the disk is free."""

    def __init__(self) -> None:
        super().__init__(NONE, NONE, "a")
        self.disk_is_free = anyio.Event()

    async def _flush(self, *steps: Any) -> None:
        await self.disk_is_free.wait()


class Queue(JobQueue):
    """Keeps which places were given up."""

    def __init__(self) -> None:
        self.given_up: list[QueueEntry] = []

    async def wake_children(self, names: Sequence[str]) -> None:
        pass

    async def done(self, places: Sequence[QueueEntry], *, succeeded: bool) -> None:
        self.given_up += places


@asynccontextmanager
async def a_worker(journal: PostgresJournal) -> AsyncIterator[Worker]:
    """Give a worker whose jobs a test moves by hand."""

    async def nothing(*_: Any) -> Path:
        return Path()

    account: Any = SimpleNamespace(limits=AccountLimits(heartbeat=9.0))
    feed, records = anyio.create_memory_object_stream[Record](9)
    with feed, records:
        async with anyio.create_task_group() as tasks:
            run = Run(RunSpec(journal=journal, save=nothing), tasks, Budget())
            yield Worker("", True, NONE, account, NONE, journal, NONE, run, feed, [], NONE)
            tasks.cancel_scope.cancel()


@pytest.mark.real_time
async def test_a_worker_that_was_frozen_lets_go_of_what_was_taken_over_and_takes_nothing_before_others_could_speak(
    dsn: str, tmp_path: Path
) -> None:
    with open_sync_journal(dsn) as book:
        with book.planning():
            book.plan(JOB)
            book.plan(JOB.with_id("two"))
        enqueue_jobs(book.db, ["one"])
    settings = {"service": "aimlapi", "api_key": "k", "transport": FakeTransport(FakeService(seconds=60), "k")}
    async with (
        open_worker(dsn, str(tmp_path), settings, AccountLimits(4, 200.0, 100.0, 9.0)) as worker,
        JobQueue.open(dsn, worker.registry.worker) as queue,
        JobQueue.open(dsn, uuid4(), heartbeat=-1) as queue_of_another,
    ):
        await worker._keep_up(queue, 0.5)
        assert await queue_of_another.take_over(9)
        with open_sync_journal(dsn) as book:
            enqueue_jobs(book.db, ["two"])
        worker._last_tick -= 10
        await worker._keep_up(queue, 0.5)
        assert worker.places == {}
        assert await queue_of_another.take(9)


async def test_what_still_comes_of_a_request_is_not_written_once_another_worker_has_its_job() -> None:
    journal = Journal()
    async with a_worker(journal) as worker:
        entry = await worker.results.enter(Record(JOB, SENT))
        worker.lose("one")
        entry.step(Stage.RENDERING, generation_id="gen-0")
        assert journal.unwritten == 0, "the job may be this worker's again by now, with another generation"


async def test_a_place_is_given_up_only_once_the_end_of_its_job_is_committed() -> None:
    journal, queue, place = Journal(), Queue(), NONE
    async with a_worker(journal) as worker, anyio.create_task_group() as tasks:
        tasks.start_soon(journal.write)
        worker.places["one"] = place
        entry = await worker.results.enter(Record(JOB, SENT))
        entry.step(Stage.FAILED)
        worker._ended(Result.of(JOB, entry.progress))
        tasks.start_soon(worker._hand_back, queue)
        await anyio.sleep(1)
        assert queue.given_up == [], "a crash now would leave a job that has not ended in no worker's hands"
        journal.disk_is_free.set()
        await anyio.sleep(1)
        assert queue.given_up == [place]
        tasks.cancel_scope.cancel()
