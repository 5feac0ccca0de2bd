"""The journal's file: whole or refused, its owner's only, one process's at a time, safe against kill and power cut."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from functools import partial
from itertools import chain, count, repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from filelock import FileLock

from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.errors import DiskFailed, JournalError, VideoError
from aimlvideo.shell.journal import sqlite_file as journal_file
from aimlvideo.shell.journal.sqlite import SqliteJournal, open_journal
from aimlvideo.shell.journal.sqlite_reader import read_journal
from tests.cases import for_each

SENT = Progress(Stage.SUBMITTING, request_id="av-1", submitted_at=1.5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite3"


def named(name: str) -> VideoJob:
    return VideoJob("m/one", id=name)


async def fill(path: Path, count: int = 300) -> None:
    """Leave a journal of some pages, closed."""
    async with open_journal(path) as journal:
        with journal.planning():
            for number in range(count):
                journal.plan(VideoJob("m/one", id=f"j{number}", prompt="waves " * 20))


class SlowDisk:
    """A sync that takes a second of virtual time, counts, and can fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.began = 0
        self.fails = False
        monkeypatch.setattr(anyio.to_thread, "run_sync", self.run_sync)
        self.watch: Callable[[], None] = lambda: None

    async def run_sync(self, function: Any, descriptor: int) -> None:
        assert function is journal_file.sync
        assert os.readlink(f"/proc/self/fd/{descriptor}").endswith("journal.sqlite3-wal")
        self.began += 1
        self.watch()
        await anyio.sleep(1)
        if self.fails:
            raise OSError(5, "Input/output error")


async def test_many_intents_share_one_sync(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_journal(path) as journal, anyio.create_task_group() as tasks:
        disk = SlowDisk(monkeypatch)
        for number in range(50):
            job = journal.plan(named(f"j{number}")).job

            async def intent(job: VideoJob = job) -> None:
                journal.step(job, SENT)
                await journal.synced()

            tasks.start_soon(intent)
    assert disk.began == 1


async def test_nobody_returns_before_a_sync_that_began_after_his_write(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_journal(path) as journal, anyio.create_task_group() as tasks:
        disk = SlowDisk(monkeypatch)

        async def intent(number: int) -> None:
            await anyio.sleep(number * 0.13)
            journal.step(journal.plan(named(f"j{number}")).job, SENT)
            syncs_before = disk.began
            await journal.synced()
            assert disk.began > syncs_before

        for number in range(60):
            tasks.start_soon(intent, number)
    assert disk.began < 15


async def test_what_is_synced_is_committed_before(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_journal(path) as journal:
        disk = SlowDisk(monkeypatch)
        seen = []

        def look() -> None:
            with read_journal(path) as reader:
                seen.append(reader.find("a"))

        disk.watch = look
        journal.step(journal.plan(named("a")).job, SENT)
        await journal.synced()
    assert seen[0] is not None
    assert seen[0].progress == SENT


async def test_with_nothing_new_nothing_is_synced(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_journal(path) as journal:
        disk = SlowDisk(monkeypatch)
        await journal.synced()
        await journal.synced()
    assert disk.began <= 1


async def test_after_a_sync_that_failed_no_later_one_is_believed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = open_journal(path)
    journal = await opened.__aenter__()
    disk = SlowDisk(monkeypatch)
    disk.fails = True
    journal.step(journal.plan(named("a")).job, SENT)
    with pytest.raises(DiskFailed, match="Input/output error"):
        await journal.synced()
    disk.fails = False
    with pytest.raises(DiskFailed):
        await journal.synced()
    with pytest.raises(DiskFailed):
        journal.step(named("a"), SENT)
    with pytest.raises(DiskFailed):
        await opened.__aexit__(None, None, None)
    assert disk.began == 1


async def test_a_stopped_intent_leaves_the_sync_to_the_others(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_journal(path) as journal:
        disk = SlowDisk(monkeypatch)
        journal.step(journal.plan(named("a")).job, SENT)
        with anyio.move_on_after(0.5):
            await journal.synced()
        journal.step(journal.plan(named("b")).job, SENT)
        await journal.synced()
    assert disk.began == 2


def cut(share: float) -> Callable[[Path], None]:
    return lambda path: os.truncate(path, int(path.stat().st_size * share))


def garble(start: int) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[start : start + 200] = b"\xa5" * 200
        path.write_bytes(content)

    return spoil


def other_program(path: Path) -> None:
    path.unlink()
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE jobs (id)")
    db.close()


def newer(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version=99")
    db.close()


DAMAGES = {
    "a text": (lambda path: path.write_text("no journal at all, " * 400), "damaged"),
    "nothing": (lambda path: path.write_bytes(b""), "damaged"),
    "cut to a byte": (lambda path: os.truncate(path, 1), "damaged"),
    "cut in the first page": (lambda path: os.truncate(path, 1000), "damaged"),
    "cut to its first page": (lambda path: os.truncate(path, 8192), "damaged"),
    "cut in the middle": (cut(0.5), "damaged"),
    "cut at the end": (cut(0.99), "damaged"),
    "a page cut off": (lambda path: os.truncate(path, path.stat().st_size - 8192), "damaged"),
    "garbled head": (garble(0), "damaged"),
    "garbled schema": (garble(100), "damaged"),
    "garbled page": (garble(8192), "damaged"),
    "another program's": (other_program, "not a journal of this program"),
    "a newer version's": (newer, "update with pip"),
}


@pytest.mark.parametrize("name", DAMAGES)
async def test_a_file_that_is_no_whole_journal_is_refused_and_not_touched(path: Path, name: str) -> None:
    damage, words = DAMAGES[name]
    await fill(path)
    damage(path)
    before = path.read_bytes()
    for _ in range(2):
        with pytest.raises(JournalError, match=words) as caught:
            async with open_journal(path):
                pass
        with pytest.raises(JournalError, match=words), read_journal(path):
            pass
    assert str(path) in str(caught.value)
    assert words == "update with pip" or f"aimlvideo recover {path.parent}" in str(caught.value)
    assert path.read_bytes() == before


async def test_beside_results_a_missing_journal_is_not_made_unless_that_is_said(path: Path) -> None:
    path.with_name("results.jsonl").write_text("{}\n")
    with pytest.raises(
        JournalError, match=r"results\.jsonl but not journal\.sqlite3: clips may already be paid for.*recover"
    ):
        async with open_journal(path):
            pass
    assert not path.exists()
    async with open_journal(path, create=True):
        assert path.exists()


async def test_beside_its_write_ahead_log_a_missing_journal_is_not_made_and_never_given_foreign_pages(
    path: Path, tmp_path: Path
) -> None:
    wal = path.with_name("journal.sqlite3-wal")
    async with open_journal(path) as journal:
        for number in range(50):
            journal.plan(named(f"old{number}"))
        journal._commits.commit()
        left = wal.read_bytes()
    path.unlink()
    wal.write_bytes(left)
    with pytest.raises(JournalError, match=r"journal\.sqlite3-wal but not journal\.sqlite3"):
        async with open_journal(path):
            pass
    async with open_journal(path, create=True) as journal:
        assert journal.counts() == {}
        assert path.with_name("journal.sqlite3-wal.old").read_bytes() == left


async def test_a_copy_without_the_last_steps_is_refused(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy" / "journal.sqlite3"
    copy.parent.mkdir()
    async with open_journal(path) as journal:
        journal.plan(named("a"))
        copy.write_bytes(path.read_bytes())
    with pytest.raises(JournalError, match="-wal, which has the last steps, is gone"):
        async with open_journal(copy):
            pass
    with pytest.raises(JournalError, match="is gone"), read_journal(copy):
        pass
    with pytest.raises(JournalError, match="is gone"):  # nor is it taken for whole because somebody looked at it
        async with open_journal(copy):
            pass


async def test_a_copy_of_a_run_that_ended_is_as_good_as_the_first(path: Path, tmp_path: Path) -> None:
    await fill(path, 3)
    copy = tmp_path / "copy.sqlite3"
    copy.write_bytes(path.read_bytes())
    async with open_journal(copy) as journal:
        assert journal.counts() == {"planned": 3}


async def test_a_journal_that_could_not_be_closed_for_want_of_room_is_opened_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_file, "_CLOSED", "INSERT INTO nowhere VALUES (1)")
    async with open_journal(path) as journal:
        journal.plan(named("a"))
    monkeypatch.undo()
    assert path.with_name("journal.sqlite3-wal").exists()
    async with open_journal(path) as journal:
        assert journal.counts() == {"planned": 1}


@pytest.mark.parametrize("fails", ["migrate", "wrong_value", "sync"])
async def test_a_journal_of_a_killed_run_is_opened_after_a_run_that_could_not_open_it(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    left = tmp_path / "killed"
    left.mkdir()
    async with open_journal(path) as journal:
        journal.plan(named("a"))
        await journal.synced()
        for file in tmp_path.glob("journal.sqlite3*"):
            (left / file.name).write_bytes(file.read_bytes())

    def full(*_: Any) -> None:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(journal_file, fails, full)
        with pytest.raises(DiskFailed, match="Too many open files"):
            async with open_journal(left / path.name):
                pass
    async with open_journal(left / path.name) as journal:
        assert journal.counts() == {"planned": 1}


async def test_a_file_system_without_shared_memory_is_refused_with_a_reason(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Plain(sqlite3.Connection):
        def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
            return super().execute(statement.replace("journal_mode=WAL", "journal_mode=DELETE"), *values)

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *given, **named: connect(*given, **{**named, "factory": Plain}))
    with pytest.raises(JournalError, match="cannot hold a journal: its file system gives SQLite 'delete'"):
        async with open_journal(path):
            pass


async def test_a_file_system_that_numbers_a_file_anew_each_time_is_refused_before_anything_is_planned(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = count()
    monkeypatch.setattr(journal_file, "_identity", lambda status: (status.st_dev, next(numbers)))
    with pytest.raises(JournalError, match="cannot hold a journal: its file system gives an open file another number"):
        async with open_journal(path):
            pass
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name, f"{path.name}.lock"]


async def test_a_number_that_changes_between_two_looks_at_a_file_is_no_other_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_journal(path) as journal:
        numbers = chain([1], repeat(2))
        monkeypatch.setattr(journal_file, "_identity", lambda status: next(numbers))
        journal.step(journal.plan(named("a")).job, SENT)
        await journal.synced()
        assert next(numbers) == 2
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name, f"{path.name}.lock"]


async def test_where_a_folder_went_is_said_also_by_another_one_that_has_its_name_by_then(tmp_path: Path) -> None:
    (folder := tmp_path / "clips").mkdir()
    async with open_journal(folder / "journal.sqlite3"):
        folder.rename(tmp_path / "renamed")
        folder.mkdir()
    with pytest.raises(JournalError, match="renamed"):
        async with open_journal(folder / "journal.sqlite3"):
            pass


async def test_all_its_files_are_for_its_owner_only(path: Path) -> None:
    mask = os.umask(0)
    try:
        async with open_journal(path) as journal:
            journal.plan(named("a"))
            modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.glob("journal.sqlite3*")}
    finally:
        os.umask(mask)
    del modes["journal.sqlite3.lock"]
    assert len(modes) == 4
    assert set(modes.values()) == {0o600}


async def test_a_folder_that_cannot_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match=r"file cannot be written"):
        async with open_journal(tmp_path / "file" / "journal.sqlite3"):
            pass


async def test_a_second_run_on_one_folder_is_told_whose_it_is(path: Path) -> None:
    async with open_journal(path):
        with pytest.raises(
            JournalError, match=rf"in use by another run of this .*\(process {os.getpid()}\).* close it first"
        ):
            async with open_journal(path):
                pass
    async with open_journal(path):
        pass


def test_a_journal_that_was_closed_here_and_is_open_elsewhere_is_not_said_to_be_open_here(path: Path) -> None:
    with journal_file.JournalFile(path).lock():
        pass
    refused = pytest.raises(JournalError, match=r"in use by (?!another run of this very program)")
    with FileLock(f"{path}.lock"), refused, journal_file.JournalFile(path).lock():
        pass


CHILD = """
import asyncio, sys
from pathlib import Path
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.shell.journal.sqlite import open_journal

async def main():
    async with open_journal(Path(sys.argv[1])) as journal:
        for number in range(2000):
            job = journal.plan(VideoJob("m", id=f"j{number}")).job
            known = Progress().to(Stage.SUBMITTING, request_id=f"av-{number}", submitted_at=1.0)
            journal.step(job, known)
            journal.step(job, known.to(Stage.RENDERING, generation_id=f"gen-{number}"))
            await asyncio.sleep(0)
            print(number, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


def child(path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, text=True)


@pytest.mark.real_time
@pytest.mark.parametrize("lines", [1, *(pytest.param(lines, marks=pytest.mark.long) for lines in (700, 2000))])
async def test_every_step_survives_a_killed_process(path: Path, lines: int) -> None:
    running = child(path)
    assert running.stdout is not None
    said = [int(running.stdout.readline()) for _ in range(lines)]
    if lines == 2000:
        with pytest.raises(JournalError, match=rf"process {running.pid}\)"):
            async with open_journal(path):
                pass
    running.send_signal(signal.SIGKILL)
    said += [int(line) for line in running.stdout.read().split("\n")[:-1]]
    running.stdout.close()
    running.wait(20)
    for _ in range(2):  # to look at it takes nothing away
        with read_journal(path) as journal:
            assert all(known_id(journal, number) == f"gen-{number}" for number in said)
    async with open_journal(path) as journal:  # and the lock of a dead process holds nobody up
        assert all(known_id(journal, number) == f"gen-{number}" for number in said)


def known_id(journal: SqliteJournal, number: int) -> str | None:
    found = journal.find(f"j{number}")
    return found.progress.generation_id if found else None


FULL = """
import asyncio, os, sys
from pathlib import Path
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.errors import DiskFailed
from aimlvideo.shell.journal.sqlite import open_journal

SENT = Progress(Stage.SUBMITTING, request_id="av-1")

async def main():
    path = Path(sys.argv[1])
    with open(path.with_name("clip.part"), "wb") as clip:
        async with open_journal(path) as journal:
            jobs = [journal.plan(VideoJob("m", id=f"j{number}")).job for number in range(2000)]
            for job in jobs[:100]:
                journal.step(job, SENT)
            await journal.synced()
            os.set_blocking(clip.fileno(), True)
            try:
                while clip.write(bytes(4096)):
                    clip.flush()
            except OSError:
                print("full", flush=True)
            for number in range(100):
                journal.step(jobs[number], SENT.to(Stage.RENDERING, generation_id=f"gen-{number}" * 10))
                await asyncio.sleep(0)
                print(number, flush=True)
            for job in jobs[1000:]:
                journal.step(job, SENT)
                await journal.synced()
            print("not full after all", flush=True)

try:
    asyncio.run(main())
except DiskFailed as error:
    print(error)
"""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a file system is not allowed here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.real_time
async def test_on_a_disk_that_fills_up_no_id_is_lost_and_nothing_new_is_begun(small_disk: Path) -> None:
    path = small_disk / "journal.sqlite3"
    ended = subprocess.run(
        [sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    full, *said, last = ended.stdout.splitlines()
    assert (ended.stderr, full) == ("", "full")
    assert "Make space, then run again" in last
    assert len(said) == 100
    small_disk.joinpath("clip.part").unlink()
    async with open_journal(path) as journal:
        assert all(known_id(journal, number) == f"gen-{number}" * 10 for number in range(100))
        journal.plan(named("one more"))
        await asyncio.wait_for(journal.synced(), 5)


@pytest.mark.real_time
async def test_on_a_full_disk_no_run_is_begun(small_disk: Path) -> None:
    with suppress(OSError), small_disk.joinpath("clip").open("wb", buffering=0) as clip:
        while clip.write(bytes(4096)):
            pass
    with pytest.raises(DiskFailed, match="Make space"):
        async with open_journal(small_disk / "journal.sqlite3"):
            pass


async def test_a_step_after_its_journal_failed_raises_the_same_again(path: Path) -> None:
    opened = open_journal(path)
    journal = await opened.__aenter__()
    journal_file.JournalFile(path).free_reserve()
    journal._commits.read("PRAGMA max_page_count=12")
    for _ in range(2):
        with pytest.raises(DiskFailed, match="Make space"):
            plan_many(journal)
    with pytest.raises(DiskFailed):
        await opened.__aexit__(None, None, None)
    async with open_journal(path) as journal:
        assert journal.counts() == {}


async def test_planning_on_a_full_disk_leaves_nothing_behind_and_breaks_nothing(path: Path) -> None:
    async with open_journal(path) as journal:
        journal.step(journal.plan(named("a")).job, SENT)
        journal._commits.commit()
        journal._commits.read("PRAGMA max_page_count=12")
        with pytest.raises(DiskFailed, match="Make space"), journal.planning():
            plan_many(journal)
        assert journal.counts() == {"submitting": 1}
        journal.step(named("a"), SENT.to(Stage.RENDERING, generation_id="g"))


async def test_on_a_full_disk_a_sync_that_is_refused_leaves_room_for_the_ids_of_what_is_under_way(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def room_is_made(file: journal_file.JournalFile) -> bool:
        journal._commits.read("PRAGMA max_page_count=100000")
        return True

    monkeypatch.setattr(journal_file.JournalFile, "free_reserve", room_is_made)
    async with open_journal(path) as journal:
        journal.step(journal.plan(named("a")).job, SENT)
        await journal.synced()
        pages = journal._commits.read("PRAGMA page_count").fetchone()[0]
        journal._commits.read(f"PRAGMA max_page_count={pages}")
        plan_many(journal)
        for _ in range(2):
            with pytest.raises(DiskFailed, match="Make space"):
                await journal.synced()
        journal.step(named("a"), SENT.to(Stage.RENDERING, generation_id="g"))
        monkeypatch.undo()
    with read_journal(path) as reader:
        assert reader.counts() == {"rendering": 1, "planned": 1000}


def plan_many(journal: SqliteJournal) -> None:
    for number in range(1000):
        journal.plan(VideoJob("m", prompt=f"take {number}"))


# A journal that goes ------------------------------------------------------------------------------------------------


async def test_a_journal_that_is_overwritten_is_written_back_from_memory_also_while_it_is_new(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite3"
    job = VideoJob("m", id="a", prompt="p")
    async with open_journal(path) as journal:
        journal.plan(job)
        journal.step(job, Progress(Stage.RENDERING, generation_id="gen-1"))
        await journal.synced()
        path.write_bytes(b"garbage" * 5000)
        journal.step(job, Progress(Stage.RENDERING, generation_id="gen-1", polls=1))
        with pytest.raises(DiskFailed, match="overwritten"):
            await journal.synced()
    with read_journal(path.with_name("journal.sqlite3.rescued")) as written_back:
        record = written_back.find("a")
    assert record is not None
    assert record.progress.generation_id == "gen-1"


async def test_a_journal_whose_folder_is_deleted_under_its_run_is_written_back_there(tmp_path: Path) -> None:
    path = tmp_path / "run" / "journal.sqlite3"
    path.parent.mkdir()
    async with open_journal(path) as journal:
        journal.plan(named("a"))
        journal.step(named("a"), Progress(Stage.RENDERING, generation_id="gen-1"))
        await journal.synced()
        shutil.rmtree(path.parent)
    with read_journal(path) as written_back:
        assert written_back.by_generation("gen-1") is not None


@pytest.mark.parametrize("replaced", [False, True])
async def test_a_journal_that_is_deleted_under_its_run_syncs_nothing_more_and_is_written_back(
    tmp_path: Path, replaced: bool
) -> None:
    path = tmp_path / "journal.sqlite3"
    job = VideoJob("m", id="a", prompt="p")
    async with open_journal(path) as journal:
        journal.plan(job)
        await journal.synced()
        for file in tmp_path.glob("journal.sqlite3*"):
            file.unlink()
        if replaced:
            path.write_text("another file")
        journal.step(job, Progress(Stage.RENDERING, generation_id="gen-1"))
        with pytest.raises(DiskFailed, match="deleted or replaced"):
            await journal.synced()
    kept = path.with_name("journal.sqlite3.rescued") if replaced else path
    with read_journal(kept) as written_back:
        record = written_back.find("a")
    assert record is not None
    assert record.progress.generation_id == "gen-1"


async def test_a_relative_folder_that_sqlite_would_take_for_a_uri_holds_a_journal_also_when_it_is_written_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("file:clips/journal.sqlite3")
    path.parent.mkdir()
    async with open_journal(path) as journal:
        journal.plan(named("a"))
        path.unlink()
    with read_journal(path) as written_back:
        assert written_back.find("a") is not None


def test_a_journal_that_only_another_user_may_read_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (path := tmp_path / "journal.sqlite3").touch()
    for error in (sqlite3.OperationalError("unable to open database file"), PermissionError(13, "no", str(path))):
        assert "this user" not in str(journal_file.JournalFile(path).as_error(error))
    monkeypatch.setattr(os, "access", lambda _, mode: mode != os.R_OK)
    error = sqlite3.OperationalError("unable to open database file")
    assert "this user may not read it: expected the user" in str(journal_file.JournalFile(path).as_error(error))


def test_no_number_of_the_system_s_errors_stands_in_a_message(tmp_path: Path) -> None:
    error = OSError(24, "Too many open files", str(tmp_path))
    said = str(journal_file.JournalFile(tmp_path / "journal.sqlite3").as_error(error))
    assert "cannot be opened: Too many open files. Close some files" in said


def unsupported(*_: Any) -> None:
    raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))


async def test_where_no_room_can_be_reserved_it_is_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "posix_fallocate", unsupported)
    async with open_journal(path):
        assert path.with_name("journal.sqlite3.reserve").stat().st_size == journal_file.RESERVE


async def test_a_share_whose_folders_cannot_be_synced_takes_a_journal(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", unsupported)
    async with open_journal(path) as journal:
        assert journal.plan(named("a")).job.id == "a"


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
async def test_a_file_system_without_locks_is_said_with_what_to_do(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def acquire(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(FileLock, "acquire", acquire)
    with pytest.raises(JournalError, match=r"cannot hold a journal: .* has no locks .* Expected a folder on a disk"):
        async with open_journal(path):
            pass


def test_a_file_system_without_shared_memory_is_not_called_full(path: Path) -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorname = "SQLITE_IOERR_SHMMAP"
    said = str(journal_file.JournalFile(path).as_error(error))
    assert "cannot share memory (disk I/O error). Expected a folder on a disk of this machine" in said
    assert "space" not in said


def test_a_journal_that_another_program_has_locked_says_what_to_do(path: Path) -> None:
    said = str(journal_file.JournalFile(path).as_error(sqlite3.OperationalError("database is locked")))
    assert said.endswith("database is locked: close the other program that has it open, then run again")


class OldConnection(sqlite3.Connection):
    """One of SQLite before 3.36."""

    @property
    def serialize(self) -> Any:
        raise AttributeError("'sqlite3.Connection' object has no attribute 'serialize'")


async def test_a_sqlite_as_stable_systems_have_it_makes_the_same_journal(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = journal_file._empty_journal()
    with monkeypatch.context() as old:
        old.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=OldConnection))
        path.write_bytes(journal_file._empty_journal.__wrapped__())
    assert (path.stat().st_size, path.read_bytes()[18:20]) == (len(usual), usual[18:20])
    async with open_journal(path) as journal:
        assert journal.plan(named("a")).job.id == "a"


@pytest.mark.parametrize(("refused", "synced"), [(False, "by the drive"), (True, "by the system")])
def test_on_a_mac_the_drive_itself_is_made_to_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: bool, synced: str
) -> None:
    done = []

    def full_sync(_: int, command: int) -> int:
        assert command == 51
        if refused:
            raise OSError(errno.ENOTSUP, "Operation not supported")
        done.append("by the drive")
        return 0

    monkeypatch.setitem(sys.modules, "fcntl", SimpleNamespace(F_FULLFSYNC=51, fcntl=full_sync))
    monkeypatch.setattr(os, "fdatasync", lambda _: done.append("by the system"))
    journal_file.sync(7)
    assert done == [synced]


@for_each(("number", "is_said"), [(errno.EIO, True), (errno.ENOTSUP, False)])
async def test_a_folder_that_cannot_be_synced_is_said_unless_its_file_system_syncs_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, is_said: bool
) -> None:
    def failing(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(VideoError, match="Input/output error") if is_said else nullcontext():
        async with open_journal(tmp_path / f"{number}.sqlite3"):
            pass


async def test_a_lock_of_another_user_is_named_and_no_other_folder_where_all_would_be_bought_anew(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(path, 1)

    def acquire(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    path.with_name("journal.sqlite3.lock").touch()
    monkeypatch.setattr(FileLock, "acquire", acquire)
    with pytest.raises(JournalError, match=r"sqlite3\.lock cannot be written: .*; expected the user") as caught:
        async with open_journal(path):
            pass
    assert "another folder" not in str(caught.value)


@pytest.mark.parametrize(
    ("begun", "instead"), [(False, "copy the clips here afterwards"), (True, "copy this one there")]
)
async def test_where_no_journal_can_be_a_run_that_was_begun_is_not_begun_anew(
    path: Path, begun: bool, instead: str
) -> None:
    if begun:
        await fill(path, 1)
    assert instead in str(journal_file.JournalFile(path).as_error(OSError(errno.EINVAL, "Invalid argument")))
