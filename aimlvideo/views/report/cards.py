"""What the page knows of a job: short, plain, and with nothing in it that is signed or secret."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any
from urllib.parse import urlsplit

from aimlvideo.core.formatting import redact_for_display, strip_signatures
from aimlvideo.core.jobs.job import Progress, VideoJob
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.polling.observation import unpack_poll_ages
from aimlvideo.errors import ContentRefused
from aimlvideo.views.report.failure_advice import failure_advice

PROMPT, VALUE = 4000, 160
"""Characters of a prompt, and of a parameter's value, that are shown."""


def job_json(job: VideoJob, progress: Progress) -> dict[str, Any]:
    """Return what the page shows of a job: short names, what is unknown left out, moments in seconds since 1970."""
    fields = {
        "id": job.id,
        "model": job.model,
        "stage": progress.stage.value,
        "prompt": prompt_of(job.params),
        "params": [[name, shown_params(value)] for name, value in job.params.items() if name not in ("prompt",)],
        "cost": progress.cost_usd,
        "sent": _moment(progress.submitted_at),
        "done": _moment(progress.completed_at),
        "kept": _moment(progress.saved_at),
        "looks": [round(age, 2) for age in unpack_poll_ages(progress.poll_ages)],
        "polls": progress.polls,
        "generation": progress.generation_id,
        "file": progress.file if progress.stage is Stage.SAVED else None,
        "bytes": progress.bytes,
        "files": [clip.file for clip in progress.files] if progress.stage is Stage.SAVED else [],
        **_last_word(progress),
        **_failure(progress),
    }
    return {name: value for name, value in fields.items() if value not in (None, "", [])}


def prompt_of(params: Mapping[str, Any]) -> str:
    """Return the words of a job: its prompt, or those of its shots."""
    words = params.get("prompt") or params.get("multi_prompt") or ""
    if isinstance(words, Sequence) and not isinstance(words, str):
        words = "\n".join(_shot(shot) for shot in words)
    text = strip_signatures(str(words))
    return text if len(text) <= PROMPT else text[:PROMPT] + "…"


def shown_params(value: Any) -> str:
    """Return a parameter's value as a short text; of pictures only their names, of links no query."""
    if isinstance(value, str) and (name := _medium(value)):
        return name
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return ", ".join(shown_params(part) for part in value)[:VALUE]
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return redact_for_display(text, VALUE)


def _medium(text: str) -> str:
    """Return the name of the file that a value is, or ``""``."""
    if text.startswith("data:"):
        return f"{text[5:].partition(';')[0]}, {len(text) * 3 // 4:,} bytes"
    if text.startswith(("http://", "https://")):
        parts = urlsplit(text)
        return f"{parts.hostname}{parts.path}"[:VALUE]
    # A journal may come from another system: a path is read by how it is written, not by where this runs.
    pictured = PureWindowsPath(text) if "\\" in text else PurePosixPath(text)
    return pictured.name if pictured.suffix and pictured.name != text and " " not in pictured.suffix else ""


def _shot(shot: Any) -> str:
    return str(shot.get("prompt", "")) if isinstance(shot, Mapping) else str(shot)


def _moment(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 2)


def _last_word(progress: Progress) -> dict[str, Any]:
    """Return what the service last said of a generation that is under way, and when it was heard."""
    if progress.stage is not Stage.RENDERING or progress.status is None:
        return {}
    return {"status": redact_for_display(progress.status, VALUE), "heard": _moment(progress.status_at)}


def _failure(progress: Progress) -> dict[str, str]:
    if progress.error is None:
        return {}
    refused = {"refused": progress.error.field or "content"} if isinstance(progress.error, ContentRefused) else {}
    error = redact_for_display(str(progress.error), 600)
    return {"error": error, "advice": failure_advice(progress.error), **refused}
