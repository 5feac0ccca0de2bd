"""A chain of shots by the command: each begins with the last frame of the one before it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aimlvideo.core.jobs.stages import Stage
from aimlvideo.errors import JournalError
from aimlvideo.shell.journal.sqlite_reader import read_journal
from tests.cli.conftest import Command, rows, write_jobs
from tests.waiting import wait_until

av = pytest.importorskip("av")
TEXT = "alibaba/wan-2-6-t2v"
PICTURE = "kling-video/v1.6/pro/image-to-video"
QUICK = ("-o", "out", "--poll", "every:0.05")


def shot(number: int, **more: Any) -> dict[str, Any]:
    if number == 1:
        return {"id": "shot-1", "model": TEXT, "prompt": "Waves", "duration": 5, **more}
    source = {"from": f"shot-{number - 1}", "frame": "last"}
    return {"id": f"shot-{number}", "model": PICTURE, "prompt": "And on", "image_url": source, "duration": 5, **more}


def test_a_chain_is_made_in_order_whatever_the_order_of_its_lines(command: Command, tmp_path: Path) -> None:
    write_jobs(tmp_path / "jobs.jsonl", shot(3), shot(1), shot(2))
    done = command("run", "jobs.jsonl", *QUICK)
    assert done.exit_code == 0, done.output
    made = rows(tmp_path / "out")
    assert made["shot-1"]["saved_at"] <= made["shot-2"]["submitted_at"]
    assert made["shot-2"]["saved_at"] <= made["shot-3"]["submitted_at"]
    assert command("join", "out", "shot-1", "shot-2", "shot-3", "-o", "film.mp4").exit_code == 0
    assert command("run", "jobs.jsonl", *QUICK).exit_code == 0  # nothing more is bought
    shown = json.loads(command("show", "out/shot-2.mp4").output)
    assert shown["model"] == PICTURE


@pytest.mark.long
def test_a_chain_of_four_whose_run_is_killed_goes_on_and_becomes_one_film(
    command: Command, sandbox: Any, tmp_path: Path
) -> None:
    write_jobs(tmp_path / "jobs.jsonl", *map(shot, (1, 2, 3, 4)))
    before, accepted = sandbox.behaviour, sandbox.stats()["accepted"]
    sandbox.set(seconds=1.0)
    killed = subprocess.Popen([sys.executable, "-m", "aimlvideo", "run", "jobs.jsonl", *QUICK], cwd=tmp_path)
    try:
        journal = tmp_path / "out" / "journal.sqlite3"
        wait_until(lambda: is_rendering(journal, "shot-3"), "the third shot to render", killed)
    finally:
        killed.kill()
        killed.wait(20)
        sandbox.behaviour = before
    assert not (tmp_path / "out/shot-4.mp4").exists()
    assert command("run", "jobs.jsonl", *QUICK).exit_code == 0
    assert sandbox.stats()["accepted"] - accepted == 4
    assert command("join", "out", "-o", "film.mp4").exit_code == 0
    seconds = [seconds_of(tmp_path / name) for name in ("out/shot-1.mp4", "film.mp4")]
    assert seconds[1] == pytest.approx(4 * seconds[0], rel=0.05)


def is_rendering(journal: Path, name: str) -> bool:
    """Tell whether a job was accepted: by then no answer is on its way that a kill would lose."""
    try:
        with read_journal(journal) as kept:
            record = kept.find(name)
    except JournalError:  # it is not there yet, or not whole
        return False
    return record is not None and record.progress.stage is Stage.RENDERING


def seconds_of(clip: Path) -> float:
    with av.open(str(clip)) as film:
        return float(film.duration) / 1_000_000


def test_a_failed_parent_fails_its_children_with_its_name_and_buys_nothing(
    command: Command, sandbox: Any, tmp_path: Path
) -> None:
    write_jobs(tmp_path / "jobs.jsonl", shot(1), shot(2), shot(3), {**shot(1), "id": "alone", "prompt": "Wind"})
    before = sandbox.behaviour
    accepted = sandbox.stats()["accepted"]
    sandbox.set(status_error=1.0)
    try:
        done = command("run", "jobs.jsonl", *QUICK)
    finally:
        sandbox.behaviour = before
    assert done.exit_code == 1
    made = rows(tmp_path / "out")
    assert "job 'shot-1', which failed" in made["shot-2"]["error"]
    assert "job 'shot-2', which failed" in made["shot-3"]["error"]
    assert sandbox.stats()["accepted"] - accepted == 2
    assert command("run", "jobs.jsonl", *QUICK, "--retry-failed").exit_code == 0


@pytest.mark.parametrize(
    ("jobs", "message"),
    [
        ([shot(2)], "the id of a job of this file, got 'shot-1'"),
        (
            [shot(2, image_url={"from": "shot-3", "frame": "last"}), shot(3)],
            "jobs that do not wait for each other, got shot-",
        ),
        ([shot(1), shot(2, image_url={"from": "shot-1"})], 'got a whole clip (add "frame": "last")'),
        ([shot(1), shot(2, image_url={"from": "shot-1", "frame": "middle"})], 'expected "first", "last"'),
        (
            [shot(1), shot(2, image_url={"from": "shot-1", "frame": 7.5})],
            "the clip of 'shot-1', which lasts 5 s, got 7.5",
        ),
        ([shot(1), shot(2, image_url={"from": "a.png", "frame": "last"})], 'stands there as it is, without "from"'),
    ],
    ids=["an unknown id", "a circle", "a clip for a picture", "an unknown frame", "a late frame", "a file"],
)
def test_a_wrong_chain_is_refused_before_anything_is_bought(
    command: Command, tmp_path: Path, jobs: list[dict[str, Any]], message: str
) -> None:
    write_jobs(tmp_path / "jobs.jsonl", *jobs)
    for words in (("check", "jobs.jsonl"), ("run", "jobs.jsonl", *QUICK)):
        refused = command(*words)
        assert refused.exit_code == 2
        assert message in " ".join(refused.output.split())


def test_a_chain_is_priced_as_if_its_frames_were_there(command: Command, tmp_path: Path) -> None:
    write_jobs(tmp_path / "jobs.jsonl", shot(1), shot(2))
    assert "2 jobs" in command("check", "jobs.jsonl").output
