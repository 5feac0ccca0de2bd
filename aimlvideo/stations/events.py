"""One log event for each step of a job, with fields a program can read."""

from __future__ import annotations

import logging

from aimlvideo.core.job import Progress, VideoJob
from aimlvideo.core.stages import Stage
from aimlvideo.core.words import plain

log = logging.getLogger("aimlvideo.steps")


def log_step(job: VideoJob, before: Progress, now: Progress) -> None:
    """Log a step at level INFO; `extra` has `job`, `model`, `generation`, `stage`, `seconds` and `error`."""
    if not log.isEnabledFor(logging.INFO):
        return
    seconds = step_seconds(before, now)
    took = "" if seconds is None else f" after {seconds:.2f} s"
    error = plain(str(now.error)) if now.stage is Stage.FAILED else None
    fields = {
        "job": job.id, "model": job.model, "generation": now.generation_id, "stage": now.stage.value,
        "seconds": seconds, "error": error,
    }  # fmt: skip
    log.info("%s %s%s%s", job.id, now.stage.value, took, f": {error}" if error else "", extra=fields)


def step_seconds(before: Progress, now: Progress) -> float | None:
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
