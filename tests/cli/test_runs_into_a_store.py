"""Runs whose clips go to an object store, by every command that names them: by the URL, or by where the journal is."""

from __future__ import annotations

from pathlib import Path

import pytest

from aimlvideo.shell.files.object_stores import journal_folder
from tests.cases import for_each
from tests.cli.conftest import Command, quick, rows, write_jobs

JOB = {"model": "alibaba/wan-2-6-t2v", "prompt": "waves", "duration": 5}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the URL of an empty store, which is a folder here; the user's own state is out of reach."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "state"))
    (tmp_path / "store" / "run").mkdir(parents=True)
    return (tmp_path / "store" / "run").as_uri().replace("file:", "local:", 1)


@pytest.fixture
def halted(command: Command, tmp_path: Path, store: str) -> str:
    """Return the URL of a run that one clip of two was bought in, and saved."""
    write_jobs(tmp_path / "jobs.jsonl", {**JOB, "id": "a"}, {**JOB, "id": "b"})
    words = ["run", "jobs.jsonl", "-o", store, "--poll", "every:0.05", "--rate", 1000]
    assert command(*words, "--max-spend", 0.4).exit_code == 3
    return store


def clips(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "store" / "run").glob("*.mp4"))


@pytest.mark.parametrize("by", ["url", "path"])
@pytest.mark.parametrize("again", [["resume"], ["wait", "-o"]])
def test_what_is_carried_on_goes_to_the_store_too(
    command: Command, tmp_path: Path, halted: str, again: list[str], by: str
) -> None:
    place = halted if by == "url" else str(journal_folder(halted))
    done = command(*again, place, "--poll", "every:0.05")
    assert done.exit_code == 0, done.output
    assert clips(tmp_path) == ["a.mp4", "b.mp4"]
    assert f"the clips are in {halted}" in done.output
    assert not list(journal_folder(halted).glob("*.mp4"))


def test_what_is_in_the_store_is_not_fetched_again(command: Command, tmp_path: Path, halted: str) -> None:
    words = ["run", "jobs.jsonl", "-o", halted, "--poll", "every:0.05", "--rate", 1000]
    assert command(*words).exit_code == 0
    saved = {path: path.stat().st_mtime_ns for path in (tmp_path / "store" / "run").glob("*.mp4")}
    assert command(*words).exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in saved} == saved
    assert clips(tmp_path) == ["a.mp4", "b.mp4"]


def test_a_generation_from_elsewhere_is_fetched_into_the_store(command: Command, tmp_path: Path, store: str) -> None:
    write_jobs(tmp_path / "jobs.jsonl", {**JOB, "id": "a"})
    command(*quick("jobs.jsonl"))
    generation = rows(tmp_path / "out")["a"]["generation_id"]
    assert command("adopt", "--", store, generation).exit_code == 0
    assert command("resume", str(journal_folder(store)), "--poll", "every:0.05").exit_code == 0
    assert len(clips(tmp_path)) == 1


@for_each("words", [["status"], ["reconcile"], ["report"]])
def test_a_run_is_known_by_the_url_of_its_clips(command: Command, halted: str, words: list[str]) -> None:
    done = command(*words, halted)
    assert done.exit_code in (0, 1), done.output  # 1: other runs have bought from this sandbox
    assert "there is no journal" not in done.output


def test_a_store_that_cannot_be_written_leaves_nothing_planned(command: Command, tmp_path: Path, store: str) -> None:
    write_jobs(tmp_path / "jobs.jsonl", {**JOB, "id": "a"})
    nowhere = f"{store}/nowhere"
    refused = command("run", "jobs.jsonl", "-o", nowhere)
    assert refused.exit_code == 2
    assert "cannot be written" in refused.output
    assert not journal_folder(nowhere).exists()
