"""What the page knows of a job: short, plain, and with nothing in it that is signed or secret."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any
from urllib.parse import urlsplit

from aimlvideo import errors
from aimlvideo.core.formatting import redact_for_display, strip_signatures
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.problems import without_secrets
from aimlvideo.core.jobs.progress import Progress
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.money.budget import has_unknown_cost
from aimlvideo.core.wires.refusals import refuses_content
from aimlvideo.errors import ContentRefused, VideoError
from aimlvideo.shell.journal.base import JournalReader

PROMPT, VALUE = 4000, 160
"""Characters of a prompt, and of a parameter's value, that are shown."""


def job_cards(journal: JournalReader) -> Iterator[dict[str, Any]]:
    """Yield what the page shows of each job of a journal, with what the submissions cost that a job had before."""
    earlier: defaultdict[str, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
    for job_id, attempt in journal.earlier_attempts():
        # As of a job itself: units count where nobody said dollars.
        if attempt.cost_usd:
            earlier[job_id]["earlier"] += attempt.cost_usd
        elif attempt.cost_usd is None and attempt.cost_units:
            earlier[job_id]["earlier_units"] += attempt.cost_units
    for job, progress in journal.all_jobs():
        yield {**job_json(job, progress), **earlier.get(job.id, {})}


def job_json(job: VideoJob, progress: Progress) -> dict[str, Any]:
    """Return what the page shows of a job: what is unknown left out, moments in seconds since 1970."""
    shown = without_secrets(job.params)
    fields = {
        "id": job.id,
        "model": job.model,
        "stage": progress.stage.value,
        "prompt": _prompt_of(job.params),
        "params": [[name, _shown_params(value)] for name, value in shown.items() if name != "prompt"],
        "cost": progress.cost_usd,
        "units": progress.cost_units if progress.cost_usd is None else None,
        "unsaid": has_unknown_cost(progress) or None,
        "submitted": _moment(progress.submitted_at),
        "completed": _moment(progress.completed_at),
        "saved": _moment(progress.saved_at),
        "poll_ages": [round(age, 2) for age in progress.ages_at_polls],
        "polls": progress.polls,
        "generation": progress.generation_id,
        "retry_of": progress.retry_of if progress.generation_id is None else None,
        "file": progress.file if progress.stage is Stage.SAVED else None,
        "bytes": progress.bytes_of_all,
        "files": [clip.file for clip in progress.files] if progress.stage is Stage.SAVED else [],
        **_last_word(progress),
        **_failure(progress),
    }
    return {name: value for name, value in fields.items() if value not in (None, "", [])}


def _prompt_of(params: Mapping[str, Any]) -> str:
    """Return the words of a job: its prompt, or those of its shots."""
    words = params.get("prompt") or params.get("multi_prompt") or ""
    if isinstance(words, Sequence) and not isinstance(words, str):
        words = "\n".join(_shot(shot) for shot in words)
    text = strip_signatures(str(words))
    return text if len(text) <= PROMPT else text[:PROMPT] + "…"


def _shown_params(value: Any) -> str:
    """Return a parameter's value as a short text; of pictures only their names, of links no query."""
    if isinstance(value, str) and (name := _medium(value)):
        return name
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray):
        return _cut(", ".join(_shown_params(part) for part in value))
    if isinstance(value, bytes | bytearray):
        return f"{len(value):,} bytes"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return redact_for_display(text, VALUE)


def _cut(text: str) -> str:
    return text if len(text) <= VALUE else text[: VALUE - 1] + "…"


def _medium(text: str) -> str:
    """Return the name of the file that a value is, or ``""``."""
    if text.startswith("data:"):
        return f"{text[5:].partition(';')[0]}, {len(text) * 3 // 4:,} bytes"
    if text.startswith(("http://", "https://")):
        parts = urlsplit(text)
        return _cut(f"{parts.hostname}{parts.path}")
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


REFUSED_INPUTS = {
    "prompt": "reword the prompt",
    "image": "replace the picture",
    "video": "replace the input video",
    "audio": "replace the input audio",
}
ADVICE: tuple[tuple[type[VideoError], str], ...] = (
    (errors.InvalidJobs, "Fix the job in the job file as the message says, then run again with --retry-failed."),
    (errors.Refused, "Fix the key, the credits or the account, then run again: nothing was lost."),
    (
        errors.Rejected,
        "The service refused the request: fix the parameters (see `aimlvideo models MODEL`) and give the job a new id.",
    ),
    (errors.GenerationFailed, "It failed at the service: try again with --retry-failed, or with another seed."),
    (errors.LinkDead, "The clip is paid for: --retry-failed asks for a fresh link and buys nothing."),
    (errors.DiskFailed, "Free space on the disk, then run again: what is paid is fetched, not bought again."),
    (errors.DownloadFailed, "Run again: what is paid is fetched, not bought again."),
    (errors.UsageError, "Fix the pictures or settings that the message names, then --retry-failed."),
    (errors.InDoubt, "Look for the client request id in the service's log, then `aimlvideo resolve`."),
    (errors.OutOfPatience, "Run again: it keeps running at the service, and is fetched then."),
)


def failure_advice(error: VideoError) -> str:
    """Return what to do about an error."""
    if isinstance(error, errors.ContentRefused):
        return f"The content was refused: {_change(error.field)}, and run again. Unchanged it is never sent again."
    if isinstance(error, errors.GenerationFailed | errors.Rejected) and refuses_content(str(error)):
        # Written down by an earlier release.
        return f"The content was refused: {_change(None)}, and run again."
    return next((sentence for kind, sentence in ADVICE if isinstance(error, kind)), "Run again with --retry-failed.")


def _change(field: str | None) -> str:
    """Return what to change where this input was refused, in the words of an imperative."""
    if field is None:
        return "reword the prompt or replace the pictures"
    if field in REFUSED_INPUTS:
        return REFUSED_INPUTS[field]
    kind = next((kind for kind in REFUSED_INPUTS if kind in field), None)
    return f"reword {field}" if kind == "prompt" else f"replace {field}"
