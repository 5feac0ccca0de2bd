"""Whether the service knows the generation that a person names for a job in doubt, and whose it is."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from functools import partial

import anyio

from aimlvideo.cli.command_run import client_of
from aimlvideo.cli.options import ClientOptions
from aimlvideo.cli.signals import in_loop
from aimlvideo.cli.terminal import Terminal
from aimlvideo.client import VideoClient
from aimlvideo.core.jobs.job import Record
from aimlvideo.core.jobs.request_ids import Intent, id_prefix
from aimlvideo.core.lost_submissions import WINDOW_MARGIN
from aimlvideo.core.wires.answers import State
from aimlvideo.errors import NotAccepted, Rejected, ServiceError, SettingsError, Unclear, UsageError
from aimlvideo.pipeline.poll import fetch_status
from aimlvideo.pipeline.retries import may_have_completed
from aimlvideo.shell.http.retrying import retrying
from aimlvideo.shell.task_groups import task_group

PARALLEL_QUESTIONS = 20
"""Status checks at a time."""


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


def completed_since(failed: Iterable[Record], settings: ClientOptions) -> tuple[set[str], set[str]]:
    """Return the ids of the failed jobs whose generations the service has completed by now, or renders again.

    And those of the jobs that it is too busy to be asked about. Without a key nobody is asked.
    """
    asked = [record for record in failed if may_have_completed(*record)]
    completed: set[str] = set()
    unknown: set[str] = set()

    async def ask(client: VideoClient, record: Record, limit: anyio.CapacityLimiter) -> None:
        job, generation_id = record.job, record.progress.generation_id or ""
        question = partial(fetch_status, partial(client.send, tries=1), client.wire, generation_id, job)
        async with limit:
            try:
                shown = await retrying(question, on=(NotAccepted, Unclear))
            except NotAccepted:
                unknown.add(job.id)
                return
            except ServiceError:
                return
        if shown.state is not State.FAILED:
            completed.add(job.id)

    async def ask_all() -> None:
        limit = anyio.CapacityLimiter(PARALLEL_QUESTIONS)
        async with client_of(settings) as client, task_group(wait=True) as tasks:
            for record in asked:
                tasks.start_soon(ask, client, record, limit)

    if asked:
        with suppress(SettingsError):
            in_loop(ask_all())
    return completed, unknown


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
