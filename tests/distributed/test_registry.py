"""The roll of the workers, and the tables that it stands in."""

from __future__ import annotations

import time
from uuid import uuid4

import anyio
import psycopg
import pytest

from aimlvideo.cli.shared_jobs import SharedJobs
from aimlvideo.distributed.registry import WorkerRegistry
from aimlvideo.distributed.shared_account import Account
from aimlvideo.shell.journal.postgres_connection import AWAY, Connection, Database
from aimlvideo.shell.journal.postgres_sync import open_sync_journal
from tests.distributed.test_worker import QUIET

pytestmark = pytest.mark.real_time


async def test_the_roll_forgets_a_worker_that_died_long_ago_and_keeps_one_that_was_heard_of_lately(dsn: str) -> None:
    dead, late, ours = (WorkerRegistry(uuid4(), name) for name in ("dead", "late", "ours"))
    async with Database(dsn).connection() as connection:
        for registry in (dead, late):
            await registry.appear(connection, {}, 30.0)
        for name, seconds in (("dead", 100), ("late", 50)):
            silent = "UPDATE aimlvideo_workers SET seen_at = now() - make_interval(secs => %s) WHERE name = %s"
            await connection.execute(silent, (seconds, name))
        present = await ours.appear(connection, {}, 30.0)
    assert present == 1, "within a heartbeat"
    with open_sync_journal(dsn) as journal:
        assert [name for name, *_ in journal.workers()] == ["late", "ours"]


async def test_two_that_make_the_tables_at_once_both_find_them_made(empty_database: str) -> None:
    async with anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(anyio.to_thread.run_sync, SharedJobs(empty_database, QUIET).init)
    with psycopg.connect(empty_database) as db:
        assert db.execute("SELECT count(*) FROM aimlvideo_account").fetchone() == (1,)
        assert db.execute("SELECT count(*) FROM aimlvideo_facts WHERE name = 'schema'").fetchone() == (1,)


async def test_a_worker_that_joins_while_drain_waits_for_it_is_drained_too(dsn: str) -> None:
    ours = WorkerRegistry(uuid4(), "ours")
    waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid()"
    async with Database(dsn).connection() as connection:
        async with anyio.create_task_group() as tasks, connection.transaction():
            await Account.read(connection, locked=True)
            tasks.start_soon(anyio.to_thread.run_sync, SharedJobs(dsn, QUIET).drain)
            while not await (await connection.execute(waiting)).fetchone():  # noqa: ASYNC110 - it tells nobody
                await anyio.sleep(0.005)
            await ours.appear(connection, {}, 30.0)
        assert ours.is_drained((await Account.read(connection)).drained_at)


async def test_a_worker_on_which_postgres_hung_up_while_it_was_frozen_connects_again(dsn: str) -> None:
    async def frozen_in_a_transaction(connection: Connection) -> None:
        async with connection.transaction():
            await connection.execute("SELECT 1")
            time.sleep(0.1)  # noqa: ASYNC251 - the whole process stands still
            await connection.execute("SELECT 1")

    async with Database(dsn).connection() as connection:
        await connection.execute("SET idle_in_transaction_session_timeout = '20ms'")
        with pytest.raises(AWAY, match="idle-in-transaction"):
            await frozen_in_a_transaction(connection)
