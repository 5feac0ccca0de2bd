"""The live board: a run that is moved by hand, looked at in a browser and over plain HTTP."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web
from anyio.from_thread import start_blocking_portal

from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Record
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.money.budget import Budget
from aimlvideo.pipeline.entry import Entry
from aimlvideo.pipeline.run import Run
from aimlvideo.pipeline.run_spec import RunSpec
from aimlvideo.shell.journal.sqlite import open_journal
from aimlvideo.views.report.board import Board, ChangeLog
from tests.views.report.test_page import until


@dataclass
class ServedRun:
    """A run whose jobs a test moves, and where its board is."""

    batch: Run
    entries: dict[str, Entry]
    url: str = ""

    async def move(self, name: str, stage: Stage, **known: Any) -> None:
        """Move one job."""
        self.entries[name].step(stage, **known)

    async def come_in(self, name: str) -> None:
        """Let one more job in."""
        job = VideoJob("m", id=name, prompt=f"prompt of {name}")
        self.entries[name] = await self.batch.enter(self.batch.spec.journal.plan(job))


@asynccontextmanager
async def a_run(folder: Path, host: str = "127.0.0.1") -> AsyncIterator[ServedRun]:
    """Give a run of two planned jobs with a board."""

    async def nothing(*_: Any) -> Path:
        return folder

    async with open_journal(folder / "journal.sqlite3") as journal, anyio.create_task_group() as tasks:
        batch = Run(RunSpec(journal=journal, save=nothing, window=99, folder=folder), tasks, Budget())
        run = ServedRun(batch, {})
        for name in ("first", "second"):
            await run.come_in(name)
        async with Board.serve(batch, lambda: "as it should be", host=host) as run.url:
            yield run
        batch.leave()
        tasks.cancel_scope.cancel()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[ServedRun, Callable[..., Any]]]:
    """A run with a board in a thread of its own, and a way to call what moves it."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(a_run(tmp_path)) as run:
        yield run, portal.call


def asked(url: str, **headers: str) -> tuple[int, bytes]:
    """Return the status and the body of an answer."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, b""


@pytest.mark.browser
@pytest.mark.real_time
def test_a_change_is_seen_within_a_second_and_a_clip_plays(opened: Any, running: Any, clip: Path) -> None:
    run, call = running
    page = opened(run.url, motion="no-preference")
    until(page, "document.getElementById('pulse').textContent === 'live'")
    call(lambda: run.move("first", Stage.SUBMITTING, submitted_at=1000.0))
    call(lambda: run.move("first", Stage.RENDERING, generation_id="g-1", submitted_at=1001.0))
    until(page, "jobs.get('first').stage === 'rendering'")
    (run.batch.spec.folder / "first.mp4").write_bytes(clip.read_bytes())
    call(lambda: run.move("first", Stage.READY, completed_at=1100.0))
    call(lambda: run.move("first", Stage.SAVED, file="first.mp4", bytes=9, saved_at=1101.0))
    until(page, "document.querySelectorAll('.card video').length === 1")
    assert page.text_content("#outlook") == "as it should be"
    page.click(".card .thumb")
    until(page, "document.querySelector('#viewer video').currentTime > 0.1")


@pytest.mark.browser
@pytest.mark.real_time
def test_a_board_that_lost_its_line_comes_back_and_catches_up(opened: Any, tmp_path: Path) -> None:
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(cut_run(tmp_path)) as (board, url, run):
        page = opened(url)
        until(page, "document.getElementById('pulse').textContent === 'live'")
        portal.call(lambda: run.move("first", Stage.SUBMITTING))
        until(page, "jobs.get('first').stage === 'submitting'")
        portal.call(board.disconnect)
        portal.call(lambda: run.move("first", Stage.RENDERING, generation_id="g-1"))
        portal.call(lambda: run.move("second", Stage.SUBMITTING))
        until(page, "jobs.get('first').stage === 'rendering' && jobs.get('second').stage === 'submitting'")
        until(page, "document.getElementById('pulse').textContent === 'live'")
        late = opened(url)
        until(late, "jobs.get('first').stage === 'rendering'")
        portal.call(board.end)
        for each in (page, late):
            until(each, "document.getElementById('pulse').textContent.startsWith('the run has ended')")


@pytest.mark.real_time
def test_a_step_goes_to_whoever_listens_and_so_does_the_line_that_says_how_the_run_stands(running: Any) -> None:
    run, call = running
    with urllib.request.urlopen(f"{run.url}events", timeout=5) as stream:
        call(lambda: run.move("first", Stage.SUBMITTING, submitted_at=1000.0))
        said = b""
        while not (b'"submitting"' in said and b"as it should be" in said):
            line = stream.readline()
            assert line, said
            said += line


class LaggingJournal(dict[str, Record]):
    """What another connection sees of a journal: a step only some time after it was noted."""

    def find(self, job_id: str) -> Record | None:
        """Return a job as it was when its last step was committed."""
        return self.get(job_id)


@pytest.mark.real_time
def test_a_step_that_is_noted_before_it_can_be_read_is_shown_all_the_same(tmp_path: Path) -> None:
    journal = LaggingJournal()
    context = cut_run(tmp_path, journal)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(context) as (board, url, run):
        stream = urllib.request.urlopen(f"{url}events", timeout=5)
        portal.call(lambda: run.move("first", Stage.SUBMITTING))
        portal.call(board.push)
        assert b'"seq":0' in asked(url)[1], "a page may be as old as what was pushed"
        entry = run.entries["first"]
        journal["first"] = Record(entry.job, entry.progress)
        portal.call(board.push)
        portal.call(board.push)
        assert b'"seq":1' in asked(url)[1]
        portal.call(board.end)
        assert b'"submitting"' in stream.read()


@pytest.mark.real_time
def test_who_comes_just_after_the_end_is_told_that_it_is_over(tmp_path: Path) -> None:
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(cut_run(tmp_path)) as (board, url, _):
        portal.call(board.end)
        assert b"event: over" in asked(f"{url}events")[1]


@asynccontextmanager
async def cut_run(folder: Path, journal: Any = None) -> AsyncIterator[tuple[Board, str, ServedRun]]:
    """Give a run with a board whose streams a test may cut; one that reads from a `journal` is pushed by the test."""
    async with a_run(folder) as run:
        board = Board(folder, run.batch.spec.journal if journal is None else journal, lambda: "")
        run.batch.watchers.append(board.on_step)
        runner = web.AppRunner(board.application(), access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        if journal is None:
            run.batch.tasks.start_soon(board.run)
        try:
            yield board, f"http://127.0.0.1:{runner.addresses[0][1]}/", run
        finally:
            await runner.cleanup()


@pytest.mark.real_time
@pytest.mark.parametrize(
    "path",
    [
        "journal.sqlite3", "clips/journal.sqlite3", "clips/..%2fjournal.sqlite3", "clips/%2e%2e/x.mp4", "clips/out.mp4",
        "clips/none.mp4", "clips/", "clips/sub%2fin.mp4",
    ],
)  # fmt: skip
def test_no_other_file_is_served(running: Any, path: str, tmp_path: Path) -> None:
    run, _ = running
    (tmp_path.parent / "x.mp4").write_bytes(b"outside")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "in.mp4").write_bytes(b"inside")
    (tmp_path / "out.mp4").symlink_to(tmp_path.parent / "x.mp4")
    assert asked(run.url + path)[0] == 404


@pytest.mark.real_time
def test_another_name_for_this_machine_is_turned_away(running: Any) -> None:
    run, _ = running
    assert asked(run.url)[0] == 200
    assert asked(run.url, Host="evil.example")[0] == 404
    assert asked(run.url, Host="127.0.0.1.evil.example:80")[0] == 404


@pytest.mark.real_time
def test_at_another_address_than_this_machines_own_nothing_is_served_without_the_token(
    tmp_path: Path, clip: Path
) -> None:
    (tmp_path / "a.mp4").write_bytes(clip.read_bytes())
    # Of this machine, too, and none of the names by which only this machine is meant.
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(a_run(tmp_path, "127.0.0.2")) as run:
        root, token, _ = run.url.rsplit("/", 2)
        assert len(token) >= 20
        root += "/"
        assert [asked(root + path)[0] for path in ("", "x/", "x/events", "x/clips/a.mp4", "clips/a.mp4")] == [404] * 5
        assert asked(run.url, Host="this-machine:80")[0] == 200
        assert asked(f"{run.url}clips/a.mp4")[1] == clip.read_bytes()


def test_who_comes_back_is_told_each_change_once() -> None:
    news = ChangeLog()
    for name in "abcab":
        news.changed(name)
    assert news.since(0) == ["c", "a", "b"]
    assert news.since(4) == ["b"]
    assert news.since(5) == []


def test_where_nobody_knows_what_has_changed_everybody_has_to_read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aimlvideo.views.report.board.REMEMBERED", 2)
    news = ChangeLog()
    for name in "ab":
        news.changed(name)
    news.forget()
    assert news.since(news.number) == []
    news.changed("c")
    assert news.since(2) is None
    assert news.since(3) == ["c"]


def test_who_was_away_too_long_has_to_read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aimlvideo.views.report.board.REMEMBERED", 3)
    news = ChangeLog()
    for name in "abcde":
        news.changed(name)
    assert news.since(1) is None
    assert news.since(2) == ["c", "d", "e"]
    assert news.since(9) is None, "a number from another run"
