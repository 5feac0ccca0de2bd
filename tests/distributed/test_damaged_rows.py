"""Rows of the shared list that no run writes: a command names the job and what to do, a worker goes on without it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import psycopg
import pytest
from typer.testing import CliRunner

from aimlvideo.cli.app import app
from aimlvideo.core.jobs.columns import COLUMN_KINDS
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.errors import JournalError
from aimlvideo.sandbox import Behaviour, Sandbox
from aimlvideo.shell.journal.postgres import _undamaged, open_postgres_journal
from aimlvideo.shell.journal.postgres_sync import open_sync_journal, record_of
from tests.distributed.test_worker import job, opened, queue

pytestmark = [pytest.mark.long, pytest.mark.real_time]

BAD: dict[str, tuple[Any, ...]] = {
    "text": (
        None, "", "melting", "planned", "in_doubt", "\x1b[2J", "{", "[" * 5000, "[7]", "7", "../x.mp4", "[[]]",
        '[["../x"]]', "[1e400]", "ContentRefused[: x", "BaseException: x",
    ),
    "integer": (None, -1, 2**63 - 1),
    "count": (None, -1, 2**31 - 1),
    "number": (None, -1.0, float("nan"), float("inf"), 1e300),
    "bytes": (None, b"", b"\xff"),
}  # fmt: skip


@pytest.fixture
def damaged(dsn: str) -> str:
    """Give a database with a job that renders, and one that is saved."""
    with open_sync_journal(dsn) as journal:
        for name in ("a", "b"):
            journal.plan(VideoJob("m", id=name, prompt="x"))
    with psycopg.connect(dsn, autocommit=True) as db:
        began = "UPDATE aimlvideo_jobs SET request_id='r-' || id, generation_id='g-' || id, submitted_at=1, polls=1"
        db.execute(f"{began}, stage='rendering' WHERE id='a'")
        db.execute(f"{began}, stage='saved', file='b.mp4', saved_at=2 WHERE id='b'")
    return dsn


def test_no_value_in_a_row_ends_a_command_with_more_than_our_own_error(damaged: str, tmp_path: Path) -> None:
    problems, said = [], 0
    commands = (
        ("status",), ("report", str(tmp_path)), ("join", str(tmp_path), "-o", str(tmp_path / "film.mp4")),
        ("resolve", "a", "--generation", "g-9"),
    )  # fmt: skip
    columns = [*COLUMN_KINDS.items(), ("folder", "text"), ("asked", "text")]
    with psycopg.connect(damaged, autocommit=True) as db:
        for number, (column, value) in enumerate((name, value) for name, kind in columns for value in BAD[kind]):
            job = "ab"[number // len(commands) % 2]
            before = db.execute(f"SELECT {column} FROM aimlvideo_jobs WHERE id=%s", (job,)).fetchone()
            assert before is not None
            try:
                db.execute(f"UPDATE aimlvideo_jobs SET {column}=%s WHERE id=%s", (value, job))
            except psycopg.Error:
                continue  # PostgreSQL itself does not take it
            words = (*commands[number % len(commands)], "--dsn", damaged)
            done = CliRunner().invoke(app, list(words))
            said += "is damaged in the database" in done.output.replace("\n", " ")
            if (done.exception and not isinstance(done.exception, SystemExit)) or "Traceback" in done.output:
                problems.append(f"{column} of {job} = {value!r:.40}: {words[0]}: {done.exception!r:.200}")
            if "\x1b" in done.output:
                problems.append(f"{column} of {job} = {value!r:.40}: {words[0]}: steers the terminal")
            db.execute(f"UPDATE aimlvideo_jobs SET {column}=%s WHERE id=%s", (before[0], job))
    assert not problems, "\n".join(problems)
    assert said > 10


def test_a_worker_that_takes_a_damaged_row_goes_on_with_the_others(caplog: pytest.LogCaptureFixture) -> None:
    whole = ("a", None, '["m",{}]', "rendering", None, "g-1", *[None] * (len(COLUMN_KINDS) - 3))
    row = list(whole)
    row[3 + list(COLUMN_KINDS).index("polls")] = 0
    wrong = [*row]
    wrong[0], wrong[3] = "b", "melting"
    assert [record.job.id for record in _undamaged([wrong, row])] == ["a"]
    assert "job 'b' is damaged in the database" in caplog.text
    assert record_of(row).progress.generation_id == "g-1"


@pytest.mark.quick
async def test_a_worker_goes_on_beside_a_damaged_row_that_it_reads_for_another_job(
    dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    bought = VideoJob("m", id="bought", prompt="x")
    child = VideoJob("m", id="child", prompt="x", image_url={"from": "damaged", "frame": "last"})
    with open_sync_journal(dsn) as book:
        for each in (VideoJob("m", id="damaged", prompt="x"), bought, child):
            book.plan(each)
        book.db.execute(
            "UPDATE aimlvideo_jobs SET stage = 'saved', request_id = 'r', generation_id = 'g', counts = 'spent', "
            "polls = -1 WHERE id = 'damaged'"
        )
        rendering = "UPDATE aimlvideo_jobs SET stage = 'rendering', generation_id = 'h', counts = 'committed'"
        book.db.execute(f"{rendering} WHERE id = 'bought'")
    async with open_postgres_journal(dsn, "a") as journal:
        journal.price_of = lambda job: 0.25
        await journal.price_what_was_bought()
        assert journal.account()["committed"] == 0.25
        await journal.read_sample()
        assert journal.accepted_sample() is None
        assert await journal.take(["child"]) == [], (
            "until a person has corrected the row of the job whose clip it takes"
        )
    assert "out of the queue, as what is known of them is damaged: child" in caplog.text


@pytest.mark.parametrize("words", [("status",), ("drain",), ("worker", "-o", "out", "--until-empty")])
def test_a_list_that_has_lost_the_row_of_its_account_is_said_to_have(
    dsn: str, words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AIMLAPI_API_KEY", "key-1")
    monkeypatch.setenv("AIMLAPI_BASE_URL", "http://127.0.0.1:9")
    with psycopg.connect(dsn, autocommit=True) as db:
        db.execute("DELETE FROM aimlvideo_account")
    done = CliRunner().invoke(app, [*words, "--dsn", dsn])
    assert done.exception is None or isinstance(done.exception, SystemExit)
    assert done.exit_code == 2, done.output
    assert "aimlvideo_account of the database has lost its row" in done.output.replace("\n", " ")


async def test_without_the_row_of_the_rate_a_worker_buys_nothing_and_says_why(dsn: str, tmp_path: Path) -> None:
    await anyio.to_thread.run_sync(queue, dsn, tmp_path, [job(0)])
    with psycopg.connect(dsn, autocommit=True) as db:
        db.execute("DELETE FROM aimlvideo_rate")
    async with Sandbox(Behaviour(seconds=0.1, video="tiny")) as sandbox:
        with pytest.raises(JournalError, match="aimlvideo_rate of the database has lost its row"):
            async with opened(dsn, tmp_path, sandbox.url) as worker:
                await worker.run()
        assert sandbox.stats()["accepted"] == 0
