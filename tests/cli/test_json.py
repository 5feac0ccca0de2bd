"""What programs read: one JSON object on stdout, and nothing else there."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from typer.testing import CliRunner, Result

from aimlvideo.cli.app import app
from aimlvideo.core.jobs.file_names import JOURNAL
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.errors import ContentRefused, GenerationFailed
from aimlvideo.sandbox import Sandbox
from aimlvideo.shell.journal.sqlite import open_journal
from tests.cli.conftest import Command, quick, write_jobs

MODEL = "alibaba/wan-2-6-t2v"
NAMES = ("\u6d6a", "b")


def value_of(done: Result) -> dict[str, Any]:
    """Return the one object on stdout."""
    value: dict[str, Any] = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    return value


def test_status_says_to_a_program_where_all_jobs_stand(tmp_path: Path) -> None:
    async def write() -> None:
        async with open_journal(tmp_path / JOURNAL) as journal:
            steps = {
                "done": Progress(Stage.SAVED, generation_id="g-1", cost_usd=0.5, file="done.mp4"),
                "waits": Progress(Stage.RENDERING, generation_id="g-2", submitted_at=1.0, status="queued"),
                "broken": Progress(Stage.FAILED, error=GenerationFailed("out of memory")),
                "refused": Progress(Stage.FAILED, error=ContentRefused("a face")),
            }
            for name, progress in steps.items():
                journal.step(journal.plan(VideoJob(MODEL, id=name, prompt="waves")).job, progress)
            journal.plan(VideoJob(MODEL, id="later", prompt="waves"))

    anyio.run(write)
    value = value_of(CliRunner().invoke(app, ["status", str(tmp_path), "--json"]))
    assert value["jobs"] == {"saved": 1, "rendering": 1, "failed": 2, "planned": 1}
    assert value["exit_code"] == 3
    assert value["spent_usd"] == 0.5
    assert value["failed"] == {"count": 1, "first": [{"id": "broken", "reason": "out of memory"}]}
    assert value["refused_content"]["first"][0]["id"] == "refused"
    waiting = {"id": "waits", "stage": "rendering", "generation_id": "g-2", "request_id": None, "status": "queued"}
    assert value["outstanding"] == [waiting | {"reason": None}]


@pytest.mark.real_time
@pytest.mark.parametrize(
    ("duration", "code", "expected"),
    [(5, 0, {"jobs": 2, "jobs_without_price": 0, "problems": []}), ("long", 2, {})],
    ids=["right", "wrong"],
)
def test_check_says_to_a_program_what_a_file_costs_and_what_is_wrong(
    tmp_path: Path, sandbox: Sandbox, duration: Any, code: int, expected: dict[str, Any]
) -> None:
    jobs = [{"id": name, "model": MODEL, "prompt": name, "duration": duration} for name in ("a", "b")]
    (tmp_path / "jobs.jsonl").write_text("\n".join(map(json.dumps, jobs)))
    words = ["check", str(tmp_path / "jobs.jsonl"), "--json", "--base-url", sandbox.url, "--api-key", "k"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == code, done.output
    value = value_of(done)
    assert {name: value[name] for name in expected} == expected
    if code:
        assert "duration" in value["problems"][0]
    else:
        assert value["usd"] == pytest.approx(sum(model["usd"] for model in value["models"].values()))
        assert value["usd"] > 0


def lines_of(done: Result) -> list[tuple[str, str]]:
    """Return the id and the stage of each line on stdout, in the order of the ids."""
    return sorted((line["id"], line["stage"]) for line in map(json.loads, done.stdout.splitlines()))


@pytest.mark.real_time
def test_a_run_whose_jobs_have_all_ended_prints_their_lines_again(command: Command, tmp_path: Path) -> None:
    jobs = [{"id": name, "model": MODEL, "prompt": name, "duration": 5} for name in ("a", "b")]
    write_jobs(tmp_path / "jobs.jsonl", *jobs)
    first = command(*quick("jobs.jsonl"), "--json")
    again = command(*quick("jobs.jsonl"), "--json")
    assert first.exit_code == again.exit_code == 0, again.output
    assert lines_of(again) == lines_of(first) == [("a", "saved"), ("b", "saved")]
    whole_folder = command("resume", "out", "--json")
    assert sorted(whole_folder.stdout.splitlines()) == sorted(first.stdout.splitlines())


@pytest.mark.real_time
def test_a_run_prints_one_line_for_each_job_of_its_file_whether_it_ended_before_or_now(
    command: Command, tmp_path: Path, sandbox: Sandbox
) -> None:
    jobs = {name: {"id": name, "model": MODEL, "prompt": name, "duration": 5} for name in ("a", "b", "c")}
    write_jobs(tmp_path / "jobs.jsonl", jobs["a"])
    sandbox.set(status_error=1.0)
    command(*quick("jobs.jsonl"))
    sandbox.set(status_error=0.0)
    write_jobs(tmp_path / "jobs.jsonl", jobs["b"])
    command(*quick("jobs.jsonl"))
    write_jobs(tmp_path / "jobs.jsonl", jobs["a"], jobs["c"])
    done = command(*quick("jobs.jsonl"), "--json")
    assert done.exit_code == 1, done.output
    assert lines_of(done) == [("a", "failed"), ("c", "saved")]
    retried = command(*quick("jobs.jsonl"), "--json", "--retry-failed")
    assert lines_of(retried) == [("a", "saved"), ("c", "saved")]


@pytest.mark.real_time
def test_generate_prints_the_line_of_its_clip_and_also_of_one_that_failed(
    command: Command, tmp_path: Path, sandbox: Sandbox
) -> None:
    words = (
        "generate",
        MODEL,
        "-p",
        "waves",
        "--set",
        "duration=5",
        "-o",
        "waves.mp4",
        "--poll",
        "every:0.1",
        "--json",
    )
    sandbox.set(status_error=1.0)
    failed = command(*words)
    sandbox.set(status_error=0.0)
    assert failed.exit_code == 1, failed.output
    line = value_of(failed)
    assert (line["stage"], line["file"]) == ("failed", None)
    assert line["error"]
    assert line["generation_id"]
    line = value_of(command(*words))
    assert (line["stage"], line["file"]) == ("saved", "waves.mp4")
    clip = (tmp_path / "waves.mp4").read_bytes()
    assert (line["bytes"], line["sha256"]) == (len(clip), hashlib.sha256(clip).hexdigest())


@pytest.mark.real_time
def test_what_a_command_shows_of_a_run_a_program_reads_as_one_object(command: Command, tmp_path: Path) -> None:
    jobs = [{"id": name, "model": MODEL, "prompt": name, "duration": 5} for name in NAMES]
    write_jobs(tmp_path / "jobs.jsonl", *jobs)
    done = command(*quick("jobs.jsonl"), "--json")
    assert done.exit_code == 0, done.output
    files = {line["id"]: line["file"] for line in map(json.loads, done.stdout.splitlines())}
    report = value_of(command("report", "out", "--sheet", "--json"))
    assert {name: (tmp_path / path).is_file() for name, path in report.items()} == {"page": True, "sheet": True}
    film = value_of(command("join", "out", "-o", "film.mp4", "--json"))
    assert film["film"] == "film.mp4"
    assert sorted(film["clips"]) == sorted(str(Path("out") / file) for file in files.values())
    assert film["seconds"] > 0
    assert value_of(command("show", f"out/{files['b']}", "--json"))["id"] == "b"
    # A process of its own: what stands in for its output here has no code page.
    shown = [sys.executable, "-m", "aimlvideo", "show", f"out/{files[NAMES[0]]}"]
    old = subprocess.run(shown, capture_output=True, check=True, env={**os.environ, "PYTHONIOENCODING": "cp1252"})
    assert json.loads(old.stdout.decode("utf-8"))["prompt"] == NAMES[0]
    assert value_of(command("uploads", "out", "--json")) == {"folders": [], "removed": 0}
    bills = value_of(command("reconcile", "out", "--json"))
    assert {bill["job"] for bill in bills["bills"]} >= {*NAMES}
    assert bills["total_usd"] > 0


@pytest.mark.real_time
def test_what_a_command_shows_of_the_service_a_program_reads_as_one_object(command: Command) -> None:
    balance = value_of(command("balance", "--json"))
    assert balance["service"] == "aimlapi"
    assert balance["balance_usd"] > 0
    models = value_of(command("models", "wan", "--prices", "--json"))["models"]
    assert MODEL in {model["id"] for model in models}
    assert all(isinstance(model["takes"], list) and model["price"] for model in models)
    page = value_of(command("models", MODEL, "--json"))
    assert "prompt" in {parameter["name"] for parameter in page["parameters"] if parameter["required"]}
    assert page["example"]["model"] == MODEL
    assert value_of(command("models", MODEL, "--example", "--json")) == page["example"]
    assert value_of(command("doctor", "--json"))["ok"] is True
