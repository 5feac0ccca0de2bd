"""What a job costs does not grow with the list: its statements read by index, whatever PostgreSQL believes of it."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from aimlvideo.cli.shared_jobs import SharedJobs
from aimlvideo.core.jobs.progress import Progress
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.distributed.queue import JobQueue
from aimlvideo.distributed.registry import WorkerRegistry
from aimlvideo.shell.journal.postgres import open_postgres_journal
from tests.distributed.test_worker import QUIET, counts, job, queue

pytestmark = pytest.mark.real_time

MANY = 5_000
FILL = (
    """INSERT INTO aimlvideo_jobs (id, asked) SELECT 'many' || n, '["m", {}]' FROM generate_series(1, %s::int) n""",
    """INSERT INTO pgqueuer (priority, entrypoint, payload, status, dedupe_key, execute_after)
    SELECT 0, 'aimlvideo', convert_to('many' || n, 'UTF8'), 'queued', 'aimlvideo:many' || n, now()
    FROM generate_series(1, %s::int) n""",
)
BY_INDEX = "SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname = ANY(%s)"
BY_SCAN = "SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE relname = ANY(%s)"
TABLES = ["aimlvideo_jobs", "pgqueuer"]


def rows_read(dsn: str) -> int:
    """Return how many rows of the large tables were read so far, by all sessions that have ended."""
    with psycopg.connect(dsn, autocommit=True) as db:
        found = [db.execute(question, (TABLES,)).fetchone() for question in (BY_INDEX, BY_SCAN)]
    return sum(int(row[0] or 0) for row in found if row)


@pytest.fixture
def long_list(dsn: str) -> str:
    """Give a list of many jobs, of which PostgreSQL believes that it is short."""
    with psycopg.connect(dsn, autocommit=True) as db:
        for table in TABLES:
            db.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
        for statement in FILL:
            db.execute(statement, (MANY,))
    return dsn


async def test_a_worker_reads_the_jobs_that_it_takes_and_no_others(long_list: str) -> None:
    before, worker = rows_read(long_list), uuid4()
    async with JobQueue.open(long_list, worker) as engine, open_postgres_journal(long_list, str(worker)) as journal:
        for _ in range(3):
            places = await engine.take(20)
            assert len(places) == 20
            assert await engine.take_over(20) == {}
            records = await journal.take(places)
            progress = Progress().to(Stage.SUBMITTING, request_id="r", submitted_at=1.0)
            for step in (progress, progress.to(Stage.RENDERING, generation_id="g")):
                for record in records:
                    journal.step(record.job, step)
                await journal.synced()
            await engine.heartbeat_for(list(places.values()))
            await WorkerRegistry(worker, "w").appear(engine.connection, {}, 30.0)
            await engine.done(list(places.values()), succeeded=True)
            assert not await engine.is_empty()

    assert rows_read(long_list) - before < MANY / 2


def test_one_more_job_and_a_look_at_all_read_a_few_rows(long_list: str, tmp_path: Path) -> None:
    before = rows_read(long_list)
    queue(long_list, tmp_path, [job(0)])
    assert SharedJobs(long_list, QUIET).show_status() == 3

    assert rows_read(long_list) - before < MANY / 2
    assert counts(long_list) == {"planned": MANY + 1}
