"""Every command, however its streams and signals are: no traceback, and an exit code of the table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import hypothesis
import pytest

from aimlvideo.cli.app import _Commands
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.shell.journal.sqlite import open_journal
from tests.fakes import JOB, MODEL

pytestmark = [pytest.mark.skipif(os.name == "nt", reason="forks"), pytest.mark.long, pytest.mark.real_time]

NOWHERE = "postgresql://u@127.0.0.1:9/db"
WORDS: dict[str, list[str]] = {
    "run": ["jobs.jsonl", "-o", "new", "--base-url", "http://127.0.0.1:9", "--timeout", "1"],
    "generate": [MODEL, "-p", "x", "-o", "clip.mp4"],
    "check": ["jobs.jsonl"],
    "resume": ["out"],
    "wait": ["gen-1", "-o", "out"],
    "status": ["out"],
    "report": ["out"],
    "join": ["out", "-o", "film.mp4"],
    "show": ["clip.mp4"],
    "uploads": ["out"],
    "reconcile": ["out"],
    "mcp": [],
    "models": [],
    "init": [MODEL],
    "schema": [],
    "doctor": [],
    "balance": [],
    "demo": ["--port", "none"],
    "sandbox": ["--port", "none"],
    "resolve": ["out", "a", "--not-accepted"],
    "adopt": ["out", "gen-5"],
    "recover": ["out"],
    "db": ["init", "--dsn", NOWHERE],
    "enqueue": ["jobs.jsonl", "--dsn", NOWHERE],
    "worker": ["-o", "out", "--dsn", NOWHERE],
    "drain": ["--dsn", NOWHERE],
}
"""What is said after each command's name; none of it needs a service."""
MODES = ("closed pipe", "full disk", "no stdout", "no stderr", "nothing open", "two signals", "late signal")


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    (tmp_path / "jobs.jsonl").write_text(json.dumps({**JOB, "id": "a"}) + "\n")
    (tmp_path / "out").mkdir()
    async with open_journal(tmp_path / "out" / "journal.sqlite3") as journal:
        job = journal.plan(VideoJob(MODEL, id="a", prompt="x")).job
        journal.step(job, Progress(Stage.RENDERING, generation_id="gen-1", submitted_at=1.0))
    return tmp_path


def test_each_command_is_tried() -> None:
    assert set(WORDS) == set(_Commands.listed)


def test_no_stream_and_no_signal_ends_a_command_with_a_traceback(folder: Path) -> None:
    several = 3 if hypothesis.settings().max_examples <= 100 else len(MODES)
    lines = [
        [[name, *words], MODES[(number + mode) % len(MODES)]]
        for number, (name, words) in enumerate(WORDS.items())
        for mode in range(several)
    ]
    lines += [[["run", "--help"], MODES[0]], [["db", "--help"], MODES[1]], *([["--help"], mode] for mode in MODES)]
    environment = {**os.environ, "AIMLAPI_BASE_URL": "http://127.0.0.1:9", "PYTHONPATH": str(Path(__file__).parents[2])}
    words = [sys.executable, "-m", "tests.cli.forked_commands"]
    run = {"cwd": folder, "env": environment, "capture_output": True, "text": True}
    done = subprocess.run(words, check=False, input=json.dumps(lines), **run)
    problems = []
    for (command, mode), (code, said) in zip(lines, json.loads(done.stdout), strict=True):
        if code not in (0, 1, 2, 3):
            problems.append(f"{mode}: {' '.join(command)}: exit code {code}: {said[-300:]}")
        if any(word in said for word in ("Traceback", "Exception ignored", "BrokenPipe", "Errno")):
            problems.append(f"{mode}: {' '.join(command)}: {said[-600:]}")
        if command[-1] == "--help" and mode in MODES[:2] and code != 3:
            problems.append(f"{mode}: {' '.join(command)}: nobody could read the help, and it ends with {code}")
    assert not problems, "\n".join(problems)
    assert not done.stderr
