"""Carrying on with everything that a folder has."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Command, quick, rows, write_jobs

JOB = {"model": "alibaba/wan-2-6-t2v", "prompt": "waves", "duration": 5}


def test_resume_takes_up_all_that_was_left(command: Command, tmp_path: Path) -> None:
    write_jobs(tmp_path / "jobs.jsonl", {**JOB, "id": "a"}, {**JOB, "id": "b", "prompt": "sand"})
    assert command(*quick("jobs.jsonl"), "--max-spend", "0.01").exit_code == 3
    done = command("resume", "out", "--poll", "every:0.1")
    assert done.exit_code == 0, done.output
    assert {row["stage"] for row in rows(tmp_path / "out").values()} == {"saved"}


@pytest.mark.parametrize("again", [["resume", "out"], ["wait", "-o", "out"]])
def test_resume_keeps_to_what_the_run_was_told_of_its_clips(command: Command, tmp_path: Path, again: list[str]) -> None:
    write_jobs(tmp_path / "jobs.jsonl", {**JOB, "id": "a"}, {**JOB, "id": "b", "prompt": "sand"})
    words = (*quick("jobs.jsonl"), "--name", "{prompt} {id}", "--no-metadata")
    assert command(*words, "--max-spend", "0.4").exit_code == 3
    assert command(*again, "--poll", "every:0.1").exit_code == 0
    clips = sorted(path.name for path in (tmp_path / "out").glob("*.mp4"))
    assert clips == ["sand b.mp4", "waves a.mp4"]
    for clip in clips:
        assert command("show", f"out/{clip}").exit_code == 2


def test_resume_needs_a_folder_of_its_service(command: Command, tmp_path: Path) -> None:
    none = command("resume", "nowhere")
    assert none.exit_code == 2
    assert "there is no journal in nowhere" in none.output
    write_jobs(tmp_path / "jobs.jsonl", {"id": "a", "model": "kling-v1-6", "prompt": "waves"})
    assert command(*quick("jobs.jsonl"), "--service", "kling").exit_code == 0
    other = command("resume", "out", "--service", "aimlapi")
    assert other.exit_code == 2
    assert "was started with service 'kling'" in other.output
    assert command("resume", "out").exit_code == 0


@pytest.mark.parametrize("words", [["resume", "out"], ["wait", "-o", "out"]])
def test_a_wrong_key_ends_with_2_also_where_generations_are_outstanding(
    command: Command, tmp_path: Path, words: list[str]
) -> None:
    assert command("adopt", "out", "gen-1").exit_code == 0
    done = command(*words, "--poll", "every:0.1", "--api-key", "bad-key")
    assert done.exit_code == 2, done.output
    assert "API key" in done.output
