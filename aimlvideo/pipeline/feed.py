"""The jobs of one run, set on their way one after the other."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count

from aimlvideo.core.catalog.catalog import Catalog
from aimlvideo.core.catalog.validation import check
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Record
from aimlvideo.core.jobs.request_ids import OwnIds
from aimlvideo.core.jobs.stages import ENDED, Stage
from aimlvideo.errors import InvalidJobs, Problem
from aimlvideo.pipeline.crew import Crew
from aimlvideo.pipeline.entry import Entry, contained
from aimlvideo.pipeline.pipeline import Pipeline
from aimlvideo.pipeline.run import Run
from aimlvideo.shell.files.output_folders import is_saved

PARALLEL_SUBMISSIONS = 200
"""Submissions of one run in flight at a time, at most."""
JOBS_A_PASS = 8
"""Jobs that are read one after the other before everything else has its turn."""
UNDER_WAY = "that of a job that is under way"

log = logging.getLogger("aimlvideo")


@dataclass(eq=False)
class Feed:
    """Sets jobs on their way, for as long as new ones may be submitted.

    One task reads them, so that jobs are taken, and paid for, in order, and waits until one may be sent; a crew sends
    those: as many tasks as submissions in flight, and none for each job.
    """

    run: Run
    pipeline: Pipeline
    catalog_for: Callable[[str], Awaitable[Catalog]]
    """Gives the catalogue, with this model in it where the service knows it."""
    strict: bool
    own_ids: OwnIds
    """Those of all runs into the journal, as far as this process knows them."""
    legacy: bool = False
    _admitted: deque[Entry] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._free = asyncio.Semaphore(PARALLEL_SUBMISSIONS)
        self._crew = Crew(self._next, self._submit, lambda: PARALLEL_SUBMISSIONS, self.run.tasks)

    async def work(self, records: AsyncIterator[Record]) -> None:
        """Set one job after the other on its way, until there are no more."""
        for number in count(1):
            await self._free.acquire()
            if not number % JOBS_A_PASS:
                await asyncio.sleep(0)
            # Where nothing has to be waited for, no cancellation comes through: a run that was left is asked.
            record = None if self.run.reads_no_more else await anext(records, None)
            if record is None:
                self.run.close_input()
                return
            entry, is_admitted = await self.run.enter(record), False
            with contained(entry):
                is_admitted = self._claim_id(entry) and await self._admit(entry)
            if is_admitted:
                self._admitted.append(entry)
                self._crew.call(len(self._admitted))
            else:
                self._free.release()

    def _next(self) -> Entry | None:
        return self._admitted.popleft() if self._admitted else None

    async def _submit(self, entry: Entry) -> None:
        try:
            with contained(entry):
                if not _is_asked_about_first(entry):
                    await self.pipeline.submit(entry)
                elif not await self.pipeline.takes_up(entry) and await self._validate(entry):
                    await self.pipeline.buy(entry)
        finally:
            self._free.release()

    def _claim_id(self, entry: Entry) -> bool:
        """Keep two jobs of one id from being under way at once: both would be bought."""
        ids_under_way = self.run.spec.ids_under_way
        if ids_under_way is None or (entry.progress.stage in ENDED and not self._is_clip_missing(entry)):
            return True
        if entry.job.id in ids_under_way:
            problem = Problem("id", "each id once at a time", UNDER_WAY, job=entry.job.id)
            entry.end(InvalidJobs([problem]))
            return False
        entry.claim_id(ids_under_way)
        record = self.run.spec.journal.find(entry.job.id) if self.run.shared else None
        # Another run may have bought it since it was read. What is tried again has failed still, by the journal.
        if record is not None and not (self.run.spec.retries and record.progress.stage is Stage.FAILED):
            self.run.stats.moved(entry.job, entry.progress, record.progress)
            entry.progress = record.progress
        if self._is_clip_missing(entry):
            # Where a journal is not that of the folder, a file of this name is somebody else's: it is not replaced.
            entry.step(Stage.READY, bytes=None, sha256=None, files=())
        return True

    def _is_clip_missing(self, entry: Entry) -> bool:
        """Tell whether a saved clip is not in this run's folder: it is paid, and fetched again."""
        spec, progress = self.run.spec, entry.progress
        if progress.stage is not Stage.SAVED or spec.folder is None or spec.store is not None:
            return False
        return not is_saved(spec.folder, progress)

    async def _validate(self, entry: Entry) -> bool:
        """Check a planned job against the catalogue and the service; a wrong one ends here, and nothing was sent."""
        shared_id = self._shared_own_id(entry.job)
        if entry.progress.stage is not Stage.PLANNED:
            return True
        catalog = await self.catalog_for(entry.job.model)
        checked = check(entry.job, catalog, service=self.pipeline.service.name, strict=self.strict, legacy=self.legacy)
        for warning in checked.warnings:
            log.warning("%s", warning)
        problems = [*checked.problems, *([] if shared_id is None else [shared_id])]
        if problems:
            entry.step(Stage.FAILED, error=InvalidJobs(problems))
            entry.end()
            return False
        entry.job = entry.job.with_params(checked.params)
        return await self._passes_preflight(entry)

    async def _passes_preflight(self, entry: Entry) -> bool:
        """Ask the service whether anything stands in a right job's way; a key that may not buy stops the run."""
        objection = await self.pipeline.preflight.objection(entry.job)
        # The question took its time: meanwhile the run may have been stopped, or the job cancelled.
        if entry.ended:
            return False
        if objection is None:
            return True
        if isinstance(objection, InvalidJobs):
            entry.step(Stage.FAILED, error=objection)
            entry.end()
        else:
            # A key that may not buy says the same of every job: the run stops before a thousand failures.
            entry.stop_run(objection)
        return False

    def _shared_own_id(self, job: VideoJob) -> Problem | None:
        """Return what is wrong where a job names a request id of its own that another one was sent under."""
        spec, own_ids = self.run.spec, self.own_ids
        # Many machines share too much to be read for each.
        if not own_ids.is_read and spec.ids_under_way is not None and own_ids.names_one(job):
            own_ids.read(spec.journal.all_jobs())
        return own_ids.claim(job, self._may_be_sent)

    def _may_be_sent(self, job_id: str) -> bool:
        """Tell whether another job was sent, or is under way."""
        spec = self.run.spec
        if spec.ids_under_way is None or job_id in spec.ids_under_way:
            return True
        record = spec.journal.find(job_id)
        return record is not None and record.progress.has_attempt

    async def _admit(self, entry: Entry) -> bool:
        """Check a job, wait until one more may be bought, promise its price, set it on its way. True: to be sent now.

        A clip that may be there already needs none of that: its model may be gone by now.
        """
        is_asked_about_first = _is_asked_about_first(entry)
        if not is_asked_about_first and not await self._validate(entry):
            return False
        await self.run.may_buy(entry)
        if is_asked_about_first and not (entry.ended or (entry.failed and entry.failed.cost_usd)):
            # Until the answer is there: it may be charged by now, and another job would be bought beside it. Not before
            # it may be asked about: one that waits for money would wait for it, and it for that one.
            self.run.budget_gate.promise(entry)
            entry.is_asked_about = True
        return is_asked_about_first or (await self.run.budget_gate.afford(entry) and await self.pipeline.route(entry))


def _is_asked_about_first(entry: Entry) -> bool:
    """Tell whether a job is tried again whose generation failed: the service may have completed that by now."""
    return entry.progress.stage is Stage.PLANNED and entry.progress.retry_of is not None
