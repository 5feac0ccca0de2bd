"""One account for all workers: cap, budget and rate hold for all of them together, and are set in one place."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import psycopg
import pytest

from aimlvideo import VideoJob
from aimlvideo.cli.shared_jobs import SharedJobs
from aimlvideo.cli.terminal import Terminal
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.limits import ConcurrencyLimit
from aimlvideo.distributed.open_worker import open_worker
from aimlvideo.distributed.shared_account import AccountLimits
from aimlvideo.distributed.shared_limits import AT_A_TIME, Permits
from aimlvideo.errors import JournalError, OverBudget, Refused, SettingsError, Unavailable
from aimlvideo.sandbox import Behaviour, Sandbox
from aimlvideo.shell.journal.postgres_connection import Database
from aimlvideo.shell.journal.postgres_schema import MIGRATIONS, MONEY_SUMS, init_tables
from tests.cases import for_each
from tests.distributed.test_worker import QUIET, counts, job, opened, queue, queued
from tests.waiting import until

__all__ = ["queued"]

pytestmark = [pytest.mark.long, pytest.mark.real_time]


def ask(dsn: str, question: str, *values: Any) -> Any:
    """Return one value of the database."""
    with psycopg.connect(dsn, autocommit=True) as db:
        row = db.execute(question, values).fetchone()
    return row[0] if row else None


async def test_a_cap_that_was_lowered_counts_what_is_outstanding_already(queued: str, tmp_path: Path) -> None:
    async with Sandbox(Behaviour(seconds=1.5, video="tiny")) as sandbox:
        async with (
            opened(queued, tmp_path, sandbox.url, until_empty=False) as first,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(first.run)
            await until(lambda: first.results.stats.stages[Stage.RENDERING] == 10)
            await first.stop()
        async with opened(queued, tmp_path, sandbox.url, cap=5) as second, anyio.create_task_group() as tasks:
            tasks.start_soon(second.run)
            await until(lambda: sandbox.stats()["accepted"] > 10)
            assert ask(queued, "SELECT outstanding FROM aimlvideo_account") <= 5
        assert counts(queued) == {"saved": 20}
        assert sandbox.stats()["accepted"] == 20
        assert sandbox.stats()["outstanding_peak"] == 10


async def test_what_all_workers_spend_keeps_within_one_limit(queued: str, tmp_path: Path) -> None:
    async with Sandbox(Behaviour(seconds=0.2, video="tiny")) as sandbox:
        async with opened(queued, tmp_path, sandbox.url, max_spend=0.0) as nothing:
            await nothing.run()
        assert isinstance(nothing.results.halted, OverBudget)
        assert sandbox.stats()["accepted"] == 0
        price = nothing.client.price(VideoJob(**job(0)))
        assert price is not None
        budget = 5.5 * price
        one = opened(queued, tmp_path, sandbox.url, max_spend=budget)
        other = opened(queued, tmp_path, sandbox.url, max_spend=budget)
        async with one as first, other as second, anyio.create_task_group() as tasks:
            tasks.start_soon(first.run)
            tasks.start_soon(second.run)
        assert sandbox.stats()["accepted"] == 5
        assert counts(queued) == {"planned": 15, "saved": 5}
        assert ask(queued, "SELECT spent + committed FROM aimlvideo_account") <= budget
        assert ask(queued, "SELECT count(*) FROM pgqueuer WHERE status = 'queued'") == 15


async def test_auto_finds_how_many_the_service_takes_once_for_all(dsn: str, tmp_path: Path) -> None:
    await anyio.to_thread.run_sync(queue, dsn, tmp_path, [job(n) for n in range(30)])
    async with Sandbox(Behaviour(seconds=0.3, video="tiny", max_concurrent=12)) as sandbox:
        one, other = (opened(dsn, tmp_path, sandbox.url, cap="auto") for _ in range(2))
        async with one as first, other as second, anyio.create_task_group() as tasks:
            tasks.start_soon(first.run)
            tasks.start_soon(second.run)
        assert counts(dsn) == {"saved": 30}
        assert sandbox.stats()["accepted"] == 30
        assert ask(dsn, "SELECT max_outstanding FROM aimlvideo_account") is None


async def test_of_two_workers_of_the_same_second_with_other_caps_one_is_refused(queued: str, tmp_path: Path) -> None:
    outcomes: list[str] = []

    async def start(cap: int) -> None:
        try:
            async with opened(queued, tmp_path, sandbox.url, cap=cap):
                await anyio.sleep(1)
        except SettingsError:
            outcomes.append("refused")
        else:
            outcomes.append("works")

    async with Sandbox(Behaviour()) as sandbox, anyio.create_task_group() as tasks:
        for cap in (4, 7):
            tasks.start_soon(start, cap)
    assert sorted(outcomes) == ["refused", "works"]


async def test_a_wrong_key_and_an_absent_service_take_nothing(queued: str, tmp_path: Path) -> None:
    async with Sandbox(Behaviour()) as sandbox:
        with pytest.raises(Refused, match="API key"):
            async with opened(queued, tmp_path, sandbox.url, api_key="bad"):
                pass
    with pytest.raises(Unavailable):
        async with opened(queued, tmp_path, "http://127.0.0.1:9"):
            pass
    assert ask(queued, "SELECT count(*) FROM pgqueuer WHERE status <> 'queued'") == 0
    assert ask(queued, "SELECT count(*) FROM aimlvideo_workers") == 0


@pytest.mark.parametrize("service", ["kling", "aimlapi"])
async def test_what_was_not_begun_goes_back_at_once_when_a_worker_stops(dsn: str, tmp_path: Path, service: str) -> None:
    lines = [job(n) for n in range(30)]
    if service == "kling":
        lines = [
            {"id": f"k{n}", "model": "kling-v1-6", "prompt": "p", "image": "https://e.com/a.png"} for n in range(30)
        ]
    await anyio.to_thread.run_sync(lambda: queue(dsn, tmp_path, lines, service=service))
    async with Sandbox(Behaviour(seconds=30, video="tiny")) as sandbox:
        opening = opened(dsn, tmp_path, sandbox.url, cap=30, rate=5, until_empty=False, service=service)
        async with opening as worker, anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            await until(lambda: sandbox.stats()["accepted"] >= 2 and len(worker.places) == 30)
            await worker.stop()
    assert counts(dsn).get("saved", 0) == 0, "it waited for what was rendering"
    accepted = sandbox.stats()["accepted"]
    assert ask(dsn, "SELECT count(*) FROM pgqueuer WHERE status = 'queued'") == 30 - accepted
    overdue = "SELECT count(*) FROM pgqueuer WHERE status = 'picked' AND heartbeat < now() - interval '2 s'"
    assert ask(dsn, overdue) == accepted


async def test_drained_workers_buy_nothing_more(queued: str, tmp_path: Path) -> None:
    async with Sandbox(Behaviour(seconds=1, video="tiny")) as sandbox:
        opening = opened(queued, tmp_path, sandbox.url, cap=20, rate=5, until_empty=False)
        async with opening as worker, anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            await until(lambda: sandbox.stats()["accepted"] >= 2)
            await anyio.to_thread.run_sync(SharedJobs(queued, QUIET).drain)
            await until(lambda: worker.results.halted)
            accepted = sandbox.stats()["accepted"]
        assert sandbox.stats()["accepted"] <= accepted + 1
        assert counts(queued) == {"planned": 20 - sandbox.stats()["accepted"], "saved": sandbox.stats()["accepted"]}


async def test_workers_with_other_output_folders_are_refused(queued: str, tmp_path: Path) -> None:
    async with Sandbox(Behaviour(seconds=0.1, video="tiny")) as sandbox:
        async with opened(queued, tmp_path / "a", sandbox.url) as first:
            await first.run()
        with pytest.raises(SettingsError, match="is not where the clips of this job list go"):
            async with opened(queued, tmp_path / "b", sandbox.url):
                pass
        assert not (tmp_path / "b" / "out" / ".aimlvideo-list").exists()
        async with opened(queued, tmp_path / "a", sandbox.url):
            pass


async def test_the_rate_is_that_of_all_workers_together(dsn: str) -> None:
    granted: list[float] = []
    now = "SELECT extract(epoch FROM clock_timestamp())::float8"  # the clock that the rate goes by, however slow we are
    began = ask(dsn, now)

    async def submit() -> None:
        async with Database(dsn).pool(1) as pool:
            permits = Permits(pool, 40.0)
            for _ in range(8):
                await permits.acquire()
                async with pool.connection() as db:
                    granted.append(*(await (await db.execute(now)).fetchone() or ()))

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(submit)
    at_a_time = AT_A_TIME * 40
    for number, moment in enumerate(sorted(granted), 1):
        assert number <= 40 * (moment - began) + at_a_time + 1, f"number {number} after {moment - began:.3f} s"
    assert len(granted) == 24


@for_each(
    ("limits", "named"),
    [({"rate": 0}, "--rate is 0"), ({"poll_rate": -1}, "--poll-rate"), ({"heartbeat": 0.5}, "--heartbeat"),
     ({"max_outstanding": 0}, "--max-outstanding is 0"), ({"rate": float("nan")}, "--rate"),
     ({"heartbeat": 1e300}, "--heartbeat is 1e\\+300"), ({"max_outstanding": 99_999_999_999}, "1 to"),
     ({"max_spend": -1}, "--max-spend is -1: expected 0 or more, or inf")],
)  # fmt: skip
def test_a_limit_that_cannot_be_is_an_error_with_its_flag(limits: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        AccountLimits(**limits)


def test_limits_are_shown_and_changed_by_one_command(queued: str, capsys: pytest.CaptureFixture[str]) -> None:
    SharedJobs(queued, Terminal()).show_limits(AccountLimits(max_outstanding="auto", rate=7, max_spend=20.0))
    SharedJobs(queued, Terminal()).show_limits(AccountLimits())
    shown = capsys.readouterr().out.splitlines()
    assert shown == ["--max-outstanding auto --rate 7 --poll-rate 50 --heartbeat 30 --max-spend 20"] * 2


async def test_auto_begins_with_as_many_as_a_single_process_does_and_a_number_with_that(dsn: str) -> None:
    async with Database(dsn).connection() as connection:
        for chosen, room in (("auto", ConcurrencyLimit(None).limit), (30, 30)):
            await connection.execute("UPDATE aimlvideo_account SET room = 3, narrowed_at = now()")
            account = await AccountLimits(max_outstanding=chosen).set(connection)
            assert account.room == room
        row = await (await connection.execute("SELECT narrowed_at FROM aimlvideo_account")).fetchone()
    assert row == (None,), "what was learned under another limit says nothing about this one"


def test_tables_are_made_once_by_whoever_comes_first(server: Any, dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as db:
        db.execute("DROP SCHEMA public CASCADE")
        db.execute("CREATE SCHEMA public")
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: SharedJobs(dsn, QUIET).init(), range(4)))  # raises what one of them raised
    assert ask(dsn, "SELECT count(*) FROM aimlvideo_account") == 1


def test_tables_of_the_first_release_are_brought_up_to_date(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as db:
        db.execute("DROP SCHEMA public CASCADE")
        db.execute("CREATE SCHEMA public")
        db.execute(MIGRATIONS[0])
        db.execute("INSERT INTO aimlvideo_facts VALUES ('schema', '1')")
        row = "INSERT INTO aimlvideo_jobs (id, asked, stage, cost_usd, owner) VALUES (%s, '[\"m\", {}]', %s, %s, 'w')"
        for number, (stage, cost) in enumerate(
            [("planned", None), ("rendering", None), ("saved", 0.5), ("saved", 0.25)]
        ):
            db.execute(row, (f"job{number}", stage, cost))
    with pytest.raises(JournalError, match="run `aimlvideo db init`"):
        SharedJobs(dsn, QUIET).show_status()
    init_tables(dsn)
    assert counts(dsn) == {"planned": 1, "rendering": 1, "saved": 2}
    assert ask(dsn, "SELECT (outstanding, spent)::text FROM aimlvideo_account") == "(1,0.75)"
    with psycopg.connect(dsn, autocommit=True) as db:
        db.execute("UPDATE aimlvideo_facts SET value = %s WHERE name = 'schema'", (str(len(MIGRATIONS) + 1),))
    for refused in (SharedJobs(dsn, QUIET).show_status, SharedJobs(dsn, QUIET).init):
        with pytest.raises(JournalError, match="newer version"):
            refused()


def test_the_sums_of_the_account_are_those_of_its_jobs(queued: str) -> None:
    steps = (
        ("submitting", "committed", None), ("rendering", "committed", None), ("ready", "spent", 0.4),
        ("saved", "spent", 0.4), ("in_doubt", "committed", None), ("failed", "spent", None), ("failed", None, None),
        ("planned", None, None),
    )  # fmt: skip
    names = ("outstanding", "spent", "assumed", "unknown_costs", "committed", "settling", "unpriced")
    columns = ("outstanding", "spent", "assumed", "unknown", "committed", "settling", "unpriced")
    with psycopg.connect(queued, autocommit=True) as db:
        for stage, counted_as, cost in steps:
            moved = (
                "UPDATE aimlvideo_jobs SET stage = %s, counts = %s, cost_usd = %s, owner = 'w', "
                "price = CASE WHEN id < 'job12' THEN 0.5 END WHERE id < 'job15'"
            )
            db.execute(moved, (stage, counted_as, cost))
            kept = db.execute(f"SELECT {', '.join(names)} FROM aimlvideo_account").fetchone()
            sums = ", ".join(f"sum(s.{column})" for column in columns)
            counted = db.execute(f"SELECT {sums} FROM aimlvideo_jobs, {MONEY_SUMS} s").fetchone()
            assert kept == pytest.approx(counted)
        db.execute("DELETE FROM aimlvideo_jobs")
        assert db.execute("SELECT planned, outstanding FROM aimlvideo_account").fetchone() == (0, 0)


def test_a_dead_worker_is_forgotten(queued: str, tmp_path: Path) -> None:
    with psycopg.connect(queued, autocommit=True) as db:
        dead = (
            "INSERT INTO aimlvideo_workers (id, name, began, seen_at) VALUES ('x', 'dead', 0, now() - interval '2 min')"
        )
        db.execute(dead)

    async def work() -> None:
        async with Sandbox(Behaviour()) as sandbox, opened(queued, tmp_path, sandbox.url):
            pass

    asyncio.run(work())
    assert ask(queued, "SELECT count(*) FROM aimlvideo_workers WHERE id = 'x'") == 0


async def test_a_worker_without_flags_has_room_for_all_that_the_account_allows(queued: str, tmp_path: Path) -> None:
    """How much is under way in a worker is decided where jobs are taken, by the account's limits of that moment."""
    await anyio.to_thread.run_sync(SharedJobs(queued, QUIET).show_limits, AccountLimits(max_outstanding=5000))
    settings = {"service": "aimlapi", "api_key": "k", "poll": "every:0.1"}
    async with Sandbox(Behaviour()) as sandbox:
        opening = open_worker(queued, str(tmp_path / "out"), {**settings, "base_url": sandbox.url}, AccountLimits())
        async with opening as worker:
            assert worker.results.spec.window > 2 * 5000
            assert worker.results.spec.most_bought() > 5000
