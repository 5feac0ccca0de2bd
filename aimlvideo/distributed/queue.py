"""The queue that shares out the jobs: PgQueuer, of which this file is the one importer.

The engine decides who works on what, keeps the account-wide cap, and gives the jobs of a worker that fell silent to
another. It is not trusted with money: whether a job may be bought is decided by the journal alone, so a job that the
engine hands out twice is only a look at the journal wasted. PgQueuer's statements are used without its run loop: an
outstanding generation costs no task here, and a worker outlives the engine's connection.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import anyio
import psycopg
from pgqueuer import Job, PsycopgDriver, Queries
from pgqueuer.ports.repository import EntrypointExecutionParameter
from pgqueuer.types import JOB_STATUS, JobId, QueueEntrypoint, QueueManagerId

CLIPS = QueueEntrypoint("aimlvideo")
QueueEntry = Job
"""A job's place in the queue."""
CHUNK = 5000
"""Jobs that are put in, or ended, with one statement."""


class JobQueue:
    """One worker's side of the queue, over one connection. Jobs are known by their ids, as in the journal.

    A job that was taken counts against the cap until it is done with, also while its worker is dead: `heartbeat`
    seconds after a worker's last `beat`, its jobs are given to whoever takes next, each with its place under the cap.
    """

    def __init__(self, connection: psycopg.AsyncConnection[Any], worker: UUID, cap: int, heartbeat: float) -> None:
        self.connection = connection
        self._queries = Queries(PsycopgDriver(connection))
        self._worker = QueueManagerId(worker)
        self._cap = EntrypointExecutionParameter(concurrency_limit=cap)
        self._heartbeat = timedelta(seconds=heartbeat)
        self._table = self._queries.qbe.qualified.queue_table

    async def install(self) -> None:
        """Make the engine's tables, or bring them up to date."""
        if await self._queries.schema_is_installed():
            await self._queries.upgrade()
        else:
            await self._queries.install()

    async def put(self, names: Iterable[str]) -> int:
        """Queue jobs; one that is in the queue already stays as it is. Returns how many are new."""
        fresh, chunk = 0, []
        for name in names:
            chunk.append(name)
            if len(chunk) == CHUNK:
                fresh += await self._put(chunk)
                chunk = []
        fresh += await self._put(chunk) if chunk else 0
        if fresh:
            await self.connection.execute(f"ANALYZE {self._table}")  # else it is read as if it were small, and slowly
        return fresh

    async def take(self, most: int, share: int) -> dict[str, QueueEntry]:
        """Make up to `most` jobs ours, so that we have at most `share`; return their places in the queue."""
        rows = await self._queries.dequeue(
            batch_size=most,
            entrypoints={CLIPS: self._cap},
            queue_manager_id=self._worker,
            global_concurrency_limit=share,
            heartbeat_timeout=self._heartbeat,
        )
        return {(row.payload or b"").decode(): row for row in rows}

    async def beat(self, places: Collection[QueueEntry]) -> set[JobId]:
        """Say that we are alive and work on these; return the ids of those that are another worker's now."""
        ids = [place.id for place in places]
        still = f"UPDATE {self._table} SET heartbeat = now() WHERE id = ANY(%s) AND queue_manager_id = %s RETURNING id"
        rows = await (await self.connection.execute(still, (ids, self._worker))).fetchall()
        return {*ids} - {one for (one,) in rows}

    async def done(self, places: Sequence[QueueEntry], *, well: bool) -> None:
        """Take jobs that have ended, well or not, out of the queue."""
        status: JOB_STATUS = "successful" if well else "exception"
        for start in range(0, len(places), CHUNK):
            await self._queries.log_jobs([(place, status, None) for place in places[start : start + CHUNK]])

    async def let_go(self, places: Sequence[QueueEntry]) -> None:
        """Leave jobs to others at once. Each keeps its place under the cap: its generation may be outstanding."""
        gone = f"UPDATE {self._table} SET heartbeat = 'epoch' WHERE id = ANY(%s) AND queue_manager_id = %s"
        await self.connection.execute(gone, ([place.id for place in places], self._worker))

    async def later(self, places: Sequence[QueueEntry], seconds: float) -> None:
        """Put jobs back into the queue, for whoever takes them after a while. They count against the cap no longer."""
        for place in places:
            await self._queries.retry_job(place, timedelta(seconds=seconds), None)

    async def depth(self) -> dict[str, int]:
        """Return how many jobs are `queued` and how many are `picked` (being worked on)."""
        counts: dict[str, int] = {}
        for row in await self._queries.queue_size():
            counts[row.status] = counts.get(row.status, 0) + row.count
        return counts

    async def tidy(self) -> None:
        """Fold the engine's own log, which has some rows for each job, into its statistics, and empty it."""
        await self._queries.aggregate_logs()
        await self.connection.execute(f"DELETE FROM {self._queries.qbe.qualified.queue_table_log} WHERE aggregated")

    async def _put(self, names: list[str]) -> int:
        payloads: list[bytes | None] = [name.encode() for name in names]
        keys: list[str | None] = [f"aimlvideo:{name}" for name in names]
        count = len(names)
        ids = await self._queries.enqueue([CLIPS] * count, payloads, [0] * count, dedupe_key=keys, on_conflict="skip")
        return sum(one is not None for one in ids)


@asynccontextmanager
async def open_queue(dsn: str, worker: UUID, cap: int = 0, heartbeat: float = 30.0) -> AsyncIterator[JobQueue]:
    """Give the engine over a connection of its own, closed on leaving. `cap` 0 means none."""
    connection = await psycopg.AsyncConnection.connect(dsn, autocommit=True, connect_timeout=10)
    try:
        yield JobQueue(connection, worker, cap, heartbeat)
    finally:
        with anyio.CancelScope(shield=True):
            await connection.close()
