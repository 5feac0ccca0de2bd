"""The columns of SQLite's journal, where the file name that every job of an id gets takes no room."""

from __future__ import annotations

from typing import Any

from aimlvideo.core.job import Progress, VideoJob
from aimlvideo.core.naming import file_name
from aimlvideo.core.written import KNOWN, changed
from aimlvideo.core.written import columns_of as full_columns_of
from aimlvideo.core.written import progress_of as progress_of_full

__all__ = ["KNOWN", "changed", "columns_of", "progress_of"]


def columns_of(job: VideoJob, known: Progress) -> tuple[Any, ...]:
    """Return a job's progress as it is kept: the usual file name as an empty one."""
    usual = known.file is not None and known.file == file_name(job.id)
    return full_columns_of(known._replace(file="") if usual else known)


def progress_of(job_id: str, columns: list[Any]) -> Progress:
    """Return the progress that was kept."""
    known = progress_of_full(columns)
    return known._replace(file=file_name(job_id)) if known.file == "" else known
