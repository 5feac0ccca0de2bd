"""What holds of the journal in PostgreSQL alone: its steps are written by another task, in groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio
import pytest

from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.errors import InvalidJobs
from aimlvideo.shell.journal.postgres import PostgresJournal, open_postgres_journal
from aimlvideo.shell.journal.postgres_connection import AWAY, Connection, Database, pooled_connection
from aimlvideo.shell.journal.postgres_sync import NewJobs, open_sync_journal

pytestmark = pytest.mark.real_time

SENT = Progress().to(Stage.SUBMITTING, request_id="av-1", submitted_at=1000.5)


def test_what_is_read_in_a_snapshot_is_of_one_moment(dsn: str) -> None:
    with open_sync_journal(dsn) as journal, open_sync_journal(dsn) as worker:
        with journal.snapshot():
            assert list(journal.all_jobs()) == []
            worker.plan(VideoJob("m", id="new"))
            assert list(journal.all_jobs()) == []
        assert [job.id for job, _ in journal.all_jobs()] == ["new"]


def test_the_connection_is_not_cut_while_a_person_is_asked_about_the_price_of_a_file(dsn: str) -> None:
    def longest_pause() -> str:
        row = journal.db.execute("SHOW idle_in_transaction_session_timeout").fetchone()
        return str(row[0]) if row else ""

    pauses: list[str] = []
    with open_sync_journal(dsn) as journal:
        with journal.planning(lambda new: pauses.append(longest_pause())):
            journal.plan(VideoJob("m", id="one"))
        pauses.append(longest_pause())
    assert pauses == ["0", "10s"]


OTHERS = {
    "DateStyle": ("German", "ISO, DMY"),
    "client_encoding": ("LATIN1", "UTF8"),
    "standard_conforming_strings": ("off", "on"),
    "extra_float_digits": ("-15", "1"),
    "statement_timeout": ("90s", "0"),
    "default_transaction_isolation": ("serializable", "read committed"),
    "synchronous_commit": ("off", "on"),
}
"""What a role may be set to, and what holds for us."""


async def test_what_a_role_is_set_to_changes_neither_what_is_written_nor_what_is_read(dsn: str) -> None:
    chosen = (f"-c{name}%3D{value}%20" for name, (value, _) in OTHERS.items())
    role = f"{dsn}?options={''.join(chosen)}"
    show = "SELECT " + ", ".join(f"current_setting('{name}')" for name in OTHERS)
    expected = [tuple(ours for _, ours in OTHERS.values())]
    with Database(role).sync_connection() as one:
        assert one.execute(show.encode()).fetchall() == expected
    async with Database(role).connection() as another, Database(role).pool(1) as pool, pool.connection() as pooled:
        assert await (await another.execute(show)).fetchall() == expected
        assert await (await pooled.execute(show)).fetchall() == expected


def test_that_a_commit_waits_for_a_standby_in_its_own_way_is_left_to_who_set_it(dsn: str) -> None:
    with Database(f"{dsn}?options=-csynchronous_commit%3Dremote_apply").sync_connection() as one:
        assert one.execute("SHOW synchronous_commit").fetchone() == ("remote_apply",)


async def change_a_table(connection: Connection) -> None:
    """Ask for all columns so often that the statement is prepared, and once more when there is another one."""
    await connection.execute("CREATE TEMP TABLE changed AS SELECT 1 AS one")
    for _ in range(connection.prepare_threshold or 0):
        await connection.execute("SELECT * FROM changed")
    await connection.execute("SELECT * FROM changed")
    # As another process does it: psycopg would see it in its own.
    await connection.execute("DO 'BEGIN ALTER TABLE changed ADD COLUMN two integer; END'")
    await connection.execute("SELECT * FROM changed")


async def test_a_worker_whose_tables_get_another_column_connects_again_and_does_not_end(dsn: str) -> None:
    with pytest.raises(AWAY, match="its tables were changed meanwhile"):
        async with Database(dsn).connection() as connection:
            await change_a_table(connection)
    async with Database(dsn).pool(1) as pool:
        with pytest.raises(AWAY, match="its tables were changed meanwhile"):
            async with pooled_connection(pool) as first:
                await change_a_table(first)
        async with pooled_connection(pool) as second:
            assert second is not first


def test_a_single_job_is_planned_after_a_file_too(dsn: str) -> None:
    with open_sync_journal(dsn) as journal:
        with journal.planning():
            journal.plan(VideoJob("m", id="of a file"))
        journal.plan(VideoJob("m", id="single"))
        assert [job.id for job, _ in journal.all_jobs()] == ["of a file", "single"]


async def test_who_waits_for_a_step_that_came_while_others_were_written_is_woken_by_the_next_writing(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    flush = PostgresJournal._flush
    groups: list[list[str]] = []

    async def flush_while_another_step_comes(
        journal: PostgresJournal, steps: Mapping[str, Progress], replaced: Any
    ) -> None:
        groups.append(sorted(steps))
        if groups == [["first"]]:
            journal.step(journal.plan(VideoJob("m", id="second")).job, SENT)
            tasks.start_soon(journal.synced)
            await anyio.wait_all_tasks_blocked()
        await flush(journal, dict(steps), replaced)

    monkeypatch.setattr(PostgresJournal, "_flush", flush_while_another_step_comes)
    with anyio.fail_after(20):
        async with open_postgres_journal(dsn) as journal, anyio.create_task_group() as tasks:
            journal.step(journal.plan(VideoJob("m", id="first")).job, SENT)
            await journal.synced()
    assert groups == [["first"], ["second"]]


def test_of_a_file_that_spells_numbers_another_way_than_the_list_only_what_has_changed_is_refused(dsn: str) -> None:
    def plan(**durations: object) -> None:
        with open_sync_journal(dsn) as journal, journal.planning():
            for name, duration in durations.items():
                journal.plan(VideoJob("m", id=name, duration=duration))

    plan(a=5, b="5")
    plan(a="5", b=5.0)
    with pytest.raises(InvalidJobs, match=r"^job 'b': duration: [^\n]*$"):
        plan(a="5", b=10)


def test_a_clip_that_the_first_release_queued_under_another_derived_id_is_not_queued_again(dsn: str) -> None:
    old, new = (VideoJob("m", prompt=prompt, duration=5.0) for prompt in ("old", "new"))
    with open_sync_journal(dsn) as journal:
        journal.plan(old.with_id(old.earlier_id or ""))
        journal.begin()
        with journal.planning():
            ids = [journal.plan(job, distinct=True).job.id for job in (old, new, VideoJob("m", prompt="x", duration=5))]
        assert ids[:2] == [old.earlier_id, new.id]
        assert [job.id for job, _ in journal.all_jobs()] == ids
        journal.begin()
        assert [journal.plan(job).job.id for job in (old, new)] == ids[:2]


def test_an_id_that_another_file_takes_meanwhile_for_another_content_is_refused(dsn: str) -> None:
    def meanwhile(new: NewJobs) -> None:
        with open_sync_journal(dsn) as other:
            other.plan(VideoJob("m", id="one", prompt="other words"))

    def plan_both() -> None:
        with journal.planning(meanwhile):
            for name in ("one", "two"):
                journal.plan(VideoJob("m", id=name, prompt="words"))

    with open_sync_journal(dsn) as journal:
        with pytest.raises(InvalidJobs, match="prompt changed"):
            plan_both()
        assert journal.find("two") is None
