"""A job's progress as the columns of a table, and back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from aimlvideo import errors
from aimlvideo.core.jobs.job import Progress, VideoJob
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.errors import GenerationFailed, InDoubt, InvalidJobs, OutOfPatience, Problem, ServiceError, VideoError

PROGRESS_COLUMNS = (
    "stage", "request_id", "generation_id", "video_url", "error", "cost_usd", "polls", "submitted_at", "completed_at",
    "saved_at", "file", "bytes", "sha256", "looks",
)  # fmt: skip
"""The columns, in order."""


def columns_of(known: Progress) -> tuple[Any, ...]:
    """Return the values of the columns: plain numbers, text and bytes."""
    return (
        known.stage.value, known.request_id, known.generation_id, known.video_url,
        _said(known.error) if known.error else None, known.cost_usd, known.polls,
        known.submitted_at, known.completed_at, known.saved_at, known.file, known.bytes,
        bytes.fromhex(known.sha256) if known.sha256 else None, known.looks or None,
    )  # fmt: skip


def progress_of(columns: Sequence[Any]) -> Progress:
    """Return the progress that was kept. Its error has its class, its words and its ids; other attributes are gone."""
    stage, request_id, generation_id, video_url, error, *middle, sha256, looks = columns
    raised = error_from_text(error, generation_id, request_id)
    told = (Stage(stage), request_id, generation_id, video_url, raised, *middle)
    return Progress._make((*told, sha256.hex() if sha256 else None, looks or b""))


def job_from_json(job_id: str, folder: str | None, asked: str) -> VideoJob:
    """Return the job whose content was written down."""
    model, params = json.loads(asked) if asked else ("", {})
    job = VideoJob(model, id=job_id, **params)
    return job.with_base_folder(folder) if folder else job


def error_from_text(text: str | None, generation_id: str | None, request_id: str | None) -> VideoError | None:
    """Return the error that was written down as `Name: message`, with its ids; other attributes are gone."""
    if text is None:
        return None
    name, _, said = text.partition(": ")
    kind = getattr(errors, name, None)
    if not (isinstance(kind, type) and issubclass(kind, VideoError)):
        return VideoError(said)
    if issubclass(kind, InvalidJobs):
        return InvalidJobs([Problem("", said)])
    if issubclass(kind, GenerationFailed | OutOfPatience):
        return kind(said, generation_id=generation_id)
    return kind(said, request_id=request_id) if issubclass(kind, ServiceError | InDoubt) else kind(said)


def _said(error: VideoError) -> str:
    return f"{type(error).__name__}: {error}".encode(errors="replace").decode()


def changed_content_problem(job_id: str, before: str, now: str) -> Problem:
    """Return what is wrong with a job whose id stood for another content before."""
    old, new = ({"model": json.loads(asked)[0], **json.loads(asked)[1]} for asked in (before, now))
    names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    return Problem(
        names[0] if names else "id",
        f"what this id stood for before ({', '.join(names)} changed)",
        job=job_id,
        hint="give the changed job a new id",
    )


def duplicate_id_problem(job_id: str) -> Problem:
    """Return what is wrong with an id that somebody chose twice."""
    return Problem("id", "each id once", "the same id as a job before it", job=job_id)
