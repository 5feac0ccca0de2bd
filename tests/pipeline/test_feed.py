"""Jobs are set on their way one after the other, each once, whoever else is at work on the same folder."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path

import anyio
import pytest

from aimlvideo.errors import InvalidJobs
from aimlvideo.pipeline.run import Run
from tests.fakes import GATEWAY_JOB, FakeClient, FakeGateway, FakeService, jobs, quick_downloads, run_all


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    quick_downloads(monkeypatch)


async def take_all(run: AbstractAsyncContextManager[Run]) -> None:
    async with run as results:
        async for _ in results:
            pass


async def test_two_runs_of_one_folder_side_by_side_buy_each_job_once(tmp_path: Path) -> None:
    service = FakeService(seconds=10)
    async with FakeClient(service, max_outstanding=1) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(take_all, client.run(jobs(8), output=tmp_path))
        await anyio.sleep(1)
        tasks.start_soon(take_all, client.resume(tmp_path))
    assert len(service.posted_at) == 8
    assert max(service.by_request.values()) == 1
    assert len(list(tmp_path.glob("*.mp4"))) == 8


async def test_a_request_id_that_a_job_of_an_earlier_run_has_named_is_refused(tmp_path: Path) -> None:
    service = FakeGateway(seconds=5)
    for name in ("first", "second"):
        async with FakeClient(service, service="kling") as client:
            results = await run_all(
                client, [{**GATEWAY_JOB, "id": name, "external_task_id": "order-17"}], output=tmp_path
            )
    assert isinstance(results["second"].error, InvalidJobs)
    assert "that of job 'first'" in str(results["second"].error)
    assert len(service.posted_at) == 1
