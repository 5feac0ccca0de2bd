"""The commands where POSIX is missing, and on terminals that know few letters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aimlvideo.sandbox import Sandbox
from tests.fakes import JOB
from tests.servers import sandbox_thread

pytestmark = [pytest.mark.long, pytest.mark.real_time]
ROOT = Path(__file__).parents[2]
IDS = (
    "plain",
    "кадр-💃",
    "CON",
    "nul.mp4",
    "COM1",
    "dots...",
    "blank ",
    "x" * 300,
    "ä" * 300,
    "a/b\\c:d",
    "aux.tar.gz",
)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with sandbox_thread() as served:
        yield served


def given(folder: Path, url: str, *words: str, coding: str = "cp1252") -> subprocess.CompletedProcess[bytes]:
    environment = {
        **os.environ, "PYTHONIOENCODING": coding, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "0", "LC_ALL": "C",
        "AIMLAPI_BASE_URL": url, "AIMLAPI_API_KEY": "k", "XDG_STATE_HOME": str(folder), "XDG_CACHE_HOME": str(folder),
    }  # fmt: skip
    command = [sys.executable, "-m", "tests.cli.without_posix", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=100, check=False)


@pytest.mark.parametrize("coding", ["cp1252", "latin-1"])
def test_a_run_without_posix_saves_ids_of_all_kinds_and_is_looked_at(
    sandbox: Sandbox, tmp_path: Path, coding: str
) -> None:
    lines = (json.dumps({**JOB, "id": name, "prompt": f"{number}"}) for number, name in enumerate(IDS))
    (tmp_path / "jobs.jsonl").write_text("\n".join(lines), encoding="utf-8")
    run = ("run", "jobs.jsonl", "-o", "out", "--poll", "every:0.1", "--rate", "100")
    for words in (("check", "jobs.jsonl"), (*run, "--json"), run, ("status", "out"), ("report", "out")):
        done = given(tmp_path, sandbox.url, *words, coding=coding)
        assert done.returncode == 0, (words, done.stdout[-500:], done.stderr[-2000:])
        assert b"Traceback" not in done.stdout + done.stderr
        if "--json" in words:
            assert {json.loads(line)["id"] for line in done.stdout.decode("utf-8").splitlines()} == set(IDS)
    clips = [path.name for path in (tmp_path / "out").glob("*.mp4")]
    assert len(clips) == len(set(map(str.casefold, clips))) == len(IDS)


def test_a_mistake_without_posix_is_said_in_words(tmp_path: Path) -> None:
    for words in (("status", "nowhere"), ("run", "nowhere.jsonl", "-o", "out"), ("join", "nowhere", "-o", "film.mp4")):
        done = given(tmp_path, "http://127.0.0.1:9", *words)
        assert done.returncode in (2, 3)
        assert b"error:" in done.stderr
        assert b"Traceback" not in done.stderr


def test_the_first_steps_without_posix_end_well_and_warn_of_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    one = ("generate", "alibaba/wan-2-6-t2v", "-p", "a cat", "-o", "cat.mp4", "--poll", "every:0.1")
    run = ("run", "jobs.jsonl", "-o", "out", "--poll", "every:0.1")
    for words in (("init",), run, ("resume", "out"), one, ("demo", "-o", "demo")):
        done = given(tmp_path, sandbox.url, *words)
        assert done.returncode == 0, (words, done.stdout[-500:], done.stderr[-2000:])
        assert b"Traceback" not in done.stdout + done.stderr
        assert b"Warning" not in done.stderr
    assert list((tmp_path / "demo").glob("*.mp4"))
