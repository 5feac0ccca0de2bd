"""A journal that is gone with the process: for a client that was given none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from aimlvideo.core.job import Progress, Record, VideoJob
from aimlvideo.core.stages import Stage

OUTSTANDING = (Stage.SUBMITTING, Stage.IN_DOUBT, Stage.RENDERING)


class Memory:
    """Keeps what is outstanding at the service, and nothing of what has ended."""

    def __init__(self) -> None:
        self._outstanding: dict[str, Record] = {}

    def plan(self, job: VideoJob, *, distinct: bool = False) -> Record:
        """Return what is known of a job: nothing, unless it is outstanding."""
        return self._outstanding.get(job.id) or Record(job, Progress())

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

    def accepted_one(self) -> Record | None:
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
        return iter(list(self._outstanding.values()))
