"""What a terminal, a pipe and `--json` get to see of a run, with the command itself."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

from aimlvideo.cli.options import board_address
from aimlvideo.cli.typer_app import allow_bare_board
from aimlvideo.core.eta import Durations
from aimlvideo.core.jobs.job import Progress, VideoJob
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.limits import ConcurrencyLimit, PollBudget, RateLimiter
from aimlvideo.core.money.budget import Budget
from aimlvideo.core.run_stats import RunStats
from aimlvideo.errors import Busy, OverBudget, Unavailable, UsageError
from aimlvideo.pipeline.limiters import Limiters, RateGate, SlotLimiter
from aimlvideo.pipeline.run import Run, RunSpec
from aimlvideo.shell.journal.memory import InMemoryJournal
from aimlvideo.views.console import Screen
from aimlvideo.views.live_progress import REDRAW_SECONDS, live_progress
from aimlvideo.views.sentences import line
from aimlvideo.views.snapshot import RunWatcher


@asynccontextmanager
async def a_batch() -> AsyncIterator[Run]:
    """Give a run with 20 slots and 5 submissions a second, whose jobs a test moves by hand."""

    async def nothing(*_: Any) -> Path:
        return Path()

    async with anyio.create_task_group() as tasks:
        made = Run(RunSpec(journal=InMemoryJournal(), save=nothing), tasks, Budget())
        made.limiters = Limiters(SlotLimiter(ConcurrencyLimit(20)), RateGate(RateLimiter(5.0)), PollBudget())
        made.stats = RunStats(lambda _: Durations(100.0, 150.0))
        yield made
        made.leave()
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def a_show(batch: Run) -> AsyncIterator[None]:
    """Say in plain lines how a run comes along."""
    with live_progress(RunWatcher(batch), Screen(), is_interactive=False):
        yield


def came(batch: Run, count: int, progress: Progress) -> None:
    """Let so many jobs in."""
    for number in range(count):
        batch.stats.job_entered(VideoJob("m", id=f"j{number}"), progress)


async def test_a_look_tells_stages_money_and_the_end() -> None:
    async with a_batch() as batch:
        came(batch, 20, Progress(Stage.RENDERING, submitted_at=time.time() - 50))
        came(batch, 60, Progress())
        now = RunWatcher(batch).look()
        assert now.stages[Stage.RENDERING] == 20
        assert now.total is None
        assert now.left is not None
        assert 300 < now.left[0] < 700
        assert "20 rendering, 60 planned" in line(now)


async def test_what_a_run_waits_for() -> None:
    async with a_batch() as batch:
        assert batch.limiters is not None
        came(batch, 1, Progress())
        turns, slots = batch.limiters.turns, batch.limiters.slots
        assert "for the rate: 5 a second" in RunWatcher(batch).look().waits
        for _ in range(20):
            slots.take_over_limit()
        assert "a free slot: 20 of 20" in RunWatcher(batch).look().waits
        turns.trouble = Busy("HTTP 429: slow down", status=429)
        turns.pause(30)
        assert "the service is busy, 30 s more: HTTP 429" in RunWatcher(batch).look().waits
        turns.trouble = Unavailable("connection refused")
        assert "the network or the service, 30 s more: connection refused" in RunWatcher(batch).look().waits
        batch.halt(OverBudget("would pass the limit"))
        assert RunWatcher(batch).look().waits == "no further jobs are submitted: would pass the limit"


async def test_generations_are_waited_for_when_nothing_is_left_to_send() -> None:
    async with a_batch() as batch:
        came(batch, 2, Progress(Stage.RENDERING, submitted_at=time.time()))
        assert RunWatcher(batch).look().waits == "waits for 2 generations to finish at the service"


async def test_a_pipe_gets_a_line_when_something_changed_and_ever_more_rarely(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with a_batch() as batch, a_show(batch):
        for _ in range(60):
            came(batch, 1, Progress())
            await anyio.sleep(5)
        await anyio.sleep(3600)
    said = capsys.readouterr().out.splitlines()
    assert 5 <= len(said) <= 9
    assert all("planned" in text for text in said)


async def test_drawing_costs_less_than_a_hundredth_of_a_core_with_100_000_outstanding() -> None:
    async with a_batch() as batch:
        came(batch, 100_000, Progress(Stage.RENDERING, submitted_at=time.time()))
        lookout, began = RunWatcher(batch), time.thread_time()
        for _ in range(20):
            lookout.look()
        a_look = (time.thread_time() - began) / 20
        assert a_look < 0.01 * REDRAW_SECONDS


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """What `run --json` on two jobs writes to a pipe, and what on the terminal that its stderr is."""
    folder = tmp_path_factory.mktemp("command")
    jobs = folder / "jobs.jsonl"
    asked = {"model": "alibaba/wan-2-6-t2v", "prompt": "waves"}
    jobs.write_text("".join(json.dumps({"id": name, **asked}) + "\n" for name in "ab"))
    command = [sys.executable, "-m", "aimlvideo", "run", str(jobs), "-o", str(folder / "o"), "--sandbox"]
    command += ["--json", "--board", "--poll", "every:0.3"]
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"}
    written = b""
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=theirs) as running:
        os.close(theirs)
        with suppress(OSError):  # a terminal whose other end is closed
            while some := os.read(ours, 65536):
                written += some
        assert running.stdout is not None
        out = running.stdout.read().decode()
    os.close(ours)
    return out, written.decode()


@pytest.mark.real_time
def test_a_terminal_has_a_block_that_stays_in_place(said: tuple[str, str]) -> None:
    _, written = said
    assert "━━━" in written
    assert "rendering" in written
    assert "the board is at http://127.0.0.1:" in written
    assert "to look at them" in written.rpartition("\x1b[2K")[2]


@pytest.mark.real_time
def test_json_has_nothing_but_results_on_stdout(said: tuple[str, str]) -> None:
    out, _ = said
    assert sorted(json.loads(text)["id"] for text in out.splitlines()) == ["a", "b"]


@pytest.mark.parametrize(
    ("said", "meant"),
    [(None, None), ("0", ("127.0.0.1", 0)), ("80", ("127.0.0.1", 80)), ("0.0.0.0:1", ("0.0.0.0", 1))],
)
def test_where_a_board_is_asked_for(said: str | None, meant: Any) -> None:
    assert board_address(said) == meant


@pytest.mark.parametrize("said", ["", "x", "70000", "host:", "host:x"])
def test_a_board_in_no_place_is_refused(said: str) -> None:
    with pytest.raises(UsageError):
        board_address(said)


def test_a_board_needs_no_port() -> None:
    assert allow_bare_board(["run", "j", "--board"]) == ["run", "j", "--board=0"]
    assert allow_bare_board(["run", "--board", "-o", "d"]) == ["run", "--board=0", "-o", "d"]
    assert allow_bare_board(["run", "--board", "8080", "j"]) == ["run", "--board", "8080", "j"]
    assert allow_bare_board(["run", "--board", "0.0.0.0:80"]) == ["run", "--board", "0.0.0.0:80"]
