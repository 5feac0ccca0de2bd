"""What to do about a failure, in a sentence."""

from __future__ import annotations

import re

from aimlvideo import errors
from aimlvideo.errors import VideoError

MODERATED = re.compile(r"(?i)moderat|policy|safety|sensitive|nsfw|prohibited|risk control|inappropriate")
REWORD = "The service refused what is asked: reword the prompt or change the pictures, under a new id."

ADVICE: tuple[tuple[type[VideoError], str], ...] = (
    (errors.InvalidJobs, "Fix the job in the job file as the message says, then run again with --retry-failed."),
    (errors.Refused, "Mend the key, the credits or the account, then run again: nothing was lost."),
    (errors.Rejected, "The service takes no such request: mend the parameters (`aimlvideo models MODEL`), new id."),
    (errors.GenerationFailed, "It failed at the service: try again with --retry-failed, or with another seed."),
    (errors.LinkDead, "The clip is paid for: --retry-failed asks for a fresh link and buys nothing."),
    (errors.DiskFailed, "Make space on the disk, then run again: what is paid is fetched, not bought again."),
    (errors.DownloadFailed, "Run again: what is paid is fetched, not bought again."),
    (errors.UsageError, "Mend the pictures or settings that the message names, then --retry-failed."),
    (errors.InDoubt, "Look for the client request id in the service's log, then `aimlvideo resolve`."),
    (errors.OutOfPatience, "Run again: it keeps running at the service, and is fetched then."),
)


def failure_advice(error: VideoError) -> str:
    """Return what to do about an error."""
    if isinstance(error, errors.GenerationFailed | errors.Rejected) and MODERATED.search(str(error)):
        return REWORD
    return next((said for kind, said in ADVICE if isinstance(error, kind)), "Run again with --retry-failed.")
