"""The queue that shares out the jobs: PgQueuer, of which this file is the one importer.

The engine decides who works on what, and gives the jobs of a worker that fell silent to another. It is not trusted
with money, cap or rate: whether a job may be bought is decided by the journal alone, so a job that the engine hands out
twice is only a read of the journal wasted. Its statements are used without its run loop: an outstanding generation
costs no task here, and a worker outlives the engine's connection.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import islice
from typing import Any, Self
from uuid import UUID

import psycopg
from pgqueuer import Job, PsycopgDriver, Queries
from pgqueuer.db import SyncPsycopgDriver
from pgqueuer.ports.repository import EntrypointExecutionParameter
from pgqueuer.queries import SyncQueries
from pgqueuer.types import JOB_STATUS, JobId, QueueEntrypoint, QueueManagerId

from aimlvideo.shell.journal.postgres_connection import BY_INDEX, Connection, Database
from aimlvideo.shell.journal.postgres_schema import CATCH_UP, catch_up

CLIPS = QueueEntrypoint("aimlvideo")
QueueEntry = Job
"""A job's place in the queue."""
CHUNK = 5000
"""Jobs that are put in, or ended, with one statement."""
# The engine's own cap counts all picked jobs at each taking and seats them one by one (pgqueuer #761): it is off.
UNLIMITED = EntrypointExecutionParameter(concurrency_limit=0)
NEVER = timedelta(days=36500)
LOOK_AGAIN = 60.0
"""Seconds after which a job that waits for another one is looked at in any case."""
UNENDED_PARENT = """
    SELECT FROM aimlvideo_jobs child JOIN aimlvideo_jobs parent ON parent.id = ANY(child.parents)
    WHERE child.id = convert_from(payload, 'UTF8') AND parent.stage NOT IN ('saved', 'failed')
"""


class JobQueue:
    """One worker's side of the queue, over one connection. Jobs are known by their ids, as in the journal.

    `heartbeat` seconds after a worker was heard of last, its jobs are given to whoever takes over next.
    """

    def __init__(self, connection: Connection, worker: UUID, heartbeat: float) -> None:
        self.connection = connection
        self._queries = Queries(PsycopgDriver(connection))
        self._worker = QueueManagerId(worker)
        self.heartbeat = heartbeat
        self._table = self._queries.qbe.qualified.queue_table
        self._awake = f"UPDATE {self._table} SET priority = 0, execute_after = now()"

    @classmethod
    @asynccontextmanager
    async def open(cls, dsn: str, worker: UUID, heartbeat: float = 30.0) -> AsyncIterator[Self]:
        """Give the queue over a connection of its own, closed on leaving."""
        async with Database(dsn).connection() as connection:
            await connection.execute(BY_INDEX)
            yield cls(connection, worker, heartbeat)

    async def install(self) -> None:
        """Make the engine's tables, or bring them up to date."""
        if await self._queries.schema_is_installed():
            await self._queries.upgrade()
        else:
            await self._queries.install()

    async def catch_up(self) -> None:
        """Have new rows get new numbers also where the database has changed hands; as `catch_up` of the tables does."""
        tables = self._queries.qbe.qualified
        await self.connection.execute(CATCH_UP)
        await self.connection.execute(catch_up(**{tables.queue_table: "id", tables.queue_table_log: "id"}))

    async def take(self, most: int) -> dict[str, QueueEntry]:
        """Make up to `most` waiting jobs ours; return their places in the queue."""
        rows = await self._queries.dequeue(
            batch_size=most, entrypoints={CLIPS: UNLIMITED}, queue_manager_id=self._worker,
            global_concurrency_limit=None, heartbeat_timeout=NEVER,
        )  # fmt: skip
        return _by_job(rows)

    async def take_over(self, most: int) -> dict[str, QueueEntry]:
        """Make up to `most` jobs ours that were begun, and whose worker is silent or has left them."""
        # MATERIALIZED: inlined, the planner may run the locking query more than once and take more rows than `most`.
        overdue = f"""
            WITH overdue AS MATERIALIZED (
                SELECT id FROM {self._table} WHERE status = 'picked' AND entrypoint = %s
                AND heartbeat < now() - make_interval(secs => %s) LIMIT %s FOR UPDATE SKIP LOCKED
            )
            UPDATE {self._table} SET heartbeat = now(), queue_manager_id = %s
            WHERE id IN (SELECT id FROM overdue) RETURNING *
        """
        async with self.connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
            await cursor.execute(overdue, (CLIPS, self.heartbeat, most, self._worker))
            return _by_job([Job.model_validate(row) for row in await cursor.fetchall()])

    async def heartbeat_for(self, places: Collection[QueueEntry]) -> set[JobId]:
        """Say that we are alive and work on these; return the ids of those that are another worker's now."""
        ids = [place.id for place in places]
        renew = f"UPDATE {self._table} SET heartbeat = now() WHERE id = ANY(%s) AND queue_manager_id = %s RETURNING id"
        rows = await (await self.connection.execute(renew, (ids, self._worker))).fetchall()
        return {*ids} - {one for (one,) in rows}

    async def reclaim(self, places: Mapping[str, QueueEntry]) -> None:
        """Have again those of our places that the database has forgotten we took, and whose jobs we have begun.

        One that it does not have at all is made anew, for whoever takes over next.
        """
        begun = "FROM aimlvideo_jobs job WHERE stage NOT IN ('planned', 'saved', 'failed') AND owner = %s"
        again = (
            f"UPDATE {self._table} SET status = 'picked', heartbeat = now(), queue_manager_id = %s WHERE id = ANY(%s) "
            f"AND status = 'queued' AND EXISTS (SELECT {begun} AND job.id = convert_from(payload, 'UTF8'))"
        )
        worker = str(self._worker)
        await self.connection.execute(again, (self._worker, [place.id for place in places.values()], worker))
        lost = f"SELECT id {begun} AND id = ANY(%s) AND NOT EXISTS ({_place_of(self._table)})"
        names = [name for (name,) in await (await self.connection.execute(lost, (worker, [*places]))).fetchall()]
        if names:
            await self._enqueue_begun(names)

    async def _enqueue_begun(self, names: Sequence[str]) -> None:
        count = len(names)
        keys, payloads = _keys_and_payloads(names)
        ids = await self._queries.enqueue([CLIPS] * count, payloads, [0] * count, dedupe_key=keys, on_conflict="skip")
        await self.connection.execute(_let_go(self._table), ([one for one in ids if one is not None],))

    async def done(self, places: Sequence[QueueEntry], *, succeeded: bool) -> None:
        """Take jobs that have ended, with a clip or without, out of the queue."""
        status: JOB_STATUS = "successful" if succeeded else "exception"
        for start in range(0, len(places), CHUNK):
            await self._queries.log_jobs([(place, status, None) for place in places[start : start + CHUNK]])

    async def leave(self, places: Sequence[QueueEntry], seconds: float = 0.0) -> None:
        """Leave jobs that were begun to whoever takes over next, after a while."""
        let_go = (
            f"UPDATE {self._table} SET heartbeat = now() + make_interval(secs => %s), queue_manager_id = NULL "
            "WHERE id = ANY(%s) AND queue_manager_id = %s"
        )
        due = seconds - self.heartbeat - 1
        await self.connection.execute(let_go, (due, [place.id for place in places], self._worker))

    async def give_back(self, places: Sequence[QueueEntry]) -> None:
        """Put jobs that were not begun back into the queue, for whoever takes them next; one statement for all."""
        # The engine's own retry_job takes one job at a time, and whoever holds it now.
        back = (
            f"UPDATE {self._table} SET status = 'queued', queue_manager_id = NULL, updated = now() "
            "WHERE id = ANY(%s) AND queue_manager_id = %s"
        )
        await self.connection.execute(back, ([place.id for place in places], self._worker))

    async def postpone(self, places: Sequence[QueueEntry]) -> None:
        """Put jobs back that take clips from others which have not ended, behind all that can begin."""
        waiting = (
            f"UPDATE {self._table} SET status = 'queued', queue_manager_id = NULL, updated = now(), priority = -1, "
            "execute_after = now() + make_interval(secs => %s) WHERE id = ANY(%s) AND queue_manager_id = %s"
        )
        ids = [place.id for place in places]
        await self.connection.execute(waiting, (LOOK_AGAIN, ids, self._worker))
        # One may have ended since it was read, and whoever ended it found this job not waiting yet.
        await self.connection.execute(f"{self._awake} WHERE id = ANY(%s) AND NOT EXISTS ({UNENDED_PARENT})", (ids,))

    async def wake_children(self, names: Sequence[str]) -> None:
        """Let the jobs that take clips from these be taken at once: these have ended."""
        children = "SELECT 'aimlvideo:' || id FROM aimlvideo_jobs WHERE parents && %s"
        await self.connection.execute(f"{self._awake} WHERE status = 'queued' AND dedupe_key IN ({children})", (names,))

    async def release(self) -> None:
        """Give up all that is still ours, also what a statement took whose answer did not arrive."""
        planned = "SELECT FROM aimlvideo_jobs WHERE id = convert_from(payload, 'UTF8') AND stage = 'planned'"
        back = (
            f"UPDATE {self._table} SET status = 'queued', queue_manager_id = NULL "
            f"WHERE queue_manager_id = %s AND EXISTS ({planned})"
        )
        await self.connection.execute(back, (self._worker,))
        # A job that may have been paid for stays "picked", so that it is taken over as begun and never as new; its
        # heartbeat of 1970 lets that happen at once.
        let_go = f"UPDATE {self._table} SET heartbeat = 'epoch', queue_manager_id = NULL WHERE queue_manager_id = %s"
        await self.connection.execute(let_go, (self._worker,))

    async def is_empty(self) -> bool:
        """Tell whether no job is in the queue that a worker has or can begin."""
        # Where only postponed ones are left, what they wait for is in no queue: a person has to settle it.
        begins = "entrypoint = %s AND (status <> 'queued' OR priority >= 0)"
        row = await (
            await self.connection.execute(f"SELECT EXISTS (SELECT FROM {self._table} WHERE {begins})", (CLIPS,))
        ).fetchone()
        return row == (False,)

    async def compact_log(self) -> None:
        """Fold the engine's own log, which has some rows for each job, into its statistics, and take ours out of it.

        An application may use the engine in the same database, for other jobs.
        """
        await self._queries.aggregate_logs()
        ours = f"DELETE FROM {self._queries.qbe.qualified.queue_table_log} WHERE aggregated AND entrypoint = %s"
        await self.connection.execute(ours, (CLIPS,))


def enqueue_stranded(connection: psycopg.Connection[Any], names: Sequence[str]) -> int:
    """Queue those of these jobs that are planned and have no place, as nobody would ever take them; return how many."""
    table = SyncQueries(SyncPsycopgDriver(connection)).qbq.qualified.queue_table
    lost = "SELECT id FROM aimlvideo_jobs job WHERE id = ANY(%s) AND stage = 'planned'"
    rows = connection.execute(f"{lost} AND NOT EXISTS ({_place_of(table)}) ORDER BY seq", ([*names],))
    return enqueue_jobs(connection, [name for (name,) in rows])


def enqueue_jobs(
    connection: psycopg.Connection[Any], names: Iterable[str], *, begun: bool = False, again: bool = False
) -> int:
    """Queue jobs, over a connection that blocks; one that is in the queue already stays as it is.

    Jobs that were `begun` are left to whoever takes over next: they hold their places under the cap already. Those that
    come `again` had ended, and get a new place. Returns how many are new.
    """
    queries = SyncQueries(SyncPsycopgDriver(connection))
    table = queries.qbq.qualified.queue_table
    connection.execute(catch_up(**{table: "id", queries.qbq.qualified.queue_table_log: "id"}))
    added, waiting = 0, iter(names)
    while chunk := list(islice(waiting, CHUNK)):
        count = len(chunk)
        keys, payloads = _keys_and_payloads(chunk)
        if again:
            # Where the worker that saw a job end has not given its place up yet, it will: the job would be in none.
            connection.execute(f"DELETE FROM {table} WHERE dedupe_key = ANY(%s)", (keys,))
        ids = queries.enqueue([CLIPS] * count, payloads, [0] * count, dedupe_key=keys, on_conflict="skip")
        new = [one for one in ids if one is not None]
        if begun and new:
            connection.execute(_let_go(table), (new,))
        added += len(new)
    # After many new rows at once the planner's statistics are those of a short queue.
    if added >= CHUNK:
        connection.execute(f"ANALYZE {table}")
    return added


def _place_of(table: str) -> str:
    """Return the query for a job's place in the queue. With its status: the queue's index is of such places alone."""
    return f"SELECT FROM {table} WHERE dedupe_key = 'aimlvideo:' || job.id AND status IN ('queued', 'picked')"


def _keys_and_payloads(names: Sequence[str]) -> tuple[list[str | None], list[bytes | None]]:
    """Return what the places of these jobs are known by, and what they say."""
    return [f"aimlvideo:{name}" for name in names], [name.encode() for name in names]


def _let_go(table: str) -> str:
    """Return the statement that leaves places to whoever takes over next."""
    return f"UPDATE {table} SET status = 'picked', heartbeat = 'epoch' WHERE id = ANY(%s)"


def _by_job(rows: Iterable[Job]) -> dict[str, QueueEntry]:
    return {(row.payload or b"").decode(): row for row in rows}
