"""A worker that was frozen, or whose jobs were given to another, changes nothing and buys nothing."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.shell.journal.postgres import PostgresJournal, open_postgres_journal
from aimlvideo.shell.journal.postgres_sync import open_sync_journal
from tests.postgres_server import Server, postgres

pytestmark = pytest.mark.real_time

JOB = VideoJob("kling-video/v1.6/pro/image-to-video", id="one", prompt="p")
SENT = Progress().to(Stage.SUBMITTING, request_id="av-1", submitted_at=1.0)


def plan(dsn: str, *jobs: VideoJob) -> None:
    """Write jobs down."""
    with open_sync_journal(dsn) as book, book.planning():
        for job in jobs or [JOB]:
            book.plan(job)


def found(dsn: str) -> Progress:
    """Return how the one job stands."""
    with open_sync_journal(dsn) as book:
        record = book.find("one")
    assert record is not None
    return record.progress


def losing(journal: PostgresJournal) -> list[str]:
    """Return a list that each lost job is added to."""
    lost: list[str] = []
    journal.lost = lost.append
    return lost


async def test_the_steps_of_a_job_that_is_ours_are_written(dsn: str) -> None:
    plan(dsn)
    async with open_postgres_journal(dsn, "a") as journal:
        (record,) = await journal.take(["one"])
        journal.step(record.job, SENT)
        await journal.synced()
        assert found(dsn) == SENT


async def test_a_job_that_another_took_is_lost_before_its_request_could_leave(dsn: str) -> None:
    plan(dsn)
    async with open_postgres_journal(dsn, "a") as ours, open_postgres_journal(dsn, "b") as theirs:
        lost = losing(ours)
        await ours.take(["one"])
        await theirs.take(["one"])
        ours.step(JOB, SENT)
        await ours.synced()
        assert lost == ["one"]
        assert found(dsn) == Progress()


async def test_a_job_that_was_let_in_too_late_is_named_as_lost_each_time(dsn: str) -> None:
    plan(dsn)
    async with open_postgres_journal(dsn, "a") as ours, open_postgres_journal(dsn, "b") as theirs:
        lost = losing(ours)
        await ours.take(["one"])
        await theirs.take(["one"])
        await ours.verify()
        ours.step(JOB, SENT)
        await ours.synced()
        assert lost == ["one", "one"]


async def test_the_steps_of_the_former_owner_do_not_overwrite_those_of_the_new_one(dsn: str) -> None:
    plan(dsn)
    rendering = SENT.to(Stage.RENDERING, generation_id="g")
    async with open_postgres_journal(dsn, "a") as ours, open_postgres_journal(dsn, "b") as theirs:
        await ours.take(["one"])
        await theirs.take(["one"])
        theirs.step(JOB, rendering)
        await theirs.synced()
        ours.step(JOB, SENT.to(Stage.PLANNED))
        await ours.synced()
        assert found(dsn) == rendering


async def test_what_was_left_unwritten_by_an_earlier_life_is_refused_before_the_job_is_taken_again(dsn: str) -> None:
    plan(dsn)
    async with open_postgres_journal(dsn, "a") as ours, open_postgres_journal(dsn, "b") as theirs:
        await ours.take(["one"])
        await theirs.take(["one"])
        theirs.step(JOB, SENT)
        await theirs.synced()
        ours.step(JOB, Progress())
        (record,) = await ours.take(["one"])
        assert record.progress == SENT


async def test_a_generation_that_another_job_has_is_not_written_and_its_job_is_let_go_of(dsn: str) -> None:
    two = VideoJob(JOB.model, id="two", prompt="p")
    plan(dsn, two, JOB)
    rendering = SENT.to(Stage.RENDERING, generation_id="gen-0")
    async with open_postgres_journal(dsn, "a") as journal:
        await journal.take(["two"])
        journal.step(two, rendering)
        await journal.synced()
    async with open_postgres_journal(dsn, "b") as journal:
        lost = losing(journal)
        await journal.take(["one"])
        for progress in (SENT, rendering):
            journal.step(JOB, progress)
            await journal.synced()
        assert lost == ["one"]
    assert found(dsn) == SENT


async def test_after_a_freeze_it_is_asked_whether_a_job_is_still_ours(dsn: str) -> None:
    plan(dsn)
    async with open_postgres_journal(dsn, "a") as ours, open_postgres_journal(dsn, "b") as theirs:
        lost = losing(ours)
        await ours.take(["one"])
        ours.step(JOB, SENT)
        await ours.synced()
        await theirs.take(["one"])
        await ours.synced()
        assert lost == [], "a moment ago it was ours"
        ours._sure_at -= 2 * ours.lease  # as after a SIGSTOP that long
        await ours.synced()
        assert lost == ["one"]


@pytest.mark.long
async def test_with_postgres_away_steps_wait_and_none_is_lost(tmp_path: object) -> None:
    from aimlvideo.shell.journal.postgres_schema import init_tables

    with postgres() as server:
        init_tables(server.dsn)
        plan(server.dsn, *(JOB.with_id(f"job{n}") for n in range(50)), JOB)
        async with open_postgres_journal(server.dsn, "a") as journal:
            records = await journal.take(["one", *(f"job{n}" for n in range(50))])
            _restart(server, while_away=lambda: [journal.step(record.job, SENT) for record in records])
            await journal.synced()
        with open_sync_journal(server.dsn) as book:
            assert book.counts() == {"submitting": 51}


def _restart(server: Server, while_away: object) -> None:
    server.stop()
    assert callable(while_away)
    while_away()
    server.start()


async def test_jobs_are_taken_without_a_wait_for_the_steps_of_others(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plan(dsn, JOB, JOB.with_id("other"))
    disk_is_free = anyio.Event()
    async with open_postgres_journal(dsn, "a") as journal:
        write = journal._flush

        async def held_up(*steps: Any) -> None:
            await disk_is_free.wait()
            await write(*steps)

        monkeypatch.setattr(journal, "_flush", held_up)
        await journal.take(["other"])
        journal.step(JOB.with_id("other"), SENT)
        with anyio.fail_after(20):
            assert [record.job for record in await journal.take(["one"])] == [JOB]
        assert journal.unwritten == 1
        disk_is_free.set()
