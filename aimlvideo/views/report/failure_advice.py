"""What to do about a failure, in a sentence."""

from __future__ import annotations

from aimlvideo import errors
from aimlvideo.core.wires.refusals import refuses_content
from aimlvideo.errors import VideoError

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
