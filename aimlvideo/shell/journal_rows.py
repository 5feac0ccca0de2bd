"""The columns of SQLite's journal, where the file name that every job of an id gets takes no room."""

from __future__ import annotations

from typing import Any

from aimlvideo.core import written
from aimlvideo.core.job import Progress, VideoJob
from aimlvideo.core.naming import file_name


def columns_of(job: VideoJob, known: Progress) -> tuple[Any, ...]:
    """Return a job's progress as it is kept: the usual file name as an empty one."""
    usual = known.file is not None and known.file == file_name(job.id)
    return written.columns_of(known._replace(file="") if usual else known)


def progress_of(job_id: str, columns: list[Any]) -> Progress:
    """Return the progress that was kept."""
    known = written.progress_of(columns)
    return known._replace(file=file_name(job_id)) if known.file == "" else known
