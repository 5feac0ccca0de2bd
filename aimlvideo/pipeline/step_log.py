"""Each step of a job in the log."""

from __future__ import annotations

import logging

from aimlvideo.core.formatting import redact_for_display
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress
from aimlvideo.core.jobs.stages import Stage

log = logging.getLogger("aimlvideo.steps")


def log_step(job: VideoJob, before: Progress, now: Progress) -> None:
    """Log a step at level INFO; `extra` has `job`, `model`, `generation`, `stage`, `seconds` and `error`."""
    if not log.isEnabledFor(logging.INFO):
        return
    seconds = _step_seconds(before, now)
    took = "" if seconds is None else f" after {seconds:.2f} s"
    error = redact_for_display(str(now.error)) if now.stage is Stage.FAILED else None
    fields = {
        "job": job.id, "model": job.model, "generation": now.generation_id, "stage": now.stage.value,
        "seconds": seconds, "error": error,
    }  # fmt: skip
    log.info("%s %s%s%s", job.id, now.stage.value, took, f": {error}" if error else "", extra=fields)


def _step_seconds(before: Progress, now: Progress) -> float | None:
    """Return how long the step before took: the submission, the generation or the download; None where unknown."""
    match now.stage:
        case Stage.RENDERING if before.stage is Stage.SUBMITTING:
            began, ended = before.submitted_at, now.submitted_at
        case Stage.READY | Stage.FAILED:
            began, ended = now.submitted_at, now.completed_at
        case Stage.SAVED:
            began, ended = now.completed_at, now.saved_at
        case _:
            return None
    return None if began is None or ended is None else max(0.0, ended - began)
