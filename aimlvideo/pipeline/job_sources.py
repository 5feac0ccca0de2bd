"""The jobs that a run is given: a file's, a DataFrame's or a program's, each as the journal knows it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping, Sized
from inspect import iscoroutine
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from aimlvideo.core.arguments import check_argument
from aimlvideo.core.catalog.catalog import Catalog
from aimlvideo.core.formatting import preview, redact_for_display
from aimlvideo.core.jobs.file_names import NameTemplate
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.problems import WRITABLE, secret_problems
from aimlvideo.core.jobs.progress import Progress, Record
from aimlvideo.core.jobs.result import Result
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.wires.base import Generation
from aimlvideo.errors import InvalidJobs, Problem, UsageError, VideoError
from aimlvideo.shell.dataframe import is_missing
from aimlvideo.shell.journal.base import Journal
from aimlvideo.shell.task_groups import is_being_cancelled

if TYPE_CHECKING:
    from aimlvideo.pipeline.run import Run
    from aimlvideo.pipeline.run_spec import RunSpec

T = TypeVar("T")
Lines = Iterable[VideoJob | Mapping[str, Any]] | AsyncIterable[VideoJob | Mapping[str, Any]]
Jobs = Lines | str | Path
"""Jobs or mappings of their fields, a job file's name, or a DataFrame with a row a job."""


class JobSource:
    """Where a run's jobs come from: a file's name, a DataFrame, or jobs that a program makes."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    def check(self) -> None:
        """Raise UsageError for what is no source of jobs, before a folder is made for it."""
        jobs: object = self._jobs
        expected = "expected a list of jobs (any iterable, also an async one), a job file's name, or a DataFrame"
        if isinstance(jobs, Mapping | VideoJob):
            raise UsageError(f"jobs is a single job: {expected}. For one clip: client.generate(MODEL, prompt=...)")
        if iscoroutine(jobs):
            jobs.close()
            raise UsageError(f"jobs is a coroutine: await it first; {expected}")
        if callable(jobs) and not hasattr(jobs, "__iter__"):
            raise UsageError(f"jobs is a function: call it, as in client.run(jobs()); {expected}")
        if isinstance(jobs, bytes) or not isinstance(jobs, Iterable | AsyncIterable | Path):
            raise UsageError(f"jobs is of type {type(jobs).__name__}: {expected}")
        if isinstance(jobs, str | Path):
            from aimlvideo.shell.files.job_files import JobFile  # noqa: PLC0415 - as below

            JobFile(str(jobs)).check()

    @property
    def has_an_end(self) -> bool:
        """Whether it is known to end, and to keep nobody waiting: a list, a file or a DataFrame."""
        if isinstance(self._jobs, str | Path):
            from aimlvideo.shell.files.job_files import JobFile  # noqa: PLC0415 - as below

            return JobFile(str(self._jobs)).can_be_read_again
        return isinstance(self._jobs, Sized)

    async def planned(self, run: Run, catalog: Catalog, *, local_files: bool) -> AsyncIterator[Record]:
        """Give each job as the run's journal knows it; a wrong one as a failure.

        Where the run buys nothing more, only those that were begun before: their clips may be paid.
        """
        async for line in as_async(self._lines(catalog)):
            record = _read(line)
            is_wrong = record.progress.stage is Stage.FAILED
            if run.halted is not None and (is_wrong or not _is_begun(run.spec.journal.find(record.job.id))):
                await anyio.lowlevel.checkpoint()  # any number may follow, with none to wait for between them
                continue
            yield record if is_wrong else _planned(record.job, run.spec, catalog, local_files=local_files)

    def _lines(self, catalog: Catalog) -> Lines:
        """Return the jobs of a file or a DataFrame; what is given as jobs is returned as it is."""
        jobs = self._jobs
        # Reading tables takes many modules, which a program does not need that makes its own jobs.
        if isinstance(jobs, str | Path):
            from aimlvideo.shell.files.job_files import JobFile  # noqa: PLC0415

            return JobFile(str(jobs)).jobs(catalog)
        if hasattr(jobs, "columns") and (hasattr(jobs, "to_dict") or hasattr(jobs, "to_dicts")):
            from aimlvideo.shell.files.job_files import jobs_of_frame  # noqa: PLC0415

            return jobs_of_frame(jobs, catalog)
        return jobs


def _read(line: object) -> Record:
    """Return the job of a line; one that cannot be read as a failure: it must not stop those behind it."""
    try:
        job = line if isinstance(line, VideoJob) else job_of_mapping(line)  # type: ignore[arg-type]  # it is looked at
        _refuse_no_text(job)
    except InvalidJobs as error:
        fields = {"id": line.id} if isinstance(line, VideoJob) else line if isinstance(line, Mapping) else {}
        model, name = (_shown_text(fields.get(field)) for field in ("model", "id"))
        return Record(single_job(model, name or None, {}), Progress(Stage.FAILED, error=error))
    if problems := secret_problems(job):
        # Without its parameters: the result of a job is shown, and may be kept.
        return Record(VideoJob(job.model, id=job.id), Progress(Stage.FAILED, error=InvalidJobs(problems)))
    return Record(job, Progress())


def _planned(job: VideoJob, spec: RunSpec, catalog: Catalog, *, local_files: bool) -> Record:
    """Return a job as a journal knows it; a wrong one as a failure."""
    try:
        if not local_files:
            _refuse_paths(job)
        if spec.name:
            _refuse_unknown_fields(spec.name, job, catalog)
        return spec.journal.plan(job, distinct=True, run=spec.number)
    except InvalidJobs as error:
        return Record(job, Progress(Stage.FAILED, error=error))


def _is_begun(record: Record | None) -> bool:
    return record is not None and record.progress.stage is not Stage.PLANNED


def job_of_mapping(line: Mapping[str, Any]) -> VideoJob:
    """Return the job that a mapping describes: `model`, an `id` if you like, and the model's parameters."""
    if not isinstance(line, Mapping) or not all(isinstance(name, str) for name in line):
        expected = "a VideoJob, or a dict such as {'model': MODEL, 'prompt': 'Waves at night'}"
        raise InvalidJobs([Problem("job", expected, redact_for_display(repr(line))[:80])])
    # A cell that is empty in a DataFrame is NaN: nothing was given there.
    return VideoJob(**{"model": "", **{name: value for name, value in line.items() if not is_missing(value)}})


def check_generation_id(generation_id: object) -> None:
    """Raise UsageError for what is no id: a service would answer for whatever it takes it for."""
    if isinstance(generation_id, str) and generation_id.strip():
        try:
            generation_id.encode()
        except UnicodeEncodeError:
            raise UsageError(f"the id of a generation is {preview(generation_id)}: expected {WRITABLE}") from None
        if generation_id.split() != [generation_id]:  # the end of a line, as a list of ids from Windows has it
            got = preview(generation_id)
            raise UsageError(f"the id of a generation is {got}: expected text without blanks and line breaks")
        return
    hint = {Generation: ": pass its `id`", Result: ": pass its `generation_id`"}.get(type(generation_id), "")
    got = repr(generation_id) if isinstance(generation_id, str | None) else f"of type {type(generation_id).__name__}"
    raise UsageError(f"the id of a generation is {got}: expected text{hint}")


def adopt_generation(journal: Journal, job: VideoJob, progress: Progress) -> Record:
    """Return whose a generation is in a journal; where it is new there, write it down as this job.

    One that had failed is returned as it goes on, and is failed in the journal until its next step: whoever names it
    has a reason, as the service may have completed it since.

    Raises UsageError where the text names a job of the journal instead: going on with that one might buy its clip.
    """
    owner = journal.by_generation(progress.generation_id or "")
    record = journal.find(job.id) if owner is None else owner
    if record is not None and record.progress.generation_id != progress.generation_id:
        its_own = record.progress.generation_id
        raise UsageError(
            f"{progress.generation_id!r} is the id of a job here: expected the id of a generation, and "
            + (f"this job's is {its_own}" if its_own else "this job has none yet")
        )
    adopted = journal.adopt(job if record is None else record.job, progress)
    if adopted.progress.stage is Stage.FAILED:
        return Record(adopted.job, adopted.progress.for_retry(has_completed=True))
    return adopted


def single_job(model: str, job_id: str | None, params: Mapping[str, Any]) -> VideoJob:
    """Return one clip's job: without an id, one that is like no other. Raises UsageError for an id that is no name."""
    if job_id is not None:
        check_argument("id", job_id, str | int, "text or a whole number, or None")
        if isinstance(job_id, str) and not job_id.strip():
            raise UsageError("id is an empty text: expected a name for the clip, or None for one like no other")
    return VideoJob(model, id=f"clip-{secrets.token_hex(6)}" if job_id is None else job_id, **params)


async def as_async(things: Iterable[T] | AsyncIterable[T]) -> AsyncIterator[T]:
    """Give what an iterable has as an async one; what is one already stays so.

    Raises VideoError where the iterable is cancelled and whoever reads it is not: a task that it waits for was ended.
    """
    try:
        if isinstance(things, AsyncIterable):
            async for thing in things:
                yield thing
        else:
            for thing in things:
                yield thing
    except asyncio.CancelledError as error:
        if is_being_cancelled():
            raise
        raise VideoError(
            "what gives the jobs was cancelled, by itself or by a task that it waits for: expected the next job, or "
            "the end. What was bought is kept, and with a journal the same jobs carry on"
        ) from error


def _shown_text(value: object) -> str:
    """Return what stands where a text was expected, in short; empty where that is nothing."""
    text = value[:200] if isinstance(value, str) else "" if is_missing(value) else preview(value)
    return text if text.strip() else ""


def _refuse_no_text(job: VideoJob) -> None:
    """Raise InvalidJobs for a model that is no text: what a run learns and counts is kept by its name."""
    model: object = job.model
    if not isinstance(model, str):
        raise InvalidJobs([Problem("model", "the id of a model, as text", preview(model), job=job.id)])


def _refuse_paths(job: VideoJob) -> None:
    """Raise InvalidJobs for a parameter that is a path: a journal keeps it as text, and what that names is not sent."""
    for name, value in job.params.items():
        parts = value if isinstance(value, list | tuple) else [value]
        if any(isinstance(part, PurePath) for part in parts):
            raise InvalidJobs([Problem(name, "a link or a content (local_files=False)", "a path", job=job.id)])


def _refuse_unknown_fields(template: str, job: VideoJob, catalog: Catalog) -> None:
    """Raise InvalidJobs for a field in a template of clips' names that neither this job has nor any model takes."""
    model = catalog.find(job.model)
    names = {*job.params, *(model.params if model else ())}
    if NameTemplate(template).problem(names):
        # All models are read for a name that may be wrong alone.
        names.update(name for model in catalog for name in model.params)
        if problem := NameTemplate(template).problem(names, shown=job.params):
            raise InvalidJobs([Problem("name", problem, job=job.id)])
