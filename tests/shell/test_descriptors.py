"""Too many open files passes by itself: fewer connections from the start, and a wait where a file must be opened."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aimlvideo.errors import DiskFailed, JournalError
from aimlvideo.shell import descriptors
from aimlvideo.shell.descriptors import BREATH, are_exhausted, connections_that_fit, write_failure_advice
from aimlvideo.shell.files import results_file
from aimlvideo.shell.journal import sqlite_file
from tests.cli.test_command import JOB as COMMAND_JOB
from tests.cli.test_command import write_jobs
from tests.fakes import FakeClient, FakeService, jobs, quick_downloads, run_all
from tests.servers import sandbox_thread

resource = pytest.importorskip("resource")
FULL = OSError(24, "Too many open files")


@pytest.mark.parametrize(("allowed", "connections"), [(40, 4), (256, 112), (1024, 256), (10, 2), (-1, 256)])
def test_connections_leave_room_for_files(monkeypatch: pytest.MonkeyPatch, allowed: int, connections: int) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (allowed, allowed))
    assert connections_that_fit(256) == connections


def failing(times: int, work: Any) -> Any:
    left = times

    def fails_at_first(*args: Any, **options: Any) -> Any:
        nonlocal left
        left -= 1
        if left >= 0:
            raise FULL
        return work(*args, **options)

    return fails_at_first


@pytest.mark.parametrize("what", ["results", "journal"])
async def test_a_folder_is_opened_when_other_files_are_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    quick_downloads(monkeypatch)
    if what == "results":
        monkeypatch.setattr(results_file, "open", failing(3, open), raising=False)
    else:
        monkeypatch.setattr(sqlite_file.sqlite3, "connect", failing(3, sqlite3.connect))
    async with FakeClient(FakeService()) as client:
        results = await run_all(client, jobs(2), output=tmp_path)
    assert all(result.path for result in results.values())


async def test_files_that_stay_open_are_said_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results_file, "open", failing(100, open), raising=False)
    async with FakeClient(FakeService()) as client:
        with pytest.raises(DiskFailed, match=r"allow more \(ulimit -n\), then run again"):
            await run_all(client, jobs(2), output=tmp_path)


def test_a_full_disk_is_told_from_too_many_files(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not are_exhausted(OSError(28, "No space left on device"))
    assert not are_exhausted(sqlite3.OperationalError("unable to open database file"))
    monkeypatch.setattr(descriptors.os, "open", failing(9, os.open))
    assert are_exhausted(sqlite3.OperationalError("unable to open database file"))
    assert BREATH > 0


@pytest.mark.long
@pytest.mark.real_time
def test_a_run_with_forty_files_saves_everything(tmp_path: Path) -> None:
    with sandbox_thread(seconds=0.3) as sandbox:
        write_jobs(tmp_path / "jobs.jsonl", *({**COMMAND_JOB, "id": f"job{n}", "prompt": f"{n}"} for n in range(30)))
        words = [sys.executable, "-m", "aimlvideo", "run", "jobs.jsonl", "-o", "out", "--poll", "every:0.2"]
        environment = {**os.environ, "AIMLAPI_BASE_URL": sandbox.url, "AIMLAPI_API_KEY": "k"}
        command = ["sh", "-c", 'ulimit -n 40; exec "$@"', "sh", *words, "--rate", "1000", "--max-outstanding", "30"]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=90, check=False
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert len(list((tmp_path / "out").glob("*.mp4"))) == 30


@pytest.mark.long
@pytest.mark.real_time
def test_a_run_with_hardly_any_files_says_what_to_do(tmp_path: Path) -> None:
    write_jobs(tmp_path / "jobs.jsonl", {**COMMAND_JOB, "id": "a"})
    words = [sys.executable, "-m", "aimlvideo", "run", "jobs.jsonl", "-o", "out", "--quiet"]
    environment = {**os.environ, "AIMLAPI_BASE_URL": "http://127.0.0.1:9", "AIMLAPI_API_KEY": "k"}
    for files in (8, 10, 12):
        done = subprocess.run(
            ["sh", "-c", f'ulimit -n {files}; exec "$@"', "sh", *words],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=90, check=False,
        )  # fmt: skip
        assert (done.returncode, "ulimit -n" in done.stderr) == (3, True), (files, done.stderr)
        assert "Traceback" not in done.stderr


def test_a_folder_in_the_place_of_the_journal_is_named_and_nothing_is_kept_beside_it(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite3").mkdir()
    with (
        pytest.raises(JournalError, match=r"journal\.sqlite3 is a folder, .* move it away"),
        sqlite_file.JournalFile(tmp_path / "journal.sqlite3").opened_to_write(create=True),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["journal.sqlite3"]


def test_what_may_not_be_written_is_not_helped_by_more_space() -> None:
    assert write_failure_advice(PermissionError(13, "Permission denied")).startswith("Allow writing there")
    assert "folder" not in write_failure_advice(PermissionError(13, "Permission denied")), "a run would be bought anew"
    assert write_failure_advice(IsADirectoryError(21, "Is a directory")).startswith("Move away what has its name")
    assert write_failure_advice(OSError(36, "File name too long")).startswith("Expected a shorter name: give --name")
    assert write_failure_advice(OSError(28, "No space left on device")).startswith("Make space")
    assert write_failure_advice(FileNotFoundError(2, "No such file or directory")).startswith("Expected a folder that")
