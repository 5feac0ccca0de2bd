"""What goes on beside the stages may surprise: a redirect, a call of the service, a view; the run goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from aimlvideo import Stage
from aimlvideo.errors import Refused, Unclear
from aimlvideo.pipeline import callbacks, poll_policies
from aimlvideo.pipeline.poll import Poll
from aimlvideo.views.snapshot import RunWatcher
from tests.fakes import GATEWAY_JOB, FakeClient, FakeGateway, FakeService, answer, jobs, quick_downloads, run_all


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    quick_downloads(monkeypatch)


async def test_one_submission_that_is_redirected_ends_no_other_and_a_later_run_buys_it_once(tmp_path: Path) -> None:
    service = FakeService(seconds=20)
    service.posts.extend([None, None, answer(302, location="https://elsewhere.example/"), None, None])
    async with FakeClient(service) as client:
        first = await run_all(client, jobs(5), output=tmp_path)
    redirected = [result for result in first.values() if not result.ok]
    assert [result.stage for result in redirected] == [Stage.PLANNED]
    assert isinstance(redirected[0].error, Refused)
    async with FakeClient(service) as client:
        second = await run_all(client, jobs(5), output=tmp_path)
    assert all(result.ok for result in second.values())
    assert len(service.accepted) == 5


@pytest.mark.parametrize("accepted_before", [0, 2])
async def test_a_service_that_is_elsewhere_ends_the_run_at_once(tmp_path: Path, accepted_before: int) -> None:
    service = FakeService(seconds=20)
    moved = answer(302, location="https://elsewhere.example/")
    service.posts.extend([*[None] * accepted_before, *[moved] * 50])
    async with FakeClient(service, max_outstanding=1) as client:
        results = await run_all(client, jobs(50), output=tmp_path)
    assert sum(result.ok for result in results.values()) == accepted_before
    assert len(service.posted_at) <= accepted_before + 2


class Surprise(Exception):
    """What nobody foresaw."""


def surprising(*_: Any, **__: Any) -> Any:
    raise Surprise("!")


@pytest.mark.parametrize("place", [(Poll, "watch_key"), (poll_policies.PollPolicies, "read_published")])
async def test_what_the_runs_can_do_without_ends_none(
    place: tuple[type, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(*place, surprising)
    async with FakeClient(FakeService(seconds=20), poll="learned") as client:
        assert all(result.ok for result in (await run_all(client, jobs(3))).values())
    assert "all runs go on without it" in caplog.text


async def test_a_call_of_the_service_that_surprises_is_its_own_job_s(monkeypatch: pytest.MonkeyPatch) -> None:
    service = FakeGateway(seconds=20)
    service.lost.append(Unclear("lost"))
    monkeypatch.setattr(callbacks, "fetch_status", surprising)
    async with FakeClient(service, service="kling") as client, client.run(jobs(3, GATEWAY_JOB)) as results:
        await anyio.sleep(5)
        call = {"task_id": "gen-0", "task_status": "succeed", "external_task_id": next(iter(service.by_request))}
        client.callback(call)
        ended = [result async for result in results]
    assert sum(result.ok for result in ended) >= 2
    assert len(ended) == 3


async def test_a_screen_that_cannot_show_progress_ends_no_run(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(RunWatcher, "watch", surprising)
    async with FakeClient(FakeService(seconds=20)) as client, client.run(jobs(3), progress=True) as results:
        assert all([result.ok async for result in results])
    assert "while progress was shown" in caplog.text
