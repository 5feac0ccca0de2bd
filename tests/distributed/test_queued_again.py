"""A job that is queued again while the worker that saw it end has not given up its place yet is lost to nobody."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from pathlib import Path
from uuid import uuid4

import anyio
import psycopg
import pytest
from aiohttp import web

from aimlvideo.cli import shared_jobs
from aimlvideo.cli.job_reader import ReaderOptions
from aimlvideo.cli.options import ServiceOptions
from aimlvideo.cli.shared_jobs import Consent, SharedJobs
from aimlvideo.cli.terminal import Terminal
from aimlvideo.core.jobs.progress import Progress
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.distributed.job_list import JobList
from aimlvideo.distributed.queue import JobQueue
from aimlvideo.errors import SettingsError
from aimlvideo.shell.http import retrying
from aimlvideo.shell.journal.postgres_sync import open_sync_journal
from tests.fakes import JOB
from tests.shell.http_server import served

pytestmark = pytest.mark.real_time

QUIET = Terminal(quiet=True)


@pytest.fixture
def file(dsn: str, tmp_path: Path) -> str:
    """Give a file of one job, which is queued."""
    path = tmp_path / "jobs.jsonl"
    path.write_text(json.dumps({**JOB, "id": "one"}) + "\n")
    SharedJobs(dsn, QUIET).queue(str(path), ReaderOptions(), retry_failed=False)
    return str(path)


def moved(dsn: str, stage: Stage) -> None:
    with psycopg.connect(dsn, autocommit=True) as db:
        db.execute("UPDATE aimlvideo_jobs SET stage = %s, request_id = 'av-1'", (stage.value,))


def fail(dsn: str, error: str = "GenerationFailed: out of paint") -> None:
    """Let the service have failed to make the one clip."""
    failed = "stage = 'failed', request_id = 'av-1', generation_id = 'gen-1', error = %s"
    with psycopg.connect(dsn, autocommit=True) as db:
        db.execute(f"UPDATE aimlvideo_jobs SET {failed}", (error,))


async def queue_failed(dsn: str, file: str, status: Callable[[web.Request], Awaitable[web.Response]]) -> None:
    """Queue a file's failed jobs again, at a service that answers so."""
    async with served(status) as url:
        consent = Consent(settings=ServiceOptions(api_key="k", base_url=url).client_options())
        queue = partial(SharedJobs(dsn, QUIET).queue, retry_failed=True, consent=consent)
        await anyio.to_thread.run_sync(queue, file, ReaderOptions())


def queue_again(dsn: str, file: str, stage: Stage) -> None:
    if stage is Stage.FAILED:
        SharedJobs(dsn, QUIET).queue(file, ReaderOptions(), retry_failed=True)
    else:
        SharedJobs(dsn, QUIET).settle("one", None)


@pytest.mark.parametrize("stage", [Stage.FAILED, Stage.IN_DOUBT])
async def test_a_job_that_is_tried_again_before_its_worker_gave_up_its_place_is_there_for_the_next(
    dsn: str, file: str, stage: Stage
) -> None:
    async with JobQueue.open(dsn, uuid4()) as queue:
        place = (await queue.take(5))["one"]
        moved(dsn, stage)
        await anyio.to_thread.run_sync(queue_again, dsn, file, stage)
        await queue.done([place], succeeded=False)
        assert "one" in await queue.take(5)


@pytest.mark.parametrize("stage", [Stage.FAILED, Stage.IN_DOUBT])
def test_a_command_that_dies_before_it_has_queued_a_job_again_has_not_planned_it_either(
    dsn: str, file: str, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved(dsn, stage)
    enqueue = shared_jobs.enqueue_jobs

    def dying(connection: psycopg.Connection[None], names: Iterable[str], **options: bool) -> int:
        if list(names):
            raise KeyboardInterrupt
        return enqueue(connection, (), **options)

    monkeypatch.setattr(shared_jobs, "enqueue_jobs", dying)
    with pytest.raises(KeyboardInterrupt):
        queue_again(dsn, file, stage)
    with open_sync_journal(dsn) as journal:
        assert journal.counts() == {stage.value: 1}


@pytest.mark.parametrize("by_command", [True, False])
async def test_a_planned_job_whose_place_in_the_queue_is_gone_gets_a_new_one(
    dsn: str, file: str, by_command: bool
) -> None:
    with psycopg.connect(dsn, autocommit=True) as db:
        db.execute("DELETE FROM pgqueuer")
    for _ in range(2):
        if by_command:
            queue = partial(SharedJobs(dsn, QUIET).queue, file, ReaderOptions(), retry_failed=False)
            await anyio.to_thread.run_sync(queue)
        else:
            async with JobList(dsn) as jobs:
                await jobs.add({**JOB, "id": "one"})
    async with JobQueue.open(dsn, uuid4()) as opened:
        assert [*await opened.take(5)] == ["one"]


def test_it_is_said_how_many_jobs_have_a_place_now_that_had_none(
    dsn: str, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with psycopg.connect(dsn, autocommit=True) as db:
        db.execute("DELETE FROM pgqueuer")
    for _ in range(2):
        SharedJobs(dsn, Terminal()).queue(file, ReaderOptions(), retry_failed=False)
    assert [line for line in capsys.readouterr().out.splitlines() if "queued" in line] == [
        "1 job queued",
        "0 jobs queued",
    ]


def test_it_is_said_how_many_failed_jobs_are_queued_again(
    dsn: str, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fail(dsn)
    for _ in range(2):
        SharedJobs(dsn, Terminal()).queue(file, ReaderOptions(), retry_failed=True)
    said = [line for line in capsys.readouterr().out.splitlines() if "queued" in line]
    assert said == ["1 job queued", "0 jobs queued"]


async def test_a_job_that_is_paid_and_whose_place_in_the_queue_is_gone_gets_one_from_where_it_is_taken_over(
    dsn: str, file: str
) -> None:
    moved(dsn, Stage.RENDERING)
    with psycopg.connect(dsn, autocommit=True) as db:
        db.execute("DELETE FROM pgqueuer")
    await anyio.to_thread.run_sync(partial(SharedJobs(dsn, QUIET).queue, file, ReaderOptions(), retry_failed=False))
    async with JobQueue.open(dsn, uuid4()) as opened:
        assert await opened.take(5) == {}, "it is bought already"
        assert [*await opened.take_over(5)] == ["one"], "its clip would never be fetched"


@pytest.mark.parametrize(("busy_answers", "stage"), [(2, "rendering"), (5, "failed")])
async def test_a_failed_job_that_the_service_is_too_busy_to_be_asked_about_is_asked_about_again_and_not_planned(
    dsn: str, file: str, monkeypatch: pytest.MonkeyPatch, busy_answers: int, stage: str
) -> None:
    monkeypatch.setattr(retrying, "_retry_delays", partial(retrying._retry_delays, 0.0, 0.0))
    busy = [web.Response(status=503) for _ in range(busy_answers)]

    async def status(request: web.Request) -> web.Response:
        if request.path == "/v2/video/generations" and busy:
            return busy.pop()
        video = {"url": "https://files.example.com/a.mp4"}
        return web.json_response({"id": "gen-1", "status": "completed", "video": video})

    fail(dsn)
    await queue_failed(dsn, file, status)
    with open_sync_journal(dsn) as journal:
        assert journal.counts() == {stage: 1}


@pytest.mark.parametrize("state", ["completed", "generating", "error"])
async def test_a_failed_job_whose_generation_the_service_has_repaired_is_fetched_and_not_planned(
    dsn: str, file: str, state: str
) -> None:
    async def status(request: web.Request) -> web.Response:
        video = {"url": "https://files.example.com/a.mp4"}
        return web.json_response({"id": request.query["generation_id"], "status": state, "video": video, "error": "x"})

    fail(dsn)
    await queue_failed(dsn, file, status)
    with open_sync_journal(dsn) as journal:
        assert journal.counts() == {"planned" if state == "error" else "rendering": 1}
    async with JobQueue.open(dsn, uuid4()) as opened:
        assert [*await opened.take(5)] == ["one"]


def test_what_moderation_refused_is_not_queued_again_unchanged(dsn: str, file: str) -> None:
    fail(dsn, "ContentRefused: a face")
    queue_again(dsn, file, Stage.FAILED)
    with open_sync_journal(dsn) as journal:
        assert journal.counts() == {"failed": 1}


async def test_jobs_of_another_service_are_not_added_to_a_list(dsn: str, file: str) -> None:
    async with JobList(dsn, service="kling") as jobs:
        with pytest.raises(SettingsError, match="these jobs were started with service 'aimlapi'"):
            await jobs.add({"model": "kling-v1-6", "prompt": "waves"})
    with open_sync_journal(dsn) as journal:
        assert journal.counts() == {"planned": 1}


def test_what_a_person_decides_about_a_job_that_has_moved_since_is_void(dsn: str, file: str) -> None:
    moved(dsn, Stage.IN_DOUBT)
    with open_sync_journal(dsn) as journal:
        record = journal.find("one")
        assert record is not None
        moved(dsn, Stage.FAILED)
        assert not journal.settle(record, Progress())
        assert journal.counts() == {"failed": 1}
