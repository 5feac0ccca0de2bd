"""What a supervisor may rely on: 2 is never worth another start, 3 is, for every command and in the shipped unit."""

from __future__ import annotations

import configparser
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import anyio
import psycopg
import pytest
import typer
from typer.testing import CliRunner

from aimlvideo import JobList
from aimlvideo.cli.app import app
from aimlvideo.cli.exit_codes import exit_codes
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.errors import DatabaseAway, JournalError, OverBudget, Refused, SettingsError, Unavailable, VideoError
from aimlvideo.sandbox import Behaviour, Sandbox
from tests.cases import for_each
from tests.distributed.test_worker import counts, job, opened, queue, queued
from tests.postgres_server import Server
from tests.waiting import until

__all__ = ["queued"]

pytestmark = [pytest.mark.long, pytest.mark.real_time]

UNIT = Path(__file__).parents[2] / "examples" / "distributed" / "aimlvideo-worker@.service"
NOWHERE = "postgresql://u:sesame@127.0.0.1:9/db"


def restarts(code: int) -> bool:
    """Tell whether the shipped unit starts a worker again that ended with this exit code."""
    unit = configparser.ConfigParser(strict=False, interpolation=None, delimiters="=")
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(UNIT)
    assert unit["Service"]["Restart"] == "on-failure"
    return code != 0 and str(code) not in unit["Service"]["RestartPreventExitStatus"].split()


def command(*words: str, dsn: str | None = None) -> tuple[int, str]:
    """Run a command; return its exit code and all that it says."""
    level = logging.getLogger("aimlvideo").level
    try:
        done = CliRunner(env={"AIMLVIDEO_DSN": dsn, "AIMLAPI_API_KEY": "k"}).invoke(app, words)
    finally:
        logging.getLogger("aimlvideo").setLevel(level)
    return done.exit_code, done.output


@for_each(
    ("error", "again"),
    [
        (SettingsError("s"), False),
        (Refused("k", status=401, wrong_key=True), False),
        (Refused("moved", status=301), False),
        (Refused("out of credits", status=403), True),
        (DatabaseAway("d"), True),
        (Unavailable("u"), True),
        (OverBudget("o"), True),
    ],
)
def test_a_worker_is_started_again_where_that_may_help(error: VideoError, again: bool) -> None:
    with pytest.raises(typer.Exit) as ended, exit_codes():
        raise error
    assert restarts(ended.value.exit_code) is again


@pytest.mark.parametrize(
    "words",
    [["db", "init"], ["db", "limits"], ["worker", "-o", "out"], ["drain"], ["status"], ["report", "out"],
     ["reconcile"], ["resolve", "job0", "--not-accepted"], ["enqueue", "jobs.jsonl"]],
)  # fmt: skip
def test_a_database_that_is_away_is_worth_another_start_and_its_password_is_not_shown(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("jobs.jsonl").write_text(json.dumps(job(0)) + "\n")
    Path("out").mkdir()
    code, said = command(*words, dsn=NOWHERE)
    assert (code, "cannot be reached: expected" in said) == (3, True), said
    assert "sesame" not in said
    Path("dsn").write_text("postgresql//u:sesame@h/db\n")
    code, said = command(*words, "--dsn-file", "dsn")
    assert code == 2, said
    assert "sesame" not in said


@pytest.mark.parametrize("wrong", ["port=99999", "port=nan", "sslmode=never", "connect_timeout=soon", "service=none"])
def test_a_dsn_with_a_part_that_cannot_be_is_not_worth_another_start(wrong: str) -> None:
    code, said = command("status", "--dsn", f"host=127.0.0.1 {wrong}")
    assert (code, "Check the DSN" in said) == (2, True), said


def test_a_password_on_the_command_line_is_remarked(tmp_path: Path) -> None:
    _, said = command("drain", "--dsn", NOWHERE)
    assert "shown to every user of this machine by ps" in said
    _, said = command("drain", dsn=NOWHERE)
    assert "by ps" not in said


@pytest.mark.parametrize("flag", ["--rate", "--poll-rate", "--max-outstanding"])
def test_a_limit_of_0_is_a_users_mistake(flag: str) -> None:
    code, said = command("worker", "-o", "out", flag, "0", dsn=NOWHERE)
    assert (code, f"{flag} is 0" in said) == (2, True), said


def test_a_wrong_key_is_not_and_an_absent_service_is_worth_another_start(queued: str, tmp_path: Path) -> None:
    output = str(tmp_path / "out")

    async def work() -> tuple[int, str]:
        async with Sandbox(Behaviour()) as sandbox:
            words = ["worker", "-o", output, "--base-url", sandbox.url, "--api-key", "bad"]
            return await anyio.to_thread.run_sync(lambda: command(*words, dsn=queued))

    code, said = anyio.run(work)
    assert (code, restarts(code), "does not accept the API key" in said) == (2, False, True), said
    code, said = command("worker", "-o", output, "--base-url", "http://127.0.0.1:9", dsn=queued)
    assert (code, restarts(code)) == (3, True), said
    assert counts(queued) == {"planned": 20}


@pytest.fixture
def looking_only(queued: str) -> Iterator[str]:
    """Give the same database for a role that may read what jobs there are, and nothing more."""
    with psycopg.connect(queued, autocommit=True) as db:
        db.execute("CREATE ROLE looker LOGIN")
        db.execute("GRANT SELECT ON aimlvideo_facts, aimlvideo_jobs TO looker")
        yield queued.replace("postgres@", "looker@")
        db.execute("DROP OWNED BY looker")
        db.execute("DROP ROLE looker")


@pytest.mark.parametrize("words", ["drain", "db limits --rate 4", "worker -o OUT", "status"])
def test_what_a_role_may_not_do_is_said_in_words(looking_only: str, tmp_path: Path, words: str) -> None:
    code, said = command(*words.replace("OUT", str(tmp_path)).split(), dsn=looking_only)
    assert (code, "permission denied for table" in said) == (2, True), said


async def test_what_an_application_may_not_read_is_our_own_error(looking_only: str) -> None:
    async with JobList(looking_only) as jobs:
        assert await jobs.status("job0")
        with pytest.raises(JournalError, match="permission denied"):
            await jobs.account()


def test_status_asks_the_database_of_the_environment(queued: str) -> None:
    code, said = command("status", dsn=queued)
    assert code == 3
    assert "20 planned" in said
    assert "--max-outstanding 100" in said


async def test_a_database_that_becomes_read_only_is_away(server: Server, dsn: str, tmp_path: Path) -> None:
    await anyio.to_thread.run_sync(queue, dsn, tmp_path, [job(n) for n in range(10)])

    def fail_over(state: str) -> None:
        with psycopg.connect(dsn, autocommit=True) as db:
            db.execute("SET default_transaction_read_only = off")
            db.execute(f"ALTER SYSTEM SET default_transaction_read_only = {state}")
            db.execute("SELECT pg_reload_conf()")

    async with Sandbox(Behaviour(seconds=0.5, video="tiny")) as sandbox:
        opening = opened(dsn, tmp_path, sandbox.url, cap=5, until_empty=True)
        async with opening as worker, anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            await until(lambda: worker.results.stats.stages[Stage.RENDERING] == 5)
            try:
                await anyio.to_thread.run_sync(fail_over, "on")
                await until(lambda: worker.journal.unwritten)
                code, said = await anyio.to_thread.run_sync(lambda: command("drain", dsn=dsn))
                assert (code, "read-only" in said) == (3, True), said
            finally:
                await anyio.to_thread.run_sync(fail_over, "off")
        assert counts(dsn) == {"saved": 10}
        assert sandbox.stats()["accepted"] == 10


def test_enqueue_says_what_the_new_jobs_cost_and_takes_defaults_and_templates(dsn: str, tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("a ballerina\na whale\n")
    (tmp_path / "jobs.jsonl").write_text(json.dumps({**job(0), "matrix": {"duration": [5, 10]}}) + "\n")

    async def enqueue(*words: str) -> tuple[int, str]:
        async with Sandbox(Behaviour()) as sandbox:
            address = ["--base-url", sandbox.url]
            return await anyio.to_thread.run_sync(lambda: command("enqueue", *words, *address, dsn=dsn))

    code, said = anyio.run(enqueue, str(tmp_path / "jobs.jsonl"), "--matrix")
    assert code == 0, said
    assert "2 new jobs, " in said
    assert "unknown" not in said
    assert "2 jobs queued" in said
    text = str(tmp_path / "prompts.txt")
    picture = "image_url=https://example.com/a.png"
    code, said = anyio.run(enqueue, text, "--model", job(0)["model"], "--set", picture)
    assert (code, "2 jobs queued" in said) == (0, True), said
    code, said = anyio.run(enqueue, text, "--model", job(0)["model"], "--set", picture)
    assert (code, "0 jobs queued" in said, "new" in said) == (0, True, False), said
    assert counts(dsn) == {"planned": 4}
