"""What an output folder says of the jobs that have ended in it: the journal first, `results.jsonl` after it."""

from __future__ import annotations

from pathlib import Path

import pytest

from aimlvideo.core.jobs.file_names import JOURNAL
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.shell.journal.sqlite_reader import read_journal
from tests.fakes import JOB, FakeClient, FakeService, quick_downloads, run_all


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
