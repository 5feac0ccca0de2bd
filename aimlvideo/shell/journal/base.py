"""what a journal is: one Protocol, three keepers (SQLite, PostgreSQL, memory)"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from aimlvideo.core.jobs.job import Progress, Record, VideoJob


class Journal(Protocol):
    """Where steps are written."""

    def plan(self, job: VideoJob, *, distinct: bool = False, run: int | None = None) -> Record:
        """Write a new job down, or return what is known of it."""

    def find(self, job_id: str) -> Record | None:
        """Return what is known of one job, or None."""

    def adopt(self, job: VideoJob, progress: Progress) -> Record:
        """Write down a job that somebody else submitted."""

    def open_jobs(self, *, retry_failed: bool = False) -> Iterator[Record]:
        """Give the jobs that are not ended."""

    def counts(self) -> dict[str, int]:
        """Return the number of jobs by stage."""

    def planned_models(self) -> dict[str, int]:
        """Return the number of planned jobs by model."""

    def by_generation(self, generation_id: str) -> Record | None:
        """Return the job that a generation belongs to, or None."""

    def accepted_sample(self) -> Record | None:
        """Return a job that the service surely took, under a request id of ours; None where there is none."""

    def spent(self) -> float:
        """Return what all jobs are known to have cost, in USD."""

    def step(self, job: VideoJob, progress: Progress) -> None:
        """Write a job's progress; on return it survives a killed process."""

    async def synced(self) -> None:
        """Return when all that was written before survives a power cut."""
