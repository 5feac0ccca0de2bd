"""Whether a job that was refused for its content still has that content: its words and files are those of then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from aimlvideo.core.jobs.job import Progress, VideoJob
from aimlvideo.errors import ContentRefused


def is_still_refused(job: VideoJob, progress: Progress) -> bool:
    """Tell whether moderation would refuse a job again: it did, and no file that the job names has changed since.

    A job's words cannot change under its id, but the file of a picture can be replaced by another of the same name.
    """
    if not isinstance(progress.error, ContentRefused):
        return False
    refused_at = progress.submitted_at or progress.completed_at or 0.0
    return not any(modified > refused_at for modified in _modified(job))


def _modified(job: VideoJob) -> Iterator[float]:
    for text in _texts(job.params):
        try:
            path = Path(job.folder or "", Path(text).expanduser())
            if path.is_file():
                yield path.stat().st_mtime
        except (OSError, ValueError, RuntimeError):
            # No path at all: a prompt, a link.
            continue


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from (text for part in value.values() for text in _texts(part))
    elif isinstance(value, list | tuple):
        yield from (text for part in value for text in _texts(part))
