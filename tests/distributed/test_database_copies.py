"""A backup of the database that is put back, older than what was bought, buys nothing again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import psycopg
import pytest

from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress, Record
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.distributed.database_copies import DatabaseCopyCheck
from aimlvideo.distributed.queue import JobQueue, enqueue_jobs
from aimlvideo.errors import JournalError
from aimlvideo.pipeline import download
from aimlvideo.shell.files.object_stores import open_worker_store
from aimlvideo.shell.journal import postgres_schema
from aimlvideo.shell.journal.postgres import open_postgres_journal
from aimlvideo.shell.journal.postgres_connection import Connection
from aimlvideo.shell.journal.postgres_sync import open_sync_journal
from aimlvideo.shell.task_groups import task_group
from tests.distributed.test_worker_money import opened, queued, stages, until, work_off
from tests.fakes import FakeDownload, FakeService
from tests.postgres_server import OTHERS_OUT
from tests.waiting import PATIENCE

pytestmark = pytest.mark.real_time

JOB = VideoJob("kling-video/v1.6/pro/image-to-video", id="one", prompt="p")
BACKUP = "CREATE TABLE backup AS SELECT id, due FROM aimlvideo_jobs, aimlvideo_rate"
PUT_BACK = """
    UPDATE aimlvideo_jobs SET stage = 'planned', request_id = NULL, generation_id = NULL, file = NULL, counts = NULL,
        cost_usd = NULL, owner = NULL;
    DELETE FROM aimlvideo_attempts;
    UPDATE aimlvideo_rate SET due = backup.due FROM backup;
"""


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> FakeService:
    monkeypatch.setattr(download, "Download", FakeDownload)
    return FakeService(seconds=0.5)


def put_back(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as db:
        db.execute(PUT_BACK)
        enqueue_jobs(db, ["a"], again=True)


def backed_up(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as db:
        db.execute(BACKUP)


@pytest.fixture
def no_backup_stays(dsn: str) -> Iterator[None]:
    yield
    with psycopg.connect(dsn, autocommit=True) as db:
        db.execute("DROP TABLE IF EXISTS backup")


@pytest.mark.usefixtures("no_backup_stays")
async def test_a_worker_that_starts_on_an_older_copy_says_so_until_a_person_has_looked(
    dsn: str, tmp_path: Path, service: FakeService
) -> None:
    await queued(dsn, tmp_path, "a")
    backed_up(dsn)
    async with opened(service, dsn, tmp_path) as worker:
        await worker.run()
    put_back(dsn)
    with pytest.raises(JournalError, match=r"an older copy.*the second line of \.aimlvideo-list"):
        async with opened(service, dsn, tmp_path):
            pass
    assert len(service.posted_at) == 1
    note = tmp_path / "out" / ".aimlvideo-list"
    note.write_text(note.read_text().splitlines()[0])
    async with opened(service, dsn, tmp_path) as worker:
        await worker.run()
    assert stages(dsn) == {"saved": 1}


class Submissions:
    """A database that says when something was submitted last."""

    def __init__(self) -> None:
        self.last = datetime(2026, 1, 1, tzinfo=UTC)

    async def execute(self, _: str) -> Submissions:
        return self

    async def fetchone(self) -> tuple[datetime]:
        return (self.last,)


async def test_a_copy_that_was_made_since_a_worker_began_is_an_older_one_all_the_same(tmp_path: Path) -> None:
    database: Any = Submissions()
    with open_worker_store(str(tmp_path), "worker") as store:
        check = DatabaseCopyCheck(store, "token")
        await check.begin(database)
        database.last += timedelta(hours=2)
        await check.go_on(database)
        database.last -= timedelta(hours=1)
        with pytest.raises(JournalError, match="an older copy"):
            await check.go_on(database)


async def test_a_copy_that_is_put_back_before_a_worker_has_noted_anything_is_an_older_one(tmp_path: Path) -> None:
    database: Any = Submissions()
    with open_worker_store(str(tmp_path), "worker") as store:
        check = DatabaseCopyCheck(store, "token")
        await check.begin(database)
        database.last -= timedelta(hours=1)
        with pytest.raises(JournalError, match="an older copy"):
            await check.go_on(database)


@pytest.mark.usefixtures("no_backup_stays")
async def test_a_worker_under_which_an_older_copy_is_put_back_buys_nothing_more(
    dsn: str, tmp_path: Path, service: FakeService
) -> None:
    await queued(dsn, tmp_path, "a")
    backed_up(dsn)
    with psycopg.connect(dsn, autocommit=True) as db:
        db.execute("UPDATE backup SET due = due - interval '1 hour'")
    service.seconds = 60

    async def put_back_meanwhile() -> None:
        async with task_group(wait=True) as tasks:
            tasks.start_soon(worker.run)
            await until(worker, Stage.RENDERING)
            put_back(dsn)

    async with opened(service, dsn, tmp_path) as worker:
        with pytest.raises(JournalError, match="an older copy"):
            await put_back_meanwhile()
    assert len(service.posted_at) == 1


FORGET = """
    SET session_replication_role = replica;
    UPDATE aimlvideo_jobs SET stage = 'planned', request_id = NULL, submitted_at = NULL, generation_id = NULL,
        counts = NULL, owner = NULL;
    UPDATE pgqueuer SET status = 'queued', queue_manager_id = NULL, heartbeat = now() - interval '1 minute';
    UPDATE aimlvideo_account SET planned = planned + rendering, rendering = 0, outstanding = 0, committed = 0;
"""
"""What a standby that takes its primary's place lacks: that jobs were taken and bought, a moment ago."""


async def work_while_a_standby_takes_over(service: FakeService, dsn: str, folder: Path, forget: str) -> None:
    """Let a worker end what is queued, while its job renders and a standby begins that has forgotten something."""

    def take_the_primarys_place() -> None:
        with psycopg.connect(dsn) as db:
            db.execute(OTHERS_OUT)
            db.execute(forget.encode())

    async with opened(service, dsn, folder) as worker:
        with anyio.fail_after(PATIENCE):
            async with task_group(wait=True) as tasks:
                tasks.start_soon(worker.run)
                await until(worker, Stage.RENDERING)
                await worker.journal.synced()
                await anyio.to_thread.run_sync(take_the_primarys_place)


async def test_what_was_bought_a_moment_before_a_standby_took_over_is_not_bought_again(
    dsn: str, tmp_path: Path, service: FakeService
) -> None:
    await queued(dsn, tmp_path, "a")
    service.seconds = 2
    await work_while_a_standby_takes_over(service, dsn, tmp_path, FORGET)
    assert (stages(dsn), len(service.posted_at)) == ({"saved": 1}, 1)


async def test_what_was_queued_and_bought_a_moment_before_a_standby_took_over_is_not_lost(
    dsn: str, tmp_path: Path, service: FakeService
) -> None:
    await queued(dsn, tmp_path, "a")
    service.seconds = 3
    await work_while_a_standby_takes_over(service, dsn, tmp_path, "DELETE FROM pgqueuer; DELETE FROM aimlvideo_jobs")
    assert (stages(dsn), len(service.posted_at)) == ({"saved": 1}, 1)


RENDERING = Progress().to(Stage.SUBMITTING, request_id="av-1").to(Stage.RENDERING, generation_id="gen-1")


async def test_a_job_that_a_standby_does_not_have_is_written_with_its_words_and_taken_over(dsn: str) -> None:
    worker = uuid4()
    with open_sync_journal(dsn) as book:
        book.plan(JOB)
        child = book.plan(JOB.with_id("two").with_params({"image_url": {"from": "one", "frame": "last"}})).job
        enqueue_jobs(book.db, ["two"])
        async with open_postgres_journal(dsn, str(worker)) as journal, JobQueue.open(dsn, worker) as queue:
            places = await queue.take(1)
            await journal.take(["two"])
            journal.step(child, RENDERING)
            await journal.synced()
            book.db.execute("DELETE FROM pgqueuer; DELETE FROM aimlvideo_jobs")
            assert await journal.restore(queue.connection) == {"two"}
            assert await journal.restore(queue.connection) == set()
            await queue.reclaim(places)
            assert list(await queue.take_over(9)) == ["two"]
            assert book.find("two") == Record(child, RENDERING)
            assert book.db.execute("SELECT parents FROM aimlvideo_jobs").fetchall() == [(["one"],)]


class Heard:
    """A connection that keeps what it was given."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.values: list[Any] = []

    async def execute(self, statement: str, values: Any) -> Any:
        self.values.append(values)
        return await self._connection.execute(statement, values)


async def test_jobs_that_the_database_knows_are_not_sent_to_it_again_however_large_they_are(dsn: str) -> None:
    with open_sync_journal(dsn) as book:
        job = book.plan(JOB).job
    async with open_postgres_journal(dsn, "a") as journal, JobQueue.open(dsn, uuid4()) as queue:
        await journal.take(["one"])
        journal.step(job, RENDERING)
        await journal.synced()
        heard: Any = Heard(queue.connection)
        assert await journal.restore(heard) == set()
        assert heard.values == [(["one"],)]


async def test_a_step_that_a_standby_lacks_what_went_before_it_is_written_all_the_same(dsn: str) -> None:
    with open_sync_journal(dsn) as book:
        job = book.plan(JOB).job
        async with open_postgres_journal(dsn, "a") as journal:
            await journal.take(["one"])
            journal.step(job, RENDERING)
            await journal.synced()
            book.db.execute(FORGET)
            journal.step(job, RENDERING.to(Stage.READY, video_url="https://here"))
            await journal.synced()
        assert book.find("one") == Record(job, RENDERING.to(Stage.READY, video_url="https://here"))


async def test_that_a_person_has_a_job_bought_again_is_nothing_that_the_database_has_forgotten(dsn: str) -> None:
    with open_sync_journal(dsn) as book:
        job = book.plan(JOB).job
        lost: list[str] = []
        async with open_postgres_journal(dsn, "a") as journal:
            journal.lost = lost.append
            await journal.take(["one"])
            journal.step(job, RENDERING)
            await journal.synced()
            assert book.settle(Record(job, RENDERING), Progress())
            await journal.verify()
        assert (lost, book.find("one")) == (["one"], Record(job, Progress()))


NUMBERS_LOST = """
    SELECT setval(pg_get_serial_sequence(name, number), 1, false) FROM (VALUES
        ('aimlvideo_jobs', 'seq'), ('aimlvideo_attempts', 'seq'), ('pgqueuer', 'id'), ('pgqueuer_log', 'id')
    ) AS tables (name, number)
"""
"""What a copy by logical replication lacks: which numbers its rows have."""


def lose_numbers(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as db:
        db.execute(NUMBERS_LOST)


async def test_new_jobs_are_queued_in_a_copy_that_lacks_the_numbers_of_its_rows(
    dsn: str, tmp_path: Path, service: FakeService
) -> None:
    await queued(dsn, tmp_path, "ab")
    lose_numbers(dsn)
    await queued(dsn, tmp_path, "abcd")
    lose_numbers(dsn)
    await work_off(service, dsn, tmp_path)
    assert stages(dsn) == {"saved": 4}


async def test_a_worker_whose_database_lost_its_numbers_keeps_the_ids_of_earlier_attempts(dsn: str) -> None:
    with open_sync_journal(dsn) as book:
        job = book.plan(JOB).job
        for attempt in ("av-1", "av-2"):
            begun = book.find("one")
            assert begun is not None
            assert book.settle(begun, Progress().to(Stage.SUBMITTING, request_id=attempt))
        lose_numbers(dsn)
        async with JobQueue.open(dsn, uuid4()) as queue:
            await queue.catch_up()
        assert book.settle(Record(job, Progress().to(Stage.SUBMITTING, request_id="av-2")), Progress())
        assert [attempt.request_id for attempt in book.attempts("one")] == ["av-1", "av-2"]


def test_a_job_that_cannot_be_written_is_not_said_to_be_queued(dsn: str) -> None:
    def plan(name: str) -> None:
        with book.planning():
            book.plan(JOB.with_id(name))

    with open_sync_journal(dsn) as book:
        plan("one")
        lose_numbers(dsn)
        with pytest.raises(JournalError, match="duplicate key"):
            plan("two")
        lose_numbers(dsn)
        with pytest.raises(JournalError, match="duplicate key"):
            book.plan(JOB.with_id("three"))


async def test_nothing_is_queued_or_bought_where_indexes_may_not_find_what_is_there(
    dsn: str, tmp_path: Path, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    await queued(dsn, tmp_path, "a")
    monkeypatch.setattr(postgres_schema, "ORDER_CHANGED", "SELECT 'clips', '2.36', '2.41'")
    said = "expected version 2.36, found 2.41.*REINDEX DATABASE clips, then ALTER DATABASE clips REFRESH COLLATION"
    with pytest.raises(JournalError, match=said):
        await queued(dsn, tmp_path, "ab")
    with pytest.raises(JournalError, match=said):
        await work_off(service, dsn, tmp_path)
    assert (stages(dsn), service.posted_at) == ({"planned": 1}, [])
