"""A journal that is gone with the process: for a client that was given none."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property

from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.problems import changed_content_problem, changed_fields, duplicate_id_problem
from aimlvideo.core.jobs.progress import Attempt, Progress, Record
from aimlvideo.core.jobs.stages import OUTSTANDING, Stage
from aimlvideo.errors import InvalidJobs
from aimlvideo.shell.journal.base import CopyNumbers, Journal


class InMemoryJournal(Journal):
    """Keeps what is planned or outstanding at the service, and nothing of what has ended: its size stays flat.

    So all that it gives and counts is of jobs under way, but for what is spent: that is of all jobs of this object.
    """

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}
        self._runs: dict[str, int] = {}
        self._planned: defaultdict[int, set[str]] = defaultdict(set)
        """What each run has planned and not begun."""
        self._attempts: defaultdict[str, list[Attempt]] = defaultdict(list)
        self._facts: dict[str, str] = {}
        self._copies = CopyNumbers()
        self._spent = 0.0
        self._run = 1

    def begin(self) -> int:
        self._run += 1
        return self._run

    @contextmanager
    def planning(self) -> Iterator[None]:
        before = dict(self._records), dict(self._runs)
        try:
            yield
        except BaseException:
            self._records, self._runs = before
            self._copies.forget()
            raise

    def plan(self, job: VideoJob, *, distinct: bool = False, run: int | None = None) -> Record:
        """Take a new job in, or return one that is under way as it is. Raises InvalidJobs as every journal does."""
        run = self._run if run is None else run
        if distinct and self._runs.get(job.id) == run and job.derived:
            job = job.with_id(self._copies.next_id(job.id, run, lambda name: self._runs.get(name) == run))
        record = self._records.get(job.id)
        if record is None:
            record = self._records[job.id] = Record(job, Progress())
        elif changed_fields(before := record.job.content(), now := job.content()):
            raise InvalidJobs([changed_content_problem(job.id, before, now)])
        elif self._runs.get(job.id) == run:
            # Twice in one run is a mistake in the file; again in a later run means "go on with it".
            raise InvalidJobs([duplicate_id_problem(job.id)])
        self._runs[job.id] = run
        if record.progress.stage is Stage.PLANNED:
            self._planned[run].add(job.id)
        return Record(job, record.progress)

    def forget_planned(self, run: int) -> None:
        """Forget what a run that is over has planned and not begun: whoever asked for that is gone."""
        for job_id in self._planned.pop(run, ()):
            # A later run may have taken it over.
            if self._runs.get(job_id) == run:
                del self._runs[job_id], self._records[job_id]

    def adopt(self, job: VideoJob, progress: Progress) -> Record:
        if (record := self.find(job.id)) is not None:
            return record
        self.step(job, progress)
        return Record(job, progress)

    def step(self, job: VideoJob, progress: Progress) -> None:
        """Remember an outstanding job, forget another."""
        before = self._records.get(job.id)
        if before is not None:
            if before.progress.stage is Stage.PLANNED:
                self._planned[self._runs[job.id]].discard(job.id)
            charged_before = before.progress.cost_usd
            if before.progress.is_replaced_by(progress):
                self._attempts[job.id].append(before.progress.attempt)
                charged_before = 0.0
            # What has ended is not kept, so a cost is added where it is heard: when an outstanding job moves on.
            self._spent += (progress.cost_usd or 0.0) - (charged_before or 0.0)
        if progress.stage in OUTSTANDING:
            self._records[job.id] = Record(job, progress)
            return
        self._records.pop(job.id, None)
        # What has ended is forgotten: a program that runs for months must not keep every job that it ever had.
        self._runs.pop(job.id, None)
        if progress.stage is not Stage.PLANNED:
            self._attempts.pop(job.id, None)
        elif progress.request_id is not None:
            self._attempts[job.id].append(progress.attempt)

    def reopen(self, record: Record, progress: Progress) -> None:
        """Remember that a job which has ended goes on."""
        self.step(record.job, progress)

    async def synced(self) -> None:
        """Return at once: nothing here survives anything."""

    def find(self, job_id: str) -> Record | None:
        return self._records.get(job_id)

    def by_generation(self, generation_id: str) -> Record | None:
        records = self._records.values()
        return next((record for record in records if record.progress.generation_id == generation_id), None)

    @cached_property
    def earlier_generations(self) -> Mapping[str, str]:
        pairs = ((progress.generation_id, job.id) for job, progress in self._records.values())
        return {generation_id: job_id for generation_id, job_id in pairs if generation_id}

    @property
    def file_names(self) -> set[str]:
        return {one.progress.file.casefold() for one in self._records.values() if one.progress.file}

    def attempts(self, job_id: str) -> list[Attempt]:
        record = self._records.get(job_id)
        current = [record.progress.attempt] if record and record.progress.has_attempt else []
        return [*self._attempts.get(job_id, ()), *current]

    def earlier_attempts(self) -> Iterator[tuple[str, Attempt]]:
        for job_id, attempts in self._attempts.items():
            yield from ((job_id, attempt) for attempt in attempts)

    def accepted_sample(self) -> Record | None:
        records = self._records.values()
        return next((one for one in records if one.progress.generation_id and one.progress.request_id), None)

    def open_jobs(self, *, retry_failed: bool = False, run: int | None = None) -> Iterator[Record]:
        records = list(self._records.values())
        yield from sorted(records, key=lambda record: record.progress.stage is Stage.PLANNED)

    def ended_jobs(self, *, run: int | None = None) -> Iterator[Record]:
        return iter(())

    def counts(self, *, run: int | None = None) -> dict[str, int]:
        return dict(Counter(record.progress.stage.value for record in self._records.values()))

    def planned_models(self) -> dict[str, int]:
        planned = (one.job.model for one in self._records.values() if one.progress.stage is Stage.PLANNED)
        return dict(Counter(planned))

    def spent(self) -> float:
        return self._spent

    def unknown_costs(self) -> int:
        return 0

    def costs_in_units(self) -> tuple[int, float]:
        return 0, 0.0

    def fact(self, name: str) -> str | None:
        return self._facts.get(name)

    def facts(self, beginning: str) -> dict[str, str]:
        return {name: value for name, value in self._facts.items() if name.startswith(beginning)}

    def note(self, name: str, value: str) -> None:
        self._facts[name] = value

    def forget(self, name: str) -> None:
        self._facts.pop(name, None)
