"""One worker, and two, against the sandbox: what is in hand is seen through, handed on, or left in order."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import anyio
import psycopg
import pytest

from aimlvideo import JobList, VideoClient, VideoJob
from aimlvideo.cli.commands.report import report
from aimlvideo.cli.distributed_options import DatabaseOptions
from aimlvideo.cli.job_reader import ReaderOptions
from aimlvideo.cli.shared_jobs import SharedJobs, _of_all
from aimlvideo.cli.terminal import Terminal
from aimlvideo.core.jobs.progress import Progress, Record
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.distributed.open_worker import open_worker
from aimlvideo.distributed.registry import SharedDurations
from aimlvideo.distributed.shared_account import Account, AccountLimits
from aimlvideo.distributed.worker import Worker
from aimlvideo.errors import InvalidJobs, SettingsError, UsageError
from aimlvideo.sandbox import Behaviour, Sandbox
from aimlvideo.shell.journal.postgres_sync import open_sync_journal
from aimlvideo.shell.user_folders import NOWHERE
from aimlvideo.views.metrics import metrics_page
from tests.waiting import until

pytestmark = [pytest.mark.long, pytest.mark.real_time]

MODEL = "kling-video/v1.6/pro/image-to-video"
QUIET = Terminal(quiet=True)


@pytest.fixture
def queued(dsn: str, tmp_path: Path) -> str:
    """Give a database with 20 jobs in its queue."""
    queue(dsn, tmp_path, [job(n) for n in range(20)])
    return dsn


def job(number: int, **others: Any) -> dict[str, Any]:
    """Return one line of a job file."""
    told = {"model": MODEL, "prompt": f"clip {number}", "image_url": "https://example.com/a.png"}
    return {"id": f"job{number}", **told, **others}


def queue(dsn: str, folder: Path, jobs: list[dict[str, Any]], **others: Any) -> None:
    """Queue jobs as the command does."""
    (folder / "jobs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in jobs))
    retry_failed = others.pop("retry_failed", False)
    SharedJobs(dsn, QUIET).queue(str(folder / "jobs.jsonl"), ReaderOptions(**others), retry_failed=retry_failed)


def counts(dsn: str) -> dict[str, int]:
    """Return the jobs by stage."""
    with open_sync_journal(dsn) as book:
        return book.counts()


@asynccontextmanager
async def opened(
    dsn: str,
    folder: Path,
    url: str,
    *,
    cap: int | Literal["auto"] = 10,
    rate: float = 200,
    until_empty: bool = True,
    heartbeat: float = 2.0,
    max_spend: float | None = None,
    **settings: Any,
) -> AsyncIterator[Worker]:
    """Give a worker that beats every half second."""
    told = {"service": "aimlapi", "base_url": url, "api_key": "k", "poll": "every:0.1", "settle": 3.0} | settings
    limits = AccountLimits(cap, rate, 100, heartbeat, max_spend)
    async with open_worker(dsn, str(folder / "out"), told, limits, until_empty=until_empty) as worker:
        yield worker


@pytest.mark.quick
async def test_a_queue_is_worked_off_and_the_cap_is_kept(queued: str, tmp_path: Path) -> None:
    async with Sandbox(Behaviour(seconds=0.2, video="tiny", max_concurrent=10)) as sandbox:
        async with opened(queued, tmp_path, sandbox.url) as worker:
            await worker.run()
        assert counts(queued) == {"saved": 20}
        assert sandbox.stats()["accepted"] == 20
        assert sandbox.stats()["refusals"] == {}
    clips = {path.name for path in (tmp_path / "out").iterdir()} - {".aimlvideo-list"}
    assert clips == {f"job{n}.mp4" for n in range(20)}


async def test_a_worker_with_a_short_heartbeat_takes_what_comes_while_it_is_idle(dsn: str, tmp_path: Path) -> None:
    async with Sandbox(Behaviour(seconds=0.1, video="tiny")) as sandbox:
        opening = opened(dsn, tmp_path, sandbox.url, until_empty=False, heartbeat=1.0)
        async with opening as worker, anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            await anyio.sleep(1)
            await anyio.to_thread.run_sync(queue, dsn, tmp_path, [job(0)])
            await until(lambda: counts(dsn) == {"saved": 1})
            tasks.cancel_scope.cancel()


async def test_a_worker_without_local_files_sends_none_that_a_queued_job_names(dsn: str, tmp_path: Path) -> None:
    (tmp_path / "own.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 64)
    picture = {"model": "kling-video/v1.6/pro/image-to-video", "prompt": "a", "image_url": str(tmp_path / "own.png")}
    async with JobList(dsn) as jobs, Sandbox(Behaviour(seconds=0.1, video="tiny")) as sandbox:
        name = await jobs.add(picture)
        async with opened(dsn, tmp_path, sandbox.url, local_files=False) as worker:
            await worker.run()
        result = await jobs.wait(name)
        assert "no local files" in str(result.error)
        assert sandbox.stats()["accepted"] == 0


async def test_two_workers_share_a_queue_and_one_cap(queued: str, tmp_path: Path) -> None:
    async with Sandbox(Behaviour(seconds=0.2, video="tiny")) as sandbox:
        one, other = opened(queued, tmp_path, sandbox.url, cap=6), opened(queued, tmp_path, sandbox.url, cap=6)
        async with one as first, other as second, anyio.create_task_group() as tasks:
            tasks.start_soon(first.run)
            tasks.start_soon(second.run)
        assert counts(queued) == {"saved": 20}
        assert sandbox.stats()["accepted"] == 20
        assert sandbox.stats()["outstanding_peak"] <= 6


async def test_a_stopped_worker_sees_downloads_through_and_leaves_renderings_with_their_places(
    queued: str, tmp_path: Path
) -> None:
    async with Sandbox(Behaviour(seconds=1.5, video="tiny")) as sandbox:
        opening = opened(queued, tmp_path, sandbox.url, until_empty=False)
        async with opening as worker, anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            await until(lambda: worker.results.stats.stages[Stage.RENDERING] == 10)
            await worker.stop()
        assert counts(queued) == {"planned": 10, "rendering": 10}
        with psycopg.connect(queued) as db:
            places = dict(db.execute("SELECT status, count(*) FROM pgqueuer GROUP BY 1").fetchall())
            outstanding = db.execute("SELECT outstanding FROM aimlvideo_account").fetchone()
        assert places == {"picked": 10, "queued": 10}
        assert outstanding == (10,)
        async with opened(queued, tmp_path, sandbox.url) as successor:
            await successor.run()
        assert counts(queued) == {"saved": 20}
        assert sandbox.stats()["accepted"] == 20
        assert sandbox.stats()["outstanding_peak"] == 10


async def test_drained_workers_take_nothing_more_and_end(queued: str, tmp_path: Path) -> None:
    async with Sandbox(Behaviour(seconds=1, video="tiny")) as sandbox:
        opening = opened(queued, tmp_path, sandbox.url, until_empty=False)
        async with opening as worker, anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            await until(lambda: worker.results.stats.stages[Stage.RENDERING] == 10)
            await anyio.to_thread.run_sync(SharedJobs(queued, QUIET).drain)
        finished = counts(queued)
        assert finished["saved"] + finished.get("planned", 0) == 20
        assert finished["saved"] >= 10


async def test_a_worker_that_tells_other_limits_is_refused_while_one_works(queued: str, tmp_path: Path) -> None:
    async with Sandbox(Behaviour(seconds=30)) as sandbox:
        async with opened(queued, tmp_path, sandbox.url), opened(queued, tmp_path, sandbox.url):
            for other in ({"cap": 11}, {"heartbeat": 9.0}, {"max_spend": 3.0}):
                with pytest.raises(SettingsError, match="--max-outstanding 10 --rate 200"):
                    async with opened(queued, tmp_path, sandbox.url, **other):
                        pass
        async with opened(queued, tmp_path, sandbox.url, cap=11) as alone:
            assert alone.account.limits.max_outstanding == 11


async def test_a_refusal_narrows_the_other_workers_too(queued: str, tmp_path: Path) -> None:
    async with Sandbox(Behaviour(seconds=30, video="tiny")) as sandbox:
        one, other = opened(queued, tmp_path, sandbox.url), opened(queued, tmp_path, sandbox.url)
        async with one as first, other as second, anyio.create_task_group() as tasks:
            tasks.start_soon(first.run)
            tasks.start_soon(second.run)
            await until(lambda: first.workers == 2 and second.workers == 2)
            before = second.fleet.polls.per_second
            first.fleet.polls.on_rejected(anyio.current_time(), 3.0)
            await until(lambda: second.fleet.polls.paused_until > anyio.current_time() + 1)
            assert second.fleet.polls.per_second < before
            tasks.cancel_scope.cancel()


async def test_what_all_workers_learned_of_durations_the_next_one_knows(dsn: str) -> None:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        workers = [SharedDurations(NOWHERE, await SharedDurations.read(connection)) for _ in range(3)]
        for mine in workers:
            mine.policy(MODEL).observe(95.0, 105.0, done=True)
            await mine.share(connection)
        known = SharedDurations(NOWHERE, await SharedDurations.read(connection)).policy(MODEL)
        assert known.endings == pytest.approx(3, rel=0.1)
        assert known.to_state() == workers[-1].policy(MODEL).to_state()


async def test_metrics_say_how_a_worker_stands(queued: str, tmp_path: Path) -> None:
    async with (
        Sandbox(Behaviour(seconds=0.2, video="tiny")) as sandbox,
        opened(queued, tmp_path, sandbox.url) as worker,
    ):
        await worker.run()
        with metrics_page(worker.metrics, 0) as port:
            page = await anyio.to_thread.run_sync(_fetch, f"http://127.0.0.1:{port}/metrics")
    assert 'aimlvideo_jobs{stage="saved"} 20.0' in page
    assert "aimlvideo_polls_total" in page
    assert "aimlvideo_journal_unwritten 0.0" in page


def _fetch(url: str) -> str:
    with urllib.request.urlopen(url) as answer:
        return str(answer.read().decode())


def test_a_file_with_a_mistake_queues_nothing(dsn: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidJobs, match="duration"):
        queue(dsn, tmp_path, [job(0), job(1, duration=7)])
    assert counts(dsn) == {}


def test_a_changed_job_is_refused_and_new_ones_join(queued: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidJobs, match="prompt changed"):
        queue(queued, tmp_path, [job(0, prompt="another"), job(20)])
    queue(queued, tmp_path, [job(n) for n in range(22)])
    assert counts(queued) == {"planned": 22}
    with psycopg.connect(queued) as db:
        assert db.execute("SELECT count(*) FROM pgqueuer").fetchone() == (22,)


def test_another_service_needs_another_database(queued: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="started with service 'aimlapi'"):
        queue(queued, tmp_path, [{"id": "g", "model": "kling-v1-6", "prompt": "waves"}], service="kling")


def test_status_counts_and_says_what_is_unfinished(queued: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert SharedJobs(queued, Terminal()).show_status() == 3
    said = capsys.readouterr().out
    assert "20 planned; 0.00 USD" in said
    assert "; 0 outstanding, at most 100 at present" in said


def test_status_says_what_clips_cost_in_the_service_s_own_units(
    queued: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_sync_journal(queued) as book:
        for name, units in (("job0", 2.5), ("job1", None)):
            saved = Progress(Stage.SAVED, generation_id=name, file=name, cost_units=units)
            assert book.settle(Record(VideoJob(MODEL, id=name), Progress()), saved)
    SharedJobs(queued, Terminal()).show_status()
    assert "18 planned, 2 saved; 2.5 of the service's units (1 of unknown cost)" in capsys.readouterr().out
    with open_sync_journal(queued) as book:
        line = _of_all(Account.of(book.account()))
    assert line.startswith("all workers: 18 planned, 2 saved, ")
    assert line.endswith(" USD spent, with the price of 2 clips whose cost in USD nobody said")


def test_what_rounding_leaves_of_nothing_is_not_committed(queued: str, capsys: pytest.CaptureFixture[str]) -> None:
    with open_sync_journal(queued) as book:
        book.db.execute("UPDATE aimlvideo_account SET committed = -1.6e-16")
        assert str(Account.of(book.account()).committed) == "0.0"
    SharedJobs(queued, Terminal()).show_status()
    assert "20 planned; 0.00 USD\n" in capsys.readouterr().out


async def test_a_doubt_that_a_person_settles_is_queued_again_and_seen_through(queued: str, tmp_path: Path) -> None:
    doubtful = Progress(Stage.IN_DOUBT, request_id="av-1", submitted_at=1.8e9)
    with open_sync_journal(queued) as book:
        for name in ("job0", "job1"):
            assert book.settle(Record(VideoJob(MODEL, id=name), Progress()), doubtful)
            book.db.execute("DELETE FROM pgqueuer WHERE payload = %s", (name.encode(),))
    async with Sandbox(Behaviour(seconds=0.1, video="tiny")) as sandbox:
        async with VideoClient("k", sandbox.url) as client:
            bought = await client.submit(MODEL, **{name: job(0)[name] for name in ("prompt", "image_url")})
        async with opened(queued, tmp_path, sandbox.url) as worker:
            await worker.run()
        assert counts(queued) == {"in_doubt": 2, "saved": 18}
        await anyio.to_thread.run_sync(SharedJobs(queued, QUIET).settle, "job0", bought.id)
        await anyio.to_thread.run_sync(SharedJobs(queued, QUIET).settle, "job1", None)
        async with opened(queued, tmp_path, sandbox.url) as successor:
            await successor.run()
        assert counts(queued) == {"saved": 20}
        assert sandbox.stats()["accepted"] == 20
    with pytest.raises(UsageError, match="job 'job0' is not in doubt: it is saved"):
        SharedJobs(queued, QUIET).settle("job0", None)
    with pytest.raises(UsageError, match="there is no job 'nosuch'"):
        SharedJobs(queued, QUIET).settle("nosuch", None)


@pytest.mark.parametrize(("seen", "settled"), [("1 s", False), ("10 min", True)])
def test_what_a_worker_is_submitting_now_is_not_settled_by_hand(queued: str, seen: str, settled: bool) -> None:
    with open_sync_journal(queued) as book:
        sending = Progress(Stage.SUBMITTING, request_id="av-1", submitted_at=1.8e9)
        assert book.settle(Record(VideoJob(MODEL, id="job0"), Progress()), sending)
        book.db.execute("UPDATE aimlvideo_jobs SET owner = 'w1' WHERE id = 'job0'")
        book.db.execute(
            f"INSERT INTO aimlvideo_workers (id, name, began, seen_at) VALUES ('w1', 'w', 0, now() - interval '{seen}')"
        )
    if settled:
        SharedJobs(queued, QUIET).settle("job0", None)
        assert counts(queued) == {"planned": 20}
        return
    with pytest.raises(UsageError, match="being submitted"):
        SharedJobs(queued, QUIET).settle("job0", None)
    assert counts(queued) == {"planned": 19, "submitting": 1}


async def test_the_page_and_the_results_of_all_workers_are_made_from_the_database(queued: str, tmp_path: Path) -> None:
    service = Sandbox(Behaviour(seconds=0.1, video="tiny"))
    async with service as sandbox, opened(queued, tmp_path, sandbox.url) as worker:
        await worker.run()
    report(tmp_path / "out", DatabaseOptions(dsn=queued), sheet=True)
    assert (tmp_path / "out" / "sheet.jpg").read_bytes().startswith(b"\xff\xd8")
    rows = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    assert {row["file"] for row in rows} == {f"job{n}.mp4" for n in range(20)}
    assert "job19.mp4" in (tmp_path / "out" / "report.html").read_text()


async def test_a_generation_of_several_clips_keeps_all_of_them(dsn: str, tmp_path: Path) -> None:
    walk = {"id": "walk", "model": "klingai/video-v3-omni-720p-text-to-video", "prompt": "a walk", "duration": 3}
    await anyio.to_thread.run_sync(queue, dsn, tmp_path, [walk])
    async with Sandbox(Behaviour(seconds=0.1, video="tiny", several_clips=1.0)) as sandbox:
        async with opened(dsn, tmp_path, sandbox.url) as worker:
            await worker.run()
        assert sandbox.stats()["accepted"] == 1
    with open_sync_journal(dsn) as journal:
        record = journal.find("walk")
    assert record is not None
    names = [clip.file for clip in record.progress.files]
    assert names[:2] == ["walk.mp4", "walk-2.mp4"]
    assert all((tmp_path / "out" / name).is_file() for name in names)
