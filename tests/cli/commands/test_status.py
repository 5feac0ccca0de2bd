"""Where a run stands, and what its folder has in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from aimlvideo import VideoJob
from aimlvideo.cli.distributed_options import DSN_VARIABLE, DatabaseOptions
from aimlvideo.cli.terminal import Terminal
from aimlvideo.errors import UsageError
from aimlvideo.shell.journal.sqlite import open_journal
from aimlvideo.shell.journal.sqlite_reader import read_journal
from tests.cases import for_each
from tests.cli.conftest import Command, quick, write_jobs

JOB = {"model": "alibaba/wan-2-6-t2v", "prompt": "waves", "duration": 5}


def beside_the_journal(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.name.startswith("journal.sqlite3")}


def test_nothing_of_sqlite_stays_beside_the_journal_after_a_clean_end(command: Command, tmp_path: Path) -> None:
    write_jobs(tmp_path / "jobs.jsonl", {**JOB, "id": "a"})
    assert command(*quick("jobs.jsonl")).exit_code == 0
    assert beside_the_journal(tmp_path / "out") <= {"journal.sqlite3", "journal.sqlite3.lock"}
    assert "1 saved" in command("status", "out").output
    assert command("report", "out").exit_code == 0
    assert beside_the_journal(tmp_path / "out") <= {"journal.sqlite3", "journal.sqlite3.lock"}


async def test_reading_takes_nothing_away_from_a_run_that_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite3"
    async with open_journal(path) as journal:
        with journal.planning():
            journal.plan(VideoJob("m", id="a"))
        with read_journal(path) as read:
            assert read.counts() == {"planned": 1}
        assert beside_the_journal(tmp_path) >= {"journal.sqlite3-wal", "journal.sqlite3-shm"}
        with journal.planning():
            journal.plan(VideoJob("m", id="b"))
    with read_journal(path) as read:
        assert read.counts() == {"planned": 2}


@for_each(
    ("given", "asked"),
    [
        ("folder", "folder"),
        ("folder environment", "folder"),
        ("folder typed", "pass either a folder or --dsn"),
        ("folder typed environment", "pass either a folder or --dsn"),
        ("folder file environment", "pass either a folder or --dsn"),
        ("typed environment", "typed"),
        ("file", "file"),
        ("typed file", "pass either --dsn or --dsn-file"),
        ("environment", "environment"),
        ("", "which run?"),
    ],
)
def test_a_folder_wins_over_the_environment_s_database_and_over_none_that_is_named(
    tmp_path: Path, given: str, asked: str
) -> None:
    file = tmp_path / "dsn"
    file.write_text("file")
    named = given.split()
    with pytest.MonkeyPatch.context() as patch:
        if "environment" in named:
            patch.setenv(DSN_VARIABLE, "environment")
        # What is in the environment comes as if it had been typed.
        dsn = next((name for name in ("typed", "environment") if name in named), None)
        options = DatabaseOptions(dsn=dsn, dsn_file=str(file) if "file" in named else None)
        try:
            chosen = options.folder_or_shared_jobs(Path("folder") if "folder" in named else None, Terminal(quiet=True))
        except UsageError as error:
            assert str(error).startswith(asked)  # noqa: PT017 - some are answered
        else:
            assert asked == (str(chosen) if isinstance(chosen, Path) else chosen._dsn)
