"""The lines of a job file as checked jobs: every problem of all of them, before any is sent."""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import nan
from pathlib import Path
from typing import Any

from aimlvideo.core.catalog.aliases import MEDIA_NAMES, canonical_name
from aimlvideo.core.catalog.catalog import Catalog
from aimlvideo.core.catalog.model import Model, Param
from aimlvideo.core.catalog.references import check_with_references
from aimlvideo.core.catalog.rules import file_limits
from aimlvideo.core.catalog.validation import model_of
from aimlvideo.core.formatting import pluralize
from aimlvideo.core.jobs.chains import chain_problems, clip_seconds, parents
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Record
from aimlvideo.core.jobs.request_ids import OwnIds
from aimlvideo.core.jobs.templates import expand
from aimlvideo.core.media_types import MediaLimits
from aimlvideo.core.services import DEFAULT_SERVICE, service_of
from aimlvideo.errors import InvalidJobs, Problem, UsageError
from aimlvideo.shell.files.job_files import JobDefaults, JobFile
from aimlvideo.shell.files.json_jobs import Line
from aimlvideo.shell.files.media import Media

MOST_DIGITS = 18
"""Digits of a line's number; longer ones belong to a name."""
MOST_REMARKS = 20


class _SeenJobs:
    """Remembers jobs by the hash of their ids, in plain arrays: texts and objects for each would take three times that.

    A job that is only `placed` was read; one that is `accepted` can be sent, and other jobs may refer to it.
    """

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self._beginnings: dict[str, int] = {}
        self._beginning, self._line = array("L"), array("q")
        self._seconds = array("d")

    def place(self, job_id: str, where: str) -> str | None:
        """Note where a job stands; return where one of this id stood before, None for the first."""
        number = self._numbers.get(hash(job_id))
        if number is not None:
            return self._where(number)
        self._add(job_id, where)
        return None

    def accept(self, job_id: str, where: str, seconds: float | None) -> None:
        """Note that a job can be sent, and how long its clip will be, None where its parameters do not say."""
        number = self._numbers.get(hash(job_id))
        if number is None:
            number = self._add(job_id, where)
        self._seconds[number] = nan if seconds is None else seconds

    def __contains__(self, job_id: str) -> bool:
        number = self._numbers.get(hash(job_id))
        return number is not None and self._seconds[number] != -1.0

    def seconds(self, job_id: str) -> float | None:
        """Return how long a job's clip will be; None where nobody knows, or nothing is known of the job."""
        number = self._numbers.get(hash(job_id))
        seconds = -1.0 if number is None else self._seconds[number]
        return seconds if seconds >= 0 else None

    def _add(self, job_id: str, where: str) -> int:
        number = self._numbers[hash(job_id)] = len(self._line)
        # `jobs.csv:17` and its like: the same beginning in every line of a file.
        beginning = where.rstrip("0123456789")
        if len(where) - len(beginning) > MOST_DIGITS:
            beginning = where
        self._beginning.append(self._beginnings.setdefault(beginning, len(self._beginnings)))
        self._line.append(int(where[len(beginning) :] or -1))
        self._seconds.append(-1.0)
        return number

    def _where(self, number: int) -> str:
        beginning, line = [*self._beginnings][self._beginning[number]], self._line[number]
        return beginning if line < 0 else f"{beginning}{line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderOptions:
    """For which service lines are read, and how strictly."""

    service: str = DEFAULT_SERVICE
    strict: bool = False
    matrix: bool = False
    legacy: bool = False
    upload: str | None = None
    """The URL of the place that large local files and videos are uploaded to."""
    local_files: bool = True
    """Whether jobs may name files of this machine."""


NO_OPTIONS = ReaderOptions()


@dataclass(slots=True)
class JobReader:
    """Turns lines into checked jobs; what is wrong is collected in `problems`, what is odd in `remarks`.

    Relative paths of pictures start at `folder`.
    """

    catalog: Catalog
    folder: Path
    options: ReaderOptions = NO_OPTIONS
    problems: list[Problem] = field(default_factory=list)
    remarks: list[Problem] = field(default_factory=list)
    unknown_models: set[str] = field(default_factory=set)
    records: Callable[[], Iterable[Record]] | None = None
    """The jobs of earlier files; read once, and only where a job names an id of its own."""
    _own_ids: OwnIds = field(init=False)
    seen: _SeenJobs = field(default_factory=_SeenJobs)
    """Every job so far, with where it stands and the seconds of its clip."""
    _refused: dict[str, set[str]] = field(default_factory=dict)
    """The fields that are wrong already when a line is read, by where it stands."""
    chained: dict[str, tuple[str, VideoJob]] = field(default_factory=dict)
    """The jobs that take something from another one, by id, with where they stand."""

    def __post_init__(self) -> None:
        self._own_ids = OwnIds(service_of(self.options.service).id_field)

    def jobs(self, lines: Iterator[Line], title: str = "") -> Iterator[tuple[str, VideoJob, Mapping[str, Any]]]:
        """Give each right job with where it stands, and its parameters as they will be sent.

        `title` is what messages call the file.
        """
        is_empty = True
        for where, line in lines:
            if isinstance(line, Problem) and line.warning:
                # A remark about the file is no line of it: a file of remarks alone is empty.
                self.remarks.append(replace(line, where=where))
                continue
            is_empty = False
            if isinstance(line, Problem):
                self.problems.append(replace(line, where=where))
                self._refused.setdefault(where, set()).add(line.field)
                continue
            for one in self._expanded(where, line):
                if (job := self._checked(where, one)) is not None:
                    self._note_chain(where, job[0])
                    yield where, *job
        if is_empty:
            self.problems.append(Problem("", "at least one job", "none: the file is empty", where=title))

    def read_all(self, file: JobFile, defaults: JobDefaults) -> None:
        """Read a file for the problems that can be said without a journal."""
        with file.lines(self.catalog, defaults) as lines:
            for _ in self.jobs(lines, file.title):
                pass
        # What a chain begins with may have been planned before.
        self.check_chains(lambda _: True)

    def finds_mistakes(self, file: JobFile, defaults: JobDefaults) -> bool:
        """Read a file that is short enough once more, for what the service need not be asked about."""
        if not file.is_read_soon:
            return False
        self.read_all(file, defaults)
        # What is wrong with a job may be that its model is newer than the catalogue: the service knows it.
        return bool(self.problems) and not self.unknown_models

    def params_of(self, job: VideoJob) -> Mapping[str, Param]:
        """Return all parameters that the job's model takes, as far as that is known."""
        model = model_of(job, self.catalog, self.options.service)
        return model.params if isinstance(model, Model) else {}

    def _note_chain(self, where: str, job: VideoJob) -> None:
        self.seen.accept(job.id, where, clip_seconds(job))
        if parents(job):
            self.chained[job.id] = where, job

    def check_chains(self, planned: Callable[[str], bool] = lambda _: False) -> None:
        """Note references to jobs that neither this file has nor an earlier one `planned`, and circles of them."""
        jobs = [job for _, job in self.chained.values()]
        for problem in chain_problems(jobs, lambda name: name in self.seen or planned(name), self.seen.seconds):
            self.problems.append(replace(problem, where=self.chained[problem.job][0]))

    def say_remarks(self, say: Callable[[str], None]) -> None:
        """Say what is odd, and no more of it than a person reads."""
        for remark in self.remarks[:MOST_REMARKS]:
            say(str(remark))
        if (more := len(self.remarks) - MOST_REMARKS) > 0:
            say(f"and {pluralize(more, 'more remark')}")

    def _expanded(self, where: str, line: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        if not self.options.matrix:
            yield line
            return
        try:
            yield from expand(line)
        except UsageError as error:
            self.problems.append(Problem("", str(error), job=str(line.get("id") or ""), where=where))

    def _checked(self, where: str, line: Mapping[str, Any]) -> tuple[VideoJob, Mapping[str, Any]] | None:
        job = VideoJob(**{"model": "", **line}).with_base_folder(self.folder)
        model = model_of(job, self.catalog, self.options.service)
        if model is None and isinstance(job.model, str) and job.model:
            self.unknown_models.add(job.model)
        options = self.options
        try:
            checked = check_with_references(
                job, self.catalog, service=options.service, strict=options.strict, legacy=options.legacy
            )
        except InvalidJobs as error:
            self.problems += (replace(problem, where=where) for problem in error.problems)
            return None
        self.remarks += (replace(remark, where=where) for remark in checked.warnings)
        refused = self._refused.get(where, set())
        problems = [problem for problem in checked.problems if problem.field not in refused]
        problems += self._about_media(job, checked.params)
        if (shared_id := self._shared_own_id(job)) is not None:
            problems.append(shared_id)
        problems += self._shared_name(where, job, getattr(line, "id_header", "id"))
        self.problems += (replace(problem, where=where) for problem in problems)
        return None if problems or refused else (job, checked.params)

    def _shared_name(self, where: str, job: VideoJob, id_header: str) -> Iterator[Problem]:
        """Yield a problem where somebody gave a job the id of one before it."""
        if job.derived:
            return
        if (before := self.seen.place(job.id, where)) is not None:
            got = f"the same in {before}"
            yield Problem(id_header, f"each {id_header} once", got, "rename one of the two", job=job.id)

    def _shared_own_id(self, job: VideoJob) -> Problem | None:
        """Return what is wrong where a job names a request id of its own that a job before it has named."""
        if self.records is not None and self._own_ids.names_one(job):
            self._own_ids.read(self.records())
            self.records = None
        return self._own_ids.claim(job)

    def _about_media(self, job: VideoJob, params: Mapping[str, Any]) -> Iterator[Problem]:
        """Yield what is wrong with a job's local pictures."""
        model = model_of(job, self.catalog, self.options.service)
        limits = service_of(self.options.service).media._replace(local_files=self.options.local_files)
        if not isinstance(model, Model):
            yield from _missing_files(job, local_files=self.options.local_files)
            return
        for path, value in model.media_fields(params):
            if isinstance(value, str) and value.startswith(("http://", "https://")):
                continue  # there is nothing here to look into
            taken = file_limits(model, params, path, limits)
            yield from Media(job.folder, taken, self.options.upload is not None).problems(value, path, job)


def _missing_files(job: VideoJob, *, local_files: bool) -> Iterator[Problem]:
    """Yield which files of a job are not there, as far as that can be told without its model."""
    media = Media(job.folder, MediaLimits(data_uri=True, local_files=local_files), uploads=True)
    for name, value in job.params.items():
        if canonical_name(name, MEDIA_NAMES) is None:
            continue
        items = re.split(r"[;\n]", value) if isinstance(value, str) and "data:" not in value else value
        for item in items if isinstance(items, list) else [items]:
            file = item.strip(" \"'") if isinstance(item, str) else None
            if file and not file.startswith(("http://", "https://")):
                yield from media.problems(file, name, job)
