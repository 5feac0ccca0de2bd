"""Jobs that take what others make: each is held back until the clips that it needs are saved."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from aimlvideo.core.jobs.chains import Reference, parents, references, with_references
from aimlvideo.core.jobs.file_names import file_name
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress, Record
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.errors import (
    DiskFailed,
    DownloadFailed,
    InvalidJobs,
    ParentFailed,
    ParentUnfinished,
    Problem,
    UsageError,
    VideoError,
)
from aimlvideo.pipeline.entry import Entry, contained
from aimlvideo.pipeline.run import Run
from aimlvideo.shell.files.private_files import replacing
from aimlvideo.shell.http.retrying import retrying

if TYPE_CHECKING:
    from aimlvideo.shell.files.video import When

FRAMES = "frames"
"""The folder of the frames that were taken, beside the clips."""
LOOK_AGAIN = Record(VideoJob("", id="again"), Progress())
"""Stands for no record: somebody has ended, and those that wait are to be looked at."""


@dataclass(eq=False)
class Chains:
    """Gives the records of a run in an order in which every job finds the clips that it takes something from.

    What waits here holds no slot and no place in the run's window. A job without a reference passes at once.
    `parents_ended`: every job comes when those that it takes clips from have ended, so it waits for nobody here.
    """

    run: Run
    parents_ended: bool = False
    _waiting: dict[str, Record] = field(default_factory=dict)
    _brought: dict[str, Path] = field(default_factory=dict)
    """Folders of what was brought from elsewhere for a job, by its id."""
    _passed: Counter[str] = field(default_factory=Counter)
    """Ids that were passed on and have not ended, also a failed one that is tried again: a wrong line may have the id
    of a right one."""
    _failed: set[str] = field(default_factory=set)
    """Ids that failed in this run: no record to come changes that."""
    _arrived: list[Record | None] = field(default_factory=list)
    """A record that was read while others wait; None at the end."""
    _reading: bool = False

    async def in_order(self, records: AsyncIterator[Record]) -> AsyncIterator[Record]:
        """Pass records on as soon as they can begin; one whose parent failed is passed on as failed."""
        self.run.ended_watchers.append(self._note_end)
        self._changed = asyncio.Event()
        while (record := await self._next(records)) is not None:
            if record is LOOK_AGAIN:
                if self.run.reads_no_more:
                    return
            elif parents(record.job) and record.progress.stage is Stage.PLANNED:
                self._waiting[record.job.id] = record
                if self.run.spec.folder is None:  # no parent will ever be saved here, whether it is made or not
                    await self._end(record, self._homeless(record.job.id), failed=False)
            else:
                self._passed[record.job.id] += 1
                yield record
            # A look costs a journal read for each job that waits: worth it for one that is new, or after an end.
            if self._waiting and (record.job.id in self._waiting or self._changed.is_set()):
                self._changed.clear()
                async for ready in self._ready(more=not self.parents_ended):
                    yield ready
        async for record in self._rest():
            yield record

    async def _rest(self) -> AsyncIterator[Record]:
        """Pass on those that wait, when no more records come."""
        while self._waiting:
            self._changed.clear()
            async for ready in self._ready(more=False):
                yield ready
            if not self._waiting or self.run.halted:
                return
            if not self._passed:
                await self._give_up()
                return
            await self._changed.wait()

    async def _next(self, records: AsyncIterator[Record]) -> Record | None:
        """Return the next record, or LOOK_AGAIN where a job has ended before that one is there; None at the end.

        Records may come slowly, or never end: those that wait here begin all the same when their parents are saved.
        """
        if self._arrived:
            return self._arrived.pop()
        if not self._waiting and not self._reading:
            return await anext(records, None)  # no task for each job of a run without chains
        if not self._reading:
            self._reading = True
            self.run.tasks.start_soon(self._read, records)
        if not self._waiting:
            self._changed.clear()
        await self._changed.wait()
        return self._arrived.pop() if self._arrived else LOOK_AGAIN

    async def _read(self, records: AsyncIterator[Record]) -> None:
        self._arrived.append(await anext(records, None))
        self._reading = False
        self._changed.set()

    def _note_end(self, entry: Entry | None) -> None:
        """Look again: a job has ended, or (None) the run submits nothing any more."""
        if entry is not None:
            self._passed[entry.job.id] -= 1
            if self._passed[entry.job.id] <= 0:
                del self._passed[entry.job.id]
            if (brought := self._brought.pop(entry.job.id, None)) is not None:
                shutil.rmtree(brought, ignore_errors=True)
            if entry.progress.stage is Stage.FAILED:
                self._failed.add(entry.job.id)
        self._changed.set()

    async def _ready(self, *, more: bool) -> AsyncIterator[Record]:
        """Give those that wait for nothing any more; where `more` are to come, a parent may still be tried again."""
        again = True
        # A job that fails here may fail those that wait for it.
        while again:
            again = False
            for record in list(self._waiting.values()):
                sources = {name: self.run.spec.journal.find(name) for name in parents(record.job)}
                if (failure := self._failed_parent(sources, more=more)) is not None:
                    await self._end(record, failure)
                    again = True
                elif self.parents_ended and None in sources.values():
                    await self._end(record, self._lost(record.job.id, sources))
                elif all(source and source.progress.stage is Stage.SAVED for source in sources.values()):
                    saved = {name: source for name, source in sources.items() if source}
                    try:
                        complete = await self._resolved(record, saved)
                    except UsageError as error:
                        await self._end(record, error)
                        again = True
                    except DownloadFailed as error:  # the next run fetches it
                        await self._end(record, error, failed=False)
                    except Exception as error:  # one frame that cannot be taken is one job's, not the run's
                        await self._end_unexpected(record, error)
                    else:
                        self._remove(record)
                        self._passed[record.job.id] += 1
                        yield complete
        self.run.held_back = len(self._waiting)

    def _failed_parent(self, sources: Mapping[str, Record | None], *, more: bool) -> ParentFailed | None:
        for name, source in sources.items():
            tried_again = name in self._passed or name in self._waiting or (more and name not in self._failed)
            if source is not None and source.progress.stage is Stage.FAILED and not tried_again:
                return ParentFailed(f"it needs the clip of job {name!r}, which failed: {source.progress.error}")
        return None

    async def _end(self, record: Record, error: VideoError, *, failed: bool = True) -> None:
        """End a job here; what waits for it sees that in the journal."""
        self._remove(record)
        entry = await self.run.enter(record)
        if failed:
            entry.step(Stage.FAILED, error=error)
            self.run.end(entry)
        else:
            self.run.end(entry, error)

    async def _end_unexpected(self, record: Record, error: Exception) -> None:
        """Leave a job planned, where its frame could not be taken or kept."""
        if isinstance(error, OSError):
            failure = DiskFailed(f"the frame for job {record.job.id!r} cannot be kept: {error.strerror or error}")
            self.run.halt(failure)
            await self._end(record, failure, failed=False)
            return
        self._remove(record)
        with contained(await self.run.enter(record)):
            raise error

    def _remove(self, record: Record) -> None:
        del self._waiting[record.job.id]
        self.run.held_back = len(self._waiting)

    async def _give_up(self) -> None:
        """End those that still wait when nothing is under way: they fail only where nobody will ever make a parent."""
        reasons: dict[str, VideoError] = {}
        while more := {
            name: why for name in self._waiting.keys() - reasons.keys() if (why := self._why(name, reasons))
        }:
            reasons |= more
        for name, record in list(self._waiting.items()):
            circle = Problem("from", "the id of a job of this run", "jobs that wait for each other", job=name)
            reason = reasons.get(name) or InvalidJobs([circle])
            await self._end(record, reason, failed=not isinstance(reason, ParentUnfinished))

    def _homeless(self, name: str) -> InvalidJobs:
        """Say that a job begins with a clip that this run does not save."""
        return InvalidJobs([Problem("from", "a run that saves its clips", "none", "give it an `output`", job=name)])

    def _lost(self, name: str, sources: Mapping[str, Record | None]) -> InvalidJobs:
        """Say which parent of a job nobody has planned."""
        lost = next(parent for parent, source in sorted(sources.items()) if source is None)
        got = f"{lost!r}, which no job has"
        return InvalidJobs([Problem("from", "the id of a job of this run", got, job=name)])

    def _why(self, name: str, reasons: Mapping[str, VideoError]) -> VideoError | None:
        """Say why a job cannot begin, by its parents and by why those cannot; None where they do not tell."""
        for parent in sorted(parents(self._waiting[name].job)):
            if parent not in self._waiting and (source := self.run.spec.journal.find(parent)) is None:
                return self._lost(name, {parent: None})
            if parent not in self._waiting and source and source.progress.stage is not Stage.SAVED:
                reason = f"it needs the clip of job {parent!r}, which is not saved and is no part of this run"
                return ParentUnfinished(f"{reason}: `aimlvideo resume` makes both")
            if (why := reasons.get(parent)) is not None:
                kind = ParentUnfinished if isinstance(why, ParentUnfinished) else ParentFailed
                return kind(f"it needs the clip of job {parent!r}, which cannot begin: {why}")
        return None

    async def _resolved(self, record: Record, sources: Mapping[str, Record]) -> Record:
        """Return a record whose job has files where it had references. Raises UsageError where one cannot be had."""
        folder, store = self.run.spec.folder, self.run.spec.store
        assert folder is not None
        frames = folder / FRAMES
        if store is not None:  # what is brought from elsewhere, and its frames, are this job's, and go with it
            frames = self._brought[record.job.id] = frames / file_name(record.job.id, "")
        files: dict[Reference, Path] = {}
        for _, reference in references(record.job.params):
            name = str(sources[reference.job_id].progress.file)
            if store is None:
                clip = folder / name
            else:
                clip = await retrying(partial(store.fetch, name, frames), on=(DownloadFailed,))
            files[reference] = await _file(frames, clip, reference)
        params: dict[str, Any] = with_references(record.job.params, lambda reference: files[reference].resolve())
        return Record(record.job.with_params(params), record.progress)


async def _file(frames: Path, clip: Path, reference: Reference) -> Path:
    """Return the file that a reference stands for: the clip itself, or its frame, taken once."""
    if reference.frame is None:
        return clip
    path = frames / file_name(f"{clip.stem} {reference.frame}", ".png")
    await anyio.to_thread.run_sync(_take_frame, clip, reference.frame, path)
    return path


def _take_frame(clip: Path, when: When, path: Path) -> None:
    """Write a clip's frame, unless it was taken since the clip was saved."""
    # By time, not by content: a clip that was fetched again has new frames, and reading it to compare would cost as
    # much.
    if path.is_file() and path.stat().st_mtime >= clip.stat().st_mtime:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    from aimlvideo.shell.files.video import frame_png  # noqa: PLC0415 - few runs take frames

    with replacing(path) as part:
        part.write_bytes(frame_png(clip, when))
