"""A journal in SQLite as it is read, also while a run is writing it, and by commands that have no event loop."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from aimlvideo.core.jobs.columns import PROGRESS_COLUMNS, attempt_of, progress_of
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Attempt, Record
from aimlvideo.core.jobs.request_ids import is_of_another_job
from aimlvideo.errors import DiskFailed, DownloadFailed, JournalError, LinkDead
from aimlvideo.shell.journal.base import MOST_EARLIER, JournalReader
from aimlvideo.shell.journal.sqlite_file import JournalFile

_COLUMNS = f"id, folder, asked, {', '.join(PROGRESS_COLUMNS)}"
_ROWS = f"SELECT {_COLUMNS} FROM jobs"
_ATTEMPTS = (
    f"SELECT jobs.id, {', '.join(f'a.{name}' for name in Attempt._fields)} FROM attempts a JOIN jobs ON jobs.seq=a.job"
)
_UNFETCHED = ", ".join(repr(kind.__name__) for kind in (DownloadFailed, LinkDead, DiskFailed))
_COULD_NOT_BE_FETCHED = f"substr(error, 1, instr(error, ':') - 1) IN ({_UNFETCHED})"
# As `Counts` has it.
_HAS_CLIP = (
    "(stage IN ('ready', 'saved') OR (stage = 'rendering' AND video_url IS NOT NULL) "
    f"OR (stage = 'failed' AND {_COULD_NOT_BE_FETCHED}))"
)
_COST_UNKNOWN = f"cost_usd IS NULL AND {_HAS_CLIP}"


class SqliteReader(JournalReader):
    """What can be read of the journal of one folder; `read` gives the rows of a question. See `read_journal`."""

    def __init__(self, path: Path, read: Callable[..., sqlite3.Cursor]) -> None:
        self.path = path
        self._file = JournalFile(path)
        self._read = read
        self._run = 1 + int(self.fact("run") or 0)
        self._read_folders()

    def open_jobs(self, *, retry_failed: bool = False, run: int | None = None) -> Iterator[Record]:
        # Steps may be written meanwhile.
        groups = ["('rendering', 'submitting', 'in_doubt', 'ready')", *(["('failed')"] if retry_failed else [])]
        already_given: set[int] = set()
        # Numbers first, rows one by one: the caller writes steps while it reads, and a cursor held open over the table
        # would block them, or give a job twice that moved from one stage to another.
        for stages in groups:
            which = f"stage IN {stages} AND {_of_run(run)}"
            first = [seq for (seq,) in self._rows(f"SELECT seq FROM jobs WHERE {which} ORDER BY seq")]
            for seq in first:
                # A job that moved while the caller worked is in a later group again.
                if seq not in already_given:
                    already_given.add(seq)
                    yield self._record(self._rows(f"{_ROWS} WHERE seq=?", (seq,))[0])
        yield from (record for seq, record in self._of_stage("planned", run) if seq not in already_given)

    def ended_jobs(self, *, run: int | None = None) -> Iterator[Record]:
        for stage in ("saved", "failed"):
            yield from (record for _, record in self._of_stage(stage, run))

    def find(self, job_id: str) -> Record | None:
        rows = self._rows(f"{_ROWS} WHERE id=?", (job_id,))
        return self._record(rows[0]) if rows else None

    def attempts(self, job_id: str) -> list[Attempt]:
        rows = self._read(f"{_ATTEMPTS} WHERE jobs.id=? ORDER BY a.rowid", (job_id,))
        earlier = [attempt for _, attempt in map(attempt_of, rows)]
        record = self.find(job_id)
        return [*earlier, record.progress.attempt] if record and record.progress.has_attempt else earlier

    def earlier_attempts(self) -> Iterator[tuple[str, Attempt]]:
        return map(attempt_of, self._rows(f"{_ATTEMPTS} ORDER BY a.rowid"))

    def by_generation(self, generation_id: str) -> Record | None:
        row = self._read(f"{_ROWS} WHERE generation_id=? LIMIT 1", (generation_id,)).fetchone()
        return self._record(row) if row else None

    def generation_of(self, job_id: str) -> str | None:
        """Return the generation that a job has become, None where it has none, or is not here."""
        row = self._read("SELECT generation_id FROM jobs WHERE id=?", (job_id,)).fetchone()
        return row[0] if row else None

    @cached_property
    def earlier_generations(self) -> Mapping[str, str]:
        latest = "SELECT generation_id, id FROM jobs WHERE generation_id IS NOT NULL ORDER BY seq DESC LIMIT ?"
        return dict(self._read(latest, (MOST_EARLIER,)))

    @cached_property
    def file_names(self) -> set[str]:
        return {name.casefold() for (name,) in self._rows("SELECT file FROM jobs WHERE file IS NOT NULL")}

    def accepted_sample(self) -> Record | None:
        taken = "generation_id IS NOT NULL AND request_id IS NOT NULL AND stage IN ('rendering', 'ready', 'saved')"
        row = self._read(f"{_ROWS} WHERE {taken} ORDER BY seq DESC LIMIT 1").fetchone()
        return self._record(row) if row else None

    def counts(self, *, run: int | None = None) -> dict[str, int]:
        return dict(self._read(f"SELECT stage, count(*) FROM jobs WHERE {_of_run(run)} GROUP BY stage"))

    @property
    def is_empty(self) -> bool:
        """Whether nothing is lost with it: it has no job, and no generation that a service's log had for one."""
        return not self.counts() and self._read("SELECT 1 FROM found LIMIT 1").fetchone() is None

    def planned_models(self) -> dict[str, int]:
        planned = "SELECT json_extract(asked, '$[0]'), count(*) FROM jobs WHERE stage='planned' GROUP BY 1"
        with self._file.errors():
            return dict(self._read(planned))

    def spent(self) -> float:
        costs = "SELECT cost_usd FROM jobs UNION ALL SELECT cost_usd FROM attempts"
        return float(self._read(f"SELECT coalesce(sum(cost_usd), 0) FROM ({costs})").fetchone()[0])

    def unknown_costs(self) -> int:
        return int(self._read(f"SELECT count(*) FROM jobs WHERE {_COST_UNKNOWN}").fetchone()[0])

    def costs_in_units(self) -> tuple[int, float]:
        count = self._read(f"SELECT count(cost_units) FROM jobs WHERE {_COST_UNKNOWN}").fetchone()[0]
        # A clip that could not be fetched, and a failure that was billed, cost units too.
        both = (f"SELECT cost_units FROM {table} WHERE cost_usd IS NULL" for table in ("jobs", "attempts"))
        units = self._read(f"SELECT coalesce(sum(cost_units), 0) FROM ({' UNION ALL '.join(both)})").fetchone()[0]
        return int(count), float(units)

    def fact(self, name: str) -> str | None:
        row = self._read("SELECT value FROM facts WHERE name=?", (name,)).fetchone()
        return row[0] if row else None

    def facts(self, beginning: str) -> dict[str, str]:
        return dict(self._read("SELECT name, value FROM facts WHERE instr(name, ?) = 1", (beginning,)))

    @property
    def run(self) -> int:
        """The number of the last run: what is planned now is of it."""
        return self._run

    def _of_stage(self, stage: str, run: int | None) -> Iterator[tuple[int, Record]]:
        last = 0
        page = f"SELECT seq, {_COLUMNS} FROM jobs WHERE stage=? AND seq>? AND {_of_run(run)} ORDER BY seq LIMIT 500"
        # By the last number, not by an offset: rows leave the stage while it is read, and an offset would skip others.
        while rows := self._rows(page, (stage, last)):
            last = rows[-1][0]
            yield from ((row[0], self._record(row[1:])) for row in rows)

    def _rows(self, query: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        # A text that is no UTF-8 shows only when its row is fetched.
        with self._file.errors():
            return self._read(query, values).fetchall()

    def _record(self, row: tuple[Any, ...]) -> Record:
        job_id, folder, content, *columns = row
        try:
            job = VideoJob.of_content(job_id, content)
            progress = progress_of(columns)
            if is_of_another_job(job, progress):
                raise ValueError(f"its request id {progress.request_id!r:.60} is that of another job or model")
            return Record(job.with_base_folder(self._path_of(folder)) if folder else job, progress)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise JournalError(self._file.damaged(f"job {job_id!r}: {str(error)[:100]}")) from error

    def _path_of(self, folder: int) -> str:
        # A run that goes on beside us has written it since.
        if folder not in self._paths:
            self._read_folders()
        return self._paths[folder]

    def _read_folders(self) -> None:
        self._folders: dict[str, int] = dict(self._read("SELECT path, rowid FROM folders"))
        self._paths = {number: path for path, number in self._folders.items()}


def _of_run(run: int | None) -> str:
    """Return the condition that a job is of the file that was planned in this run; None: of any."""
    return "1" if run is None else f"run={int(run)}"


@contextmanager
def read_journal(path: Path) -> Iterator[SqliteReader]:
    """Read a journal, also while a run is writing it. Raises JournalError."""
    journal = JournalFile(path)
    with journal.opened_to_read() as connection:

        def read(statement: str, values: tuple[Any, ...] = ()) -> sqlite3.Cursor:
            with journal.errors():
                return connection.execute(statement, values)

        yield SqliteReader(path, read)
