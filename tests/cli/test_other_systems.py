"""The commands where POSIX is missing, and on terminals that know few letters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

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


class Ended(NamedTuple):
    """How a command ended, and what it wrote."""

    code: int
    output: bytes
    errors: bytes


def given(folder: Path, url: str, *commands: Sequence[str], coding: str = "cp1252") -> list[Ended]:
    """Give commands one after the other; return how each of them ended."""
    environment = {
        **os.environ, "PYTHONIOENCODING": coding, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "0", "LC_ALL": "C",
        "AIMLAPI_BASE_URL": url, "AIMLAPI_API_KEY": "k", "XDG_STATE_HOME": str(folder), "XDG_CACHE_HOME": str(folder),
    }  # fmt: skip
    # In UTF-8, in which each of them would begin again by itself: the locale has ASCII only.
    command = [sys.executable, "-X", "utf8", "-m", "tests.cli.without_posix"]
    streams = {"input": json.dumps(commands), "capture_output": True, "text": True}
    done = subprocess.run(command, cwd=folder, env=environment, timeout=100, check=False, **streams)
    assert (done.returncode, done.stderr) == (0, "")
    return [Ended(code, *map(bytes.fromhex, written)) for code, *written in json.loads(done.stdout)]


@pytest.mark.parametrize("coding", ["cp1252", "latin-1"])
def test_a_run_without_posix_saves_ids_of_all_kinds_and_is_looked_at(
    sandbox: Sandbox, tmp_path: Path, coding: str
) -> None:
    lines = (json.dumps({**JOB, "id": name, "prompt": f"{number}"}) for number, name in enumerate(IDS))
    (tmp_path / "jobs.jsonl").write_text("\n".join(lines), encoding="utf-8")
    run = ("run", "jobs.jsonl", "-o", "out", "--poll", "every:0.1", "--rate", "100")
    commands = (("check", "jobs.jsonl"), (*run, "--json"), run, ("status", "out"), ("report", "out"))
    for words, ended in zip(commands, given(tmp_path, sandbox.url, *commands, coding=coding), strict=True):
        assert ended.code == 0, (words, ended.output[-500:], ended.errors[-2000:])
        assert b"Traceback" not in ended.output + ended.errors
        if "--json" in words:
            assert {json.loads(line)["id"] for line in ended.output.decode("utf-8").splitlines()} == set(IDS)
    clips = [path.name for path in (tmp_path / "out").glob("*.mp4")]
    assert len(clips) == len(set(map(str.casefold, clips))) == len(IDS)


def test_a_mistake_without_posix_is_said_in_words(tmp_path: Path) -> None:
    commands = (("status", "nowhere"), ("run", "nowhere.jsonl", "-o", "out"), ("join", "nowhere", "-o", "film.mp4"))
    for ended in given(tmp_path, "http://127.0.0.1:9", *commands):
        assert ended.code in (2, 3)
        assert b"error:" in ended.errors
        assert b"Traceback" not in ended.errors


def test_the_first_steps_without_posix_end_well_and_warn_of_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    one = ("generate", "alibaba/wan-2-6-t2v", "-p", "a cat", "-o", "cat.mp4", "--poll", "every:0.1")
    run = ("run", "jobs.jsonl", "-o", "out", "--poll", "every:0.1")
    commands = (("init",), run, ("resume", "out"), one, ("demo", "-o", "demo"))
    for words, ended in zip(commands, given(tmp_path, sandbox.url, *commands), strict=True):
        assert ended.code == 0, (words, ended.output[-500:], ended.errors[-2000:])
        assert b"Traceback" not in ended.output + ended.errors
        assert b"Warning" not in ended.errors
    assert list((tmp_path / "demo").glob("*.mp4"))
    assert not (tmp_path / "demo" / "pictures").exists()
