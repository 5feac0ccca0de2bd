"""A folder of the embedded sandbox's clips: never mixed with bought ones, and carried on when that sandbox is gone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from typer.testing import CliRunner

from aimlvideo.cli import session
from aimlvideo.cli.app import app
from aimlvideo.cli.embedded_sandbox import sandbox_here
from aimlvideo.cli.run_folder import SANDBOX, RunFolder
from aimlvideo.core.jobs.file_names import JOURNAL
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.sandbox import Sandbox
from aimlvideo.shell.journal.sqlite import open_journal
from aimlvideo.shell.journal.sqlite_reader import read_journal

JOB: dict[str, Any] = {"id": "waves", "model": "alibaba/wan-2-6-t2v", "prompt": "waves", "duration": 5}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the embedded sandbox make its clips at once."""
    monkeypatch.setattr(session, "sandbox_here", lambda: sandbox_here(seconds=0.05, video="tiny"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "jobs.jsonl"
    path.write_text(json.dumps(JOB))
    return path


def begun(folder: Path, stage: Stage, *, sandbox: bool, **known: Any) -> None:
    """Leave a folder as a run has left it."""

    async def write() -> None:
        folder.mkdir()
        async with open_journal(folder / JOURNAL) as journal:
            job = journal.plan(VideoJob(**JOB)).job
            journal.note("service", "aimlapi")
            journal.note(SANDBOX, "yes" if sandbox else "")
            journal.step(job, Progress(stage, request_id="av-1", submitted_at=1.0, **known))

    anyio.run(write)


def test_what_a_folder_was_begun_with_is_read_by_opening_its_journal_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(tmp_path / "out", Stage.PLANNED, sandbox=True)
    opened: list[Path] = []

    def noted(path: Path) -> Any:
        opened.append(path)
        return read_journal(path)

    monkeypatch.setattr("aimlvideo.cli.run_folder.read_journal", noted)
    folder = RunFolder(tmp_path / "out")
    assert (folder.service(), folder.is_sandbox, folder.fact("naming")) == ("aimlapi", True, None)
    assert opened == [tmp_path / "out" / JOURNAL]


@pytest.mark.real_time
@pytest.mark.parametrize("stage", [Stage.RENDERING, Stage.IN_DOUBT])
@pytest.mark.parametrize("command", ["run", "resume"])
def test_what_a_sandbox_had_begun_that_is_gone_is_made_by_the_next_one(
    stage: Stage, command: str, file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    begun(out, stage, sandbox=True, generation_id="gone" if stage is Stage.RENDERING else None)
    words = ["run", str(file), "-o", str(out), "--sandbox"] if command == "run" else ["resume", str(out)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "1 saved" in done.output
    assert "made by the embedded sandbox: test pictures, and nothing was paid" in done.output
    with read_journal(out / JOURNAL) as journal:
        assert [attempt.request_id for attempt in journal.attempts("waves")][:1] == ["av-1"], "no id is forgotten"


@pytest.mark.real_time
def test_clips_of_the_sandbox_are_never_taken_for_bought_ones(file: Path, tmp_path: Path, sandbox: Sandbox) -> None:
    out = tmp_path / "out"
    begun(out, Stage.SAVED, sandbox=True, file="waves.mp4", generation_id="g-1")
    before = sandbox.stats()["posts"]
    done = CliRunner().invoke(app, ["run", str(file), "-o", str(out), "--base-url", sandbox.url, "--api-key", "k"])
    assert done.exit_code == 2
    assert f"the clips in {out} are the embedded sandbox's: add --sandbox, or use another folder" in done.output
    assert sandbox.stats()["posts"] == before


def test_the_sandboxs_clips_do_not_join_bought_ones(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    begun(out, Stage.SAVED, sandbox=False, file="waves.mp4", generation_id="g-1")
    done = CliRunner().invoke(app, ["run", str(file), "-o", str(out), "--sandbox"])
    assert done.exit_code == 2
    assert (
        f"the clips in {out} are not the embedded sandbox's: leave out --sandbox, or use another folder" in done.output
    )


@pytest.mark.parametrize("words", [("adopt", "out", "gen-1"), ("wait", "gen-1", "-o", "out")])
def test_a_real_generation_is_not_taken_into_a_sandbox_s_folder_where_its_id_would_be_dropped(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AIMLAPI_API_KEY", "k")
    begun(Path("out"), Stage.SAVED, sandbox=True, generation_id="g", file="waves.mp4")
    refused = CliRunner().invoke(app, words)
    assert refused.exit_code == 2
    assert "are the embedded sandbox's: use another folder" in refused.output
    with read_journal(Path("out") / JOURNAL) as journal:
        assert journal.by_generation("gen-1") is None


def test_a_journal_is_not_recovered_where_there_is_no_folder(tmp_path: Path) -> None:
    refused = CliRunner(env={"AIMLAPI_API_KEY": None}).invoke(app, ["recover", str(tmp_path / "nowhere")])
    assert refused.exit_code == 2
    assert "there is no folder" in refused.output


@pytest.mark.parametrize("words", [("adopt", "out", "gen-1"), ("wait", "gen-1", "-o", "out"), ("wait", "-o", "out")])
def test_a_generation_is_not_taken_into_a_folder_of_another_service_where_nobody_knows_it(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AIMLAPI_API_KEY", "k")
    begun(Path("out"), Stage.SAVED, sandbox=False, generation_id="g", file="waves.mp4")
    refused = CliRunner().invoke(app, [*words, "--service", "kling"])
    assert refused.exit_code == 2
    assert "out was started with service 'aimlapi': use that, or another folder" in refused.output
    with read_journal(Path("out") / JOURNAL) as journal:
        assert journal.by_generation("gen-1") is None


@pytest.mark.parametrize(
    ("fact", "reason"), [((SANDBOX, "yes"), "embedded sandbox's"), (("service", "kling"), "has no ledger to ask for")]
)
def test_the_ledger_of_one_service_is_not_held_against_clips_of_another_or_of_a_sandbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fact: tuple[str, str], reason: str
) -> None:
    monkeypatch.setenv("AIMLAPI_API_KEY", "k")
    monkeypatch.setenv("AIMLAPI_BASE_URL", "http://127.0.0.1:9")

    async def write() -> None:
        async with open_journal(tmp_path / JOURNAL) as journal:
            journal.note(*fact)
            journal.adopt(VideoJob(**JOB), Progress(Stage.RENDERING, generation_id="gen-1"))

    anyio.run(write)
    refused = CliRunner().invoke(app, ["reconcile", str(tmp_path)])
    assert refused.exit_code == 2
    assert reason in refused.output
