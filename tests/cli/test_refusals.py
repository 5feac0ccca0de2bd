"""Content that moderation refuses, as users of the command meet it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Command, quick, rows, write_jobs

MODEL = "kling-video/v1.6/pro/image-to-video"
JOB = {"model": MODEL, "prompt": "waves", "image_url": "https://example.com/a.png", "duration": 5}


@pytest.fixture
def moderating(sandbox: Any) -> Iterator[Any]:
    """A service that refuses everything, some at once and some after rendering."""
    before = sandbox.behaviour
    sandbox.set(moderation=1.0)
    yield sandbox
    sandbox.behaviour = before


def refused_run(command: Command, tmp_path: Path, **job: Any) -> Any:
    write_jobs(tmp_path / "jobs.jsonl", *({**JOB, "id": f"job-{number}", **job} for number in range(4)))
    return command(*quick("jobs.jsonl"))


def test_refused_content_is_told_apart_at_the_end_of_a_run(command: Command, moderating: Any, tmp_path: Path) -> None:
    done = refused_run(command, tmp_path)
    assert done.exit_code == 1
    assert "content refused: job-" in done.output
    assert "4 jobs refused for the content: reword the prompt or replace the pictures, and run again" in done.output
    assert "--retry-failed" not in done.output
    assert all("content policy" in row["error"] for row in rows(tmp_path / "out").values())


def test_refused_content_is_never_sent_again_unchanged(command: Command, moderating: Any, tmp_path: Path) -> None:
    refused_run(command, tmp_path)
    posts = moderating.stats()["posts"]
    again = command(*quick("jobs.jsonl"), "--retry-failed")
    assert again.exit_code == 1
    assert "4 jobs not tried again, refused for the content" in again.output
    assert moderating.stats()["posts"] == posts


def test_a_replaced_picture_is_another_content(command: Command, moderating: Any, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (320, 320), "red").save(tmp_path / "a.png")
    os.utime(tmp_path / "a.png", (time.time() - 3600,) * 2)
    refused_run(command, tmp_path, image_url="a.png")
    moderating.set(moderation=0.0)
    assert command(*quick("jobs.jsonl"), "--retry-failed").exit_code == 1
    Image.new("RGB", (320, 320), "blue").save(tmp_path / "a.png")
    os.utime(tmp_path / "a.png", (time.time() + 5,) * 2)
    done = command(*quick("jobs.jsonl"), "--retry-failed")
    assert done.exit_code == 0, done.output


def test_other_failures_are_tried_again_beside_refused_ones(command: Command, moderating: Any, tmp_path: Path) -> None:
    refused_run(command, tmp_path)
    moderating.set(moderation=0.0, status_error=1.0)
    with (tmp_path / "jobs.jsonl").open("a") as file:
        file.write(json.dumps({**JOB, "id": "other"}) + "\n")
    failed = command(*quick("jobs.jsonl"))
    assert "4 jobs refused for the content" in failed.output
    assert "--retry-failed" in failed.output
    moderating.set(status_error=0.0)
    again = command(*quick("jobs.jsonl"), "--retry-failed")
    assert again.exit_code == 1
    assert rows(tmp_path / "out")["other"]["stage"] == "saved"


@pytest.mark.parametrize("words", [["check", "jobs.jsonl"], ["run", "../jobs.jsonl", "-o", "../out"]])
def test_a_current_folder_that_was_deleted_is_said(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: list[str]
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    result = command(*words)
    assert result.exit_code == 2
    assert "current folder was deleted" in result.output
    assert "`cd`" in result.output


def test_bytes_that_are_no_text_and_a_url_that_is_none_are_refused_without_a_traceback(
    command: Command, tmp_path: Path
) -> None:
    no_text = (("adopt", "out", "gen-\udcff"), ("drain", "--dsn", "x\udcff"))
    for words in (
        *no_text,
        ("adopt", "http://[", "gen-1"),
        ("status", "s3://u:pass@[/x"),
        ("status", "s3://"),
        ("adopt", "gs:///run", "g"),
    ):
        done = command(*words)
        assert done.exit_code == 2, words
        assert "expected" in done.stderr
        assert "pass" not in done.stderr
    assert command("adopt", "caf\udce9", "gen-1").exit_code == 0, "a folder may have any name"
    assert (tmp_path / "caf\udce9" / "journal.sqlite3").exists()
