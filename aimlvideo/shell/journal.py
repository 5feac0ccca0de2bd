"""What is known of every job, kept in SQLite: written before the next await, read again after a crash.

An intent (`submitting`, with the id that we chose) is synced to disk before its request leaves; everything else is
in the write-ahead log at once, which survives a killed process. The file holds no key and is for its owner only.
"""

from __future__ import annotations

import itertools
import json
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio

from aimlvideo.core.job import Progress, Record, VideoJob
from aimlvideo.core.request_ids import MARK, mark_of
from aimlvideo.core.stages import Stage
from aimlvideo.errors import DiskFailed, InvalidJobs, JournalError, Problem, VideoError
from aimlvideo.shell.journal_file import locked, opened_to_read, opened_to_write, sync, translated, translation
from aimlvideo.shell.journal_rows import KNOWN, changed, columns_of, progress_of

STEP = f"UPDATE jobs SET {', '.join(f'{name}=?' for name in KNOWN)} WHERE id=?"
PLAN = "INSERT INTO jobs (id, run, folder, asked, stage, polls) VALUES (?, ?, ?, ?, 'planned', 0)"
ROWS = f"SELECT id, folder, asked, {', '.join(KNOWN)} FROM jobs"
NOT_SUBMITTED = (Stage.PLANNED, Stage.SUBMITTING, Stage.IN_DOUBT)


class Journal:
    """The journal of one folder. Open it with `open_journal`, read a running one with `read_journal`."""

    def __init__(self, path: Path, connection: sqlite3.Connection, wal: int | None) -> None:
        self.path = path
        self._db = connection
        self._wal = wal
        self._written = self._synced = 0
        self._syncing = anyio.Lock()
        self._sync_failed: Exception | None = None
        self._run = 1 + int(self.fact("run") or 0)
        self._any_found = bool(self._do("SELECT count(*) FROM found").fetchone()[0])
        self._copies: dict[str, int] = {}
        self._folders: dict[str, int] = {}
        self._read_folders()

    @contextmanager
    def planning(self) -> Iterator[None]:
        """Plan a whole file at once: all of it, or, where the block raises, nothing."""
        self._do("BEGIN")
        try:
            yield
            self._do("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            self._read_folders()
            raise

    def plan(self, job: VideoJob, *, distinct: bool = False) -> Record:
        """Write a new job down, or return what is known of one that is here already.

        Raises InvalidJobs where the id stands for another content, or where it came before in this run. With
        `distinct`, a second job whose id comes from its content gets an id of its own: `ID-2`.
        """
        try:
            self._do(PLAN, (job.id, self._run, self._folder(job), job.content()))
        except sqlite3.IntegrityError:
            return self._known(job, distinct)
        except UnicodeEncodeError:
            expected = "text that can be written, without halves of surrogate pairs"
            raise InvalidJobs([Problem("id", expected, repr(job.id), job=job.id)]) from None
        return self._found(job) if self._any_found else Record(job, Progress())

    def adopt(self, job: VideoJob, progress: Progress) -> Record:
        """Write down a job that somebody else submitted, or return what is known of it."""
        if (known := self.find(job.id)) is not None:
            return known
        with self.planning():
            self.plan(job)
            self.step(job, progress)
        return Record(job, progress)

    def step(self, job: VideoJob, progress: Progress) -> None:
        """Write a job's progress. On return it survives a killed process; see `synced` for a power cut."""
        self._do(STEP, (*columns_of(progress), job.id))
        self._written += 1

    async def synced(self) -> None:
        """Return when all that was written before this call survives a power cut. Many callers share one sync.

        Raises DiskFailed, then and ever after: what a failed sync left behind, a later one does not bring to disk.
        """
        wanted = self._written
        async with self._syncing:
            if self._synced >= wanted or self._wal is None:
                return
            covered = self._written
            with translated(self.path):
                if self._sync_failed is not None:
                    raise self._sync_failed
                try:
                    await anyio.to_thread.run_sync(sync, self._wal)
                except OSError as error:
                    self._sync_failed = error
                    raise
            self._synced = covered

    def open_jobs(self, *, retry_failed: bool = False) -> Iterator[Record]:
        """Give each job that is not ended once, those that are outstanding first. Steps may be written meanwhile."""
        stages = "('rendering', 'submitting', 'in_doubt', 'ready'" + (", 'failed')" if retry_failed else ")")
        first = [seq for (seq,) in self._db.execute(f"SELECT seq FROM jobs WHERE stage IN {stages} ORDER BY seq")]
        for seq in first:
            yield self._record(self._db.execute(f"{ROWS} WHERE seq=?", (seq,)).fetchone())
        given = set(first)
        yield from (record for seq, record in self._of_stage("planned") if seq not in given)

    def ended_jobs(self) -> Iterator[Record]:
        """Give the jobs that are saved or failed."""
        for stage in ("saved", "failed"):
            yield from (record for _, record in self._of_stage(stage))

    def find(self, job_id: str) -> Record | None:
        """Return what is known of one job, or None."""
        row = self._db.execute(f"{ROWS} WHERE id=?", (job_id,)).fetchone()
        return self._record(row) if row else None

    def counts(self) -> dict[str, int]:
        """Return the number of jobs by stage."""
        return dict(self._db.execute("SELECT stage, count(*) FROM jobs GROUP BY stage"))

    def planned_models(self) -> dict[str, int]:
        """Return the number of planned jobs by model."""
        planned = "SELECT json_extract(asked, '$[0]'), count(*) FROM jobs WHERE stage='planned' GROUP BY 1"
        return dict(self._db.execute(planned))

    def spent(self) -> float:
        """Return what all jobs are known to have cost, in USD."""
        return float(self._db.execute("SELECT coalesce(sum(cost_usd), 0) FROM jobs").fetchone()[0])

    def unknown_costs(self) -> int:
        """Return how many clips there are whose cost nobody said."""
        made = "stage IN ('ready', 'saved') AND cost_usd IS NULL"
        return int(self._db.execute(f"SELECT count(*) FROM jobs WHERE {made}").fetchone()[0])

    def fact(self, name: str) -> str | None:
        """Return one fact about the run as a whole, such as its service or its owner's process id."""
        row = self._db.execute("SELECT value FROM facts WHERE name=?", (name,)).fetchone()
        return row[0] if row else None

    def note(self, name: str, value: str) -> None:
        """Write one fact about the run as a whole."""
        self._do("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def recover(self, row: Mapping[str, Any]) -> None:
        """Write a line of a results file down as a job; its content is filled in when a job of its id is planned."""
        job = VideoJob(str(row.get("model") or ""), id=str(row["id"]))
        self._db.execute(PLAN, (job.id, 0, None, ""))
        stage = Stage(row["stage"])
        names = ("generation_id", "video_url", "cost_usd", "file", "bytes", "sha256")
        known: dict[str, Any] = {name: row.get(name) for name in names}
        error = VideoError(row["error"]) if row.get("error") and stage is Stage.FAILED else None
        self.step(job, Progress(stage, polls=row.get("polls") or 0, error=error, **known))

    def remember_found(self, generations: Mapping[str | None, str | None]) -> int:
        """Keep generations that the service's log lists under our request ids, for the jobs that will be planned."""
        marks = {request_id[:MARK]: name for request_id, name in generations.items() if request_id and name}
        ours = {mark: name for mark, name in marks.items() if mark.startswith("av-")}
        self._db.executemany("INSERT OR REPLACE INTO found VALUES (?, ?)", ours.items())
        self._any_found = bool(ours)
        return len(ours)

    def _found(self, job: VideoJob) -> Record:
        """Return a new job, as the generation that the service's log has for it, if it has one."""
        mark = mark_of(job)
        row = self._db.execute("SELECT generation_id FROM found WHERE mark=?", (mark,)).fetchone()
        if row is None:
            return Record(job, Progress())
        found = Progress(Stage.RENDERING, generation_id=row[0], submitted_at=time.time())
        self.step(job, found)
        return Record(job, found)

    def _write(self, statement: str, values: tuple[Any, ...]) -> None:
        """Execute one statement in the transaction of this pass of the event loop."""
        if self._broken is not None:
            raise self._broken
        try:
            if not self._db.in_transaction:
                self._db.execute("BEGIN")
                _soon(self._commit_soon)
            self._db.execute(statement, values)
        except sqlite3.IntegrityError:
            raise
        except sqlite3.Error as error:
            raise _as_ours(self.path, error) from error
        self._written += 1

    def _commit(self) -> None:
        if self._broken is not None:
            raise self._broken
        try:
            if self._db.in_transaction:
                self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._broken = _as_ours(self.path, error)
            raise self._broken from error

    def _commit_soon(self) -> None:
        """Commit what a pass of the event loop has written; a failure stops the next one that writes."""
        with suppress(VideoError):
            self._commit()

    def close(self) -> None:
        """Commit, and write no more. Raises DiskFailed where the last steps could not be written."""
        try:
            self._commit()
        finally:
            self._db.close()

    def _known(self, job: VideoJob, distinct: bool) -> Record:
        asked, run = self._db.execute("SELECT asked, run FROM jobs WHERE id=?", (job.id,)).fetchone()
        if not asked:
            self._db.execute("UPDATE jobs SET asked=? WHERE id=?", (job.content(), job.id))
        elif asked != job.content():
            raise InvalidJobs([_changed(job, asked)])
        if run == self._run:
            if distinct:
                return self._another(job)
            raise InvalidJobs([Problem("id", "each id once", "the same id as a job before it", job=job.id)])
        self._db.execute("UPDATE jobs SET run=?, folder=? WHERE id=?", (self._run, self._folder(job), job.id))
        found = self.find(job.id)
        assert found is not None
        return Record(job, found.progress)

    def _another(self, job: VideoJob) -> Record:
        stem = job.id
        for number in itertools.count(2):
            one = job.named(f"{stem}-{number}")
            row = self._db.execute("SELECT run FROM jobs WHERE id=?", (one.id,)).fetchone()
            if row is None or row[0] != self._run:
                return self.plan(one)
        raise AssertionError("unreachable")

    def _of_stage(self, stage: str) -> Iterator[tuple[int, Record]]:
        last = 0
        page = f"SELECT seq, {ROWS[7:]} WHERE stage=? AND seq>? ORDER BY seq LIMIT 500"
        while rows := self._db.execute(page, (stage, last)).fetchall():
            last = rows[-1][0]
            yield from ((row[0], self._record(row[1:])) for row in rows)

    def _record(self, row: tuple[Any, ...]) -> Record:
        name, folder, asked, *known = row
        model, params = json.loads(asked) if asked else ("", {})
        job = VideoJob(model, id=name, **params)
        if folder:
            job = job.within(next(path for path, number in self._folders.items() if number == folder))
        return Record(job, _progress(known))

    def _folder(self, job: VideoJob) -> int | None:
        if job.folder is None:
            return None
        path = str(job.folder)
        if path not in self._folders:
            self._folders[path] = int(self._db.execute("INSERT INTO folders VALUES (?)", (path,)).lastrowid or 0)
        return self._folders[path]


@asynccontextmanager
async def open_journal(path: Path, *, anew: bool = False) -> AsyncIterator[Journal]:
    """Open a journal for writing, or make it; one process at a time. Raises JournalError.

    Beside the results of a run, a missing journal is made only where `anew` is said: clips may have been paid.
    """
    with locked(path), opened_to_write(path, anew=anew) as (connection, wal):
        journal = Journal(path, connection, wal)
        journal.note("owner", str(os.getpid()))
        journal.note("run", str(journal._run))
        yield journal


@contextmanager
def read_journal(path: Path) -> Iterator[Journal]:
    """Read a journal, also while a run is writing it. Raises JournalError."""
    with opened_to_read(path) as connection:
        yield Journal(path, connection, None)
