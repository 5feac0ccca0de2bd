"""A backup of the database that is put back, older than what was bought, buys nothing again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import psycopg
import pytest

from aimlvideo.core.jobs.stages import Stage
from aimlvideo.distributed.database_copies import DatabaseCopyCheck
from aimlvideo.distributed.queue import enqueue_jobs
from aimlvideo.errors import JournalError
from aimlvideo.pipeline import download
from aimlvideo.shell.files.object_stores import open_worker_store
from aimlvideo.shell.task_groups import task_group
from tests.distributed.test_worker_money import opened, queued, stages
from tests.fakes import FakeDownload, FakeService

pytestmark = pytest.mark.real_time

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
            while not worker.results.stats.stages[Stage.RENDERING]:  # noqa: ASYNC110 - nobody tells
                await anyio.sleep(0.02)
            put_back(dsn)

    async with opened(service, dsn, tmp_path) as worker:
        with pytest.raises(JournalError, match="an older copy"):
            await put_back_meanwhile()
    assert len(service.posted_at) == 1
