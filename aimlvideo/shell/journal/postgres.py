"""The journal in PostgreSQL: every step of every job, for many machines.

Steps are buffered and written by one task, in groups; `synced` returns when they are committed. With an `owner` every
statement that writes a step also checks whose the job is: a worker that was frozen, and whose jobs were given to
another meanwhile, changes nothing, and is told so before it sends anything.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio
import psycopg
from psycopg_pool import AsyncConnectionPool

from aimlvideo.core.jobs.columns import (
    PROGRESS_COLUMNS,
    changed_content_problem,
    columns_of,
    duplicate_id_problem,
    job_from_json,
    progress_of,
)
from aimlvideo.core.jobs.job import Attempt, Progress, Record, VideoJob, attempt_of, is_another_attempt
from aimlvideo.core.jobs.numbering import CopyNumbers
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.errors import InvalidJobs
from aimlvideo.shell.journal.postgres_schema import AGAIN, AWAY, checked, connected, translated
from aimlvideo.shell.task_groups import task_group

ROWS = f"SELECT id, folder, asked, {', '.join(PROGRESS_COLUMNS)} FROM aimlvideo_jobs"
ALIVE = 60
"""Seconds for which a worker that was heard of may still be sending what it began to send."""


class SyncPostgresJournal:
    """The jobs of one database, over one connection that blocks: for commands, not for a busy event loop."""

    def __init__(self, db: psycopg.Connection[Any]) -> None:
        self.db = db
        self._run = 1
        self._planned: dict[str, int] = {}  # the run that planned each id here: runs end with their process
        self._copies = CopyNumbers()
        self._copy: Callable[[Sequence[Any]], None] | None = None

    def begin(self) -> int:
        """Begin another run, and number it: what it plans may have been planned before, by any other run."""
        self._run += 1
        return self._run

    @contextmanager
    def planning(self) -> Iterator[None]:
        """Plan any number of jobs at once: all of them, or, where anything is wrong, nothing."""
        before = dict(self._planned)
        try:
            with self._planning():
                yield
        except BaseException:
            self._planned = before
            self._copies.forget()
            raise

    @contextmanager
    def _planning(self) -> Iterator[None]:
        with translated(), self.db.transaction():
            self.db.execute("CREATE TEMP TABLE incoming (id text, folder text, asked text) ON COMMIT DROP")
            with self.db.cursor().copy("COPY incoming FROM STDIN") as copy:
                self._copy = copy.write_row
                try:
                    yield
                finally:
                    self._copy = None
            self._refuse_changed()
            self.db.execute(
                "INSERT INTO aimlvideo_jobs (id, folder, asked) SELECT id, folder, asked FROM incoming "
                "ON CONFLICT DO NOTHING"
            )

    def plan(self, job: VideoJob, *, distinct: bool = False, run: int | None = None) -> Record:
        """Write a new job down, or return what one that is here already has come to (inside `planning`: nothing yet).

        Raises InvalidJobs where the id stands for another content, or where it came before in this `run`. With
        `distinct`, a second job whose id comes from its content gets an id of its own: `ID-2`.
        """
        run = self._run if run is None else run
        if self._planned.get(job.id) == run:
            if not (distinct and job.derived):
                raise InvalidJobs([duplicate_id_problem(job.id)])
            job = job.named(self._copies.next_id(job.id, run, lambda name: self._planned.get(name) == run))
        row = (job.id, str(job.folder) if job.folder else None, job.content())
        if self._copy is not None:
            self._copy(row)
            self._planned[job.id] = run
            return Record(job, Progress())
        with translated():
            insert = "INSERT INTO aimlvideo_jobs (id, folder, asked) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
            if self.db.execute(insert, row).rowcount:
                self._planned[job.id] = run
                return Record(job, Progress())
        before = self.db.execute(f"{ROWS} WHERE id = %s", (job.id,)).fetchone()
        assert before is not None
        if before[2] != job.content():
            raise InvalidJobs([changed_content_problem(job.id, before[2], job.content())])
        self._planned[job.id] = run
        return Record(job, progress_of(before[3:]))

    def open_jobs(self, *, retry_failed: bool = False) -> Iterator[Record]:
        """Give each job that is not ended once, those that are outstanding first."""
        ended = "('saved')" if retry_failed else "('saved', 'failed')"
        yield from self._all(f"stage NOT IN {ended} ORDER BY stage = 'planned', seq")

    def open_ids(self) -> Iterator[str]:
        """Give the ids of the jobs that are not ended, in the order in which they were planned."""
        rows = self.db.execute("SELECT id FROM aimlvideo_jobs WHERE stage NOT IN ('saved', 'failed') ORDER BY seq")
        yield from (name for (name,) in rows)

    def retry_failed(self) -> None:
        """Plan failed jobs again; of those that were paid, the clip is fetched."""
        for record in list(self._all("stage = 'failed'")):
            self.settle(record, record.progress.for_retry())

    def settle(self, record: Record, progress: Progress) -> bool:
        """Write what a person has settled of a job. It is nobody's then: a worker that had it finds it gone.

        False, and nothing is written, where the job has moved since, or is being submitted by a worker that lives.
        """
        job, before = record
        columns = ", ".join(f"{name} = %s" for name in PROGRESS_COLUMNS)
        alive = f"SELECT 1 FROM aimlvideo_workers WHERE id = owner AND seen_at > now() - interval '{ALIVE} s'"
        unmoved = "id = %s AND stage = %s AND request_id IS NOT DISTINCT FROM %s"
        values = (*columns_of(progress), job.id, before.stage.value, before.request_id)
        with translated():
            settled = self.db.execute(
                f"UPDATE aimlvideo_jobs SET {columns}, owner = NULL "
                f"WHERE {unmoved} AND NOT (stage = 'submitting' AND EXISTS ({alive}))",
                values,
            )
        return settled.rowcount == 1

    def workers(self) -> list[tuple[str, float, int]]:
        """Return the workers on the roll: name, seconds since they were heard of, jobs in hand."""
        on_roll = (
            "SELECT name, extract(epoch FROM now() - seen_at)::float8, (said ->> 'in_hand')::int "
            "FROM aimlvideo_workers ORDER BY name"
        )
        return [(name, age, in_hand) for name, age, in_hand in self.db.execute(on_roll)]

    def ended_jobs(self) -> Iterator[Record]:
        """Give the jobs that are saved or failed."""
        yield from self._all("stage IN ('saved', 'failed') ORDER BY seq")

    def find(self, job_id: str) -> Record | None:
        """Return one job with its progress, or None."""
        row = self.db.execute(f"{ROWS} WHERE id = %s", (job_id,)).fetchone()
        return record_of(row) if row else None

    def attempts(self, job_id: str) -> list[Attempt]:
        """Return every submission of one job, the oldest first: no request id and no generation id is ever dropped."""
        rows = self.db.execute(
            "SELECT request_id, generation_id, account, submitted_at, service_time, stage FROM aimlvideo_attempts "
            "WHERE job = %s ORDER BY seq",
            (job_id,),
        )
        earlier = [Attempt._make((*values, Stage(stage))) for *values, stage in rows]
        record = self.find(job_id)
        return [*earlier, attempt_of(record.progress)] if record and record.progress.has_attempt else earlier

    def by_generation(self, generation_id: str) -> Record | None:
        """Return the job that a generation belongs to, or None."""
        row = self.db.execute(f"{ROWS} WHERE generation_id = %s LIMIT 1", (generation_id,)).fetchone()
        return record_of(row) if row else None

    def accepted_sample(self) -> Record | None:
        """Return a job that the service surely took, under a request id of ours; None where there is none."""
        taken = "generation_id IS NOT NULL AND request_id IS NOT NULL AND stage IN ('rendering', 'ready', 'saved')"
        row = self.db.execute(f"{ROWS} WHERE {taken} LIMIT 1").fetchone()
        return record_of(row) if row else None

    def counts(self) -> dict[str, int]:
        """Return the number of jobs by stage."""
        return dict(self.db.execute("SELECT stage, count(*) FROM aimlvideo_jobs GROUP BY stage").fetchall())

    def planned_models(self) -> dict[str, int]:
        """Return the number of planned jobs by model."""
        by_model = "SELECT asked::json ->> 0, count(*) FROM aimlvideo_jobs WHERE stage = 'planned' GROUP BY 1"
        return dict(self.db.execute(by_model).fetchall())

    def spent(self) -> float:
        """Return what all jobs are known to have cost, in USD."""
        return float(self._one("SELECT coalesce(sum(cost_usd), 0) FROM aimlvideo_jobs"))

    def unknown_costs(self) -> int:
        """Return how many clips there are whose cost nobody said."""
        return int(
            self._one("SELECT count(*) FROM aimlvideo_jobs WHERE stage IN ('ready', 'saved') AND cost_usd IS NULL")
        )

    def fact(self, name: str) -> str | None:
        """Return one fact about the whole, such as its service."""
        row = self.db.execute("SELECT value FROM aimlvideo_facts WHERE name = %s", (name,)).fetchone()
        return row[0] if row else None

    def note(self, name: str, value: str) -> None:
        """Write one fact about the whole."""
        write = "INSERT INTO aimlvideo_facts VALUES (%s, %s) ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value"
        with translated():
            self.db.execute(write, (name, value))

    def _refuse_changed(self) -> None:
        rows = self.db.execute(
            "SELECT id, job.asked, incoming.asked FROM incoming JOIN aimlvideo_jobs job USING (id) "
            "WHERE job.asked <> incoming.asked LIMIT 1000"
        ).fetchall()
        if rows:
            raise InvalidJobs([changed_content_problem(*row) for row in rows])

    def _all(self, which: str) -> Iterator[Record]:
        with self.db.transaction(), self.db.cursor(name="jobs") as cursor:
            cursor.itersize = 2000
            for row in cursor.execute(f"{ROWS} WHERE {which}"):
                yield record_of(row)

    def _one(self, question: str) -> Any:
        row = self.db.execute(question).fetchone()
        assert row is not None
        return row[0]


@contextmanager
def open_sync_journal(dsn: str) -> Iterator[SyncPostgresJournal]:
    """Give the jobs of a database, for planning and reading. Raises JournalError where there are none."""
    with connected(dsn) as db, translated():
        checked(db)
        yield SyncPostgresJournal(db)


def record_of(row: Sequence[Any]) -> Record:
    job_id, folder, content, *columns = row
    return Record(job_from_json(job_id, folder, content), progress_of(columns))


TYPES = (
    *("text",) * 5, "float8", "int4", "float8", "float8", "float8", "text", "int8", "bytea", "bytea",
    "text", "text", "text", "float8",
)  # fmt: skip
"""The types of a job's id and of its columns, in the order of `PROGRESS_COLUMNS`."""
STEPS = f"""
    UPDATE aimlvideo_jobs AS job SET {", ".join(f"{name} = new.{name}" for name in PROGRESS_COLUMNS)}
    FROM unnest(%s::text[], {", ".join(f"%s::{kind}[]" for kind in TYPES)}) AS new(id, {", ".join(PROGRESS_COLUMNS)})
    WHERE job.id = new.id AND (%s::text IS NULL OR job.owner = %s) RETURNING job.id
"""
REPLACED = """
    INSERT INTO aimlvideo_attempts (job, request_id, generation_id, account, submitted_at, service_time, stage)
    VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""


COLUMNS = ", ".join(PROGRESS_COLUMNS)
TAKE = f"UPDATE aimlvideo_jobs SET owner = %s WHERE id = ANY(%s) RETURNING id, folder, asked, {COLUMNS}"
PARTING = 10.0
"""Seconds for which one writing may take, and for which the last steps are tried on closing."""


log = logging.getLogger("aimlvideo.journal")


class PostgresJournal(SyncPostgresJournal):
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
        self._replaced: list[tuple[str, Attempt]] = []
        self._written = self._committed = 0
        self._sure_at = time.monotonic()
        self._step_noted, self._committed_more = anyio.Event(), anyio.Event()

    @property
    def unwritten(self) -> int:
        """How many steps are noted and not yet committed."""
        return self._written - self._committed

    def adopt(self, job: VideoJob, progress: Progress) -> Record:
        """Write down a job that somebody else submitted, or return it as it is here already."""
        if (record := self.find(job.id)) is not None:
            return record
        self.plan(job)
        self.step(job, progress)
        return Record(job, progress)

    def step(self, job: VideoJob, progress: Progress) -> None:
        """Note a job's progress, to be written next. See `synced`."""
        self._written += 1
        # Only the last of several waiting steps is written: an attempt that ended between two of them is kept here.
        if (before := self._waiting.get(job.id)) is not None and is_another_attempt(before, progress):
            self._replaced.append((job.id, attempt_of(before)))
        self._waiting[job.id] = progress
        self._step_noted.set()

    async def synced(self) -> None:
        """Return when all steps noted before this call are committed, and what is ours was surely ours a moment ago."""
        written_before = self._written
        while self._committed < written_before:
            await self._committed_more.wait()
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
                await self._step_noted.wait()
            self._step_noted = anyio.Event()
            steps, self._waiting, covered = self._waiting, {}, self._written
            replaced, self._replaced = self._replaced, []
            try:
                with anyio.fail_after(PARTING, shield=True):
                    await self._flush(steps, replaced)
            except (*AWAY, TimeoutError) as error:
                log.warning("the journal is away: %s", error)
                self._take_back(steps, replaced)
                await anyio.sleep(AGAIN)
                continue
            except BaseException:
                self._take_back(steps, replaced)
                raise
            self._committed = covered
            self._committed_more.set()
            self._committed_more = anyio.Event()

    def _take_back(self, steps: dict[str, Progress], replaced: list[tuple[str, Attempt]]) -> None:
        """Let what could not be written wait again, before what has come meanwhile."""
        both = steps.keys() & self._waiting.keys()
        ended = (name for name in both if is_another_attempt(steps[name], self._waiting[name]))
        replaced += ((name, attempt_of(steps[name])) for name in ended)
        self._waiting, self._replaced = steps | self._waiting, replaced + self._replaced

    async def _flush(self, steps: dict[str, Progress], replaced: list[tuple[str, Attempt]]) -> None:
        began = time.monotonic()
        columns = [list(map(_clean, column)) for column in zip(*map(columns_of, steps.values()), strict=True)]
        async with self._pool.connection() as connection, connection.transaction():
            for name, attempt in replaced:
                await connection.execute(REPLACED, (name, *map(_clean, attempt)))
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
    with open_sync_journal(dsn) as book:
        pool = AsyncConnectionPool(dsn, min_size=1, max_size=3, timeout=5, open=False, kwargs={"autocommit": True})
        await pool.open()
        try:
            async with task_group() as tasks:
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
