"""What a journal is: one interface, kept in SQLite, PostgreSQL or memory.

What a method does stands here, once; where a kind of journal does more, or less, it says so itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Attempt, Progress, Record
from aimlvideo.errors import SettingsError

SERVICE = "service"
"""The fact of a journal that says whose generations its ids are: at another service they mean nothing."""
OWN_IDS = "ids of jobs' own"
"""The fact of a journal that says in which parameter a job may name its request id itself."""
UPLOAD = "upload"
"""The fact of a journal that says where its local files go, for `resume` and for workers."""
MOST_EARLIER = 10_000
"""Generations from before whose jobs are remembered: an answer that names one of them is no answer to a new job."""


def refuse_other_service(begun: str | None, service: str | None, folder: Path | None = None) -> None:
    """Raise SettingsError where what was begun with one service, a folder or a database, is to go on with another.

    The ids of one mean nothing to another: a lost submission is not there, and would be bought again.
    """
    if begun is not None and begun != service:
        what, place = ("these jobs were", "database") if folder is None else (f"{folder} was", "folder")
        raise SettingsError(f"{what} started with service {begun!r}: use that, or another {place}")


class JournalReader(Protocol):
    """What can be read of a journal, also while a run is writing it."""

    def find(self, job_id: str) -> Record | None:
        """Return one job with its progress, or None."""

    def by_generation(self, generation_id: str) -> Record | None:
        """Return the job that a generation belongs to, or None."""

    @property
    def earlier_generations(self) -> Mapping[str, str]:
        """The generations of the latest jobs, each with its job's id, as they are when this is asked first."""

    @property
    def file_names(self) -> set[str]:
        """The names of all clips, in small letters; whoever gives another one a name adds it."""

    def attempts(self, job_id: str) -> list[Attempt]:
        """Return every submission of one job, the oldest first: no request id and no generation id is ever dropped."""

    def earlier_attempts(self) -> Iterator[tuple[str, Attempt]]:
        """Give every submission that was replaced by another one, the oldest first, each with its job's id."""

    def accepted_sample(self) -> Record | None:
        """Return a job that the service surely took, under a request id of ours; None where there is none."""

    def open_jobs(self, *, retry_failed: bool = False, run: int | None = None) -> Iterator[Record]:
        """Give each job that is not ended once, those that are outstanding first.

        With `run`, here and below, only those of the file that was planned in this run, where a journal knows of files.
        """

    def ended_jobs(self, *, run: int | None = None) -> Iterator[Record]:
        """Give the jobs that are saved or failed."""

    def all_jobs(self) -> Iterator[Record]:
        """Give every job: those that are not ended, as `open_jobs` does, and then those that are."""
        yield from self.open_jobs()
        yield from self.ended_jobs()

    def counts(self, *, run: int | None = None) -> dict[str, int]:
        """Return the number of jobs by stage."""

    def planned_models(self) -> dict[str, int]:
        """Return the number of planned jobs by model."""

    def spent(self) -> float:
        """Return what all jobs are known to have cost, in USD."""

    def unknown_costs(self) -> int:
        """Return how many clips are paid, also those that could not be fetched, whose cost in USD nobody said."""

    def costs_in_units(self) -> tuple[int, float]:
        """Return how many of those clips have a cost in the service's own units, and what all jobs cost in them."""

    def fact(self, name: str) -> str | None:
        """Return one fact about the whole, such as its service."""

    def facts(self, beginning: str) -> dict[str, str]:
        """Return the facts whose names begin so."""


class Journal(JournalReader, Protocol):
    """Where jobs are planned and their steps are written."""

    def begin(self) -> int:
        """Begin another run, and number it: what it plans may have been planned before, by any other run."""

    def planning(self) -> AbstractContextManager[None]:
        """Plan any number of jobs at once: all of them, or, where the block raises, nothing."""

    def plan(self, job: VideoJob, *, distinct: bool = False, run: int | None = None) -> Record:
        """Write a new job down, or return what one that is here already has come to.

        Raises InvalidJobs where the id stands for another content, or where it came before in this `run` (as `begin`
        numbered it; None: the last). With `distinct`, a second job whose id comes from its content gets an id of its
        own: `ID-2`.
        """

    def adopt(self, job: VideoJob, progress: Progress) -> Record:
        """Write down a job that somebody else submitted, or return it as it is here already."""

    def step(self, job: VideoJob, progress: Progress) -> None:
        """Write a job's progress; it survives a killed process very soon. See `synced`."""

    def reopen(self, record: Record, progress: Progress) -> None:
        """Write down what else is true of a job that nobody here follows; where many share it, it is nobody's then."""

    async def synced(self) -> None:
        """Return when all that was written before survives a power cut."""

    def note(self, name: str, value: str) -> None:
        """Write one fact about the whole."""

    def forget(self, name: str) -> None:
        """Take one fact about the whole away."""


class CopyNumbers:
    """Numbers the copies of a job. The last number of each is remembered, so that n equal jobs cost n steps."""

    def __init__(self) -> None:
        self._last: dict[tuple[int, str], int] = {}

    def next_id(self, job_id: str, run: int, is_taken: Callable[[str], bool]) -> str:
        """Return the first id for one more copy of a job that is not taken in this run."""
        for number in itertools.count(self._last.get((run, job_id), 1) + 1):
            candidate = f"{job_id}-{number}"
            if not is_taken(candidate):
                self._last[run, job_id] = number
                return candidate
        raise AssertionError("unreachable")

    def forget(self) -> None:
        """Number from the start again: what was planned was taken back."""
        self._last.clear()
