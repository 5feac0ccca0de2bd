"""What an output folder says of the jobs that have ended in it: the journal first, `results.jsonl` after it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import anyio
import pytest

from aimlvideo.cli.run_folder import RunFolder
from aimlvideo.core.jobs.file_names import JOURNAL, RESULTS
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.errors import GenerationFailed, JournalError, SettingsError
from aimlvideo.shell.files.output_folders import OpenFolders, open_folder_journal
from aimlvideo.shell.journal.base import Journal
from aimlvideo.shell.journal.sqlite import open_journal
from aimlvideo.shell.journal.sqlite_reader import read_journal
from tests.cases import for_each
from tests.fakes import GATEWAY_JOB, JOB, FakeClient, FakeGateway, FakeService, quick_downloads, run_all


class PowerCut(BaseException):
    """Nothing after this is written."""


async def test_a_process_that_dies_while_it_opens_a_folder_leaves_no_saved_job_without_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_downloads(monkeypatch)
    async with FakeClient(FakeService(seconds=5)) as client:
        await run_all(client, [{**JOB, "id": "gone"}, {**JOB, "id": "there"}], output=tmp_path)
        (tmp_path / "gone.mp4").unlink()
        stages: dict[str, Stage] = {}

        def replaced(part: Path, path: Path) -> None:
            """See what a process would find that comes after one that dies at this moment."""
            with read_journal(tmp_path / JOURNAL) as journal:
                stages.update((job.id, progress.stage) for job, progress in journal.open_jobs())
            raise PowerCut

        monkeypatch.setattr(Path, "replace", replaced)
        with pytest.raises(PowerCut):
            await run_all(client, [{**JOB, "id": "there"}], output=tmp_path)
    assert stages == {"gone": Stage.READY}, "the journal knows that a clip is gone before results.jsonl forgets it"


async def test_a_folder_whose_uploads_are_just_being_removed_is_waited_for_and_not_refused(tmp_path: Path) -> None:
    @asynccontextmanager
    async def uploads_of(journal: Journal) -> AsyncIterator[None]:
        await anyio.sleep(2)
        yield None
        await anyio.sleep(30)

    folders, opened_at = OpenFolders(uploads_of, "aimlapi"), dict[int, float]()

    async def use(after: int) -> None:
        await anyio.sleep(after)
        async with folders.open(tmp_path, verify=False, remote=False):
            opened_at[after] = anyio.current_time() - began
            await anyio.sleep(5)

    began = anyio.current_time()
    async with anyio.create_task_group() as tasks:
        for after in (0, 1, 10, 20):
            tasks.start_soon(use, after)
    assert opened_at == {0: 2, 1: 2, 10: 39, 20: 39}


SENT = 1795752000.0
FAILED = Progress(Stage.FAILED, "r-0", "gen-0", submitted_at=SENT, error=GenerationFailed("no GPU"))
SENDING, IN_DOUBT = (Progress(stage, "r-1", submitted_at=SENT) for stage in (Stage.SUBMITTING, Stage.IN_DOUBT))
SAVED = {"id": "a", "stage": "saved", "generation_id": "gen-1", "submitted_at": "2026-11-27T05:00:00Z"}
FAILED_ROW: dict[str, Any] = {**SAVED, "id": "b", "stage": "failed", "video_url": None}
SAVED_AT_FIRST = {**SAVED, "submitted_at": "2026-11-27T04:00:00Z"}
LINK_DEAD = {**FAILED_ROW, "video_url": "https://files.example.com/gen-1.mp4"}


@for_each(
    ("progress", "row", "is_older"),
    [
        pytest.param(FAILED, SAVED, True, id="a job that had failed has been saved since"),
        pytest.param(FAILED, {**SAVED, "generation_id": "gen-0"}, False, id="that generation has been repaired"),
        pytest.param(Progress(), SAVED, True, id="a planned job has been bought since"),
        pytest.param(Progress(), {**SAVED, "id": "b"}, True, id="a job has been planned and bought since"),
        pytest.param(Progress(), LINK_DEAD, True, id="what failed with a clip was paid"),
        pytest.param(Progress(), FAILED_ROW, False, id="what failed without a clip was not"),
        pytest.param(Progress(), {**FAILED_ROW, "cost_usd": 0.25}, True, id="what failed was charged"),
        pytest.param(Progress(), {**FAILED_ROW, "cost_units": 3.0}, True, id="charged in units"),
        pytest.param(Progress(), {**FAILED_ROW, "cost_usd": 0.0}, False, id="it was charged nothing"),
        pytest.param(SENDING, SAVED_AT_FIRST, False, id="what was being sent is looked up"),
        pytest.param(IN_DOUBT, SAVED_AT_FIRST, False, id="what was in doubt is looked up"),
        pytest.param(IN_DOUBT, SAVED, True, id="what was in doubt has been sent again since"),
    ],
)
async def test_a_journal_is_an_older_copy_where_the_results_have_a_paid_generation_that_it_will_never_know(
    tmp_path: Path, progress: Progress, row: dict[str, Any], is_older: bool
) -> None:
    async with open_journal(tmp_path / JOURNAL) as journal:
        journal.plan(VideoJob("m", id="a"))
        journal.step(VideoJob("m", id="a"), progress)
    (tmp_path / RESULTS).write_text(json.dumps(row) + "\n")
    refused = pytest.raises(JournalError, match=f"has generation gen-1 of job '{row['id']}'")
    with refused if is_older else nullcontext():
        async with open_folder_journal(tmp_path):
            pass


async def test_a_folder_that_was_begun_with_one_service_is_refused_to_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_downloads(monkeypatch)
    gateway, other = FakeGateway(seconds=5), FakeService(seconds=5)
    async with FakeClient(gateway, service="kling") as client:
        await run_all(client, [{**GATEWAY_JOB, "id": "a"}], output=tmp_path)
    assert RunFolder(tmp_path).service() == "kling", "`aimlvideo resume` asks where it was bought"
    async with FakeClient(other) as client:
        with pytest.raises(SettingsError, match="was started with service 'kling': use that, or another folder"):
            await run_all(client, [{**JOB, "id": "b"}], output=tmp_path)
    assert other.posted_at == []


async def test_a_folder_of_an_earlier_release_whose_service_was_not_noted_goes_on_with_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_downloads(monkeypatch)
    async with FakeClient(FakeGateway(seconds=5), service="kling") as client:
        await run_all(client, [{**GATEWAY_JOB, "id": "a"}], output=tmp_path)
        async with open_journal(tmp_path / JOURNAL) as journal:
            journal.forget("service")
        for name in "bc":
            results = await run_all(client, [{**GATEWAY_JOB, "id": name}], output=tmp_path)
            assert results[name].stage is Stage.SAVED
