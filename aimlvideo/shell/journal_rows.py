"""What is known of a job as columns, and columns as what is known of a job."""

from __future__ import annotations

import json
from typing import Any

from aimlvideo.core.job import Progress, VideoJob
from aimlvideo.core.naming import file_name
from aimlvideo.core.stages import Stage
from aimlvideo.core.written import KNOWN, error_of
from aimlvideo.errors import Problem, VideoError

__all__ = ["KNOWN", "changed", "columns_of", "progress_of"]


def columns_of(job: VideoJob, known: Progress) -> tuple[Any, ...]:
    """Return a job's progress as it is kept; the file name that every job of this id gets is kept as an empty one."""
    file = "" if known.file and known.file == file_name(job.id) else known.file
    return (
        known.stage.value, known.request_id, known.generation_id, known.video_url,
        _said(known.error) if known.error else None, known.cost_usd, known.polls,
        known.submitted_at, known.completed_at, known.saved_at, file, known.bytes,
        bytes.fromhex(known.sha256) if known.sha256 else None, known.looks or None,
    )  # fmt: skip


def progress_of(job_id: str, columns: list[Any]) -> Progress:
    """Return the progress that was kept. Its error has its class, its words and its ids; other attributes are gone."""
    stage, request_id, generation_id, video_url, error, *middle, file, length, sha256, looks = columns
    raised = error_of(error, generation_id, request_id)
    whole = (file_name(job_id) if file == "" else file, length, sha256.hex() if sha256 else None)
    return Progress._make((Stage(stage), request_id, generation_id, video_url, raised, *middle, *whole, looks or b""))


def changed(job: VideoJob, asked: str) -> Problem:
    """Return what is wrong with a job whose id stands for another content."""
    before, now = _asked(asked), _asked(job.content())
    names = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    return Problem(
        names[0] if names else "id",
        f"what this id stood for in the run before ({', '.join(names)} changed)",
        job=job.id,
        hint="give the changed job a new id, or use another output folder",
    )


def _asked(content: str) -> dict[str, Any]:
    model, params = json.loads(content)
    return {"model": model, **params}


def _said(error: VideoError) -> str:
    return f"{type(error).__name__}: {error}".encode(errors="replace").decode()
