"""The tables in PostgreSQL are made once, brought up to date by number, and refused where they are newer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.errors import JournalError
from aimlvideo.shell.journal.postgres_schema import MIGRATIONS, init_tables
from aimlvideo.shell.journal.postgres_sync import open_sync_journal
from tests.postgres_server import Server


def first_release(dsn: str) -> None:
    """Make the tables as the first release did, with a job that is rendering."""
    with psycopg.connect(dsn, autocommit=True) as db:
        db.execute(MIGRATIONS[0])
        db.execute("INSERT INTO aimlvideo_facts VALUES ('schema', '1')")
        db.execute(
            "INSERT INTO aimlvideo_jobs (id, asked, stage, request_id, generation_id, looks) "
            """VALUES ('a', '["m",{}]', 'rendering', 'av-1', 'g', '\\x0102')"""
        )


def test_tables_of_the_first_release_are_brought_up_to_date(empty_database: str) -> None:
    first_release(empty_database)
    with (
        pytest.raises(JournalError, match=rf"version 1, expected {len(MIGRATIONS)}: .*aimlvideo db init"),
        open_sync_journal(empty_database),
    ):
        pass
    init_tables(empty_database)
    with open_sync_journal(empty_database) as journal:
        record = journal.find("a")
        assert record is not None
        assert (record.progress.generation_id, record.progress.poll_ages) == ("g", b"\x01\x02")
        assert [one.request_id for one in journal.attempts("a")] == ["av-1"]


def test_tables_on_which_workers_of_an_earlier_release_buy_stay_as_they_are_until_these_have_ended(
    empty_database: str,
) -> None:
    first_release(empty_database)
    with psycopg.connect(empty_database, autocommit=True) as db:
        db.execute("INSERT INTO aimlvideo_workers VALUES ('w', 'old', 0, now())")
        with pytest.raises(JournalError, match="workers of an earlier release are at work"):
            init_tables(empty_database)
        assert db.execute("SELECT value FROM aimlvideo_facts").fetchall() == [("1",)]
        db.execute("UPDATE aimlvideo_workers SET seen_at = now() - interval '61 s'")
        init_tables(empty_database)
        db.execute("UPDATE aimlvideo_workers SET seen_at = now()")
        init_tables(empty_database)  # those of this release are no obstacle


def test_what_was_spent_on_the_tables_of_the_step_before_stays_spent(empty_database: str) -> None:
    with psycopg.connect(empty_database, autocommit=True) as db:
        for script in MIGRATIONS[:-1]:
            db.execute(script)
        db.execute("INSERT INTO aimlvideo_facts VALUES ('schema', %s)", (str(len(MIGRATIONS) - 1),))
        db.execute("INSERT INTO aimlvideo_attempts (job, stage, cost_usd) VALUES ('a', 'failed', 0.5)")
    init_tables(empty_database)
    with open_sync_journal(empty_database) as journal:
        assert journal.spent() == 0.5
        assert [attempt.cost_usd for attempt in journal.attempts("a")] == [0.5]


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_cannot_hold_what_services_say_is_refused(server: Server, encoding: str) -> None:
    dsn = f"{server.dsn.rpartition('/')[0]}/other_text"
    with psycopg.connect(server.dsn, autocommit=True) as db:
        db.execute(f"CREATE DATABASE other_text TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'".encode())
        try:
            with pytest.raises(JournalError, match=f"keeps text as {encoding}: expected UTF8. Make another one"):
                init_tables(dsn)
        finally:
            db.execute("DROP DATABASE other_text")


def test_several_who_make_the_tables_at_once_make_them_once(empty_database: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(init_tables, [empty_database] * 4))
    with open_sync_journal(empty_database) as journal:
        assert journal.plan(VideoJob("m", id="a")).job.id == "a"


def test_tables_of_a_newer_version_are_refused_by_whoever_comes(empty_database: str) -> None:
    init_tables(empty_database)
    with psycopg.connect(empty_database, autocommit=True) as db:
        db.execute("UPDATE aimlvideo_facts SET value = %s WHERE name = 'schema'", (str(len(MIGRATIONS) + 1),))
    with pytest.raises(JournalError, match="newer version"):
        init_tables(empty_database)
    with pytest.raises(JournalError, match="newer version"), open_sync_journal(empty_database):
        pass


def test_a_database_without_tables_says_how_to_make_them(empty_database: str) -> None:
    with pytest.raises(JournalError, match="aimlvideo db init"), open_sync_journal(empty_database):
        pass
