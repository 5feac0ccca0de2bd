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
from filelock import FileLock, Timeout

from aimlvideo import errors
from aimlvideo.core.job import Progress, Record, VideoJob
from aimlvideo.core.request_ids import MARK, mark_of
from aimlvideo.core.stages import Stage
from aimlvideo.errors import DiskFailed, InvalidJobs, JournalError, Problem, VideoError

APPLICATION = 0x41494D56
"""SQLite's `application_id` of our files: the letters AIMV."""

SCHEMAS = (
    """
    CREATE TABLE jobs (
        seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, run INTEGER NOT NULL, folder INTEGER,
        asked TEXT NOT NULL, stage TEXT NOT NULL, request_id TEXT, generation_id TEXT, video_url TEXT, error TEXT,
        cost_usd REAL, polls INTEGER NOT NULL, submitted_at REAL, completed_at REAL, saved_at REAL,
        file TEXT, bytes INTEGER, sha256 BLOB, looks BLOB
    );
    CREATE INDEX open_jobs ON jobs (stage) WHERE stage NOT IN ('saved', 'failed');
    CREATE TABLE folders (path TEXT UNIQUE NOT NULL);
    CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
    CREATE TABLE found (mark TEXT PRIMARY KEY, generation_id TEXT NOT NULL) WITHOUT ROWID;
    """,
)
"""The statements that bring a journal from each version to the next."""

KNOWN = (
    "stage", "request_id", "generation_id", "video_url", "error", "cost_usd", "polls", "submitted_at", "completed_at",
    "saved_at", "file", "bytes", "sha256", "looks",
)  # fmt: skip
STEP = f"UPDATE jobs SET {', '.join(f'{name}=?' for name in KNOWN)} WHERE id=?"
PLAN = "INSERT INTO jobs (id, run, folder, asked, stage, polls) VALUES (?, ?, ?, ?, 'planned', 0)"
ROWS = f"SELECT id, folder, asked, {', '.join(KNOWN)} FROM jobs"


class Journal:
    """The journal of one folder. Open it with `open_journal`, read a running one with `read_journal`."""

    def __init__(self, path: Path, connection: sqlite3.Connection, wal: int | None) -> None:
        self.path = path
        self._db = connection
        self._wal = wal
        self._written = self._synced = 0
        self._syncing = anyio.Lock()
        self._run = 1 + int(self.fact("run") or 0)
        self._any_found = bool(connection.execute("SELECT count(*) FROM found").fetchone()[0])
        self._folders: dict[str, int] = dict(connection.execute("SELECT path, rowid FROM folders"))

    @contextmanager
    def planning(self) -> Iterator[None]:
        """Plan a whole file at once: all of it, or, where the block raises, nothing."""
        with _translated(self.path):
            self._db.execute("BEGIN")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def plan(self, job: VideoJob, *, distinct: bool = False) -> Record:
        """Write a new job down, or return what is known of one that is here already.

        Raises InvalidJobs where the id stands for another content, or (for an id that somebody chose) where it came
        before in this run. With `distinct`, a second job of the same content gets an id of its own: `ID-2`.
        """
        try:
            with _translated(self.path):
                self._db.execute(PLAN, (job.id, self._run, self._folder(job), job.content()))
        except sqlite3.IntegrityError:
            return self._known(job, distinct)
        return self._found(job) if self._any_found else Record(job, Progress())

    def adopt(self, job: VideoJob, progress: Progress) -> Record:
        """Write down a job that somebody else submitted, or return what is known of it."""
        if (known := self.find(job.id)) is not None:
            return known
        self.plan(job)
        self.step(job, progress)
        return Record(job, progress)

    def step(self, job: VideoJob, progress: Progress) -> None:
        """Write a job's progress. On return it survives a killed process; see `synced` for a power cut."""
        with _translated(self.path):
            self._db.execute(STEP, (*_columns(progress), job.id))
        self._written += 1

    async def synced(self) -> None:
        """Return when all that was written before this call survives a power cut. Many callers share one sync."""
        wanted = self._written
        async with self._syncing:
            if self._synced >= wanted or self._wal is None:
                return
            covered = self._written
            with _translated(self.path):
                await anyio.to_thread.run_sync(_sync, self._wal)
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
        with _translated(self.path):
            self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

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
    lock = FileLock(path.with_name(path.name + ".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise JournalError(_taken(path)) from None
    except OSError as error:
        raise JournalError(f"{path.parent} cannot be written: {error.strerror}") from error
    try:
        with _translated(path):
            connection = _connect(path, anew=anew)
        wal = os.open(f"{path}-wal", os.O_RDWR)
        try:
            journal = Journal(path, connection, wal)
            journal.note("owner", str(os.getpid()))
            journal.note("run", str(journal._run))
            yield journal
        finally:
            os.close(wal)
            connection.close()
    finally:
        lock.release()


@contextmanager
def read_journal(path: Path) -> Iterator[Journal]:
    """Read a journal, also while a run is writing it. Raises JournalError."""
    if not path.is_file():
        raise JournalError(f"there is no journal at {path}: is this the output folder of a run?")
    with _translated(path):
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
        try:
            _checked(path, connection)
            yield Journal(path, connection, None)
        finally:
            connection.close()


def _connect(path: Path, *, anew: bool) -> sqlite3.Connection:
    new = not path.exists()
    if new and not anew and (results := path.with_name("results.jsonl")).exists():
        raise JournalError(
            f"{results} is here and its journal {path.name} is not: clips may have been paid already. "
            f"Bring the journal back, or run `aimlvideo recover {path.parent}`"
        )
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, cached_statements=64)
    if not new:
        _checked(path, connection)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    _migrate(connection)
    _sync_folder(path.parent)
    return connection


def _checked(path: Path, connection: sqlite3.Connection) -> None:
    """Refuse what is no whole journal of ours."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION:
        raise JournalError(_damaged(path, "it is no journal of this program"))
    if version > len(SCHEMAS):
        raise JournalError(f"{path} was written by a newer version of aimlvideo: update with pip, then run again")
    if (said := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
        raise JournalError(_damaged(path, said))


def _migrate(connection: sqlite3.Connection) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    for number, script in enumerate(SCHEMAS[version:], start=version + 1):
        connection.executescript(
            f"BEGIN; {script} PRAGMA application_id={APPLICATION}; PRAGMA user_version={number}; COMMIT;"
        )


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.IntegrityError:
        raise
    except sqlite3.OperationalError as error:
        if "full" in str(error) or "disk I/O" in str(error):
            raise DiskFailed(f"the journal {path} cannot be written: {error}. Make space, then run again") from error
        raise JournalError(f"the journal {path} cannot be used: {error}") from error
    except sqlite3.DatabaseError as error:
        raise JournalError(_damaged(path, str(error))) from error


def _columns(known: Progress) -> tuple[Any, ...]:
    return (
        known.stage.value, known.request_id, known.generation_id, known.video_url,
        f"{type(known.error).__name__}: {known.error}" if known.error else None, known.cost_usd, known.polls,
        known.submitted_at, known.completed_at, known.saved_at, known.file, known.bytes,
        bytes.fromhex(known.sha256) if known.sha256 else None, known.looks,
    )  # fmt: skip


def _progress(columns: list[Any]) -> Progress:
    known = dict(zip(KNOWN, columns, strict=True))
    known["stage"] = Stage(known["stage"])
    known["error"] = _error(known["error"])
    known["sha256"] = known["sha256"].hex() if known["sha256"] else None
    known["looks"] = known["looks"] or b""
    return Progress(**known)


def _error(text: str | None) -> VideoError | None:
    if text is None:
        return None
    name, _, said = text.partition(": ")
    kind = getattr(errors, name, VideoError)
    return VideoError(said) if kind is InvalidJobs else kind(said)


def _changed(job: VideoJob, asked: str) -> Problem:
    before: dict[str, Any] = {"model": json.loads(asked)[0], **json.loads(asked)[1]}
    now: dict[str, Any] = {"model": json.loads(job.content())[0], **json.loads(job.content())[1]}
    names = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    return Problem(
        names[0] if names else "id",
        f"what this id stood for in the run before ({', '.join(names)} changed)",
        job=job.id,
        hint="give the changed job a new id, or use another output folder",
    )


def _taken(path: Path) -> str:
    try:
        with read_journal(path) as journal:
            owner = journal.fact("owner")
    except VideoError:
        owner = None
    return f"{path.parent} is in use by another run (process {owner or 'unknown'}): wait for it, or stop it first"


def _damaged(path: Path, why: str) -> str:
    return (
        f"the journal {path} is damaged ({why}) and is not touched. Make a copy of {path.parent}, move {path.name} "
        f"away, then bring back the ids with `aimlvideo recover {path.parent}`"
    )


def _sync(descriptor: int) -> None:
    getattr(os, "fdatasync", os.fsync)(descriptor)


def _sync_folder(folder: Path) -> None:
    """Make a new file's name survive a power cut, where the system has a way to."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
