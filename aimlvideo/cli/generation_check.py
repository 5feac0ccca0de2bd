"""Whether the service knows the generation that a person names for a job in doubt, and whose it is."""

from __future__ import annotations

from functools import partial

from aimlvideo.cli.command_run import client_of
from aimlvideo.cli.options import ClientOptions
from aimlvideo.cli.signals import in_loop
from aimlvideo.cli.terminal import Terminal
from aimlvideo.client import VideoClient
from aimlvideo.core.jobs.job import Record
from aimlvideo.core.jobs.request_ids import Intent, id_prefix
from aimlvideo.core.lost_submissions import WINDOW_MARGIN
from aimlvideo.errors import Rejected, ServiceError, SettingsError, UsageError
from aimlvideo.pipeline.poll import fetch_status


def check_generation(record: Record, generation: str, settings: ClientOptions, terminal: Terminal) -> None:
    """Ask the service for a generation before it is taken as this job's; say so where it cannot be asked.

    Raises UsageError where the service does not know it, or says that it was bought for something else.
    """

    async def ask() -> str | None:
        async with client_of(settings) as client:
            return await _request_id_of(record, generation, client)

    try:
        request_id = in_loop(ask())
    except Rejected as error:
        raise UsageError(
            f"the service does not know generation {generation} under this API key: {error}. Expected the one that its "
            f"dashboard shows for the client request id {record.progress.request_id}; nothing was changed"
        ) from error
    except (ServiceError, SettingsError) as error:
        terminal.remark(f"generation {generation} is taken as it was given, as the service could not be asked: {error}")
        return
    expected = record.progress.request_id
    if request_id not in (None, expected) and not str(request_id).startswith(id_prefix(record.job)):
        raise UsageError(
            f"generation {generation} was bought for another job, or by another program: the service has it under the "
            f"client request id {request_id}, expected {expected}; nothing was changed"
        )


async def _request_id_of(record: Record, generation: str, client: VideoClient) -> str | None:
    """Return under which request id the service has a generation, None where it does not say. Raises ServiceError."""
    job, progress = record
    shown = await fetch_status(partial(client.send, tries=1), client.wire, generation, job)
    if shown.request_id is not None or client.service.log is None:
        return shown.request_id
    since = Intent.of(progress.request_id).earliest_moment(progress.submitted_at or 0.0) - WINDOW_MARGIN
    try:
        rows = (await client.read_log(since)).rows
    except ServiceError:
        # That it is known is worth more than nothing; whose it is shows in the log only.
        return None
    return next((row.request_id for row in rows if row.generation_id == generation), None)


def settled_sentence(job_id: str, generation: str | None) -> str:
    """Say how a job was settled."""
    return f"job {job_id!r} " + (f"is generation {generation}" if generation else "is planned again")
