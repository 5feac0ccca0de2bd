"""Jobs that take what others make: each is held back until the clips that it needs are saved."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from aimlvideo.core.jobs.chains import Reference, parents, references, with_references
from aimlvideo.core.jobs.file_names import file_name
from aimlvideo.core.jobs.job import Record
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.errors import DownloadFailed, InvalidJobs, ParentFailed, Problem, UsageError, VideoError
from aimlvideo.pipeline.run import Entry, Run
from aimlvideo.shell.files.video import When, frame_png
from aimlvideo.shell.http.retrying import retrying

FRAMES = "frames"
"""The folder of the frames that were taken, beside the clips."""


@dataclass(eq=False)
class Chains:
    """Gives the records of a run in an order in which every job finds the clips that it takes something from.

    What waits here holds no slot and no place in the run's window. A job without a reference passes at once.
    """

    run: Run
    parents_ended: bool = False
    """Whether every job comes when those that it takes clips from have ended: then it waits for nobody here."""
    _waiting: dict[str, Record] = field(default_factory=dict)
    _brought: dict[str, Path] = field(default_factory=dict)
    """Folders of what was brought from elsewhere for a job, by its id."""
    _passed: set[str] = field(default_factory=set)
    """Ids that were passed on and have not ended: also a failed one that is tried again."""

    async def in_order(self, records: AsyncIterator[Record]) -> AsyncIterator[Record]:
        """Pass records on as soon as they can begin; one whose parent failed is passed on as failed."""
        self.run.ended_watchers.append(self._note_end)
        self._changed = asyncio.Event()
        async for record in records:
            if parents(record.job) and record.progress.stage is Stage.PLANNED:
                self._waiting[record.job.id] = record
            else:
                self._passed.add(record.job.id)
                yield record
            # A look costs a journal read for each job that waits: worth it for one that is new, or after an end.
            if self._waiting and (record.job.id in self._waiting or self._changed.is_set()):
                self._changed.clear()
                async for ready in self._ready(more=not self.parents_ended):
                    yield ready
        while self._waiting:
            self._changed.clear()
            async for ready in self._ready(more=False):
                yield ready
            if not self._waiting or self.run.halted:
                return
            if not self._passed:
                for stuck in list(self._waiting.values()):
                    await self._fail(stuck, self._why_stuck(stuck))
                return
            await self._changed.wait()

    def _note_end(self, entry: Entry | None) -> None:
        """Look again: a job has ended, or (None) the run submits nothing any more."""
        if entry is not None:
            self._passed.discard(entry.job.id)
            if (brought := self._brought.pop(entry.job.id, None)) is not None:
                shutil.rmtree(brought, ignore_errors=True)
        self._changed.set()

    async def _ready(self, *, more: bool) -> AsyncIterator[Record]:
        """Give those that wait for nothing any more. While `more` records are to come, nobody is given up."""
        again = True
        while again:  # a job that fails here may fail those that wait for it
            again = False
            for record in list(self._waiting.values()):
                sources = {name: self.run.spec.journal.find(name) for name in parents(record.job)}
                if not more and (error := self._failed_parent(record, sources)) is not None:
                    await self._fail(record, error)
                    again = True
                elif self.parents_ended and None in sources.values():
                    await self._fail(record, self._why_stuck(record))
                elif all(source and source.progress.stage is Stage.SAVED for source in sources.values()):
                    try:
                        complete = await self._resolved(
                            record, {name: source for name, source in sources.items() if source}
                        )
                    except UsageError as error:
                        await self._fail(record, error)
                        again = True
                    except DownloadFailed as error:  # its parent's clip may be had later: it stays planned
                        del self._waiting[record.job.id]
                        self.run.end(await self.run.enter(record), error)
                    else:
                        del self._waiting[record.job.id]
                        self._passed.add(record.job.id)
                        yield complete

    def _failed_parent(self, record: Record, sources: Mapping[str, Record | None]) -> ParentFailed | None:
        for name, source in sources.items():
            waits = name in self._passed or name in self._waiting
            if source is not None and source.progress.stage is Stage.FAILED and not waits:
                return ParentFailed(f"it needs the clip of job {name!r}, which failed: {source.progress.error}")
        return None

    async def _fail(self, record: Record, error: VideoError) -> None:
        """End a job here; what waits for it sees that in the journal."""
        del self._waiting[record.job.id]
        entry = await self.run.enter(record)
        entry.step(Stage.FAILED, error=error)
        self.run.end(entry)

    def _why_stuck(self, record: Record) -> VideoError:
        lost = sorted(name for name in parents(record.job) if self.run.spec.journal.find(name) is None)
        got = f"{lost[0]!r}, which no job has" if lost else "jobs that wait for each other"
        return InvalidJobs([Problem("from", "the id of a job of this run", got, job=record.job.id)])

    async def _resolved(self, record: Record, sources: Mapping[str, Record | None]) -> Record:
        """Return a record whose job has files where it had references. Raises UsageError where one cannot be had."""
        folder, fetch = self.run.spec.folder, self.run.spec.fetch
        if folder is None:
            raise InvalidJobs([Problem("from", "a run that saves its clips", "another one", job=record.job.id)])
        frames = folder / FRAMES
        if fetch is not None:  # what is brought from elsewhere, and its frames, are this job's, and go with it
            frames = self._brought[record.job.id] = frames / file_name(record.job.id, "")
        files: dict[Reference, Path] = {}
        for _, reference in references(record.job.params):
            source = sources[reference.job_id]
            assert source is not None  # all are saved
            name = str(source.progress.file)
            if fetch is None:
                clip = folder / name
            else:
                clip = await retrying(partial(fetch, name, frames), on=(DownloadFailed,))()
            files[reference] = await _file(frames, clip, reference)
        params: dict[str, Any] = with_references(record.job.params, lambda reference: str(files[reference].resolve()))
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
    if path.is_file() and path.stat().st_mtime >= clip.stat().st_mtime:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(frame_png(clip, when))
    part.replace(path)
