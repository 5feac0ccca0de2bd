"""A journal that is gone with the process: for a client that was given none."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator

from aimlvideo.core.jobs.job import Progress, Record, VideoJob
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.errors import InvalidJobs, Problem

OUTSTANDING = (Stage.SUBMITTING, Stage.IN_DOUBT, Stage.RENDERING)


class InMemoryJournal:
    """Keeps what is outstanding at the service, and nothing of what has ended."""

    def __init__(self) -> None:
        self._outstanding: dict[str, Record] = {}

    def plan(self, job: VideoJob, *, distinct: bool = False, run: int | None = None) -> Record:
        """Return what is known of a job: nothing, unless it is under way. Raises InvalidJobs for another content."""
        known = self._outstanding.get(job.id)
        if known is None:
            known = self._outstanding[job.id] = Record(job, Progress())
        elif distinct:
            ids = (f"{job.id}-{number}" for number in itertools.count(2))
            return self.plan(job.named(next(name for name in ids if name not in self._outstanding)))
        elif known.job.content() != job.content():
            raise InvalidJobs([Problem("id", "each id once", "another job under way has it", job=job.id)])
        return known

    def adopt(self, job: VideoJob, progress: Progress) -> Record:
        """Watch a job that somebody else submitted."""
        self.step(job, progress)
        return Record(job, progress)

    def counts(self) -> dict[str, int]:
        """Return the outstanding ones by stage."""
        return dict(Counter(known.progress.stage.value for known in self._outstanding.values()))

    def planned_models(self) -> dict[str, int]:
        """Return nothing: what is planned is not kept here."""
        return {}

    def find(self, job_id: str) -> Record | None:
        """Return what is known of a job that is under way, or None."""
        return self._outstanding.get(job_id)

    def by_generation(self, generation_id: str) -> Record | None:
        """Return the job that a generation belongs to, or None."""
        known = self._outstanding.values()
        return next((record for record in known if record.progress.generation_id == generation_id), None)

    def accepted_sample(self) -> Record | None:
        """Return a job that the service surely took, under a request id of ours; None where there is none."""
        return next((known for known in self._outstanding.values() if known.progress.generation_id), None)

    def spent(self) -> float:
        """Return 0: what earlier runs cost is not known here."""
        return 0.0

    def step(self, job: VideoJob, progress: Progress) -> None:
        """Remember an outstanding job, forget another."""
        if progress.stage in OUTSTANDING:
            self._outstanding[job.id] = Record(job, progress)
        else:
            self._outstanding.pop(job.id, None)

    async def synced(self) -> None:
        """Return at once: nothing here survives anything."""

    def open_jobs(self, *, retry_failed: bool = False) -> Iterator[Record]:
        """Give what is outstanding."""
        return iter([known for known in self._outstanding.values() if known.progress.stage in OUTSTANDING])
