"""What programs read: one JSON object on stdout, and nothing else there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from typer.testing import CliRunner, Result

from aimlvideo.cli.app import app
from aimlvideo.core.jobs.file_names import JOURNAL
from aimlvideo.core.jobs.job import Progress, VideoJob
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.errors import ContentRefused, GenerationFailed
from aimlvideo.sandbox import Sandbox
from aimlvideo.shell.journal.sqlite import open_journal
from tests.cli.conftest import Command, quick, write_jobs

MODEL = "alibaba/wan-2-6-t2v"


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
