"""The money rules of workers, which are those of a single process, seen at one worker with a fake service."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from math import inf
from pathlib import Path

import anyio
import psycopg
import pytest

from aimlvideo.cli.job_reader import ReaderOptions
from aimlvideo.cli.shared_jobs import SharedJobs
from aimlvideo.cli.terminal import Terminal
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.request_ids import is_for
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.distributed.open_worker import open_worker
from aimlvideo.distributed.shared_account import AccountLimits
from aimlvideo.distributed.worker import Worker
from aimlvideo.errors import OverBudget, Unclear
from aimlvideo.pipeline import download
from aimlvideo.shell.http import retrying
from aimlvideo.shell.journal.postgres_sync import open_sync_journal
from tests.fakes import JOB, FakeDownload, FakeService, FakeTransport, answer
from tests.waiting import PATIENCE

pytestmark = [pytest.mark.long, pytest.mark.real_time]

QUIET = Terminal(quiet=True)
PRICE = 0.25


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> FakeService:
    monkeypatch.setattr(download, "Download", FakeDownload)
    return FakeService(seconds=0.5, price=PRICE)


async def queued(dsn: str, folder: Path, names: str, *, retry_failed: bool = False) -> None:
    """Queue a job for each letter, without a price: the worker prices them."""
    path = folder / "jobs.jsonl"
    path.write_text("".join(json.dumps({**JOB, "id": name}) + "\n" for name in names))

    def queue() -> None:
        SharedJobs(dsn, QUIET).queue(str(path), ReaderOptions(), retry_failed=retry_failed)

    await anyio.to_thread.run_sync(queue)


@asynccontextmanager
async def opened(service: FakeService, dsn: str, folder: Path, limit: float = inf) -> AsyncIterator[Worker]:
    settings = {
        "service": "aimlapi", "base_url": "http://127.0.0.1:1", "api_key": "k", "poll": "every:0.1", "settle": 1.5,
        "transport": FakeTransport(service, "k"),
    }  # fmt: skip
    limits = AccountLimits(4, 200.0, 100.0, 1.0, limit)
    async with open_worker(dsn, str(folder / "out"), settings, limits, until_empty=True) as worker:
        yield worker


async def work_off(service: FakeService, dsn: str, folder: Path) -> None:
    """Let a worker end all that is queued."""
    with anyio.fail_after(PATIENCE):
        async with opened(service, dsn, folder) as worker:
            await worker.run()


async def until(worker: Worker, stage: Stage) -> None:
    """Wait until a job of a worker has come so far."""
    while not worker.results.stats.stages[stage]:  # noqa: ASYNC110 - nobody tells
        await anyio.sleep(0.02)


def generations(dsn: str) -> dict[str, tuple[str | None, Stage]]:
    with open_sync_journal(dsn) as journal:
        return {job.id: (progress.generation_id, progress.stage) for job, progress in journal.all_jobs()}


def bought_for(service: FakeService, names: str) -> dict[str, str]:
    """Return the generation of each job as the service has it: which is sent first, nobody promises."""
    jobs = {name: VideoJob(**{**JOB, "id": name}) for name in names}
    return {name: row.generation_id for row in service.log for name in names if is_for(jobs[name], row.request_id)}


def stages(dsn: str) -> dict[str, int]:
    with open_sync_journal(dsn) as journal:
        return journal.counts()


async def test_a_worker_waits_while_what_is_outstanding_may_settle_below_its_price(
    dsn: str, tmp_path: Path, service: FakeService
) -> None:
    service.broken["gen-0"] = "out of memory"
    await queued(dsn, tmp_path, "abc")
    async with opened(service, dsn, tmp_path, limit=PRICE) as worker:
        await worker.run()
    assert stages(dsn) == {"failed": 1, "saved": 1, "planned": 1}
    assert isinstance(worker.results.halted, OverBudget)
    assert "all workers: the next job (0.25 USD) would pass the limit of 0.25 USD: 0.25 spent" in str(
        worker.results.halted
    )
    assert len(service.posted_at) == 2


async def test_what_was_bought_without_a_limit_counts_at_its_price_under_one(
    dsn: str, tmp_path: Path, service: FakeService
) -> None:
    await queued(dsn, tmp_path, "a")
    service.seconds = 60
    async with opened(service, dsn, tmp_path) as worker, anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)
        await until(worker, Stage.RENDERING)
        await worker.stop()
    await queued(dsn, tmp_path, "ab")
    service.seconds = 0.5
    async with opened(service, dsn, tmp_path, limit=PRICE) as worker:
        await worker.run()
    assert stages(dsn) == {"saved": 1, "planned": 1}


async def test_a_failed_generation_that_was_charged_counts_after_its_job_is_queued_again(
    dsn: str, tmp_path: Path, service: FakeService
) -> None:
    service.broken["gen-0"] = "out of memory"
    await queued(dsn, tmp_path, "a")
    async with opened(service, dsn, tmp_path) as worker:
        await worker.run()
    with psycopg.connect(dsn, autocommit=True) as db:
        db.execute("UPDATE aimlvideo_jobs SET cost_usd = %s, counts = 'spent'", (PRICE,))
    await queued(dsn, tmp_path, "a", retry_failed=True)
    async with opened(service, dsn, tmp_path, limit=1.5 * PRICE) as worker:
        await worker.run()
    assert stages(dsn) == {"planned": 1}
    with open_sync_journal(dsn) as journal:
        assert journal.spent() == PRICE


@pytest.mark.parametrize("is_lost", [False, True], ids=["not sent yet", "sent and never accepted"])
async def test_a_worker_asks_about_what_failed_before_it_buys_anew_what_is_queued_again(
    dsn: str, tmp_path: Path, service: FakeService, is_lost: bool
) -> None:
    service.broken["gen-0"] = "out of memory"
    await queued(dsn, tmp_path, "a")
    await work_off(service, dsn, tmp_path)
    with psycopg.connect(dsn, autocommit=True) as db:
        db.execute("UPDATE aimlvideo_jobs SET cost_usd = %s, counts = 'spent'", (PRICE,))
    await queued(dsn, tmp_path, "a", retry_failed=True)
    if is_lost:
        service.posts.append(Unclear("reset"))
        async with opened(service, dsn, tmp_path) as worker, anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            await until(worker, Stage.IN_DOUBT)
            await worker.stop()
    service.broken.clear()
    await work_off(service, dsn, tmp_path)
    assert generations(dsn) == {"a": ("gen-0", Stage.SAVED)}
    assert len(service.posted_at) == 1 + is_lost
    with open_sync_journal(dsn) as journal:
        assert (journal.spent(), journal.account()["committed"]) == (PRICE, 0.0)
        ids = [(one.generation_id, one.cost_usd) for one in journal.attempts("a")]
        assert ids == [*([(None, None)] if is_lost else []), ("gen-0", PRICE)]


async def test_a_worker_leaves_failed_what_it_cannot_ask_about(
    dsn: str, tmp_path: Path, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrying, "_retry_delays", partial(retrying._retry_delays, 0.0, 0.0))
    service.broken["gen-0"] = "out of memory"
    await queued(dsn, tmp_path, "a")
    await work_off(service, dsn, tmp_path)
    await queued(dsn, tmp_path, "a", retry_failed=True)
    service.checks.extend([answer(500)] * 5)
    await work_off(service, dsn, tmp_path)
    assert generations(dsn) == {"a": ("gen-0", Stage.FAILED)}
    with open_sync_journal(dsn) as journal:
        (failed,) = journal.failed_jobs()
    assert "gen-0, which failed and may be completed by now, could not be asked about" in str(failed.progress.error)
    assert len(service.posted_at) == 1


async def test_an_answer_that_names_a_generation_of_another_worker_s_job_is_looked_into(
    dsn: str, tmp_path: Path, service: FakeService
) -> None:
    service.lost.extend([None, answer(201, {"id": "gen-0", "status": "queued"})])
    for name in "ab":
        await queued(dsn, tmp_path, name)
        async with opened(service, dsn, tmp_path) as worker:
            await worker.run()
    assert {job_id: name for job_id, (name, _) in generations(dsn).items()} == {"a": "gen-0", "b": "gen-1"}
    assert len(service.posted_at) == 2


async def test_a_job_that_a_worker_saved_with_the_clip_of_another_one_gets_its_own_from_the_workers_at_hand(
    dsn: str, tmp_path: Path, service: FakeService
) -> None:
    service.listing_delay = 0.4
    service.lost.extend([Unclear("reset"), answer(201, {"id": "gen-0", "status": "queued"})])
    await queued(dsn, tmp_path, "ab")
    await work_off(service, dsn, tmp_path)
    assert generations(dsn) == {name: (gen, Stage.SAVED) for name, gen in bought_for(service, "ab").items()}
    assert len(service.posted_at) == 2


async def test_a_job_that_another_worker_follows_with_the_generation_of_a_lost_answer_is_looked_up_at_once(
    dsn: str, tmp_path: Path, service: FakeService
) -> None:
    service.seconds = 60
    await queued(dsn, tmp_path, "b")
    async with opened(service, dsn, tmp_path) as worker, anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)
        await until(worker, Stage.RENDERING)
        await worker.stop()
    with psycopg.connect(dsn, autocommit=True) as db:
        # As a proxy mixed up the answers: the other worker, which lives, waits for what is going to be a's.
        db.execute("UPDATE aimlvideo_jobs SET generation_id = 'gen-1', owner = 'the other worker'")
        db.execute("UPDATE pgqueuer SET heartbeat = now() + interval '1 hour'")
    service.log[0].listed_at, service.seconds = service.clock(), 0.5
    service.lost.append(Unclear("reset"))
    await queued(dsn, tmp_path, "a")
    await work_off(service, dsn, tmp_path)
    assert generations(dsn) == {"a": ("gen-1", Stage.SAVED), "b": ("gen-0", Stage.SAVED)}
    assert len(service.posted_at) == 2
