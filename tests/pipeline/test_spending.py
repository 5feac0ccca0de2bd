"""A spending limit counts what was spent before, what is on its way, and what failed for nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from aimlvideo import Stage, VideoJob
from aimlvideo.cli.run_summary import RunSummary
from aimlvideo.core.jobs.progress import Progress, Record
from aimlvideo.core.money.budget import Budget, Spending
from aimlvideo.core.money.pricing import Price, Pricing
from aimlvideo.core.wires.http import Answer
from aimlvideo.errors import GenerationFailed, LinkDead, OverBudget, Unclear
from aimlvideo.pipeline import download
from aimlvideo.pipeline.run import Run
from aimlvideo.shell.journal.sqlite import open_journal
from aimlvideo.shell.journal.sqlite_reader import read_journal
from aimlvideo.views.report.job_json import job_cards
from aimlvideo.views.snapshot import RunWatcher
from tests.cases import for_each
from tests.fakes import JOB, MODEL, DeadDownload, FakeClient, FakeService, answer, jobs, quick_downloads, run_all

pytestmark = pytest.mark.usefixtures("no_threads")


class PricedClient(FakeClient):
    """Knows that each job costs 0.25 USD, which is what the fake service charges."""

    def price(self, job: VideoJob) -> float | None:
        return 0.25


async def test_by_a_price_list_that_was_read_before_jobs_are_priced_and_outstanding_ones_are_committed() -> None:
    async with FakeClient(FakeService(seconds=60)) as client:
        client.use_prices({MODEL: Pricing((Price(0.5, "generation"),))})
        assert client.price(VideoJob(**JOB)) == 0.5
        async with client.run(jobs(3)) as run:
            await anyio.sleep(30)
            assert RunWatcher(run).snapshot().committed == 1.5


class Silent(FakeService):
    """Never says what a clip cost."""

    def _check(self, name: str) -> Answer:
        said = super()._check(name).json()
        return answer(200, {field: value for field, value in said.items() if field != "meta"})


def stages(results: dict[str, Any]) -> list[str]:
    return [results[name].stage.value for name in sorted(results)]


async def test_a_run_that_is_carried_on_remembers_what_was_spent(tmp_path: Path) -> None:
    service, journal = FakeService(), tmp_path / "journal.sqlite3"
    async with PricedClient(service, journal=journal) as client:
        await run_all(client, jobs(2), max_spend=1.0)
    async with PricedClient(service, journal=journal) as client:
        results = await run_all(client, jobs(6), max_spend=1.0)
    assert len(service.posted_at) == 4
    assert stages(results) == ["ready"] * 4 + ["planned"]
    assert isinstance(results["job4"].error, OverBudget)
    assert "1.00 spent, 0.00 committed" in str(results["job4"].error)


async def test_a_run_without_a_limit_shows_what_earlier_runs_have_spent_too(tmp_path: Path) -> None:
    journal = tmp_path / "journal.sqlite3"
    async with PricedClient(FakeService(), journal=journal) as client:
        await run_all(client, jobs(2))
    async with PricedClient(FakeService(), journal=journal) as client, client.run([]) as run:
        assert RunWatcher(run).snapshot().spent == 0.5


@for_each("max_spend", [None, 9.0])
async def test_who_looks_late_sees_what_is_spent_once(tmp_path: Path, max_spend: float | None) -> None:
    for journal in (None, tmp_path / f"{max_spend}.sqlite3"):
        client = PricedClient(FakeService(), journal=journal)
        async with client, client.run(jobs(2), max_spend=max_spend) as run:
            assert len([result async for result in run]) == 2
            assert RunWatcher(run).snapshot().spent == 0.5


async def test_clips_that_are_there_already_are_counted_once(tmp_path: Path) -> None:
    service, journal = FakeService(), tmp_path / "journal.sqlite3"
    async with PricedClient(service, journal=journal) as client:
        for _ in range(3):
            results = await run_all(client, jobs(4), max_spend=1.0)
            assert stages(results) == ["ready"] * 4
    assert len(service.posted_at) == 4


async def test_what_an_earlier_run_left_on_its_way_is_counted_against_the_limit(tmp_path: Path) -> None:
    service, journal = FakeService(seconds=100), tmp_path / "journal.sqlite3"
    async with PricedClient(service, journal=journal) as client, client.run(jobs(3)):
        await anyio.sleep(10)
    assert len(service.posted_at) == 3
    async with PricedClient(service, journal=journal) as client:
        await run_all(client, jobs(8), max_spend=1.0)
    assert len(service.posted_at) == 4


async def test_a_generation_that_is_left_at_the_service_counts_against_the_limit_as_long_as_it_runs() -> None:
    service = FakeService(seconds=1000)
    async with PricedClient(service, timeout=50.0, max_outstanding=1) as client:
        results = await run_all(client, jobs(2), max_spend=0.3)
    assert stages(results) == ["rendering", "planned"]
    assert isinstance(results["job1"].error, OverBudget)
    assert len(service.posted_at) == 1


@for_each(("usd", "ended"), [(0.0, ["failed", "ready", "ready", "planned"]), (0.25, ["failed", "ready", "planned"])])
async def test_a_job_that_failed_makes_room_for_another_where_it_was_billed_nothing(
    usd: float, ended: list[str]
) -> None:
    class Charging(FakeService):
        def _check(self, name: str) -> Answer:
            checked = super()._check(name)
            failed = json.loads(checked.body) | {"meta": {"usage": {"usd_spent": usd}}}
            return answer(200, failed) if b'"error"' in checked.body else checked

    service = Charging()
    service.broken["gen-0"] = "no"
    async with PricedClient(service, max_outstanding=1) as client:
        results = await run_all(client, jobs(4), max_spend=0.5)
    assert stages(results) == ended


async def test_what_a_clip_was_charged_counts_and_no_longer_what_was_expected() -> None:
    class Overpriced(FakeClient):
        def price(self, job: VideoJob) -> float | None:
            return 0.4

    service = FakeService()
    async with Overpriced(service, max_outstanding=1) as client:
        await run_all(client, jobs(6), max_spend=1.1)
    assert len(service.posted_at) == 3


async def test_a_limit_is_used_up_to_its_last_cent() -> None:
    service = FakeService()
    async with PricedClient(service) as client:
        results = await run_all(client, jobs(5), max_spend=1.0)
    assert sum(result.stage is Stage.READY for result in results.values()) == 4


async def test_two_runs_of_one_client_have_a_limit_each(tmp_path: Path) -> None:
    service = FakeService()
    async with PricedClient(service) as client:
        for number in range(2):
            many = [{**job, "id": f"{number}-{job['id']}"} for job in jobs(3)]
            async with client.run(many, max_spend=0.5) as results:
                assert sum([result.ok async for result in results]) == 2


async def test_what_single_calls_have_bought_between_two_runs_of_a_client_counts_against_the_limit(
    tmp_path: Path,
) -> None:
    service = FakeService()
    async with PricedClient(service, journal=tmp_path / "journal.sqlite3") as client:
        await run_all(client, jobs(1), max_spend=1.0)
        await client.generate(**JOB)
        await client.generate(**JOB)
        results = await run_all(client, [{**JOB, "id": name} for name in "ab"], max_spend=1.0)
    assert [results[name].ok for name in "ab"] == [True, False]
    assert "1.00 spent, 0.00 committed" in str(results["b"].error)


async def test_what_was_only_promised_when_its_run_was_left_takes_no_room_from_the_next_one(tmp_path: Path) -> None:
    service = FakeService(seconds=100)
    async with PricedClient(service, journal=tmp_path / "journal.sqlite3", max_outstanding=1, buy_ahead=9) as client:
        async with client.run(jobs(3), max_spend=1.0):
            await anyio.sleep(10)
        assert len(service.posted_at) == 1
        results = await run_all(client, [{**JOB, "id": "a"}], max_spend=0.5)
        assert results["a"].ok, results["a"].error


async def test_a_clip_that_was_ready_when_its_run_was_left_is_spent_and_no_longer_committed(tmp_path: Path) -> None:
    service = FakeService(price=0.1)
    async with PricedClient(service, journal=tmp_path / "journal.sqlite3") as client:
        # Its download is not over when the run is left.
        async with client.run(jobs(1), max_spend=1.0, output=tmp_path / "out") as run:
            await anyio.sleep(40)
            assert run.stats.stages["ready"] == 1
        async with client.run([], max_spend=1.0) as run:
            assert (round(run.budget.spent, 4), run.budget.committed) == (0.1, 0.0)


async def test_a_charge_that_was_heard_once_is_kept_where_the_service_does_not_name_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, path = FakeService(), tmp_path / "journal.sqlite3"
    failed = Progress(Stage.FAILED, "r-0", "gen-0", cost_usd=0.25, error=GenerationFailed("out of paint"))
    without_cost = {"id": "gen-0", "status": "completed", "video": {"url": "https://files.example.com/gen-0.mp4"}}
    monkeypatch.setattr(service, "_check", lambda name: answer(200, without_cost))
    async with open_journal(path) as journal:
        journal.plan(VideoJob(**JOB, id="a"))
        journal.step(VideoJob(**JOB, id="a"), failed)
    async with PricedClient(service, journal=path) as client, client.resume(retry_failed=True, max_spend=0.0) as run:
        (result,) = [result async for result in run]
        assert (result.ok, result.cost_usd, run.budget.spent) == (True, 0.25, 0.25)
    with read_journal(path) as journal:
        assert journal.spent() == 0.25


@for_each(("charged", "expected"), [(0.0, None), (0.25, 0.25), (None, None)])
def test_what_a_failed_generation_cost_nothing_for_may_cost_its_price_once_it_is_completed(
    charged: float | None, expected: float | None
) -> None:
    failed = Progress(Stage.FAILED, "r-0", "gen-0", cost_usd=charged, error=GenerationFailed("out of paint"))
    repaired = failed.for_retry(has_completed=True)
    assert (repaired.stage, repaired.generation_id, repaired.cost_usd) == (Stage.RENDERING, "gen-0", expected)


@pytest.mark.parametrize("limit", [0.25, 1.0], ids=["waits for room", "waits to be taken"])
async def test_a_job_that_waited_to_be_bought_when_its_run_was_left_is_promised_nothing(
    tmp_path: Path, limit: float
) -> None:
    service = FakeService(seconds=100)
    settings: dict[str, Any] = {"journal": tmp_path / "journal.sqlite3", "max_outstanding": 1}
    async with PricedClient(service, **settings) as client:
        async with client.run(jobs(2), max_spend=limit):
            service.posts.append(answer(503))
            await anyio.sleep(0.1)  # the first one is planned again, and waits for the service
        async with client.run([], max_spend=limit) as run:
            assert (run.budget.spent, run.budget.committed) == (0.0, 0.0)


async def test_a_clip_whose_cost_nobody_says_and_that_could_not_be_fetched_counts_once_when_it_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_downloads(monkeypatch)
    service = Silent()
    async with FakeClient(service) as client:
        await run_all(client, jobs(1), output=tmp_path)
    async with open_journal(tmp_path / "journal.sqlite3") as journal:
        ((job, saved),) = journal.all_jobs()
        journal.step(job, saved._replace(stage=Stage.FAILED, error=LinkDead("it is gone"), file=None))
    async with FakeClient(service) as client, client.resume(tmp_path, retry_failed=True, max_spend=0.5) as results:
        assert (results.budget.spent, [result.ok async for result in results]) == (0.25, [True])
        assert (results.budget.spent, results.budget.committed) == (0.25, 0.0)


async def test_a_clip_whose_cost_nobody_says_is_one_of_unknown_cost_whether_or_not_it_could_be_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_downloads(monkeypatch)
    live = download.Download
    async with FakeClient(Silent()) as client:
        monkeypatch.setattr(download, "Download", DeadDownload)
        async with client.run(jobs(1), output=tmp_path) as run:
            early = RunWatcher(run)
            assert [result.stage async for result in run] == [Stage.FAILED]
            assert [watcher.snapshot().unknown for watcher in (early, RunWatcher(run))] == [1, 1]
        with read_journal(tmp_path / "journal.sqlite3") as journal:
            assert RunSummary.of(journal).unknown == 1
            assert [card.get("unsaid") for card in job_cards(journal)] == [True]
        monkeypatch.setattr(download, "Download", live)
        async with client.resume(tmp_path, retry_failed=True) as run:
            early = RunWatcher(run)
            assert [result.stage async for result in run] == [Stage.SAVED]
            assert [watcher.snapshot().unknown for watcher in (early, RunWatcher(run))] == [1, 1]


async def test_a_clip_whose_cost_nobody_says_counts_once_however_often_its_generation_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_downloads(monkeypatch)
    folder, live = tmp_path / "clips", download.Download
    async with FakeClient(Silent(), journal=tmp_path / "journal.sqlite3") as client:
        monkeypatch.setattr(download, "Download", DeadDownload)
        await run_all(client, jobs(1), output=folder, max_spend=1.0)
        with pytest.raises(LinkDead):
            await client.wait("gen-0", output=folder)
        monkeypatch.setattr(download, "Download", live)
        assert (await client.wait("gen-0", output=folder)).stage is Stage.SAVED
        async with client.run([], max_spend=1.0) as run:
            assert (run.budget.spent, run.budget.committed) == (0.25, 0.0)


@for_each("kind", [FakeService, Silent])
async def test_the_charge_of_a_clip_that_is_another_job_s_counts_once(tmp_path: Path, kind: type[FakeService]) -> None:
    tmp_path = tmp_path / kind.__name__
    tmp_path.mkdir()
    service = kind(seconds=30, listing_delay=60)
    service.lost.extend([Unclear("reset"), answer(201, {"id": "gen-0", "status": "queued"})])
    async with PricedClient(service, journal=tmp_path / "journal.sqlite3") as client:
        async with client.run(jobs(2), max_spend=1.0) as run:
            assert {result.generation_id async for result in run} == {"gen-0"}
            assert (run.budget.spent, run.budget.committed) == (0.25, 0.25)
        async with client.run(jobs(2), max_spend=1.0) as run:
            assert {result.generation_id async for result in run} == {"gen-0", "gen-1"}
            assert (run.budget.spent, run.budget.committed) == (0.5, 0.0)
    assert service.charged() == 0.5


@for_each(
    ("progress", "spent"),
    [
        (Progress(Stage.SAVED, generation_id="g", cost_usd=0.25), 1.75),
        (Progress(Stage.SAVED, generation_id="g"), 1.5),
        (Progress(Stage.FAILED, generation_id="g", error=GenerationFailed("out of paint")), 2.0),
    ],
    ids=["charged", "at its price", "free"],
)
async def test_what_is_taken_back_of_a_job_is_what_it_counted_as_and_its_own_is_promised_its_price(
    progress: Progress, spent: float
) -> None:
    async with FakeClient(FakeService()) as client, client.run([]) as run:
        spec = replace(run.spec, price=lambda job: 0.5)
        for request_id, committed in ((None, 0.0), ("order-1", 0.5)):
            counted = Run(spec, run.tasks, Budget(3.0, Spending(spent=2.0)))
            counted.budget_gate.take_back_charge(
                Record(VideoJob("m", id="a"), progress._replace(request_id=request_id))
            )
            assert (counted.budget.spent, counted.budget_gate.committed) == (spent, committed)
