"""What a job file costs, before anything is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from aimlvideo.sandbox import Sandbox
from tests.cli.conftest import Command, write_jobs

JOB = {"model": "alibaba/wan-2-6-t2v", "prompt": "waves", "duration": 5}


def test_a_dry_run_is_a_check(command: Command, tmp_path: Path, sandbox: Sandbox) -> None:
    write_jobs(tmp_path / "jobs.jsonl", {**JOB, "id": "a"})
    posts = sandbox.stats()["posts"]
    dry = command("run", "jobs.jsonl", "-o", "out", "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert dry.output == command("check", "jobs.jsonl").output
    assert sandbox.stats()["posts"] == posts
    assert not (tmp_path / "out").exists()


def test_the_sandbox_prices_a_file_without_a_key_or_a_network(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIMLAPI_API_KEY")
    monkeypatch.setenv("AIMLAPI_BASE_URL", "http://127.0.0.1:9")
    write_jobs(tmp_path / "jobs.jsonl", {**JOB, "id": "a"})
    checked = command("check", "jobs.jsonl", "--sandbox")
    assert checked.exit_code == 0, checked.output
    assert "unknown" not in checked.output


@pytest.fixture
def keyless_and_offline(command: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.delenv("AIMLAPI_API_KEY")
    monkeypatch.setenv("AIMLAPI_BASE_URL", "http://127.0.0.1:9")
    return command


@pytest.mark.parametrize(
    ("service", "model", "reason"),
    [
        ("aimlapi", "alibaba/wan-2-6-t2v", "the price list of AI/ML API cannot be read ("),
        ("kling", "kling-v1-6", "a Kling gateway publishes no price list"),
    ],
)
def test_a_price_that_is_unknown_says_why_and_which_key_to_set(
    keyless_and_offline: Command, tmp_path: Path, service: str, model: str, reason: str
) -> None:
    write_jobs(tmp_path / "jobs.jsonl", {"model": model, "prompt": "waves"})
    checked = keyless_and_offline("check", "jobs.jsonl", "--service", service)
    assert checked.exit_code == 0, checked.output
    (note,) = [line for line in checked.stderr.splitlines() if "price unknown" in line]
    assert reason in note
    assert "set AIMLAPI_API_KEY or AIML_API_KEY, or use --sandbox" in note


def test_a_price_list_that_only_fails_says_so_without_a_word_of_keys(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIMLAPI_BASE_URL", "http://127.0.0.1:9")
    write_jobs(tmp_path / "jobs.jsonl", JOB)
    said = command("check", "jobs.jsonl").stderr
    assert "price unknown: the price list" in said
    assert "API key" not in said


@pytest.mark.parametrize(
    "words", [["check", "jobs.jsonl"], ["balance"], ["run", "jobs.jsonl", "-o", "out"], ["models", "--prices"]]
)
def test_a_wrong_key_ends_every_command_with_2(command: Command, tmp_path: Path, words: list[str]) -> None:
    write_jobs(tmp_path / "jobs.jsonl", {**JOB, "id": "a"})
    done = command(*words, "--api-key", "bad-key")
    assert done.exit_code == 2, done.output
    assert "API key (401)" in done.output
    assert "bad-key" not in done.output
    assert not (tmp_path / "out" / "journal.sqlite3").exists()


def test_no_price_list_and_no_match_are_told_apart(command: Command) -> None:
    assert "no model matches '--max-price'" not in command("models", "--max-price", "100").output
    nothing = command("models", "kling", "--max-price", "0.0001")
    assert nothing.exit_code == 2
    assert "no model matches 'kling' and --max-price" in nothing.output
    away = command("models", "kling", "--max-price", "5", "--base-url", "http://127.0.0.1:9")
    assert away.exit_code == 2
    assert "price list cannot be read" in away.output
    shown = command("models", "kling", "--prices", "--base-url", "http://127.0.0.1:9")
    assert shown.exit_code == 0
    assert "price list cannot be read" in shown.output
