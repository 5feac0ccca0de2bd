"""`timeout` ends every kind of waiting; what was bought is kept, and a later run goes on."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import anyio
import pytest

from aimlvideo import Stage
from aimlvideo.errors import OutOfPatience, Unclear
from aimlvideo.pipeline import chains, download
from aimlvideo.sandbox.film.scenes import sample_picture
from aimlvideo.shell.files import video
from tests.conftest import VirtualTimeLoop
from tests.fakes import JOB, FakeClient, FakeDownload, FakeService, answer, jobs, quick_downloads, run_all

pytestmark = pytest.mark.usefixtures("no_threads")
NEVER = 10**6


async def stand_still() -> None:
    """Let an hour pass in 50 seconds, in which nothing runs here."""
    await anyio.sleep(50)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    loop._jump.jumped += 3600


async def test_a_service_that_takes_nothing_more_is_waited_for_that_long_and_no_longer() -> None:
    service = FakeService()
    service.posts.extend(answer(429, {"message": "quota exceeded"}, retry_after="60") for _ in range(500))
    async with FakeClient(service, timeout=300) as client:
        results = await run_all(client, jobs(3))
        assert 300 < anyio.current_time() < 500
    assert {result.stage for result in results.values()} == {Stage.PLANNED}
    assert all("quota exceeded" in str(result.error) for result in results.values())


async def test_a_slot_at_the_service_that_others_hold_is_waited_for_that_long_and_no_longer() -> None:
    service = FakeService()
    service.posts.extend(answer(429, {"message": "Concurrency limit reached"}) for _ in range(2000))
    async with FakeClient(service, timeout=300) as client:
        results = await run_all(client, jobs(2))
        assert 300 < anyio.current_time() < 500
    assert {result.stage for result in results.values()} == {Stage.PLANNED}


async def test_refusals_now_and_then_end_nothing() -> None:
    service = FakeService(seconds=200)
    for _ in range(20):
        service.posts.extend([answer(429, {"message": "slow down"}, retry_after="50"), None])
    async with FakeClient(service, timeout=300, max_outstanding=1) as client:
        results = await run_all(client, jobs(5))
        assert anyio.current_time() > 900
    assert all(result.ok for result in results.values())


async def test_a_slot_of_our_own_is_free_when_its_generation_is_given_up() -> None:
    service = FakeService(seconds=NEVER)
    async with FakeClient(service, timeout=300, max_outstanding=1) as client:
        results = await run_all(client, jobs(3))
        assert 880 < anyio.current_time() < 1000
    assert all(isinstance(result.error, OutOfPatience) for result in results.values())
    assert {result.stage for result in results.values()} == {Stage.RENDERING}


async def test_the_time_in_which_this_process_stood_still_uses_up_no_patience() -> None:
    service = FakeService(seconds=100)

    async def stand_still_and_be_refused() -> None:
        await stand_still()
        service.checks.append(answer(429, {"message": "slow down"}, retry_after="30"))

    async with FakeClient(service, timeout=120) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(stand_still_and_be_refused)
        results = await run_all(client, jobs(20))
    assert all(result.ok for result in results.values()), "a pause of all checks came first"
    service.seconds = NEVER
    async with FakeClient(service, timeout=120) as client, anyio.create_task_group() as tasks:
        began = anyio.current_time()
        tasks.start_soon(stand_still_and_be_refused)
        await run_all(client, jobs(20))
        assert 100 < anyio.current_time() - began - 3600 < 140, "and no more than that"


async def test_a_download_that_does_not_end_is_given_up_and_a_later_run_brings_the_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Trickling:
        def __init__(self, *_: Any, **__: Any) -> None: ...

        async def fetch(self) -> Any:
            await anyio.sleep(NEVER)

        def discard(self) -> None: ...

    service = FakeService(seconds=10)
    async with FakeClient(service, timeout=300) as client:
        monkeypatch.setattr(download, "Download", Trickling)
        results = await run_all(client, jobs(2), output=tmp_path)
        assert anyio.current_time() < 400
        assert {result.stage for result in results.values()} == {Stage.READY}
        assert all(isinstance(result.error, OutOfPatience) for result in results.values())
        quick_downloads(monkeypatch)
        later = await run_all(client, jobs(2), output=tmp_path)
    assert {result.stage for result in later.values()} == {Stage.SAVED}
    assert len(service.posted_at) == 2


async def test_what_an_earlier_run_bought_long_ago_is_waited_for_that_long_and_no_longer(tmp_path: Path) -> None:
    service, settings = FakeService(seconds=NEVER), {"journal": tmp_path / "journal.sqlite3", "poll": "every:60"}
    async with FakeClient(service, **settings) as client:
        await client.submit(**JOB, id="one")
    await anyio.sleep(5000)
    began = anyio.current_time()
    async with FakeClient(service, **settings, timeout=300) as client, client.resume() as results:
        assert isinstance((await anext(results)).error, OutOfPatience)
    assert anyio.current_time() - began < 320, "that its first check was due long ago is no standing still"


async def test_a_download_during_which_this_process_stood_still_is_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[float] = []

    class Slow(FakeDownload):
        async def fetch(self) -> Any:
            tries.append(anyio.current_time())
            await anyio.sleep(NEVER if len(tries) == 1 else 2)
            return await super().fetch()

    quick_downloads(monkeypatch)
    monkeypatch.setattr(download, "Download", Slow)
    async with FakeClient(FakeService(seconds=10), timeout=300) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(stand_still)
        results = await run_all(client, jobs(1), output=tmp_path)
    assert results["job0"].ok, results["job0"].error
    assert len(tries) == 2


@pytest.mark.parametrize("lost", [False, True])
async def test_a_job_whose_parent_is_given_up_is_left_planned_and_bought_by_a_later_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    quick_downloads(monkeypatch)
    service = FakeService(seconds=NEVER)
    if lost:
        service.lost.append(Unclear("reset"))
    chain = [{**JOB, "id": "first"}, {**JOB, "id": "second", "image_url": {"from": "first"}}]
    async with FakeClient(service, timeout=300, settle=NEVER) as client:
        results = await run_all(client, chain, output=tmp_path)
        assert anyio.current_time() < 500
    assert results["second"].stage is Stage.PLANNED
    assert "'first'" in str(results["second"].error)
    assert len(service.posted_at) == 1


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ZeroDivisionError("a fault of ours")])
async def test_a_frame_that_cannot_be_taken_leaves_its_job_planned_and_ends_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    quick_downloads(monkeypatch)

    def failing(*_: Any) -> None:
        raise error

    service = FakeService(seconds=10)
    chain = [
        {**JOB, "id": "first"},
        {**JOB, "id": "second", "image_url": {"from": "first", "frame": "last"}},
        {**JOB, "id": "third", "image_url": {"from": "second", "frame": "last"}},
    ]
    async with FakeClient(service) as client:
        with monkeypatch.context() as patch:
            patch.setattr(chains, "_take_frame", failing)
            results = await run_all(client, chain, output=tmp_path)
        assert results["first"].ok
        assert results["second"].stage is Stage.PLANNED
        assert str(error.args[-1]) in str(results["second"].error)
        assert "third" not in results or "'second'" in str(results["third"].error)
        monkeypatch.setattr(video, "frame_png", lambda clip, when: sample_picture("a frame", (320, 320)))
        later = await run_all(client, chain, output=tmp_path)
    assert [later[name].stage for name in ("second", "third")] == [Stage.SAVED, Stage.SAVED]
    assert len(service.posted_at) == 3
