"""Jobs are set on their way one after the other, each once, whoever else is at work on the same folder."""

from __future__ import annotations

import os
from contextlib import AbstractAsyncContextManager, nullcontext
from os import PathLike
from pathlib import Path
from typing import Any

import anyio
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from aimlvideo.core.jobs.file_names import JOURNAL
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.errors import GenerationFailed, InvalidJobs, LinkDead, OutOfPatience, Refused, Unclear
from aimlvideo.pipeline.run import Run
from aimlvideo.shell import clock
from aimlvideo.shell.files.downloads import Clip
from aimlvideo.shell.journal.sqlite import open_journal
from aimlvideo.shell.journal.sqlite_reader import read_journal
from aimlvideo.views.snapshot import RunWatcher
from tests.fakes import (
    GATEWAY_JOB,
    JOB,
    FakeClient,
    FakeDownload,
    FakeGateway,
    FakeService,
    OneCheckASecond,
    answer,
    jobs,
    quick_downloads,
    run_all,
)
from tests.promise.world import png


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    quick_downloads(monkeypatch)


async def take_all(run: AbstractAsyncContextManager[Run]) -> None:
    async with run as results:
        async for _ in results:
            pass


def progress_in(folder: Path) -> Progress:
    with read_journal(folder / JOURNAL) as journal:
        ((_, progress),) = journal.all_jobs()
    return progress


async def test_two_runs_of_one_folder_side_by_side_buy_each_job_once(tmp_path: Path) -> None:
    service = FakeService(seconds=10)
    async with FakeClient(service, max_outstanding=1) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(take_all, client.run(jobs(8), output=tmp_path))
        await anyio.sleep(1)
        tasks.start_soon(take_all, client.resume(tmp_path))
    assert len(service.posted_at) == 8
    assert max(service.by_request.values()) == 1
    assert len(list(tmp_path.glob("*.mp4"))) == 8


async def test_a_wrong_job_is_said_while_one_before_it_renders_that_keeps_further_ones_from_being_bought() -> None:
    lines = [*jobs(1), {**JOB, "id": "wrong", "duration": 7}]
    async with FakeClient(FakeService(), max_outstanding=1, buy_ahead=0) as client, client.run(lines) as results:
        assert [result.job.id async for result in results] == ["wrong", "job0"]


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


@pytest.mark.parametrize("is_repaired", [True, False])
async def test_a_failed_generation_that_the_service_has_completed_since_is_not_bought_again(
    tmp_path: Path, is_repaired: bool
) -> None:
    service = FakeService()
    service.broken = {"gen-0": "out of paint", "gen-1": "out of paint"}
    async with FakeClient(service) as client:
        assert not (await run_all(client, jobs(1), output=tmp_path))["job0"].ok
        if is_repaired:
            del service.broken["gen-0"]
        checks = len(service.polled_at)
        async with client.resume(tmp_path, retry_failed=True) as results:
            (result,) = [result async for result in results]
            assert (results.stats.stages["saved"], results.stats.stages["planned"]) == (is_repaired, 0)
    assert result.generation_id == ("gen-0" if is_repaired else "gen-1")
    assert len(service.accepted) == (1 if is_repaired else 2)
    assert service.polled_at[checks][1] == "gen-0"
    assert result.cost_usd == (0.25 if is_repaired else None)


@pytest.mark.parametrize(("is_billed", "limit"), [(False, 0.0), (True, 0.25)])
async def test_what_the_service_has_completed_since_it_failed_is_fetched_whatever_the_limit_and_counts_once(
    tmp_path: Path, is_billed: bool, limit: float
) -> None:
    service = FakeService()
    service.broken = {"gen-0": "out of paint"}
    async with FakeClient(service) as client:
        await run_all(client, jobs(1), output=tmp_path)
        service.broken.clear()
        async with open_journal(tmp_path / "journal.sqlite3") as journal:
            (record,) = journal.all_jobs()
            journal.step(record.job, record.progress._replace(cost_usd=0.25 if is_billed else None))
    async with FakeClient(service) as client, client.resume(tmp_path, retry_failed=True, max_spend=limit) as results:
        assert [result.ok async for result in results] == [True]
        assert (results.budget.spent, results.budget.committed) == (0.25, 0.0)
    assert len(service.accepted) == 1


@pytest.mark.parametrize("is_repaired", [True, False])
async def test_nothing_is_bought_under_a_limit_that_a_generation_may_fill_which_is_just_asked_about(
    tmp_path: Path, is_repaired: bool
) -> None:
    service = FakeService()
    service.broken = {"gen-0": "out of paint", "gen-1": "out of paint"}
    async with FakeClient(service, max_outstanding=2) as client:
        await run_all(client, jobs(2), output=tmp_path)
    if is_repaired:
        del service.broken["gen-1"]
    service.checks.extend([None, answer(503)])  # of the second one it is said later
    async with FakeClient(service) as client, client.resume(tmp_path, retry_failed=True, max_spend=0.25) as results:
        ended = {result.job.id: result.ok async for result in results}
        assert (results.budget.spent, results.budget.committed) == (0.25, 0.0)
    assert sorted(ended.values()) == [False, True]
    assert ended["job1"] or not is_repaired
    assert len(service.accepted) == (2 if is_repaired else 3)


async def test_what_is_only_asked_about_is_not_committed_where_a_limit_refuses_a_job(tmp_path: Path) -> None:
    service = FakeService()
    service.broken = {f"gen-{number}": "out of paint" for number in range(1, 5)}
    async with FakeClient(service) as client:
        await run_all(client, jobs(5), output=tmp_path)
        service.checks.extend([None, answer(503), answer(503), answer(503)])  # of the others it is said later
        async with client.resume(tmp_path, retry_failed=True, max_spend=0.25) as results:
            watcher, seen = RunWatcher(results), set[float]()
            results.ended_watchers.append(lambda _: seen.add(watcher.snapshot().committed))
            assert [result.ok async for result in results] == [False] * 4
    said = "the next job (0.25 USD) would pass the limit of 0.25 USD: 0.25 spent, 0.00 committed"
    assert (str(results.halted), seen, len(service.posted_at)) == (said, {0.0}, 5)


async def test_a_job_that_is_tried_again_and_one_that_is_sent_again_do_not_wait_for_each_other(tmp_path: Path) -> None:
    service = FakeService()
    service.broken = {"gen-0": "out of paint"}
    async with FakeClient(service) as client:
        await run_all(client, [{**JOB, "id": "failed"}], output=tmp_path)
        service.posts.append(Unclear("reset"))
        async with client.run([{**JOB, "id": "lost"}], output=tmp_path):
            await anyio.sleep(1)
    async with (
        FakeClient(service, max_outstanding=1, settle=50) as client,
        client.resume(tmp_path, retry_failed=True, max_spend=0.25) as results,
    ):
        with anyio.fail_after(1000):
            ended = [result.ok async for result in results]
    assert sorted(ended) == [False, True]
    assert len(service.accepted) == 2


@pytest.mark.parametrize("is_repaired", [True, False])
async def test_a_clip_that_the_service_has_completed_since_it_failed_is_fetched_also_where_its_job_is_wrong_by_now(
    tmp_path: Path, is_repaired: bool
) -> None:
    service = FakeService()
    service.broken = {"gen-0": "out of paint"}
    odd = [{**JOB, "id": "odd", "unheard_of": 7}]
    async with FakeClient(service) as client:
        await run_all(client, odd, output=tmp_path)
    if is_repaired:
        service.broken.clear()
    async with FakeClient(service, strict=True) as client, client.resume(tmp_path, retry_failed=True) as results:
        (result,) = [result async for result in results]
    assert (result.ok, result.generation_id) == ((True, "gen-0") if is_repaired else (False, None))
    assert is_repaired or isinstance(result.error, InvalidJobs)
    assert len(service.accepted) == 1


@pytest.mark.parametrize("is_repaired", [True, False])
async def test_a_failed_generation_that_is_waited_for_by_its_id_is_asked_about_again(
    tmp_path: Path, is_repaired: bool
) -> None:
    service = FakeService()
    service.broken = {"gen-0": "out of paint"}
    async with FakeClient(service, journal=tmp_path / "journal.sqlite3") as client:
        await run_all(client, jobs(1))
        if is_repaired:
            service.broken.clear()
        with nullcontext() if is_repaired else pytest.raises(GenerationFailed, match="out of paint"):
            assert (await client.wait("gen-0")).job.id == "job0"
    assert len(service.posted_at) == 1


async def test_a_failed_generation_that_the_service_renders_again_is_waited_for(tmp_path: Path) -> None:
    service = FakeService()
    service.broken = {"gen-0": "out of paint"}
    async with FakeClient(service) as client:
        assert not (await run_all(client, jobs(1), output=tmp_path))["job0"].ok
        del service.broken["gen-0"]
        service.accepted["gen-0"] = service.clock() + 60
        async with client.resume(tmp_path, retry_failed=True) as results:
            (result,) = [result async for result in results]
    assert (result.generation_id, result.ok, len(service.accepted)) == ("gen-0", True, 1)


@pytest.mark.parametrize(
    ("checks", "is_back_soon"),
    [
        ([answer(429), Unclear("reset")], True),
        ([answer(503)] * 5, False),
        ([answer(500)] * 5, False),
        ([Unclear("reset")] * 5, False),
    ],
)
async def test_a_failed_generation_that_the_service_does_not_speak_of_is_not_bought_on_a_guess(
    tmp_path: Path, checks: list[Any], is_back_soon: bool
) -> None:
    service = FakeService()
    service.broken = {"gen-0": "out of paint"}
    async with FakeClient(service) as client:
        await run_all(client, jobs(1), output=tmp_path)
        service.broken.clear()
        service.checks.extend(checks)
        async with client.resume(tmp_path, retry_failed=True) as results:
            (result,) = [result async for result in results]
    assert (result.ok, len(service.posted_at)) == (is_back_soon, 1)
    assert is_back_soon or "gen-0, which failed and may be completed by now, could not be asked" in str(result.error)
    with read_journal(tmp_path / "journal.sqlite3") as journal:
        assert journal.counts() == {"saved" if is_back_soon else "failed": 1}


@pytest.mark.parametrize("trouble", [answer(401), answer(403), answer(302, location="/login")])
async def test_nothing_is_bought_again_where_the_question_about_what_failed_is_refused(
    tmp_path: Path, trouble: Any
) -> None:
    service = FakeService()
    service.broken = {"gen-0": "out of paint"}
    async with FakeClient(service) as client:
        await run_all(client, jobs(1), output=tmp_path)
        service.checks.append(trouble)
        async with client.resume(tmp_path, retry_failed=True) as results:
            assert isinstance((await anext(results)).error, Refused)
            assert isinstance(results.halted, Refused)
    assert len(service.posted_at) == 1
    assert progress_in(tmp_path).generation_id == "gen-0"


@pytest.mark.parametrize("trouble", [None, answer(403)])
async def test_a_failed_generation_that_another_key_has_bought_is_not_bought_again(
    tmp_path: Path, trouble: Any
) -> None:
    service = FakeService()
    service.broken = {"gen-0": "out of paint"}
    async with FakeClient(service) as client:
        await run_all(client, jobs(1), output=tmp_path)
    service.broken.clear()
    service.checks.append(trouble)
    async with FakeClient(service, "key-2") as client, client.resume(tmp_path, retry_failed=True) as results:
        error = str((await anext(results)).error)
    assert "gen-0, which failed and may be completed by now, could not be asked about" in error
    assert "it was sent with another API key" in error
    assert progress_in(tmp_path).generation_id == "gen-0"
    async with FakeClient(service) as client, client.resume(tmp_path, retry_failed=True) as results:
        assert (await anext(results)).ok
    assert len(service.posted_at) == 1


@pytest.mark.parametrize(
    ("refusal", "strict"),
    [
        (answer(400, {"message": "Body validation error"}), False),
        (answer(403, {"message": "You've run out of credits"}), False),
        (None, True),
    ],
)
async def test_what_failed_and_could_not_be_sent_again_is_asked_about_the_next_time_too(
    tmp_path: Path, refusal: Any, strict: bool
) -> None:
    service = FakeService()
    service.broken = {"gen-0": "out of paint"}
    async with FakeClient(service) as client:
        await run_all(client, [{**JOB, "id": "a", "unheard_of": 7}], output=tmp_path)
    async with open_journal(tmp_path / JOURNAL) as journal:
        (record,) = journal.all_jobs()
        journal.step(record.job, record.progress._replace(cost_usd=0.25))
    service.posts.append(refusal)
    async with FakeClient(service, strict=strict) as client, client.resume(tmp_path, retry_failed=True) as results:
        error = (await anext(results)).error
        assert not isinstance(error, GenerationFailed)
    service.posts.clear()
    service.broken.clear()
    with read_journal(tmp_path / JOURNAL) as reader:
        assert (reader.counts(), reader.spent()) == ({"failed": 1}, 0.25)
    async with FakeClient(service) as client, client.resume(tmp_path, retry_failed=True) as results:
        assert (await anext(results)).generation_id == "gen-0"
    assert len(service.accepted) == 1


async def test_what_could_not_be_sent_again_and_another_run_has_bought_meanwhile_stays_that_one_s(
    tmp_path: Path,
) -> None:
    service = FakeService(seconds=15)
    service.broken = {"gen-0": "out of paint", "gen-1": "out of paint"}
    async with open_journal(tmp_path / JOURNAL, create=True) as journal:
        how: dict[str, Any] = {"journal": journal, "timeout": 20}
        async with FakeClient(service, **how, rate=0.1) as client, FakeClient(service, **how) as other:
            await run_all(client, jobs(2))
            service.posts.extend([answer(503)] * 20)
            async with client.resume(retry_failed=True) as results:
                assert [result.ok async for result in results] == [False, False]
                service.posts.clear()
                await take_all(other.resume(retry_failed=True))
                await anyio.sleep(60)  # until those come to their turn that were given up
        assert journal.counts() == {"ready": 2}


async def test_many_failed_generations_are_asked_about_at_the_rate_that_the_service_bears(tmp_path: Path) -> None:
    service = OneCheckASecond()
    service.broken = {f"gen-{number}": "out of paint" for number in range(10)}
    async with FakeClient(service) as client:
        await run_all(client, jobs(10), output=tmp_path)
        async with client.resume(tmp_path, retry_failed=True) as results:
            assert [result.ok async for result in results] == [True] * 10


async def test_a_generation_that_took_too_long_for_the_service_is_bought_again_when_that_is_asked_for(
    tmp_path: Path,
) -> None:
    service = FakeService()
    service.broken = {"gen-0": "out of paint"}
    async with FakeClient(service) as client:
        await run_all(client, jobs(1), output=tmp_path)
        service.checks.extend([answer(504, {"message": "Generation timeout"})] * 5)
        async with client.resume(tmp_path, retry_failed=True) as results:
            (result,) = [result async for result in results]
    assert (result.ok, result.generation_id) == (True, "gen-1")


async def test_a_failed_generation_is_asked_about_no_longer_than_the_timeout(tmp_path: Path) -> None:
    service = FakeService()
    service.broken = {"gen-0": "out of paint"}
    async with FakeClient(service, timeout=100.0) as client:
        await run_all(client, jobs(1), output=tmp_path)
        service.checks.append(answer(429, retry_after="7200"))
        began = service.clock()
        async with client.resume(tmp_path, retry_failed=True) as results:
            assert isinstance((await anext(results)).error, OutOfPatience)
        assert service.clock() - began < 110
    assert len(service.posted_at) == 1


async def test_failed_jobs_are_tried_again_also_beside_another_run_into_the_folder(tmp_path: Path) -> None:
    service = FakeService(seconds=30)
    service.broken = {"gen-0": "out of paint"}
    async with FakeClient(service) as client, anyio.create_task_group() as tasks:
        assert not (await run_all(client, jobs(1), output=tmp_path))["job0"].ok
        tasks.start_soon(take_all, client.run([{**JOB, "id": "other"}], output=tmp_path))
        await anyio.sleep(1)
        async with client.resume(tmp_path, retry_failed=True) as results:
            tried = {result.job.id: result async for result in results}
    assert tried["job0"].ok
    assert max(service.by_request.values()) == 1
    assert len(service.posted_at) == 3


async def test_what_another_run_has_tried_again_meanwhile_is_not_bought_by_one_that_read_it_before(
    tmp_path: Path,
) -> None:
    service = FakeService(seconds=30)
    service.broken = {f"gen-{number}": "out of paint" for number in range(8)}
    async with FakeClient(service, max_outstanding=2) as client:
        await run_all(client, jobs(8), output=tmp_path)
        # Nobody takes its results for a while, so that it stops buying.
        async with client.resume(tmp_path, retry_failed=True) as slow:
            await anyio.sleep(1000)
            bought = len(service.posted_at)
            await take_all(client.resume(tmp_path, retry_failed=True))
            results = [result async for result in slow]
            assert 8 < bought < len(service.posted_at) == 16
            assert slow.stats.stages["saved"] == sum(result.ok for result in results)
    assert len(list(tmp_path.glob("*.mp4"))) == 8


async def test_a_failed_generation_from_elsewhere_is_not_bought_again_by_its_model_alone(tmp_path: Path) -> None:
    service = FakeService()
    service.accepted["gen-0"], service.broken["gen-0"] = service.clock(), "out of paint"
    service.note("gen-0", "av-of-another-program")
    # The one model that takes a job without any parameter.
    job = VideoJob("x-ai/grok-imagine-video", id="gen-0")
    async with open_journal(tmp_path / "journal.sqlite3") as journal:
        journal.adopt(job, Progress(Stage.RENDERING, generation_id="gen-0", submitted_at=1.0))
    for _ in range(2):
        async with FakeClient(service) as client, client.resume(tmp_path, retry_failed=True) as results:
            (result,) = [result async for result in results]
        assert "out of paint" in str(result.error)
    assert not service.posted_at


async def test_a_failed_job_that_needs_no_parameter_is_tried_again_where_it_was_bought_here(tmp_path: Path) -> None:
    service = FakeService()
    service.broken["gen-0"] = "out of paint"
    async with FakeClient(service) as client:
        await run_all(client, [VideoJob("x-ai/grok-imagine-video", id="a")], output=tmp_path)
        async with client.resume(tmp_path, retry_failed=True) as results:
            assert (await anext(results)).generation_id == "gen-1"


async def test_a_paid_clip_from_elsewhere_whose_link_was_dead_is_fetched_again(tmp_path: Path) -> None:
    service = FakeService()
    service.accepted["gen-0"] = service.clock() - 100
    service.note("gen-0", "av-of-another-program")
    lost = Progress(Stage.FAILED, generation_id="gen-0", submitted_at=1.0, error=LinkDead("it is gone"))
    async with open_journal(tmp_path / "journal.sqlite3") as journal:
        journal.adopt(VideoJob("", id="gen-0"), lost)
    async with FakeClient(service) as client, client.resume(tmp_path, retry_failed=True) as results:
        assert (await anext(results)).ok
    assert not service.posted_at


async def test_a_failed_generation_that_is_taken_up_again_keeps_all_that_the_service_knows_it_by(
    tmp_path: Path,
) -> None:
    service = FakeService()
    service.broken = {"gen-0": "out of paint"}
    async with FakeClient(service, poll="every:7") as client:
        await run_all(client, jobs(1), output=tmp_path)
        del service.broken["gen-0"]
        before = progress_in(tmp_path)
        async with client.resume(tmp_path, retry_failed=True) as results:
            assert (await anext(results)).ok
    after = progress_in(tmp_path)
    assert before.request_id
    assert before.account
    assert before.service_time
    for name in ("request_id", "generation_id", "account", "submitted_at", "service_time"):
        assert getattr(after, name) == getattr(before, name)
    assert (before.polls, after.polls) == (3, 4)
    assert after.ages_at_polls[: len(before.ages_at_polls)] == before.ages_at_polls != ()


@pytest.mark.parametrize("trouble", [answer(404, {"message": "no such generation"}), Unclear("reset")])
async def test_a_failed_generation_that_the_service_does_not_show_is_bought_again(tmp_path: Path, trouble: Any) -> None:
    service = FakeService()
    service.broken = {"gen-0": "out of paint"}
    async with FakeClient(service) as client:
        await run_all(client, jobs(1), output=tmp_path)
        service.checks.append(trouble)
        async with client.resume(tmp_path, retry_failed=True) as results:
            result = await anext(results)
    assert (result.generation_id, result.ok, len(service.accepted)) == ("gen-1", True, 2)


async def test_a_failed_generation_by_another_picture_is_not_asked_for(tmp_path: Path) -> None:
    service, picture = FakeService(), tmp_path / "a.png"
    picture.write_bytes(png())
    service.broken["gen-0"] = "out of paint"
    async with FakeClient(service) as client:
        await run_all(client, [{**JOB, "id": "a", "image_url": str(picture)}], output=tmp_path)
        service.broken.clear()
        os.utime(picture, (clock.wall() + 100,) * 2)
        async with client.resume(tmp_path, retry_failed=True) as results:
            assert (await anext(results)).generation_id == "gen-1"


async def test_a_clip_that_was_saved_into_a_store_is_not_fetched_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryFileSystem, "store", {})
    monkeypatch.setattr(MemoryFileSystem, "pseudo_dirs", [""])
    service, fetched = FakeService(), list[str]()
    fetch = FakeDownload.fetch

    async def noted(self: FakeDownload) -> Clip:
        fetched.append(self.path.name)
        return await fetch(self)

    monkeypatch.setattr(FakeDownload, "fetch", noted)
    async with FakeClient(service) as client:
        for _ in range(2):
            results = await run_all(client, jobs(2), output="memory://clips/saved")
            assert all(result.ok for result in results.values())
    assert sorted(fetched) == ["job0.mp4", "job1.mp4"]


async def test_a_path_of_a_library_for_object_stores_is_the_store_and_not_the_library_s_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class CloudPath(PathLike[str]):
        def __fspath__(self) -> str:
            return str(tmp_path / "cache")

        def __str__(self) -> str:
            return "memory://clips/cloud"

    monkeypatch.setattr(MemoryFileSystem, "store", {})
    monkeypatch.setattr(MemoryFileSystem, "pseudo_dirs", [""])
    async with FakeClient(FakeService()) as client:
        await run_all(client, jobs(1), output=CloudPath())
    assert "/clips/cloud/job0.mp4" in MemoryFileSystem.store
    assert not (tmp_path / "cache").exists()


async def killed_retry(service: FakeService, folder: Path, left: Any, charged: float | None = None) -> None:
    """Let a job fail, and kill what tries it again once its POST got this answer: the service never accepted it."""
    service.broken["gen-0"] = "out of paint"
    async with FakeClient(service) as client:
        await run_all(client, jobs(1), output=folder)
        async with open_journal(folder / JOURNAL) as journal:
            (record,) = journal.all_jobs()
            journal.step(record.job, record.progress._replace(cost_usd=charged))
        service.posts.extend([left] * 9)
        async with client.resume(folder, retry_failed=True):
            await anyio.sleep(1)
    service.posts.clear()
    assert (len(service.accepted), service.polled_at[-1][1]) == (1, "gen-0")


LEFT = [(Unclear("reset"), Stage.IN_DOUBT), (answer(503), Stage.PLANNED)]
"""What may come of a POST, and where it leaves its job when its run is killed."""


@pytest.mark.parametrize("is_repaired", [True, False])
@pytest.mark.parametrize(("left", "stage"), LEFT, ids=["in doubt", "planned"])
async def test_a_retry_that_was_killed_and_never_accepted_asks_again_about_what_failed_before_it_buys(
    tmp_path: Path, left: Any, stage: Stage, is_repaired: bool
) -> None:
    service = FakeService()
    await killed_retry(service, tmp_path, left, charged=0.25 if is_repaired else None)
    assert progress_in(tmp_path).stage is stage
    if is_repaired:
        service.broken.clear()
    async with FakeClient(service, settle=50) as client, client.resume(tmp_path, max_spend=1.0) as results:
        late = RunWatcher(results)
        (result,) = [result async for result in results]
        assert (results.budget.spent, results.budget.committed) == (0.25, 0.0)
        assert (late.snapshot().spent, RunWatcher(results).snapshot().spent) == (0.25, 0.25)
    assert (result.generation_id, len(service.accepted)) == (("gen-0", 1) if is_repaired else ("gen-1", 2))
    with read_journal(tmp_path / JOURNAL) as journal:
        assert (journal.spent(), [attempt.generation_id for attempt in journal.attempts("job0")].count("gen-0")) == (
            0.25,
            1,
        )


@pytest.mark.parametrize(("left", "stage"), LEFT, ids=["in doubt", "planned"])
async def test_a_killed_retry_whose_failed_generation_cannot_be_asked_about_waits_for_the_next_run(
    tmp_path: Path, left: Any, stage: Stage
) -> None:
    service = FakeService()
    await killed_retry(service, tmp_path, left)
    service.checks.extend([answer(500)] * 5)
    async with FakeClient(service, settle=50) as client:
        async with client.resume(tmp_path) as results:
            (result,) = [result async for result in results]
        assert "gen-0, which failed and may be completed by now, could not be asked" in str(result.error)
        assert (progress_in(tmp_path).stage, len(service.posted_at)) == (Stage.PLANNED, 2)
        service.broken.clear()
        async with client.resume(tmp_path) as results:
            assert [result.generation_id async for result in results] == ["gen-0"]


async def test_of_two_generations_that_failed_the_later_one_is_asked_about(tmp_path: Path) -> None:
    service = FakeService()
    service.broken |= {"gen-0": "out of paint", "gen-1": "out of paint"}
    async with FakeClient(service) as client:
        await run_all(client, jobs(1), output=tmp_path)
        await take_all(client.resume(tmp_path, retry_failed=True))
        service.posts.extend([answer(503)] * 9)
        async with client.resume(tmp_path, retry_failed=True):
            await anyio.sleep(1)
        service.posts.clear()
        service.broken.pop("gen-1")
        async with client.resume(tmp_path) as results:
            assert [result.generation_id async for result in results] == ["gen-1"]
    assert len(service.accepted) == 2


async def test_a_failed_generation_that_is_another_job_s_by_now_is_not_asked_about_for_the_one_that_is_tried_again(
    tmp_path: Path,
) -> None:
    service = FakeService()
    await killed_retry(service, tmp_path, answer(503))
    async with open_journal(tmp_path / JOURNAL) as journal:
        journal.adopt(VideoJob(**JOB, id="other"), Progress(Stage.RENDERING, generation_id="gen-0"))
    service.broken.clear()
    async with FakeClient(service) as client, client.resume(tmp_path) as results:
        generations = {result.job.id: result.generation_id async for result in results}
    assert generations == {"other": "gen-0", "job0": "gen-1"}


async def test_a_killed_retry_whose_words_have_changed_since_does_not_ask_for_another_clip(tmp_path: Path) -> None:
    service = FakeService()
    await killed_retry(service, tmp_path, answer(503))
    service.broken.clear()
    async with FakeClient(service) as client:
        (result,) = (await run_all(client, jobs(1, {**JOB, "prompt": "hills"}), output=tmp_path)).values()
    assert (result.generation_id, service.bodies[-1]["prompt"]) == ("gen-1", "hills")


async def test_what_could_not_be_sent_again_though_billed_is_counted_once_when_it_is_completed_after_all(
    tmp_path: Path,
) -> None:
    service = FakeService()
    await killed_retry(service, tmp_path, answer(503), charged=0.25)
    service.posts.append(answer(403, {"message": "You've run out of credits"}))
    async with FakeClient(service) as client:
        await take_all(client.resume(tmp_path, retry_failed=True))
        service.broken.clear()
        async with client.resume(tmp_path, retry_failed=True, max_spend=0.25) as results:
            assert [result.generation_id async for result in results] == ["gen-0"]
            assert (results.budget.spent, results.budget.committed) == (0.25, 0.0)
            assert RunWatcher(results).snapshot().spent == 0.25
    with read_journal(tmp_path / JOURNAL) as journal:
        assert journal.spent() == 0.25


async def test_a_run_that_carries_on_shows_each_job_of_its_journal_once(tmp_path: Path) -> None:
    service = FakeService()
    service.broken["gen-0"] = "out of paint"
    async with FakeClient(service) as client:
        await run_all(client, jobs(3), output=tmp_path)
        async with client.resume(tmp_path, retry_failed=True) as results:
            watcher = RunWatcher.of_journal(results, retried=1)
            assert watcher.snapshot().stages == {**dict.fromkeys(Stage, 0), Stage.PLANNED: 1, Stage.SAVED: 2}
            assert [result.ok async for result in results] == [True]
            assert watcher.snapshot().stages == {**dict.fromkeys(Stage, 0), Stage.SAVED: 3}


async def test_a_failed_generation_that_renders_again_is_committed_until_it_is_completed(tmp_path: Path) -> None:
    service = FakeService()
    service.broken["gen-0"] = "out of paint"
    async with FakeClient(service) as client:
        await run_all(client, jobs(1), output=tmp_path)
        service.broken.clear()
        service.checks.extend([answer(200, {"id": "gen-0", "status": "generating"})] * 3)
        async with client.resume(tmp_path, retry_failed=True, max_spend=1.0) as results:
            await anyio.sleep(5)
            assert RunWatcher(results).snapshot().committed == results.budget_gate.committed == 0.25
            assert [result.generation_id async for result in results] == ["gen-0"]
            assert (results.budget.spent, results.budget_gate.committed) == (0.25, 0.0)
