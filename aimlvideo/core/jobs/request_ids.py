"""The ids that we choose for our requests: `X-Client-Request-Id`, and a gateway's `external_task_id`."""

from __future__ import annotations

import hashlib

from aimlvideo.core.jobs.job import VideoJob

NAMESPACE = "av-"
"""What all of them begin with."""

PREFIX_LENGTH = 15
"""Characters of a request id that say whose it is: `av-` and 12 hex digits."""


def id_prefix(job: VideoJob) -> str:
    """Return what all request ids of this job begin with, so that a service's log leads back to it."""
    named = f"{job.id}\0{job.model}".encode(errors="surrogatepass")
    return f"{NAMESPACE}{hashlib.sha256(named).hexdigest()[: PREFIX_LENGTH - 3]}"


def request_id_of(job: VideoJob, token: str) -> str:
    """Return the id of one POST for this job; `token` is different for each. At most 128 of `A-Za-z0-9._:-`."""
    return f"{id_prefix(job)}-{token}"
