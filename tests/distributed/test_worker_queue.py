"""What a worker writes, lets go of and gives up, seen at one whose queue is not there and whose disk is held up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from aimlvideo.core.jobs.job import Progress, Record, Result, VideoJob
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.money.budget import Budget
from aimlvideo.distributed.queue import JobQueue, QueueEntry
from aimlvideo.distributed.shared_account import Account, AccountLimits
from aimlvideo.distributed.worker import Worker
from aimlvideo.pipeline.entry import RunSpec
from aimlvideo.pipeline.run import Run
from aimlvideo.shell.journal.postgres import PostgresJournal, open_postgres_journal
from aimlvideo.shell.journal.postgres_sync import open_sync_journal

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

    account = Account(AccountLimits(heartbeat=9.0), 4, 0, {}, 0.0, 0.0, 0, None)
    feed, records = anyio.create_memory_object_stream[Record](9)
    with feed, records:
        async with anyio.create_task_group() as tasks:
            run = Run(RunSpec(journal=journal, save=nothing), tasks, Budget())
            yield Worker("", True, NONE, account, NONE, journal, NONE, run, feed, [], NONE)
            tasks.cancel_scope.cancel()


@pytest.mark.real_time
async def test_after_a_freeze_a_job_that_a_person_has_settled_meanwhile_is_let_go_of(dsn: str) -> None:
    doubtful, settled = SENT.to(Stage.IN_DOUBT), SENT.to(Stage.RENDERING, generation_id="gen-5")
    with open_sync_journal(dsn) as book:
        with book.planning():
            book.plan(JOB)
        async with open_postgres_journal(dsn, "a") as journal, a_worker(journal) as worker:
            worker.places["one"] = NONE
            (record,) = await journal.take(["one"])
            entry = await worker.results.enter(record)
            journal.step(JOB, doubtful)
            await journal.synced()
            assert book.settle(Record(JOB, doubtful), settled)
            await worker._after_silence(0.0)
            assert (entry.ended, worker.places) == (True, {}), "it would be looked up, and its clip not be fetched"


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
