"""The roll of the workers, and the tables that it stands in."""

from __future__ import annotations

import json
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


async def test_a_dead_worker_stays_on_the_roll_for_three_heartbeats_and_for_a_minute_at_least(dsn: str) -> None:
    dead, ours = (WorkerRegistry(uuid4(), name) for name in ("dead", "ours"))
    async with Database(dsn).connection() as connection:
        for heartbeat, silent, stays in ((1.0, 50, True), (1.0, 70, False), (30.0, 80, True)):
            await dead.appear(connection, {}, heartbeat)
            silence = "UPDATE aimlvideo_workers SET seen_at = now() - make_interval(secs => %s) WHERE name = 'dead'"
            await connection.execute(silence, (silent,))
            await ours.appear(connection, {}, heartbeat)
            assert (str(dead.worker) in await WorkerRegistry.ids(connection)) is stays, (heartbeat, silent)


async def test_a_worker_that_leaves_counts_at_once_no_more(dsn: str) -> None:
    other, ours = (WorkerRegistry(uuid4(), name) for name in ("other", "ours"))
    async with Database(dsn).connection() as connection:
        await other.appear(connection, {}, 30.0)
        assert await ours.appear(connection, {}, 30.0) == 2
        await other.leave(connection)
        assert await ours.appear(connection, {}, 30.0) == 1


def test_news_that_no_worker_has_sent_are_no_news() -> None:
    ours, theirs = WorkerRegistry(uuid4(), "ours"), str(uuid4())
    for odd in ("", "soon", "[" * 7000, "[]", "{}", '{"from": 1, "kind": "polls", "seconds": "soon"}'):
        assert ours.refusal_of(odd) is None
    for sender, refusal in ((theirs, ("polls", 3.0)), (str(ours.worker), None)):
        assert ours.refusal_of(json.dumps({"from": sender, "kind": "polls", "seconds": 3})) == refusal
    assert ours.refusal_of(json.dumps({"from": theirs, "kind": "polls", "seconds": None})) == ("polls", None)


async def test_a_worker_that_was_frozen_as_it_appeared_counts_itself_all_the_same(dsn: str) -> None:
    async with Database(dsn).connection() as connection:
        present = await WorkerRegistry(uuid4(), "ours").appear(connection, {}, 0.0)
    assert present == 1, "the account's limits are divided by it"


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
