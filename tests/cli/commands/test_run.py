"""`aimlvideo run`: what a command leaves behind that ended before all of its jobs were planned."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from aimlvideo.cli.commands.run import Planner
from aimlvideo.cli.exit_codes import UNFINISHED
from aimlvideo.cli.options import JobFileOptions, ServiceOptions
from aimlvideo.cli.run_options import RunOptions
from aimlvideo.cli.service_facts import NO_FACTS
from aimlvideo.cli.session import RunSession
from aimlvideo.cli.terminal import Terminal
from aimlvideo.core.jobs.file_names import JOURNAL
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.jobs.templates import MATRIX
from aimlvideo.errors import JournalError, VideoError
from aimlvideo.shell.files.job_files import JobFile
from aimlvideo.shell.journal.sqlite import open_journal
from tests.fakes import JOB, FakeClient, FakeService


@pytest.fixture
def planner(tmp_path: Path) -> Planner:
    """Return what plans one job, of a model that the service has to be asked for."""
    (tmp_path / "jobs.jsonl").write_text(json.dumps({**JOB, "id": "a", "model": "kling-video/v99/text-to-video"}))
    options, settings = RunOptions(output=tmp_path / "out"), ServiceOptions(api_key="k").client_options()
    return Planner(JobFile(str(tmp_path / "jobs.jsonl")), settings, options, Terminal(quiet=True))


async def interrupted(planner: Planner) -> None:
    """Interrupt a command while the service is asked for a model."""
    async with FakeClient(FakeService(latency=2)) as client:
        with anyio.move_on_after(1) as scope:
            async with planner.planned(client, NO_FACTS):
                pass
        assert scope.cancelled_caught


async def test_a_command_that_is_interrupted_before_its_jobs_are_planned_leaves_no_folder(planner: Planner) -> None:
    await interrupted(planner)
    assert not planner.options.output.exists()


async def test_a_folder_that_was_there_keeps_its_files_and_gets_no_empty_journal(planner: Planner) -> None:
    planner.options.output.mkdir()
    (planner.options.output / "notes.txt").touch()
    await interrupted(planner)
    assert [path.name for path in planner.options.output.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("matrix", [True, False])
async def test_the_page_of_a_run_is_to_compare_the_clips_of_a_matrix(planner: Planner, matrix: bool) -> None:
    lists = {"matrix": {"duration": [5, 10]}} if matrix else {}
    Path(planner.file.name).write_text(json.dumps({**JOB, "id": "a", **lists}))
    asked = replace(planner, reading=JobFileOptions(matrix=matrix))
    async with FakeClient(FakeService()) as client, asked.planned(client, NO_FACTS) as journal:
        assert (journal.fact(MATRIX) is not None) is matrix
        assert journal.counts() == {"planned": 2 if matrix else 1}


async def test_the_journal_of_another_process_stays_when_a_command_is_refused_it(planner: Planner) -> None:
    planner.options.output.mkdir()
    async with open_journal(planner.options.output / JOURNAL), FakeClient(FakeService()) as client:
        with pytest.raises(JournalError, match="in use by another run"):
            async with planner.planned(client, NO_FACTS):
                pass
        assert (planner.options.output / JOURNAL).exists()


def test_a_command_that_is_interrupted_before_its_jobs_are_planned_does_not_end_as_the_runs_before_it_did(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def interrupted() -> VideoError | None:
        async with open_journal(tmp_path / JOURNAL) as journal:
            saved = journal.plan(VideoJob("m", id="earlier")).job
            journal.step(saved, Progress(Stage.SAVED, file="earlier.mp4"))
        raise KeyboardInterrupt

    session = RunSession(RunOptions(output=tmp_path), Terminal(), whole_folder=False)
    assert session.to_the_end(interrupted) == UNFINISHED
    assert capsys.readouterr().out == "interrupted\n"
