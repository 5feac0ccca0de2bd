"""What a terminal, a pipe and `--json` get to see of a run, with the command itself."""

from __future__ import annotations

import itertools
import json
import math
import os
import pty
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from aimlvideo.cli.app import _normalized
from aimlvideo.cli.options import LOCALHOST, read_address
from aimlvideo.core.eta import Durations
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.limits import ConcurrencyLimit, PollBudget, RateLimiter
from aimlvideo.core.money.budget import Budget
from aimlvideo.core.run_stats import RunStats
from aimlvideo.errors import Busy, OverBudget, Unavailable, UsageError
from aimlvideo.pipeline.limiters import Limiters, RateGate, SlotLimiter
from aimlvideo.pipeline.run import Run
from aimlvideo.pipeline.run_spec import RunSpec
from aimlvideo.shell import clock
from aimlvideo.shell.journal.memory import InMemoryJournal
from aimlvideo.views import notebook
from aimlvideo.views.console import Screen
from aimlvideo.views.live_progress import live_progress
from aimlvideo.views.notebook import _update
from aimlvideo.views.snapshot import RunWatcher
from tests.cases import for_each
from tests.fakes import FakeClient, FakeService, jobs
from tests.work import lines_run


@asynccontextmanager
async def a_batch() -> AsyncIterator[Run]:
    """Give a run with 20 slots and 5 submissions a second, whose jobs a test moves by hand."""

    async def nothing(*_: Any) -> Path:
        return Path()

    async with anyio.create_task_group() as tasks:
        made = Run(RunSpec(journal=InMemoryJournal(), save=nothing), tasks, Budget())
        made.limiters = Limiters(
            SlotLimiter(ConcurrencyLimit(20)), RateGate(RateLimiter(5.0)), PollBudget(RateLimiter(50.0))
        )
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


async def test_a_table_that_the_page_of_a_notebook_takes_no_more_ends_no_run(caplog: pytest.LogCaptureFixture) -> None:
    def closed(html: str) -> None:
        raise RuntimeError("the kernel has closed its channel")

    async with FakeClient(FakeService()) as client, client.run(jobs(2)) as run:
        run.tasks.start_soon(_update, RunWatcher(run), closed)
        assert [result.ok async for result in run] == [True, True]
    assert "the run goes on without it" in caplog.text


async def test_in_a_notebook_a_run_is_a_table_that_ends_with_all_its_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []

    def display(table: str, *, display_id: bool) -> Any:
        shown.append(table)
        return SimpleNamespace(update=shown.append) if display_id else None

    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel="a kernel")))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(HTML=str, display=display))
    async with FakeClient(FakeService()) as client, client.run(jobs(2)) as run:
        with notebook.progress(run):
            assert [result.ok async for result in run] == [True, True]
    assert len(shown) > 2
    assert "<td>2 of 2</td>" in shown[-1]


async def test_a_look_tells_stages_money_and_the_end() -> None:
    async with a_batch() as batch:
        came(batch, 20, Progress(Stage.RENDERING, submitted_at=time.time() - 50))
        came(batch, 60, Progress())
        now = RunWatcher(batch).snapshot()
        assert now.stages[Stage.RENDERING] == 20
        assert now.total is None
        assert now.eta is not None
        assert 300 < now.eta[0] < 700
        assert "20 rendering, 60 planned" in now.line()


async def test_what_a_run_does_not_submit_any_more_is_not_waited_for() -> None:
    async with a_batch() as batch:
        came(batch, 20, Progress(Stage.RENDERING, submitted_at=time.time() - 50))
        came(batch, 60, Progress())
        batch.halt(OverBudget("would pass the limit"))
        eta = RunWatcher(batch).snapshot().eta
        assert eta is not None
        assert eta[0] < 150


async def played_run(batch: Run, durations: list[float]) -> list[float]:
    """Let a batch's jobs start and end as 20 slots allow; return what is shown to be left, second by second."""
    waiting = [VideoJob("m", id=f"j{number}") for number in range(len(durations))]
    for job in waiting:
        batch.stats.job_entered(job, Progress())
    watcher, shown = RunWatcher(batch), []
    running: list[tuple[float, VideoJob, Progress]] = []
    lengths = iter(durations)
    while waiting or running:
        for end, job, progress in [entry for entry in running if entry[0] <= clock.wall()]:
            batch.stats.moved(job, progress, progress.to(Stage.READY, video_url="http://x/", completed_at=end))
            running.remove((end, job, progress))
        while waiting and len(running) < 20:
            job = waiting.pop()
            progress = Progress().to(Stage.SUBMITTING, submitted_at=clock.wall()).to(Stage.RENDERING, generation_id="g")
            batch.stats.moved(job, Progress(), progress)
            running.append((clock.wall() + next(lengths), job, progress))
        if (left := watcher.snapshot().eta) is not None:
            shown.append(left[0])
        await anyio.sleep(1)
    return shown


@for_each("median", [25.0, 100.0, 200.0])  # expected are 100 s
async def test_what_is_left_counts_down_without_jumps(median: float) -> None:
    chance = random.Random(3)
    async with a_batch() as batch:
        shown = await played_run(batch, [chance.lognormvariate(math.log(median), 0.3) for _ in range(60)])
    for number, (before, after) in enumerate(itertools.pairwise(shown)):
        assert abs(after - (before - 1)) <= 1 + 0.12 * before, f"from {before:.0f} to {after:.0f} s at {number} s"
    truth = [len(shown) - number for number in range(len(shown))]
    late = 2 * len(shown) // 3
    assert truth[late] / 2 < shown[late] < 2.5 * truth[late]


async def test_it_is_never_late_before_it_is_likely_however_many_jobs_come_at_once() -> None:
    async with a_batch() as batch:
        came(batch, 10, Progress())
        watcher = RunWatcher(batch)
        watcher.snapshot()
        came(batch, 500, Progress())
        for _ in range(9):
            await anyio.sleep(5)
            eta = watcher.snapshot().eta
            assert eta is not None
            assert eta[0] <= eta[1]


async def test_what_is_committed_is_right_from_the_first_second() -> None:
    async with a_batch() as batch:
        batch.stats = RunStats(price=lambda job: {"a": 0.35, "b": 0.2}.get(job.model))
        for number, model in enumerate(["a", "a", "b", "unlisted"]):
            batch.stats.job_entered(VideoJob(model, id=f"j{number}"), Progress(Stage.RENDERING, submitted_at=1.0))
        assert RunWatcher(batch).snapshot().committed == pytest.approx(0.9)
        ready = Progress(Stage.READY, video_url="http://x/", cost_usd=0.35)
        batch.stats.moved(VideoJob("a", id="j0"), Progress(Stage.RENDERING, submitted_at=1.0), ready)
        now = RunWatcher(batch).snapshot()
        assert (now.committed, now.spent) == (pytest.approx(0.55), pytest.approx(0.35))


async def test_what_a_run_waits_for() -> None:
    async with a_batch() as batch:
        assert batch.limiters is not None
        came(batch, 1, Progress())
        turns, slots = batch.limiters.rate_gate, batch.limiters.slots
        assert "rate limit of 5 submissions" in RunWatcher(batch).snapshot().waiting_for
        for _ in range(20):
            slots.take_over_limit()
        assert "a free slot: 20 of 20" in RunWatcher(batch).snapshot().waiting_for
        turns.trouble = Busy("HTTP 429: slow down", status=429)
        turns.pause(30)
        assert "the service is busy, 30 s more: HTTP 429" in RunWatcher(batch).snapshot().waiting_for
        turns.trouble = Unavailable("connection refused")
        assert "the network or the service, 30 s more: connection refused" in RunWatcher(batch).snapshot().waiting_for
        batch.halt(OverBudget("would pass the limit"))
        assert RunWatcher(batch).snapshot().waiting_for == "no further jobs are submitted: would pass the limit"


async def test_generations_are_waited_for_when_nothing_is_left_to_send() -> None:
    async with a_batch() as batch:
        came(batch, 2, Progress(Stage.RENDERING, submitted_at=time.time()))
        assert RunWatcher(batch).snapshot().waiting_for == "waiting for 2 generations to finish at the service"


async def test_downloads_are_waited_for_where_clips_go_to_a_folder(tmp_path: Path) -> None:
    async with a_batch() as batch:
        batch.spec = replace(batch.spec, folder=tmp_path)
        assert RunWatcher(batch).snapshot().waiting_for == ""
        came(batch, 2, Progress(Stage.READY, submitted_at=time.time()))
        assert RunWatcher(batch).snapshot().waiting_for == "waiting for 2 downloads"
        batch.spec = replace(batch.spec, folder=None)
        assert RunWatcher(batch).snapshot().waiting_for == "", "without one they have ended"


async def test_lost_answers_and_other_jobs_clips_are_waited_for_where_there_is_nothing_else() -> None:
    async with a_batch() as batch:
        came(batch, 1, Progress(Stage.IN_DOUBT, submitted_at=time.time()))
        assert "the service's log (lost answers)" in RunWatcher(batch).snapshot().waiting_for
        came(batch, 1, Progress(Stage.RENDERING, submitted_at=time.time()))
        assert "2 generations to finish" in RunWatcher(batch).snapshot().waiting_for
        came(batch, 2, Progress())
        batch.held_back = 1
        assert "rate limit" in RunWatcher(batch).snapshot().waiting_for
        batch.held_back = 2
        assert RunWatcher(batch).snapshot().waiting_for == "2 planned jobs waiting for other jobs' clips"


async def test_the_pace_is_that_of_the_last_two_minutes() -> None:
    async with a_batch() as batch:
        watcher, ready = RunWatcher(batch), Progress(Stage.READY, submitted_at=0.0)
        paces = []
        for per_second in (1, 3):
            for _ in range(60):
                came(batch, 5 * per_second, ready)
                paces.append(watcher.snapshot().pace)
                await anyio.sleep(5)
    assert paces[0] == 0.0, "nothing is known yet"
    assert paces[59] == pytest.approx(60)
    assert paces[72] == pytest.approx(120, rel=0.1)
    assert paces[-1] == pytest.approx(180)


async def test_a_pipe_gets_a_line_when_something_changed_and_ever_more_rarely(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with a_batch() as batch, a_show(batch):
        for _ in range(60):
            came(batch, 1, Progress())
            await anyio.sleep(5)
        await anyio.sleep(3600)
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 8, "after 5, 10, 20 and 40 s, and then once a minute"
    assert all("planned" in text for text in said)


async def test_a_look_costs_the_same_with_10_000_outstanding_as_with_100() -> None:
    looks = []
    for outstanding in (100, 10_000):
        async with a_batch() as batch:
            came(batch, outstanding, Progress(Stage.RENDERING, submitted_at=time.time()))
            watcher = RunWatcher(batch)
            assert watcher.snapshot().stages[Stage.RENDERING] == outstanding
            looks.append(lines_run(watcher.snapshot))
    assert max(looks) < 1.05 * min(looks) < 1500


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


@pytest.mark.long
@pytest.mark.real_time
def test_a_terminal_has_a_block_that_stays_in_place(said: tuple[str, str]) -> None:
    _, written = said
    assert "━━━" in written
    assert "rendering" in written
    assert "the board is at http://127.0.0.1:" in written
    assert "report: " in written.rpartition("\x1b[2K")[2]


@pytest.mark.long
@pytest.mark.real_time
def test_json_has_nothing_but_results_on_stdout(said: tuple[str, str]) -> None:
    out, _ = said
    assert sorted(json.loads(text)["id"] for text in out.splitlines()) == ["a", "b"]


@for_each(
    ("said", "meant"),
    [
        ("0", ("127.0.0.1", 0)),
        ("80", ("127.0.0.1", 80)),
        ("0.0.0.0:1", ("0.0.0.0", 1)),
        (":80", ("127.0.0.1", 80)),
        ("[::1]:80", ("::1", 80)),
    ],
)
def test_where_a_board_is_asked_for(said: str, meant: Any) -> None:
    assert read_address("--board", said, LOCALHOST) == meant


@for_each("said", ["", "x", "70000", "host:", "host:x", "::1", "::1:80", "[::1]", "[::1:80", "a b:80"])
def test_a_board_in_no_place_is_refused(said: str) -> None:
    with pytest.raises(UsageError, match="expected PORT or HOST:PORT"):
        read_address("--board", said, LOCALHOST)


def test_a_board_needs_no_port() -> None:
    assert _normalized(["run", "j", "--board"]) == ["run", "j", "--board=0"]
    assert _normalized(["run", "--board", "-o", "d"]) == ["run", "--board=0", "-o", "d"]
    assert _normalized(["run", "--board", "8080", "j"]) == ["run", "--board", "8080", "j"]
    assert _normalized(["run", "--board", "0.0.0.0:80"]) == ["run", "--board", "0.0.0.0:80"]
