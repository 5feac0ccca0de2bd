"""A whole job file into a journal: all of it, or, where anything is wrong, nothing and every reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aimlvideo.cli.jobfile import Line
from aimlvideo.core.catalog import Catalog
from aimlvideo.core.job import VideoJob
from aimlvideo.core.validation import check, media_fields
from aimlvideo.errors import InvalidJobs, Problem, UsageError
from aimlvideo.shell.journal import Journal
from aimlvideo.shell.media import Media


@dataclass(slots=True)
class JobReader:
    """Turns lines into checked jobs; what is wrong is collected in `problems`, what is odd in `remarks`.

    Relative paths of pictures start at `folder`.
    """

    catalog: Catalog
    service: str
    folder: Path
    strict: bool = False
    problems: list[Problem] = field(default_factory=list)
    remarks: list[Problem] = field(default_factory=list)

    def jobs(self, lines: Iterator[Line]) -> Iterator[tuple[str, VideoJob]]:
        """Give each right job with where it stands."""
        for where, line in lines:
            if isinstance(line, Problem):
                self.problems.append(replace(line, where=where))
            elif (job := self._checked(where, line)) is not None:
                yield where, job

    def _checked(self, where: str, line: Mapping[str, Any]) -> VideoJob | None:
        job = VideoJob(**{"model": "", **line}).within(self.folder)
        checked = check(job, self.catalog, service=self.service, strict=self.strict)
        self.remarks += (replace(remark, where=where) for remark in checked.warnings)
        problems = [*checked.problems, *self._about_media(job, checked.params)]
        self.problems += (replace(problem, where=where) for problem in problems)
        return None if problems else job

    def _about_media(self, job: VideoJob, params: Mapping[str, Any]) -> Iterator[Problem]:
        """Yield what is wrong with a job's local pictures."""
        model = self.catalog.find(job.model) or self.catalog.find_gateway(job.model)
        media = Media(job.folder, self.service == "kling")
        for path, value in media_fields(model, params) if model else ():
            try:
                media.check(value)
            except UsageError as error:
                yield Problem(path, "a picture that can be sent", str(error), job=job.id)


def plan_file(journal: Journal, reader: JobReader, lines: Iterator[Line]) -> int:
    """Write every job of a file down as planned, in one step; return how many. Raises InvalidJobs with all problems."""
    count = 0
    with journal.planning():
        for where, job in reader.jobs(lines):
            try:
                journal.plan(job, distinct=job.id.startswith("job-"))
            except InvalidJobs as error:
                reader.problems += (replace(problem, where=where) for problem in error.problems)
            count += 1
        if reader.problems:
            raise InvalidJobs(reader.problems)
    return count
