"""A journal with values that no run writes is refused as damaged, with what to do; none ends in a traceback."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.errors import JournalError
from aimlvideo.shell.journal.sqlite import open_journal
from aimlvideo.shell.journal.sqlite_reader import read_journal
from tests.cases import for_each

BAD_VALUES: dict[str, tuple[Any, ...]] = {
    "id": (b"\xff",),
    "stage": ("melting", b"x", 7, ""),
    "asked": ("{", "[]", "[1]", "7", b"\xff", '["m", 7]', "[" * 100_000, '["m", {"id": "b"}]'),
    "run": ("soon", 1.5, b"1"),
    "folder": (77, "x", b""),
    "request_id": (b"\xff",),
    "generation_id": (b"\xff",),
    "video_url": (b"\xff",),
    "error": (b"\xff",),
    "cost_usd": ("a lot", 1e300, float("inf"), b""),
    "polls": (-1, "many", 1.5, b""),
    "submitted_at": ("today", 1e300, -1e300, float("inf"), b""),
    "completed_at": ("today", 1e300),
    "saved_at": ("today", 1e300),
    "service_time": (b"", 1e300),
    "file": ("../x.mp4", "/tmp/x.mp4", "a\\b.mp4", "..", "", "journal.sqlite3", "C:x", b"x", "a\nb"),
    "bytes": (-1, "few", 1e300),
    "sha256": ("00", b"\0", 7),
    "poll_ages": ("x",),
    "video_urls": ("{", "[7]", b"[]", "7"),
    "files": ("{", "[7]", '[["../x"]]', "[[]]", '[["a", 1, 2, 3]]', "[[7]]"),
    "account": (b"\xff",),
}
CASES = [(column, value) for column, values in BAD_VALUES.items() for value in values]


async def journal_in(folder: Path) -> Path:
    """Write a journal as it should be."""
    path = folder / "journal.sqlite3"
    async with open_journal(path) as journal:
        job = journal.plan(VideoJob("m", id="a", prompt="x").with_base_folder("/tmp")).job
        journal.step(job, Progress(Stage.RENDERING, generation_id="gen-1", request_id="av-1", submitted_at=1.0))
    return path


def tamper(path: Path, statement: str, *values: Any) -> None:
    with sqlite3.connect(path) as db:
        db.create_function("first_release_file_name", 1, str)
        db.execute("DROP TRIGGER IF EXISTS keep_attempt")
        db.execute("PRAGMA ignore_check_constraints=1")
        db.execute(statement, values)
    db.close()


async def read_everything(path: Path) -> None:
    """Do with a journal what all commands do."""
    with read_journal(path) as journal:
        records = [*journal.open_jobs(retry_failed=True), *journal.ended_jobs()]
        journal.counts(), journal.spent(), journal.planned_models(), journal.unknown_costs(), journal.accepted_sample()
        for record in records:
            journal.attempts(record.job.id)
    async with open_journal(path) as journal:
        assert journal.plan(VideoJob("m", id="a", prompt="x")) in records


@for_each(("column", "value"), CASES, ids=lambda part: f"{part!r:.24}")
async def test_a_value_that_no_run_writes_is_said_as_damage_with_what_to_do(
    tmp_path: Path, column: str, value: Any
) -> None:
    path = await journal_in(tmp_path)
    try:
        tamper(path, f"UPDATE jobs SET {column}=?", value)
    except (sqlite3.IntegrityError, UnicodeEncodeError):
        return  # SQLite itself does not take it
    with pytest.raises(JournalError, match=r"damaged .*aimlvideo recover"):
        await read_everything(path)


@for_each(
    "statement",
    [
        "INSERT OR REPLACE INTO facts VALUES ('run', 'soon')",
        "INSERT OR REPLACE INTO facts VALUES ('run', '99999999999999999999999')",
        "INSERT OR REPLACE INTO facts VALUES ('service', x'ff')",
        "UPDATE folders SET path=x'ff'",
        "INSERT INTO attempts VALUES (1, 'av-0', NULL, NULL, 'x', NULL, 'failed', NULL, NULL)",
        "INSERT INTO attempts VALUES (1, 'av-0', NULL, NULL, 1.0, NULL, 'melting', NULL, NULL)",
        "DROP TABLE facts",
        "DROP TABLE attempts",
        "ALTER TABLE jobs DROP COLUMN account",
    ],
)
async def test_what_stands_beside_the_jobs_is_checked_too(tmp_path: Path, statement: str) -> None:
    path = await journal_in(tmp_path)
    tamper(path, statement)
    with pytest.raises(JournalError, match="damaged"):
        await read_everything(path)


async def test_a_journal_as_it_should_be_is_read(tmp_path: Path) -> None:
    await read_everything(await journal_in(tmp_path))
