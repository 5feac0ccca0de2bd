"""Which jobs are tried again, and which may be bought: what a failure, a lost answer or a changed file says of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from aimlvideo.core.jobs.job import VideoJob, texts_in
from aimlvideo.core.jobs.progress import Progress, Record
from aimlvideo.core.jobs.request_ids import Intent
from aimlvideo.core.jobs.stages import WITHOUT_GENERATION, Stage
from aimlvideo.core.media_types import MediaLimits
from aimlvideo.core.wires.answers import State
from aimlvideo.core.wires.base import Generation, Wire
from aimlvideo.core.wires.refusals import says_timed_out
from aimlvideo.errors import Busy, ContentRefused, DownloadFailed, NotAccepted, Refused, ServiceError, Unclear
from aimlvideo.pipeline.limiters import RateGate
from aimlvideo.pipeline.request_log import Send
from aimlvideo.pipeline.status_checks import GONE, fetch_status
from aimlvideo.shell import clock
from aimlvideo.shell.files.media import Media
from aimlvideo.shell.http.retrying import retrying


def jobs_to_resume(records: Iterator[Record]) -> Iterator[Record]:
    """Give the jobs as they go on; what moderation refused is not tried again unchanged."""
    for record in records:
        if record.progress.stage is not Stage.FAILED or _has_unknown_content(record):
            yield record
        elif not is_still_refused(record):
            yield Record(record.job, record.progress.for_retry())


def may_be_bought(record: Record, *, retry_failed: bool) -> bool:
    """Tell whether a run may buy a clip for a job that stands so: a lost answer may have to be sent again."""
    progress = record.progress
    if progress.stage is Stage.FAILED:
        is_kept = is_still_refused(record) or _has_unknown_content(record)
        return retry_failed and progress.for_retry().stage is Stage.PLANNED and not is_kept
    return progress.stage in WITHOUT_GENERATION


def _has_unknown_content(record: Record) -> bool:
    """Tell whether a failed job cannot be sent again: it was adopted, or its journal rebuilt, and no file names it."""
    job, progress = record
    # The model alone would do for some: a clip of nothing that anybody asked for.
    return not job.params and progress.request_id is None and progress.for_retry().stage is Stage.PLANNED


def is_still_refused(record: Record) -> bool:
    """Tell whether moderation would refuse a job again: it did, and no file that the job names has changed since.

    A job's words cannot change under its id, but the file of a picture can be replaced by another of the same name.
    """
    return isinstance(record.progress.error, ContentRefused) and not _has_newer_files(record)


def may_have_completed(record: Record) -> bool:
    """Tell whether a failed job's generation is worth another question: a service may repair what failed.

    With another picture than then, it would be another clip. So what moderation refused is never asked about: it is
    tried again with another picture only.
    """
    progress = record.progress
    is_known = progress.stage is Stage.FAILED and progress.generation_id is not None
    return is_known and not isinstance(progress.error, DownloadFailed) and not _has_newer_files(record)


async def taken_up_since(send: Send, wire: Wire, record: Record, gate: RateGate, account: str) -> Generation | None:
    """Return a failed job's generation where the service has completed it since, or renders it again; else None.

    Each question waits for its turn at the `gate` of status checks: thousands of jobs may be tried again at once.
    Raises NotAccepted, Unclear or Refused where the service does not say, also since the key or the base URL, of which
    `account` is the fingerprint, is not the one of then: it may be completed, and is not bought on a guess.
    """

    async def question() -> Generation:
        await gate.wait_turn()
        try:
            generation = await fetch_status(send, wire, record.progress.generation_id or "", record.job)
        except Busy as error:
            gate.rate.on_rejected(clock.loop(), error.retry_after)
            raise
        gate.rate.on_accepted(clock.loop())
        return generation

    try:
        generation = await retrying(question, on=(NotAccepted, Unclear))
    except ServiceError as error:
        if error.status in (403, *GONE) and (elsewhere := _sent_elsewhere(record.progress, account)):
            raise Unclear(elsewhere) from error
        # That it took too long is how it failed, and no trouble with the question.
        if isinstance(error, Refused) or (isinstance(error, NotAccepted | Unclear) and not says_timed_out(str(error))):
            raise
        return None
    return None if generation.state is State.FAILED else generation


def _sent_elsewhere(progress: Progress, account: str) -> str | None:
    """Return why a generation is not known to this key at this base URL; None where it was sent with them."""
    return Intent(progress.account or Intent.of(progress.request_id).account).other_account(account)


def _has_newer_files(record: Record) -> bool:
    """Tell whether a file that a job names has changed since it was sent."""
    sent_at = record.progress.submitted_at or record.progress.completed_at or 0.0
    return any(modified > sent_at for modified in _modified(record.job))


def _modified(job: VideoJob) -> Iterator[float]:
    media = Media(job.folder, MediaLimits(data_uri=True))
    for text in texts_in(job.params):
        with suppress(OSError, ValueError):  # no path at all: a prompt
            if (path := media.path_of(text)) is not None and path.is_file():
                yield path.stat().st_mtime
