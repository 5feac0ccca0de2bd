"""What is known of every job, in PostgreSQL: planned, read, counted."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg

from aimlvideo.core.job import Progress, Record, VideoJob
from aimlvideo.core.written import KNOWN, changed, columns_of, job_of_text, progress_of, repeated
from aimlvideo.errors import InvalidJobs
from aimlvideo.shell.postgres_tables import checked, connected, translated

ROWS = f"SELECT id, folder, asked, {', '.join(KNOWN)} FROM aimlvideo_jobs"


ALIVE = 60
"""Seconds for which a worker that was heard of may still be sending what it began to send."""


class PostgresBook:
    """The jobs of one database, over one connection that blocks: for commands, not for a busy event loop."""

    def __init__(self, db: psycopg.Connection[Any]) -> None:
        self.db = db
        self._seen: set[str] = set()
        self._copy: Callable[[Sequence[Any]], None] | None = None

    @contextmanager
    def planning(self) -> Iterator[None]:
        """Plan any number of jobs at once: all of them, or, where anything is wrong, nothing."""
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
        """Write a new job down, or return what is known of it (inside `planning`: nothing yet).

        Raises InvalidJobs where the id stands for another content, or (for an id that somebody chose) where it came
        before. With `distinct`, a second job of the same content gets an id of its own: `ID-2`.
        """
        job = self._distinct(job) if distinct else job
        if job.id in self._seen:
            raise InvalidJobs([repeated(job.id)])
        self._seen.add(job.id)
        row = (job.id, str(job.folder) if job.folder else None, job.content())
        if self._copy is not None:
            self._copy(row)
            return Record(job, Progress())
        with translated():
            insert = "INSERT INTO aimlvideo_jobs (id, folder, asked) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
            if self.db.execute(insert, row).rowcount:
                return Record(job, Progress())
        known = self.db.execute(f"{ROWS} WHERE id = %s", (job.id,)).fetchone()
        assert known is not None
        if known[2] != job.content():
            raise InvalidJobs([changed(job.id, known[2], job.content())])
        return Record(job, progress_of(known[3:]))

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
        for job, known in list(self._all("stage = 'failed'")):
            self.settle(Record(job, known), known.tried_again())

    def settle(self, record: Record, progress: Progress) -> bool:
        """Write what a person has settled of a job. It is nobody's then: a worker that had it finds it gone.

        False, and nothing is written, where the job has moved since, or is being submitted by a worker that lives.
        """
        job, before = record
        columns = ", ".join(f"{name} = %s" for name in KNOWN)
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
        """Return what is known of one job, or None."""
        row = self.db.execute(f"{ROWS} WHERE id = %s", (job_id,)).fetchone()
        return record_of(row) if row else None

    def by_generation(self, generation_id: str) -> Record | None:
        """Return the job that a generation belongs to, or None."""
        row = self.db.execute(f"{ROWS} WHERE generation_id = %s LIMIT 1", (generation_id,)).fetchone()
        return record_of(row) if row else None

    def accepted_one(self) -> Record | None:
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

    def _distinct(self, job: VideoJob) -> VideoJob:
        names = (job.id, *()) if job.id not in self._seen else (f"{job.id}-{n}" for n in itertools.count(2))
        name = next(name for name in names if name not in self._seen)
        return job if name == job.id else job.named(name)

    def _refuse_changed(self) -> None:
        rows = self.db.execute(
            "SELECT id, job.asked, incoming.asked FROM incoming JOIN aimlvideo_jobs job USING (id) "
            "WHERE job.asked <> incoming.asked LIMIT 1000"
        ).fetchall()
        if rows:
            raise InvalidJobs([changed(*row) for row in rows])

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
def open_book(dsn: str) -> Iterator[PostgresBook]:
    """Give the jobs of a database, for planning and reading. Raises JournalError where there are none."""
    with connected(dsn) as db, translated():
        checked(db)
        yield PostgresBook(db)


def record_of(row: Sequence[Any]) -> Record:
    name, folder, asked, *known = row
    return Record(job_of_text(name, folder, asked), progress_of(known))
