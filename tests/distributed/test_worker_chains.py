"""Two workers on one database make a chain: a shot begins when the one before it is saved, and is bought once."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest

from aimlvideo import JobList
from aimlvideo.cli.worker_actions import init_database, queue_file
from aimlvideo.distributed.worker import GIVEN_BACK_FOR, Handback
from aimlvideo.errors import InvalidJobs
from aimlvideo.sandbox import Behaviour, Sandbox
from aimlvideo.shell.journal.postgres import open_sync_journal
from tests.distributed.test_worker import MODEL, QUIET, counts, opened

pytestmark = [pytest.mark.long, pytest.mark.real_time]


def shot(name: str, parent: str = "", **more: Any) -> dict[str, Any]:
    picture: Any = {"from": parent, "frame": "last"} if parent else "https://example.com/a.png"
    return {"model": MODEL, "id": name, "prompt": name, "image_url": picture, "duration": 5, **more}


def queue(dsn: str, folder: Path, *lines: dict[str, Any]) -> None:
    """Queue jobs as the command does."""
    path = folder / "jobs.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    queue_file(str(path), dsn, {"service": "aimlapi"}, QUIET, retry_failed=False)


@pytest.fixture
def empty_queue(dsn: str) -> str:
    init_database(dsn, QUIET)
    return dsn


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let jobs that wait for a parent be looked at again at once."""
    for reason in (Handback.PARENT_BEGUN, Handback.PARENT_PLANNED):
        monkeypatch.setitem(GIVEN_BACK_FOR, reason, 0.2)


async def test_two_workers_make_a_chain_of_four_and_buy_each_shot_once(empty_queue: str, tmp_path: Path) -> None:
    dsn = empty_queue
    queue(dsn, tmp_path, shot("d", "c"), shot("c", "b"), shot("b", "a"), shot("a"), shot("alone"))
    async with Sandbox(Behaviour(seconds=0.2, video="tiny")) as sandbox:
        workers = opened(dsn, tmp_path, sandbox.url), opened(dsn, tmp_path, sandbox.url)
        async with workers[0] as first, workers[1] as second, anyio.create_task_group() as tasks:
            tasks.start_soon(first.run)
            tasks.start_soon(second.run)
        assert sandbox.stats()["accepted"] == 5
    assert counts(dsn) == {"saved": 5}
    with open_sync_journal(dsn) as journal:
        moments = [journal.find(name).progress for name in "abcd"]  # type: ignore[union-attr]
    for before, after in pairwise(moments):
        assert before.saved_at <= after.submitted_at  # type: ignore[operator]


async def test_a_parent_that_fails_fails_its_children_on_every_worker(empty_queue: str, tmp_path: Path) -> None:
    dsn = empty_queue
    queue(dsn, tmp_path, shot("c", "b"), shot("b", "a"), shot("a"))
    async with Sandbox(Behaviour(seconds=0.1, video="tiny", status_error=1.0)) as sandbox:
        async with opened(dsn, tmp_path, sandbox.url) as worker:
            await worker.run()
        assert sandbox.stats()["accepted"] == 1
    assert counts(dsn) == {"failed": 3}
    with open_sync_journal(dsn) as journal:
        assert "job 'b', which failed" in str(journal.find("c").progress.error)  # type: ignore[union-attr]


def test_a_chain_that_cannot_be_is_refused_when_it_is_queued(empty_queue: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidJobs, match="the id of a job of this file, got 'nobody'"):
        queue(empty_queue, tmp_path, shot("a"), shot("b", "nobody"))
    queue(empty_queue, tmp_path, shot("a"))
    queue(empty_queue, tmp_path, shot("b", "a"))
    assert counts(empty_queue) == {"planned": 2}


async def test_an_application_adds_a_chain_and_is_told_what_is_wrong_with_one(empty_queue: str) -> None:
    async with JobList(empty_queue) as listed:
        assert await listed.add([shot("b", "a"), shot("a")]) == ["b", "a"]
        assert await listed.add(shot("c", "a")) == "c"
        with pytest.raises(InvalidJobs, match="'nobody'"):
            await listed.add(shot("d", "nobody"))
