"""The ids that we choose for our requests: `X-Client-Request-Id`, and a gateway's `external_task_id`."""

from __future__ import annotations

import hashlib

from aimlvideo.core.jobs.job import VideoJob

OURS = "av-"
"""What all of them begin with."""

MARK = 15
"""Characters of a request id that say whose it is: `av-` and 12 hex digits."""


def mark_of(job: VideoJob) -> str:
    """Return what all request ids of this job begin with, so that a service's log leads back to it."""
    named = f"{job.id}\0{job.model}".encode(errors="surrogatepass")
    return f"{OURS}{hashlib.sha256(named).hexdigest()[: MARK - 3]}"


def request_id_of(job: VideoJob, token: str) -> str:
    """Return the id of one POST for this job; `token` is different for each. At most 128 of `A-Za-z0-9._:-`."""
    return f"{mark_of(job)}-{token}"
