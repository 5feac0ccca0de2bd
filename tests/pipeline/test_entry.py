"""What nobody foresaw ends one job, wherever it happens; the run and all other jobs go on, also the next time."""

from __future__ import annotations

from math import inf
from pathlib import Path
from typing import Any

import anyio
import pytest

from aimlvideo import Stage
from aimlvideo.core.polling.policy import FixedPolls
from aimlvideo.core.wires.http import Answer, Request
from aimlvideo.errors import InDoubt, Unclear, UnexpectedError
from aimlvideo.pipeline import download
from aimlvideo.pipeline.entry import Entry
from aimlvideo.pipeline.poll_policies import PollPolicies
from tests.fakes import FakeClient, FakeService, answer, jobs, run_all
from tests.pipeline.test_downloads import Files

pytestmark = pytest.mark.usefixtures("no_threads")


class Surprising(FakeService):
    """Raises what no reader expects for whatever `about` is in a request."""

    about: str = "gen-1"
    methods: tuple[str, ...] = ("GET",)
    times: int = 1000

    async def send(self, request: Request) -> Answer:
        answer = await super().send(request)
        if self.times and request.method in self.methods and self.about in str((request.query, request.body)):
            self.times -= 1
            raise ZeroDivisionError("a fault of ours")
        return answer


async def test_a_surprise_in_a_status_check_ends_that_job_and_no_other_also_in_later_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(download, "Download", Files())
    service = Surprising(seconds=20)
    for _ in range(2):
        async with FakeClient(service) as client:
            results = await run_all(client, jobs(3), output=tmp_path)
        assert results["job0"].stage is results["job2"].stage is Stage.SAVED
        assert results["job1"].stage is Stage.RENDERING
        assert isinstance(results["job1"].error, UnexpectedError)
        assert "ZeroDivisionError: a fault of ours" in str(results["job1"].error)
    assert "Traceback" in caplog.text
    assert len(service.posted_at) == 3


async def test_a_surprise_after_a_submission_leaves_it_in_doubt_and_it_is_looked_up() -> None:
    service = Surprising(seconds=20)
    service.about, service.methods, service.times = "waves", ("POST",), 1
    async with FakeClient(service, settle=60) as client:
        results = await run_all(client, jobs(2))
    assert {result.stage for result in results.values()} == {Stage.READY}
    assert len(service.posted_at) == 2


async def test_a_request_that_cannot_be_built_ends_its_job_unsent(monkeypatch: pytest.MonkeyPatch) -> None:
    from aimlvideo.core.wires.aimlapi import AimlApi

    build = AimlApi.submission

    def broken(self: Any, job: Any, *rest: Any) -> Request:
        return build(self, job, *rest) if job.id != "job1" else 1 / 0  # type: ignore[return-value]

    monkeypatch.setattr(AimlApi, "submission", broken)
    service = FakeService(seconds=5)
    async with FakeClient(service, max_outstanding=1) as client:
        results = await run_all(client, jobs(3))
    assert (results["job1"].stage, type(results["job1"].error)) == (Stage.PLANNED, UnexpectedError)
    assert results["job0"].ok
    assert results["job2"].ok
    assert len(service.posted_at) == 2


async def test_a_surprise_in_a_download_ends_that_job_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = Files()
    files.errors.extend([ZeroDivisionError("a fault of ours")] * 9)
    monkeypatch.setattr(download, "Download", files)
    async with FakeClient(FakeService(seconds=5)) as client:
        first = await run_all(client, jobs(9), output=tmp_path)  # more than there are downloads at a time
        assert {type(result.error) for result in first.values()} == {UnexpectedError}
        again = await run_all(client, jobs(9), output=tmp_path)
    assert {result.stage for result in again.values()} == {Stage.SAVED}


async def test_a_surprise_on_the_way_to_a_station_frees_the_job_s_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    def policy_for(self: Any, job: Any) -> FixedPolls:
        return FixedPolls(5) if job.id != "job0" else {}["nothing"]

    monkeypatch.setattr(PollPolicies, "policy_for", policy_for)
    monkeypatch.setattr(PollPolicies, "expected", lambda *_: None)
    async with FakeClient(FakeService(seconds=5), max_outstanding=1) as client:
        results = await run_all(client, jobs(3))
    assert isinstance(results["job0"].error, UnexpectedError)
    assert results["job1"].ok
    assert results["job2"].ok


async def test_a_view_that_fails_costs_no_clip() -> None:
    seen = []

    def watch(entry: Entry) -> None:
        seen.append(entry)
        raise ZeroDivisionError

    async with FakeClient(FakeService(seconds=5)) as client, client.run(jobs(2)) as run:
        run.watchers.append(watch)
        assert [result.ok async for result in run] == [True, True]
    assert len(seen) == 1


async def test_a_revoked_key_is_said_within_a_minute_and_nothing_new_is_bought(
    caplog: pytest.LogCaptureFixture,
) -> None:
    service = FakeService(seconds=400)
    service.checks.extend(answer(401, {"message": "revoked"}) for _ in range(30))
    async with FakeClient(service, max_outstanding=1, poll="every:5") as client, client.run(jobs(3)) as run:
        await anyio.sleep(60)
        assert run.halted is not None
        assert "status checks are refused" in caplog.text
        assert len(service.posted_at) == 1


@pytest.mark.parametrize("status", [401, 403])
async def test_a_revoked_key_is_said_within_a_minute_also_where_no_check_is_due(
    caplog: pytest.LogCaptureFixture, status: int
) -> None:
    class Revoked(FakeService):
        revoked_at = inf

        def answer(self, request: Request) -> Answer:
            is_revoked = self.clock() >= self.revoked_at
            return answer(status, {"message": "revoked"}) if is_revoked else super().answer(request)

    service = Revoked(seconds=3000)
    async with FakeClient(service, max_outstanding=1, poll="every:900") as client, client.run(jobs(3)) as run:
        await anyio.sleep(200)
        assert run.halted is None
        assert service.polled_at == [], "a free question is no status check"
        service.revoked_at = anyio.current_time()
        await anyio.sleep(60)
        assert run.halted is not None
        assert "status checks are refused" in caplog.text
        assert len(service.posted_at) == 1


async def test_patience_ends_the_wait_for_what_is_in_doubt_too() -> None:
    service = FakeService(seconds=10_000)
    service.lost.append(Unclear("reset"))
    async with FakeClient(service, timeout=50, settle=9000) as client:
        results = await run_all(client, jobs(1))
        assert anyio.current_time() - service.posted_at[0] == pytest.approx(50, abs=0.2)
    assert isinstance(results["job0"].error, InDoubt)
    assert "within 50 s" in str(results["job0"].error)
