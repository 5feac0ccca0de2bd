"""Workers put large files into folders of their own; what one leaves behind, another one removes when it may."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aimlvideo.cli.job_reader import ReaderOptions
from aimlvideo.cli.shared_jobs import SharedJobs
from aimlvideo.errors import SettingsError
from aimlvideo.sandbox import Behaviour, Sandbox
from aimlvideo.shell.files.uploads import FOLDER_FACT, UploadStore
from aimlvideo.shell.journal.base import UPLOAD
from aimlvideo.shell.journal.postgres_sync import open_sync_journal
from aimlvideo.shell.task_groups import task_group
from tests.distributed.test_worker import QUIET, counts, job, opened
from tests.shell.files.test_uploads import LARGE, PLACE, store, uploads_in
from tests.waiting import until

__all__ = ["store"]
pytestmark = [pytest.mark.long, pytest.mark.real_time]


def queue_large(dsn: str, folder: Path, count: int) -> None:
    """Queue jobs of one large picture, with a place for it, as the command does."""
    (folder / "large.png").write_bytes(LARGE)
    lines = [job(number, image_url="large.png") for number in range(count)]
    (folder / "jobs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    file = str(folder / "jobs.jsonl")
    SharedJobs(dsn, QUIET).queue(file, ReaderOptions(upload=PLACE), retry_failed=False)


@pytest.fixture
def queued(dsn: str, tmp_path: Path) -> str:
    """Give a database with 3 jobs of one large picture in its queue."""
    queue_large(dsn, tmp_path, 3)
    return dsn


async def test_a_file_outlives_its_worker_while_a_generation_may_fetch_it_and_is_removed_by_the_next(
    queued: str, tmp_path: Path, store: dict[str, Any]
) -> None:
    dsn = queued
    async with Sandbox(Behaviour(seconds=2.5, video="tiny")) as sandbox:
        async with opened(dsn, tmp_path, sandbox.url) as first, task_group() as tasks:
            tasks.start_soon(first.run)
            await until(lambda: counts(dsn).get("rendering") == 3)
            await first.stop()
        assert len(uploads_in()) == 1
        async with opened(dsn, tmp_path, sandbox.url) as second:
            await second.run()
        assert sandbox.stats()["accepted"] == 3
    assert counts(dsn) == {"saved": 3}
    assert uploads_in() == []
    for worker in (first, second):
        assert worker.journal._open_db is None, "a connection that blocks would hold up all that a worker has in hand"
    with open_sync_journal(dsn) as journal:
        assert journal.facts(FOLDER_FACT) == {}


@pytest.mark.usefixtures("store")
async def test_the_queued_place_for_uploads_is_tried_once_as_a_worker_begins(
    queued: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []
    check = UploadStore.check
    monkeypatch.setattr(UploadStore, "check", lambda store: (tried.append(store.url), check(store)))
    async with Sandbox(Behaviour(seconds=0.1, video="tiny")) as sandbox, opened(queued, tmp_path, sandbox.url):
        assert tried == [PLACE]


async def test_a_worker_that_cannot_use_the_queued_place_for_uploads_says_who_named_it_and_the_cure(
    queued: str, tmp_path: Path
) -> None:
    with open_sync_journal(queued) as journal:
        journal.note(UPLOAD, "nonesuch://bucket/prefix")
    async with Sandbox(Behaviour(seconds=0.1, video="tiny")) as sandbox:
        with pytest.raises(SettingsError, match=r"nonesuch://bucket/prefix .*`aimlvideo enqueue JOBS --upload URL`"):
            async with opened(queued, tmp_path, sandbox.url):
                pass
        assert sandbox.stats()["accepted"] == 0
