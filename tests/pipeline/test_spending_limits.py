"""The spending limit of a folder holds over restarts, retries and runs side by side; nothing is bought ahead."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import pytest

from aimlvideo import Stage
from aimlvideo.core.money.budget import Standing, Verdict
from aimlvideo.core.wires.http import Answer, Request
from aimlvideo.errors import OverBudget, Unclear
from aimlvideo.pipeline import download
from aimlvideo.shell.files.downloads import Clip
from aimlvideo.views.snapshot import RunWatcher
from tests.fakes import JOB, FakeClient, FakeDownload, FakeService, answer, quick_downloads, run_all

LOST = Unclear("reset")


@pytest.fixture(autouse=True)
def clips_are_there_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    quick_downloads(monkeypatch)


def jobs(*names: str) -> list[dict[str, Any]]:
    return [{**JOB, "id": name} for name in names]


async def left_outstanding(service: FakeService, folder: Path, *names: str, **settings: Any) -> None:
    """Buy jobs, and leave their run before they have ended."""
    async with FakeClient(service, **settings) as client, client.run(jobs(*names), output=folder):
        await accepted(service, len(names))


async def accepted(service: FakeService, count: int) -> None:
    """Return when the service has accepted so many."""
    while len(service.accepted) < count:  # noqa: ASYNC110 - a service tells nobody
        await anyio.sleep(0.1)


# What is bought and not taken --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("most", "ahead", "bought"), [(1, 0, 2), (1, 5, 7), (3, 0, 4)])
async def test_a_reader_that_takes_one_result_and_leaves_has_bought_no_more_than_it_may(
    most: int, ahead: int, bought: int
) -> None:
    service = FakeService(seconds=5)
    async with (
        FakeClient(service, max_outstanding=most, buy_ahead=ahead) as client,
        client.run(jobs(*map(str, range(100)))) as results,
    ):
        await anext(results)
        await anyio.sleep(3600)
    assert len(service.accepted) == bought


async def test_as_soon_as_the_service_is_seen_to_take_more_at_once_more_are_bought() -> None:
    service = FakeService(seconds=1000, latency=1.0)
    async with (
        FakeClient(service, max_outstanding=None) as client,
        client.run(jobs(*map(str, range(40)))),
    ):
        await anyio.sleep(10)
    assert len(service.accepted) == 40


async def test_clips_of_an_earlier_run_that_nobody_has_taken_count_too(tmp_path: Path) -> None:
    service = FakeService(seconds=50)
    await left_outstanding(service, tmp_path, "a", "b", max_outstanding=2)
    async with (
        FakeClient(service, max_outstanding=2) as client,
        client.run(jobs("a", "b", "c"), output=tmp_path) as results,
    ):
        await anyio.sleep(3600)
        assert len(service.accepted) == 2
        assert len([result async for result in results]) == 3


async def test_jobs_that_fail_before_they_are_bought_hold_nobody_up() -> None:
    wrong = [{**JOB, "id": f"wrong-{number}", "duration": 7} for number in range(10)]
    async with FakeClient(FakeService(), max_outstanding=1) as client, client.run([*wrong, *jobs("a")]) as results:
        await anyio.sleep(600)
        assert [result.job.id async for result in results if result.ok] == ["a"]


# The limit ---------------------------------------------------------------------------------------------------------


async def test_what_is_outstanding_from_a_crash_is_committed_when_the_next_run_opens(tmp_path: Path) -> None:
    service = FakeService(seconds=300)
    await left_outstanding(service, tmp_path, *"abcde")
    async with FakeClient(service) as client, client.run(jobs(*"fabcde"), tmp_path, max_spend=1.0) as results:
        seen = {result.job.id: result async for result in results}
    assert isinstance(results.halted, OverBudget)
    assert service.charged() == 1.25, "what was bought before is not refused, and nothing is added"
    assert seen["f"].stage is Stage.PLANNED


async def test_outstanding_jobs_that_the_run_is_not_given_count_as_well(tmp_path: Path) -> None:
    service = FakeService(seconds=300)
    await left_outstanding(service, tmp_path, "a", "b")
    async with FakeClient(service) as client, client.run(jobs("c"), tmp_path, max_spend=0.5) as results:
        (result,) = [result async for result in results]
    assert result.stage is Stage.PLANNED
    assert "0.00 spent, 0.50 committed" in str(result.error)


async def test_failed_jobs_are_tried_again_only_within_what_the_outstanding_ones_leave(tmp_path: Path) -> None:
    service = FakeService(seconds=30, broken={"gen-0": "out of memory"})
    async with FakeClient(service) as client, client.run(jobs("failed"), output=tmp_path) as results:
        assert [result.stage async for result in results] == [Stage.FAILED]
    service.seconds = 300
    await left_outstanding(service, tmp_path, "b", "c")
    posted = len(service.posted_at)
    async with FakeClient(service) as client, client.resume(tmp_path, retry_failed=True, max_spend=0.5) as results:
        seen = {result.job.id: result.stage async for result in results}
    assert seen == {"failed": Stage.PLANNED, "b": Stage.SAVED, "c": Stage.SAVED}
    assert len(service.posted_at) == posted


async def test_what_is_sent_again_goes_through_the_same_door(tmp_path: Path) -> None:
    service = FakeService(seconds=30)
    service.posts.extend([None, None, None, LOST])
    with anyio.move_on_after(100):
        async with FakeClient(service, settle=600.0) as client, client.run(jobs(*"abcd"), output=tmp_path) as results:
            async for _ in results:
                pass
    async with FakeClient(service, settle=600.0) as client, client.resume(tmp_path, max_spend=0.6) as results:
        (result,) = [result async for result in results]
    assert result.stage is Stage.PLANNED
    assert isinstance(result.error, OverBudget)
    assert len(service.posted_at) == 4


async def test_a_run_waits_while_outstanding_jobs_may_settle_below_their_price(tmp_path: Path) -> None:
    service = FakeService(seconds=60, broken={"gen-0": "out of memory", "gen-1": "out of memory"})
    async with FakeClient(service) as client, client.run(jobs(*"abc"), output=tmp_path, max_spend=0.5) as results:
        await anyio.sleep(20)
        waits = RunWatcher(results).snapshot().waiting_for
        seen = {result.job.id: result.stage async for result in results}
    assert waits == "waiting for what is outstanding to settle: the next job might pass 0.50 USD"
    assert seen == {"a": Stage.FAILED, "b": Stage.FAILED, "c": Stage.SAVED}


@pytest.mark.parametrize("how", ["left", "out of time"])
async def test_a_run_waits_no_longer_for_what_another_one_has_left_outstanding(tmp_path: Path, how: str) -> None:
    service = FakeService(seconds=1000)
    timeout = {"left": 5000.0, "out of time": 50.0}[how]
    async with FakeClient(service, timeout=timeout) as client, client.run(jobs("a"), output=tmp_path) as first:
        await accepted(service, 1)
        async with client.run(jobs("b"), output=tmp_path, max_spend=0.25) as second:
            await anyio.sleep(20)
            assert second.budget_gate.is_waiting
            if how == "left":
                first.leave()
            with anyio.fail_after(60):
                assert [result.stage async for result in second] == [Stage.PLANNED]
    assert isinstance(second.halted, OverBudget)


@pytest.mark.parametrize("is_endless", [False, True])
async def test_a_clip_that_is_paid_is_fetched_also_where_it_stands_behind_a_job_over_the_limit(
    tmp_path: Path, is_endless: bool
) -> None:
    service = FakeService(seconds=100)
    async with FakeClient(service, timeout=10) as client:
        await run_all(client, jobs("paid", "other"), output=tmp_path)

    def endless() -> Iterator[dict[str, Any]]:
        for number in count():
            yield from jobs(f"new{number}")
            assert number < 100, "nobody reads on where no end is known"

    shot = {**JOB, "id": "shot", "image_url": {"from": "other", "frame": "last"}}
    lines = [shot, *jobs("over"), {**JOB, "model": 7, "id": "wrong"}, *jobs("new", "paid", "other")]
    async with (
        FakeClient(service) as client,
        client.run(endless() if is_endless else lines, tmp_path, max_spend=0.6) as run,
    ):
        ended = {result.job.id: result.ok async for result in run}
        assert isinstance(run.halted, OverBudget)
        planned = [job.id for job, progress in run.spec.journal.all_jobs() if progress.stage is Stage.PLANNED]
    assert ended == ({"new0": False} if is_endless else {"over": False, "paid": True, "other": True})
    assert planned == (["new0"] if is_endless else ["shot", "over"])
    assert len(service.posted_at) == 2


async def test_the_figures_are_those_of_the_moment_at_which_the_run_stops(tmp_path: Path) -> None:
    service = FakeService(seconds=60)
    async with FakeClient(service) as client, client.run(jobs(*"abc"), output=tmp_path, max_spend=0.5) as results:
        seen = {result.job.id: result async for result in results}
    assert "0.50 spent, 0.00 committed" in str(seen["c"].error) or "0.00 spent, 0.50 committed" in str(seen["c"].error)
    assert len(service.accepted) == 2


async def test_runs_side_by_side_into_one_folder_share_what_is_spent(tmp_path: Path) -> None:
    service = FakeService(seconds=60)
    async with (
        FakeClient(service) as client,
        client.run(jobs(*"abcd"), output=tmp_path, max_spend=0.75) as first,
        client.run(jobs(*"efgh"), output=tmp_path, max_spend=0.75) as second,
        anyio.create_task_group() as tasks,
    ):
        for results in (first, second):

            async def read(results: Any = results) -> None:
                async for _ in results:
                    pass

            tasks.start_soon(read)
    assert service.charged() <= 0.75
    assert len(service.accepted) == 3


async def test_a_limit_knows_what_a_run_without_one_has_bought_beside_it(tmp_path: Path) -> None:
    service = FakeService(seconds=300)
    async with FakeClient(service) as client, client.run(jobs("a", "b"), output=tmp_path) as unlimited:
        await accepted(service, 2)
        async with client.run(jobs("c"), output=tmp_path, max_spend=0.5) as limited:
            with anyio.move_on_after(10):
                await anext(limited)
        assert len(service.accepted) == 2
        assert len([result async for result in unlimited]) == 2


@pytest.mark.parametrize("is_away", [False, True])
async def test_a_run_of_days_keeps_its_limit_by_the_prices_of_the_day(tmp_path: Path, is_away: bool) -> None:
    class Moody(FakeService):
        def answer(self, request: Request) -> Answer:
            is_list = request.path == "/v1/models"
            return answer(503) if is_list and is_away and self.accepted else super().answer(request)

    async def slowly() -> AsyncIterator[dict[str, Any]]:
        yield first
        await anyio.sleep(7200)
        service.price = 0.5
        yield second

    service, (first, second) = Moody(seconds=5), jobs("a", "b")
    async with FakeClient(service) as client, client.run(slowly(), output=tmp_path, max_spend=0.6) as results:
        bought = [result.job.id async for result in results if result.ok]
    assert bought == (["a", "b"] if is_away else ["a"])


async def test_a_run_that_is_left_while_it_reads_the_prices_of_the_day_leaves_them_to_the_next(
    tmp_path: Path,
) -> None:
    async def slowly() -> AsyncIterator[dict[str, Any]]:
        yield first
        await anyio.sleep(7200)
        service.price = 0.5
        scope.deadline = anyio.current_time() + 1.5  # the first second is for what is asked of the key
        yield second

    service, (first, second) = FakeService(seconds=5, latency=1.0), jobs("a", "b")
    async with FakeClient(service) as client:
        with anyio.CancelScope() as scope:
            async with client.run(slowly(), output=tmp_path, max_spend=0.6) as results:
                assert [result.job.id async for result in results] == ["a"]
        assert scope.cancelled_caught
        async with client.run([second], output=tmp_path, max_spend=0.6) as results:
            assert [result.ok async for result in results] == [False]
    assert len(service.accepted) == 1


async def test_a_clip_that_a_run_without_a_limit_is_just_saving_counts_once(tmp_path: Path, monkeypatch: Any) -> None:
    class Slow(FakeDownload):
        async def fetch(self) -> Clip:
            await anyio.sleep(60)
            return await super().fetch()

    monkeypatch.setattr(download, "Download", Slow)
    service = FakeService(seconds=5)
    async with FakeClient(service) as client, client.run(jobs("a"), output=tmp_path) as unlimited:
        await anyio.sleep(25)
        async with client.run(jobs("b"), output=tmp_path, max_spend=0.5) as limited:
            assert [result.ok async for result in limited] == [True]
            assert [result.ok async for result in unlimited] == [True]
            assert (limited.budget.spent, limited.budget.committed) == (0.5, 0.0)


async def test_a_client_that_lives_on_keeps_a_limit_by_the_prices_of_the_day(tmp_path: Path) -> None:
    service = FakeService(seconds=5)
    async with FakeClient(service) as client:
        async with client.run(jobs("a"), tmp_path, max_spend=3.0) as results:
            assert [result.ok async for result in results] == [True]
        await anyio.sleep(86_400)
        service.price = 2.5
        async with client.run(jobs(*"bcd"), tmp_path, max_spend=3.0) as results:
            assert [result.ok async for result in results].count(True) == 1
    assert service.charged() == 2.75


async def test_a_clip_whose_cost_nobody_said_counts_as_its_price_in_the_next_run(tmp_path: Path) -> None:
    class Silent(FakeService):
        def _check(self, name: str) -> Any:
            checked = super()._check(name)
            return type(checked)(checked.status, checked.headers, checked.body.replace(b"credits_used", b"other"))

    service = Silent(seconds=5)
    for names in ("ab", "c"):
        async with FakeClient(service) as client, client.run(jobs(*names), tmp_path, max_spend=0.5) as results:
            async for _ in results:
                pass
    assert len(service.accepted) == 2


# The last clip -----------------------------------------------------------------------------------------------------


async def test_a_clip_that_is_saved_while_its_run_is_left_has_its_line(tmp_path: Path, monkeypatch: Any) -> None:
    from tests import fakes

    class Slow(fakes.FakeDownload):
        async def fetch(self) -> Any:
            with anyio.CancelScope(shield=True):  # as a thread that writes the file cannot be cancelled
                await anyio.sleep(10)
            return await super().fetch()

    monkeypatch.setattr("aimlvideo.pipeline.download.Download", Slow)
    service = FakeService(seconds=5)
    async with FakeClient(service) as client:
        with anyio.move_on_after(20):
            async with client.run(jobs("a"), output=tmp_path) as results:
                async for _ in results:
                    pass
    saved = (tmp_path / "a.mp4").exists()
    lines = (tmp_path / "results.jsonl").read_text()
    async with FakeClient(service) as client, client.resume(tmp_path) as results:
        left = [result.job.id async for result in results]
    assert saved
    assert ('"saved"' in lines) == (left == [])


async def test_what_was_bought_under_a_limit_counts_at_its_price_of_then(tmp_path: Path) -> None:
    service = FakeService(seconds=1000, price=0.5)
    async with FakeClient(service) as client, client.run(jobs("a"), output=tmp_path, max_spend=0.6):
        await anyio.sleep(10)
    for service.price in (0.25, 0.2):  # the last run knows the newer lists only, if one of them replaced the first
        async with FakeClient(service) as client, client.run(jobs("a", "b", "c"), output=tmp_path, max_spend=0.6):
            await anyio.sleep(10)
    assert len(service.accepted) == 1


async def test_a_second_job_of_the_same_id_takes_back_no_promise_that_the_first_one_holds(tmp_path: Path) -> None:
    service = FakeService(seconds=50)

    async def read(client: FakeClient, names: str, limit: float | None) -> None:
        async with client.run(jobs(*names), output=tmp_path, max_spend=limit) as results:
            async for result in results:
                stages[limit, result.job.id] = result.stage

    stages: dict[tuple[float | None, str], Stage] = {}
    async with FakeClient(service, max_outstanding=2) as client, anyio.create_task_group() as both:
        both.start_soon(read, client, "ab", None)
        both.start_soon(read, client, "abc", 0.5)
    assert len(service.accepted) == 2
    assert stages[0.5, "c"] is Stage.PLANNED


async def test_a_run_that_is_left_takes_back_no_promise_that_a_job_of_the_same_id_in_another_run_holds(
    tmp_path: Path,
) -> None:
    service, settings = FakeService(seconds=50), {"max_outstanding": 1, "buy_ahead": 9}
    async with FakeClient(service, **settings) as client, client.run(jobs("a", "b"), tmp_path, max_spend=0.5) as first:
        await accepted(service, 1)
        async with client.run(jobs("b"), tmp_path, max_spend=0.5):
            await anyio.sleep(1)
        assert first.budget.committed == 0.5


def test_a_refusal_adds_up_also_where_a_price_has_fractions_of_a_cent() -> None:
    said = Verdict.OVER_BUDGET.refusal(1.0, 0.0385, Standing(spent=0.9625, committed=0.0))
    assert said == "the next job (0.0385 USD) would pass the limit of 1.00 USD: 0.9625 spent, 0.00 committed"
