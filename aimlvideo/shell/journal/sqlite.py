"""The journal in SQLite: every step of every job, written before the next await, read again after a crash.

An intent (`submitting`, with the id that we chose) is synced to disk before its request leaves; everything else is
in the write-ahead log at once, which survives a killed process. The file holds no key and is for its owner only.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import lru_cache, partial
from itertools import compress
from operator import is_not
from pathlib import Path
from typing import Any

from aimlvideo.core.jobs.columns import PROGRESS_COLUMNS, columns_of, damaged_column
from aimlvideo.core.jobs.file_names import is_plain_name
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.problems import (
    WRITABLE,
    changed_content_problem,
    changed_fields,
    duplicate_id_problem,
    is_writable,
    unwritable_problem,
)
from aimlvideo.core.jobs.progress import ClipFile, Progress, Record
from aimlvideo.core.jobs.request_ids import id_prefix, job_mark
from aimlvideo.core.jobs.stages import WITHOUT_GENERATION, Stage
from aimlvideo.core.wires.json_fields import as_timestamp
from aimlvideo.errors import DownloadFailed, GenerationFailed, InvalidJobs, JournalError, VideoError
from aimlvideo.shell import clock
from aimlvideo.shell.journal.base import OWN_IDS, CopyNumbers, Journal
from aimlvideo.shell.journal.sqlite_file import JournalFile
from aimlvideo.shell.journal.sqlite_reader import SqliteReader
from aimlvideo.shell.journal.sqlite_transactions import GroupCommit

PLAN = "INSERT INTO jobs (id, run, folder, asked, stage, polls) VALUES (?, ?, ?, ?, 'planned', 0)"
UNKNOWN = "null]"
"""How the content of a job ends that was recovered without its parameters."""
_IS_FILLED = partial(is_not, None)


class SqliteJournal(SqliteReader, Journal):
    """The journal of one folder. Open it with `open_journal`."""

    def __init__(self, path: Path, commits: GroupCommit) -> None:
        super().__init__(path, commits.read)
        self._commits = commits
        self._any_in_log = bool(commits.read("SELECT count(*) FROM found").fetchone()[0])
        self._copies = CopyNumbers()

    @contextmanager
    def planning(self) -> Iterator[None]:
        try:
            with self._commits.whole():
                yield
        except BaseException:
            self._copies.forget()
            self._read_folders()
            raise

    def plan(self, job: VideoJob, *, distinct: bool = False, run: int | None = None) -> Record:
        run = self._run if run is None else run
        if (earlier := job.earlier_id) and job.derived and self.find(job.id) is None and self.find(earlier):
            job = job.with_id(earlier)
        try:
            self._commits.write(PLAN, (job.id, run, self._folder(job), job.content()), later=True)
        except sqlite3.IntegrityError:
            return self._planned_before(job, distinct, run)
        except UnicodeEncodeError:
            raise InvalidJobs([unwritable_problem(job)]) from None
        return self._from_log(job) if self._any_in_log else Record(job, Progress())

    def adopt(self, job: VideoJob, progress: Progress) -> Record:
        """Write down a job that somebody else submitted, or return it as it is here already; it is of this run now."""
        if (record := self.find(job.id)) is not None:
            self._commits.write("UPDATE jobs SET run=? WHERE id=?", (self._run, job.id))
            return record
        with self.planning():
            self.plan(job)
            progress = self._with_charge(progress)
            self.step(job, progress)
        return Record(job, progress)

    def _with_charge(self, progress: Progress) -> Progress:
        """Return an adopted generation's progress with what an earlier try of a job was charged for it, if it was one.

        It counts for the new job from now on, which will be told of the same charge.
        """
        charge = "FROM attempts WHERE generation_id=? AND (cost_usd > 0 OR cost_units > 0)"
        row = self._read(f"SELECT cost_usd, cost_units {charge}", (progress.generation_id,)).fetchone()
        if row is None:
            return progress
        spent_here = "UPDATE attempts SET cost_usd=NULL, cost_units=NULL WHERE generation_id=?"
        self._commits.write(spent_here, (progress.generation_id,))
        return progress._replace(cost_usd=row[0], cost_units=row[1])

    def step(self, job: VideoJob, progress: Progress) -> None:
        """Write a job's progress. It survives a killed process from the event loop's next pass on.

        That it is to be submitted may take a moment longer: this is `synced` before the request leaves. See there for a
        power cut.
        """
        values = columns_of(progress)
        are_filled = tuple(map(_IS_FILLED, values))
        written = (*compress(values, are_filled), job.id)
        self._commits.write(_step(are_filled), written, later=progress.stage is Stage.SUBMITTING)

    def reopen(self, record: Record, progress: Progress) -> None:
        self.step(record.job, progress)

    async def synced(self) -> None:
        """Return when all that was written before this call survives a power cut. Many callers share one sync."""
        await self._commits.synced()

    def begin(self) -> int:
        self._run += 1
        self.note("run", str(self._run))
        return self._run

    def note(self, name: str, value: str) -> None:
        self._commits.write("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def forget(self, name: str) -> None:
        self._commits.write("DELETE FROM facts WHERE name=?", (name,))

    def recover(self, row: Mapping[str, Any]) -> None:
        """Write a line of a results file down as a job; its content is filled in when a job of its id is planned.

        A job that may have been submitted, and whose generation nobody knows, is left out: when it is planned, the
        service's log is asked for it (`remember_found`). Raises JournalError where the line cannot be a run's result.
        """
        try:
            job, progress = _recovered(row)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise JournalError(
                f"not a line of a run's results ({error!s:.200}): {ascii(row)[:200]}. Correct it by a backup or by the "
                "service's dashboard, its generation may be paid for, then run `recover` again"
            ) from error
        # Nothing was paid for it, so the job file itself says all there is to know.
        if progress.stage in WITHOUT_GENERATION:
            return
        content = json.dumps([job.model, None])
        # It could not be sent again after an earlier line's generation had failed, which may be completed yet.
        before = self._read("SELECT coalesce(generation_id, retry_of) FROM jobs WHERE id=?", (job.id,)).fetchone()
        if before is not None and progress.generation_id is None:
            progress = progress._replace(retry_of=before[0])
        self._commits.write(
            "INSERT INTO jobs (id, run, asked, stage, polls) VALUES (?, 0, ?, '', 0) "
            "ON CONFLICT (id) DO UPDATE SET asked=excluded.asked",
            (job.id, content),
        )
        self.step(job, progress)

    def remember_found(self, generations: Mapping[str, str], id_field: str = "") -> int:
        """Keep generations that the service's log lists under these request ids, for the jobs that will be planned.

        With an `id_field` also those under ids that jobs name themselves, in this parameter. A job that has failed
        unpaid was tried again with one: that is fetched, and the next retry buys nothing.
        """
        marks = ((job_mark(request_id, own_ids=bool(id_field)), name) for request_id, name in generations.items())
        ours = {mark: name for mark, name in marks if mark}
        if id_field:
            self.note(OWN_IDS, id_field)
        for row in ours.items():
            self._commits.write("INSERT OR REPLACE INTO found VALUES (?, ?)", row)
        failed = self._of_stage("failed", None) if ours else ()
        for _, (job, progress) in failed:
            name = ours.get(self._mark_of(job))
            if name is not None and progress.for_retry().stage is Stage.PLANNED:
                self.step(job, Progress(Stage.RENDERING, generation_id=name, submitted_at=clock.wall()))
        # Nearly every journal has none, and planning a million jobs need not look for them a million times.
        self._any_in_log = self._any_in_log or bool(ours)
        return len(ours)

    def _from_log(self, job: VideoJob) -> Record:
        """Return a planned job, as the generation that the service's log has for it, unless it had that before."""
        row = self._read("SELECT generation_id FROM found WHERE mark=?", (self._mark_of(job),)).fetchone()
        if row is None or any(attempt.generation_id == row[0] for attempt in self.attempts(job.id)):
            return Record(job, Progress())
        progress = Progress(Stage.RENDERING, generation_id=row[0], submitted_at=clock.wall())
        self.step(job, progress)
        return Record(job, progress)

    def _mark_of(self, job: VideoJob) -> str:
        """Return by what a generation is known for this job's: the id that it names itself, or how ours of it begin."""
        own_id = job.params.get(self.fact(OWN_IDS) or "")
        return str(own_id) if own_id else id_prefix(job)

    def _planned_before(self, job: VideoJob, distinct: bool, run: int) -> Record:
        content_before, run_before = self._read("SELECT asked, run FROM jobs WHERE id=?", (job.id,)).fetchone()
        content = job.content()
        if content_before != content:
            is_same = content_before.endswith(UNKNOWN) or content_before == job.earlier_content
            is_other = not is_same and changed_fields(content_before, content)
            if is_other and (run_before == run or not self._may_change(job, content_before)):
                raise InvalidJobs([changed_content_problem(job.id, content_before, content)])
            self._commits.write("UPDATE jobs SET asked=? WHERE id=?", (content, job.id))
        if run_before == run:
            if distinct and job.derived:
                copy = self._copies.next_id(job.id, run, lambda name: self._is_of_run(name, run))
                return self.plan(job.with_id(copy), run=run)
            raise InvalidJobs([duplicate_id_problem(job.id)])
        self._commits.write("UPDATE jobs SET run=?, folder=? WHERE id=?", (run, self._folder(job), job.id))
        record = self.find(job.id)
        assert record is not None
        # It may have been planned for another model: for what it stands for now, the log may have a generation.
        is_planned = record.progress.stage is Stage.PLANNED
        return self._from_log(job) if is_planned and self._any_in_log else Record(job, record.progress)

    def _may_change(self, job: VideoJob, content_before: str) -> bool:
        """Let a job that was never sent, or failed unbilled, stand for another content: a new clip is planned anew."""
        record = self.find(job.id)
        if record is None:
            return False
        progress = record.progress
        # Under another id of its own it is the same clip: that has failed, and is asked about before it is bought.
        is_same_clip = changed_fields(content_before, job.content()) == [self.fact(OWN_IDS)]
        # Only what surely cost nothing may be forgotten for another content.
        is_free = not (progress.cost_usd or progress.cost_units)
        if progress.stage is Stage.FAILED and is_free and progress.for_retry().stage is Stage.PLANNED:
            if progress.generation_id is None or not is_same_clip:
                self.step(job, progress.for_retry() if is_same_clip else Progress())
            return True
        if progress.stage is Stage.PLANNED and not is_same_clip:
            self.step(job, progress._replace(retry_of=None))
        return progress.stage is Stage.PLANNED

    def _is_of_run(self, job_id: str, run: int) -> bool:
        row = self._read("SELECT run FROM jobs WHERE id=?", (job_id,)).fetchone()
        return row is not None and row[0] == run

    def _folder(self, job: VideoJob) -> int | None:
        if job.folder is None:
            return None
        path = str(job.folder)
        if path not in self._folders:
            self._commits.write("INSERT INTO folders VALUES (?)", (path,))
            self._read_folders()
        return self._folders[path]


@lru_cache(maxsize=128)
def _step(are_filled: tuple[bool, ...]) -> str:
    """Return the statement that writes a job's progress down, with a value for each column that is filled."""
    # The others are NULL in its text: Python's `sqlite3` asks each None that it is given how it is to be kept, which
    # takes twice as long as the rest of the statement.
    filled = zip(PROGRESS_COLUMNS, are_filled, strict=True)
    columns = (f"{name}={'?' if is_filled else 'NULL'}" for name, is_filled in filled)
    return f"UPDATE jobs SET {', '.join(columns)} WHERE id=?"


def _recovered(row: Mapping[str, Any]) -> tuple[VideoJob, Progress]:
    """Return the job and the progress that a line of a results file tells of."""
    stage = Stage(row["stage"])
    texts = {name: _text(row.get(name)) for name in ("generation_id", "video_url", "file", "sha256")}
    if texts["file"] is not None and not is_plain_name(texts["file"]):
        # Whoever wrote this line, no clip is saved outside of its folder: it is fetched again.
        texts["file"] = None
    bytes.fromhex(texts["sha256"] or "")
    cost, length, polls = row.get("cost_usd"), row.get("bytes"), int(row.get("polls") or 0)
    numbers = {"cost_usd": None if cost is None else float(cost), "bytes": None if length is None else int(length)}
    error = _recovered_error(row) if row.get("error") and stage is Stage.FAILED else None
    several = {"video_urls": _several_texts(row.get("video_urls")), "files": _recovered_files(row, texts, numbers)}
    units = None if row.get("cost_units") is None else float(row["cost_units"])
    job = VideoJob(str(row.get("model") or ""), id=str(row["id"]))
    if not is_writable([job.id, job.model, *texts.values(), *several["video_urls"]]):
        raise ValueError(WRITABLE)
    numbers["cost_units"] = units
    moments = {name: as_timestamp(row.get(name)) or None for name in ("submitted_at", "completed_at", "saved_at")}
    fields = {**numbers, **texts, **several, **moments}
    progress = Progress(stage, polls=polls, error=error, **fields)  # type: ignore[arg-type]
    if (column := damaged_column(progress)) is not None:
        raise ValueError(f"a {column} that no run has at stage {stage}")
    return job, progress


def _recovered_error(row: Mapping[str, Any]) -> VideoError:
    """Return why a job failed: with a clip that was ready, only its download can have, and it is never bought again."""
    if row.get("video_url"):
        return DownloadFailed(row["error"])
    generation_id = row.get("generation_id")
    return GenerationFailed(row["error"], generation_id=generation_id) if generation_id else VideoError(row["error"])


def _several_texts(values: Any) -> tuple[str, ...]:
    """Return the texts of a list; a result has one only where there are several."""
    if values is None:
        return ()
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError(f"a list of texts was expected, not {values!r:.60}")
    return tuple(values)


def _recovered_files(
    row: Mapping[str, Any], texts: Mapping[str, Any], numbers: Mapping[str, Any]
) -> tuple[ClipFile, ...]:
    """Return the files of a generation that gave several clips; the line has length and hash of the first alone."""
    names = _several_texts(row.get("files"))
    if len(names) < 2 or names[0] != texts["file"] or not all(map(is_plain_name, names)):
        return ()
    return (ClipFile(names[0], numbers["bytes"], texts["sha256"]), *map(ClipFile, names[1:]))


def _text(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


@asynccontextmanager
async def open_journal(path: Path, *, create: bool = False) -> AsyncIterator[SqliteJournal]:
    """Open a journal for writing, or make it; one process at a time. Raises JournalError.

    Beside the results of a run, a missing journal is made only where `create` is passed: clips may have been paid.
    """
    file = JournalFile(path)
    with file.lock(), file.opened_to_write(create=create) as (connection, files):
        commits = GroupCommit(file, connection, files)
        journal = SqliteJournal(path, commits)
        journal.note("owner", str(os.getpid()))
        # Committed before the first job: a run that is killed at once must not give its number to the next.
        journal.note("run", str(journal._run))
        commits.commit()
        try:
            yield journal
        finally:
            commits.commit()
