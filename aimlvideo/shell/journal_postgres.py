"""The journal of many machines: what is known of every job, in PostgreSQL.

Steps are buffered and written by one task, in groups; `synced` returns when they are committed. With an `owner` every
statement that writes a step also checks whose the job is: a worker that was frozen, and whose jobs were given to
another meanwhile, changes nothing, and is told so before it sends anything.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import psycopg
from psycopg_pool import AsyncConnectionPool

from aimlvideo.blocks import block
from aimlvideo.core.job import Progress, Record, VideoJob
from aimlvideo.core.written import KNOWN, columns_of
from aimlvideo.shell.postgres_book import PostgresBook, open_book, record_of
from aimlvideo.shell.postgres_tables import AGAIN, AWAY

TYPES = ("text",) * 5 + ("float8", "int4", "float8", "float8", "float8", "text", "int8", "bytea", "bytea")
STEPS = f"""
    UPDATE aimlvideo_jobs AS job SET {", ".join(f"{name} = new.{name}" for name in KNOWN)}
    FROM unnest(%s::text[], {", ".join(f"%s::{kind}[]" for kind in TYPES)}) AS new(id, {", ".join(KNOWN)})
    WHERE job.id = new.id AND (%s::text IS NULL OR job.owner = %s) RETURNING job.id
"""
TAKE = f"UPDATE aimlvideo_jobs SET owner = %s WHERE id = ANY(%s) RETURNING id, folder, asked, {', '.join(KNOWN)}"
PARTING = 10.0
"""Seconds for which one writing may take, and for which the last steps are tried on closing."""

log = logging.getLogger("aimlvideo.journal")


class PostgresJournal(PostgresBook):
    """The journal in one database. `lost` is called with each job that turns out to be another owner's now."""

    def __init__(self, db: psycopg.Connection[Any], pool: AsyncConnectionPool, owner: str | None) -> None:
        super().__init__(db)
        self.owner = owner
        self.lease = 10.0
        """Seconds for which it is taken for granted, before a request, that a job is still ours."""
        self.lost: Callable[[str], None] = lambda _: None
        self._pool = pool
        self._mine: set[str] = set()
        self._waiting: dict[str, Progress] = {}
        self._written = self._kept = 0
        self._sure_at = time.monotonic()
        self._news, self._kept_more = anyio.Event(), anyio.Event()

    @property
    def unwritten(self) -> int:
        """How many steps are noted and not yet committed."""
        return self._written - self._kept

    def adopt(self, job: VideoJob, progress: Progress) -> Record:
        """Write down a job that somebody else submitted, or return what is known of it."""
        if (known := self.find(job.id)) is not None:
            return known
        self.plan(job)
        self.step(job, progress)
        return Record(job, progress)

    def step(self, job: VideoJob, progress: Progress) -> None:
        """Note a job's progress, to be written next. See `synced`."""
        self._written += 1
        self._waiting[job.id] = progress
        self._news.set()

    async def synced(self) -> None:
        """Return when all steps noted before this call are committed, and what is ours was surely ours a moment ago."""
        wanted = self._written
        while self._kept < wanted:
            await self._kept_more.wait()
        while self.owner is not None and time.monotonic() - self._sure_at > self.lease:
            await self.verify()

    async def take(self, ids: Iterable[str]) -> list[Record]:
        """Make jobs ours, whoever had them, and return them as they stand."""
        await self.synced()  # what an earlier life of a job left to be written is refused before it is ours again
        names = list(ids)
        async with self._pool.connection() as connection:
            rows = await (await connection.execute(TAKE, (self.owner, names))).fetchall()
        self._mine.update(row[0] for row in rows)
        return [record_of(row) for row in rows]

    def let_go(self, ids: Iterable[str]) -> None:
        """Count jobs as ours no longer."""
        self._mine.difference_update(ids)

    async def verify(self) -> None:
        """Ask whether what is ours still is; name each that is not to `lost`. Tries until there is an answer."""
        while True:
            began, names = time.monotonic(), list(self._mine)
            try:
                async with self._pool.connection() as connection:
                    ours = "SELECT id FROM aimlvideo_jobs WHERE id = ANY(%s) AND owner = %s"
                    rows = await (await connection.execute(ours, (names, self.owner))).fetchall()
            except AWAY as error:
                log.warning("the journal is away: %s", error)
                await anyio.sleep(AGAIN)
                continue
            self._lose(set(names) - {name for (name,) in rows})
            self._sure_at = began
            return

    async def write(self) -> None:
        """Write what is noted, in groups, for as long as the journal is open."""
        while True:
            if not self._waiting:
                await self._news.wait()
            self._news = anyio.Event()
            steps, self._waiting, covered = self._waiting, {}, self._written
            try:
                with anyio.fail_after(PARTING, shield=True):
                    await self._flush(steps)
            except (*AWAY, TimeoutError) as error:
                log.warning("the journal is away: %s", error)
                self._waiting = steps | self._waiting
                await anyio.sleep(AGAIN)
                continue
            except BaseException:
                self._waiting = steps | self._waiting
                raise
            self._kept = covered
            self._kept_more.set()
            self._kept_more = anyio.Event()

    async def _flush(self, steps: dict[str, Progress]) -> None:
        began = time.monotonic()
        columns = [list(map(_clean, column)) for column in zip(*map(columns_of, steps.values()), strict=True)]
        async with self._pool.connection() as connection:
            done = await connection.execute(STEPS, (list(steps), *columns, self.owner, self.owner))
            rows = await done.fetchall()
        self._lose(steps.keys() - {name for (name,) in rows})
        self._sure_at = began

    def _lose(self, names: Iterable[str]) -> None:
        for name in names:
            log.warning("job %s was given to another worker", name)
            self._mine.discard(name)
            self.lost(name)


@asynccontextmanager
async def open_postgres_journal(dsn: str, owner: str | None = None) -> AsyncIterator[PostgresJournal]:
    """Give a journal that steps are written to. On leaving, the last ones are written. Raises JournalError."""
    with open_book(dsn) as book:
        pool = AsyncConnectionPool(dsn, min_size=1, max_size=3, timeout=5, open=False, kwargs={"autocommit": True})
        await pool.open()
        try:
            async with block() as tasks:
                journal = PostgresJournal(book.db, pool, owner)
                tasks.start_soon(journal.write)
                try:
                    yield journal
                finally:
                    with anyio.move_on_after(PARTING, shield=True):
                        await journal.synced()
        finally:
            with anyio.CancelScope(shield=True):
                await pool.close()


def _clean(value: Any) -> Any:
    """PostgreSQL's text knows no NUL and no lone surrogates; what a service says may have both."""
    return value.replace("\0", "").encode(errors="replace").decode() if isinstance(value, str) else value
