"""Chains on many machines: a shot waits in the queue until the clip that it begins with is saved, wherever that is."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import psycopg
import pytest

from aimlvideo import JobList
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.distributed.open_worker import open_worker
from aimlvideo.distributed.shared_account import AccountLimits
from aimlvideo.errors import InvalidJobs
from aimlvideo.sandbox import Behaviour, Sandbox
from aimlvideo.shell.journal.postgres_sync import open_sync_journal
from tests.distributed.test_exit_codes import command
from tests.distributed.test_worker import counts, opened, queue
from tests.waiting import until

pytestmark = [pytest.mark.long, pytest.mark.real_time]
pytest.importorskip("av")

PICTURE = "kling-video/v1.6/pro/image-to-video"


def shot(number: int, **more: Any) -> dict[str, Any]:
    """Return one shot of a film, which begins with the last frame of the one before it."""
    before = {"from": f"shot-{number - 1}", "frame": "last"} if number > 1 else "https://example.com/a.png"
    return {"id": f"shot-{number}", "model": PICTURE, "prompt": f"part {number}", "image_url": before, **more}


@pytest.fixture
def film(dsn: str, tmp_path: Path) -> str:
    """Give a database in whose queue four shots wait for each other, the last one first."""
    queue(dsn, tmp_path, [shot(n) for n in (4, 3, 2, 1)])
    return dsn


def times(dsn: str) -> dict[str, tuple[float, float]]:
    """Return when each job was submitted and saved."""
    with psycopg.connect(dsn) as db:
        rows = db.execute("SELECT id, submitted_at, saved_at FROM aimlvideo_jobs").fetchall()
    return {name: (submitted, saved) for name, submitted, saved in rows}


async def test_two_workers_make_a_film_though_one_of_them_dies_in_the_middle(film: str, tmp_path: Path) -> None:
    async with Sandbox(Behaviour(seconds=0.3, video="tiny")) as sandbox:
        async with opened(film, tmp_path, sandbox.url, heartbeat=1.0) as first, anyio.create_task_group() as tasks:
            tasks.start_soon(first.run)
            await until(lambda: first.results.stats.stages[Stage.SAVED] >= 2)
            tasks.cancel_scope.cancel()  # what it has is not handed back
        one, other = (opened(film, tmp_path, sandbox.url, heartbeat=1.0) for _ in range(2))
        async with one as second, other as third, anyio.create_task_group() as tasks:
            tasks.start_soon(second.run)
            tasks.start_soon(third.run)
        assert sandbox.stats()["accepted"] == 4
    assert second.journal._open_db is None, "a worker has no connection that blocks"
    assert counts(film) == {"saved": 4}
    made = times(film)
    assert all(made[f"shot-{n}"][1] <= made[f"shot-{n + 1}"][0] for n in (1, 2, 3))
    shots = [f"shot-{n}" for n in (1, 2, 3, 4)]
    out, joined = tmp_path / "out", tmp_path / "film.mp4"
    assert {path.name for path in out.iterdir()} == {".aimlvideo-list", *(f"{name}.mp4" for name in shots)}
    code, words = await anyio.to_thread.run_sync(lambda: command("join", str(out), *shots, "-o", str(joined), dsn=film))
    assert (code, joined.is_file()) == (0, True), words


async def test_the_clip_before_may_be_in_an_object_store(film: str) -> None:
    settings = {"service": "aimlapi", "api_key": "k", "poll": "every:0.1"}
    place = f"memory://chains/{uuid4()}"
    async with Sandbox(Behaviour(seconds=0.1, video="tiny")) as sandbox:
        limits, told = AccountLimits(10, 200, 100, 2.0), {**settings, "base_url": sandbox.url}
        opening = open_worker(film, place, told, limits, until_empty=True)
        async with opening as worker:
            await worker.run()
            staged = [path.name for path in worker.results.spec.folder.rglob("*") if path.is_file()]
        assert sandbox.stats()["accepted"] == 4
    assert counts(film) == {"saved": 4}
    assert staged == [], "what was brought for a job goes with it"


async def test_a_failed_shot_fails_those_after_it_with_its_name_and_buys_none(film: str, tmp_path: Path) -> None:
    async with Sandbox(Behaviour(seconds=0.1, video="tiny", status_error=1.0)) as sandbox:
        async with opened(film, tmp_path, sandbox.url) as worker:
            await worker.run()
        assert sandbox.stats()["accepted"] == 1
        assert counts(film) == {"failed": 4}
        with open_sync_journal(film) as journal:
            record = journal.find("shot-3")
        assert record is not None
        assert "job 'shot-2', which failed" in str(record.progress.error)
        sandbox.behaviour = Behaviour(seconds=0.1, video="tiny")
        await anyio.to_thread.run_sync(lambda: queue(film, tmp_path, [shot(1)], retry_failed=True))
        async with opened(film, tmp_path, sandbox.url) as worker:
            await worker.run()
        assert sandbox.stats()["accepted"] == 5
    assert counts(film) == {"saved": 4}


async def test_shots_that_wait_for_each_other_or_for_nobody_are_refused(dsn: str, tmp_path: Path) -> None:
    circle = [shot(2, image_url={"from": "shot-3", "frame": "last"}), shot(3)]
    with pytest.raises(InvalidJobs, match="wait for each other"):
        await anyio.to_thread.run_sync(queue, dsn, tmp_path, circle)
    with pytest.raises(InvalidJobs, match="'shot-2'"):
        await anyio.to_thread.run_sync(queue, dsn, tmp_path, [shot(3)])
    async with JobList(dsn) as jobs:
        for wrong in (circle, [shot(3)], [shot(1), shot(2, image_url={"from": "shot-1"})]):
            with pytest.raises(InvalidJobs):
                await jobs.add(wrong)
        assert counts(dsn) == {}
        assert await jobs.add([shot(2), shot(1)]) == ["shot-2", "shot-1"]
        assert await jobs.add(shot(3)) == "shot-3"
