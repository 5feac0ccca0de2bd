"""Submissions whose answer was lost: found, or sent again when that is sure to be right, and never before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from aimlvideo.core.jobs.file_names import JOURNAL
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress
from aimlvideo.core.jobs.request_ids import Intent
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.errors import DatabaseAway, InDoubt, Unclear
from aimlvideo.shell.files.downloads import Clip
from aimlvideo.shell.journal.memory import InMemoryJournal
from aimlvideo.shell.journal.sqlite import open_journal
from aimlvideo.shell.journal.sqlite_reader import read_journal
from tests.cases import for_each
from tests.fakes import (
    GATEWAY_JOB,
    JOB,
    MODEL,
    SERVICE_EPOCH,
    FakeClient,
    FakeDownload,
    FakeGateway,
    FakeService,
    answer,
    jobs,
    quick_downloads,
    run_all,
)

PARAMS = {"prompt": "waves", "image_url": "https://example.com/a.png"}


def add_strangers(service: FakeService, count: int) -> None:
    """Let others of the same account have generations in the log, newer than ours."""
    for number in range(count):
        service.accepted[f"theirs-{number}"] = anyio.current_time() - service.seconds
        service.note(f"theirs-{number}", f"another-{number}")


async def test_a_lost_submission_is_found_on_a_later_page_of_the_log() -> None:
    service = FakeService(seconds=60)
    service.lost.append(Unclear("reset"))
    async with FakeClient(service) as client, client.run(jobs(1)) as results:
        await anyio.sleep(5)
        add_strangers(service, 250)
        video = (await anext(results)).or_raise()
    assert video.generation_id == "gen-0"
    assert len(service.posted_at) == 1


@for_each("status", [400, 409, 429, 500, 503])
async def test_a_generation_that_an_error_shows_under_way_is_fetched_and_bought_once(status: int) -> None:
    service = FakeService()
    service.lost.append(answer(status, {"id": "gen-0", "status": "queued"}))
    async with FakeClient(service) as client:
        results = await run_all(client, jobs(1))
    assert results["job0"].generation_id == "gen-0"
    assert len(service.posted_at) == 1


@pytest.mark.parametrize("most", [1, 3])
async def test_an_answer_that_names_the_generation_of_another_job_is_no_answer_to_this_one(most: int) -> None:
    service = FakeService()
    service.lost.extend([None, answer(201, {"id": "gen-0", "status": "queued"})])
    async with FakeClient(service, max_outstanding=most) as client:
        results = await run_all(client, jobs(3))
    assert {result.generation_id for result in results.values()} == {"gen-0", "gen-1", "gen-2"}
    assert len(service.posted_at) == 3


async def test_an_answer_that_names_a_generation_of_an_earlier_run_is_no_answer_to_a_new_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_downloads(monkeypatch)
    service = FakeService()
    async with FakeClient(service) as client:
        await run_all(client, jobs(2), output=tmp_path)
    service.lost.append(answer(201, {"id": "gen-1", "status": "queued"}))
    async with FakeClient(service) as client:
        results = await run_all(client, jobs(3), output=tmp_path)
    assert results["job2"].generation_id == "gen-2"
    assert len(service.posted_at) == 3


async def test_an_answer_that_another_job_got_first_is_taken_from_it_once_the_log_shows_whose_it_is() -> None:
    service = FakeService()
    service.lost.append(answer(201, {"id": "gen-1", "status": "queued"}))
    async with FakeClient(service) as client:
        results = await run_all(client, jobs(2))
    assert {result.job.id: result.generation_id for result in results.values()} == {"job0": "gen-0", "job1": "gen-1"}
    assert len(service.posted_at) == 2


async def test_a_task_whose_own_id_shows_that_it_is_another_job_s_is_given_back() -> None:
    service = FakeGateway()
    service.lost.append(answer(200, {"code": 0, "data": {"task_id": "gen-1", "task_status": "submitted"}}))
    async with FakeClient(service, service="kling") as client:
        results = await run_all(client, jobs(2, GATEWAY_JOB))
    assert {result.job.id: result.generation_id for result in results.values()} == {"job0": "gen-0", "job1": "gen-1"}
    assert len(service.posted_at) == 2


async def test_a_task_that_a_check_shows_under_the_id_of_another_job_is_not_waited_for() -> None:
    service = FakeGateway()
    other = Intent("0123abcd", SERVICE_EPOCH).request_id(VideoJob(MODEL, id="another"), "0123456789")
    service.accepted["theirs"] = 0.0
    service.note("theirs", other)
    service.lost.append(answer(200, {"code": 0, "data": {"task_id": "theirs", "task_status": "submitted"}}))
    async with FakeClient(service, service="kling") as client:
        results = await run_all(client, jobs(1, GATEWAY_JOB))
    assert results["job0"].generation_id == "gen-1"
    assert len(service.posted_at) == 1


async def test_a_task_that_a_check_shows_under_the_id_that_another_job_chose_is_not_waited_for() -> None:
    service = FakeGateway()
    own = [{**job, "external_task_id": f"order-{number}"} for number, job in enumerate(jobs(2, GATEWAY_JOB))]
    service.accepted["copy-of-0"] = 0.0
    service.note("copy-of-0", "order-0")
    service.lost.extend([None, answer(200, {"code": 0, "data": {"task_id": "copy-of-0", "task_status": "submitted"}})])
    async with FakeClient(service, service="kling") as client:
        results = await run_all(client, own)
    assert {result.job.id: result.generation_id for result in results.values()} == {"job0": "gen-1", "job1": "gen-2"}
    assert len(service.posted_at) == 2


@for_each(("status", "job_id"), [(201, "another"), (400, "another"), (201, "job0")])
async def test_an_answer_with_the_request_id_of_another_submission_is_no_answer_to_this_one(
    status: int, job_id: str
) -> None:
    service = FakeService()
    other = Intent("0123abcd", SERVICE_EPOCH).request_id(VideoJob(MODEL, id=job_id), "0123456789")
    service.lost.append(answer(status, {"id": "gen-7", "status": "queued"}, **{"x-client-request-id": other}))
    async with FakeClient(service) as client:
        results = await run_all(client, jobs(1))
    assert results["job0"].generation_id == "gen-0"
    assert len(service.posted_at) == 1


async def test_a_job_that_a_gateway_answers_with_the_task_of_another_one_again_and_again_is_left_in_doubt() -> None:
    service = FakeGateway(seconds=1000)
    service.finds_ids = False
    taken = answer(200, {"code": 0, "data": {"task_id": "gen-0", "task_status": "submitted"}})
    service.lost.extend([None, taken])
    async with FakeClient(service, service="kling", settle=100.0, timeout=3000) as client:
        results = await run_all(client, jobs(2, GATEWAY_JOB))
    error = results["job1"].error or results["job0"].error
    assert isinstance(error, InDoubt)
    assert "gen-0, which is that of job 'job0'" in str(error)
    assert len(service.posted_at) == 2


@pytest.mark.usefixtures("no_threads")
@pytest.mark.parametrize("fails", [False, True])
async def test_a_job_that_was_saved_with_the_clip_of_another_one_gets_its_own_in_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fails: bool
) -> None:
    quick_downloads(monkeypatch)
    service = FakeService(seconds=30, listing_delay=60)
    if fails:
        service.broken["gen-0"] = "out of paint"
    service.lost.extend([Unclear("reset"), answer(201, {"id": "gen-0", "status": "queued"})])
    lines = jobs(2)
    async with FakeClient(service) as client:
        await run_all(client, lines, output=tmp_path)
        said = "what became of job 'job1'" if fails else "the clip of job 'job1' (job1.mp4)"
        assert f"{said} is that of job 'job0'" in caplog.text
        assert "the next run looks it up" in caplog.text
        with read_journal(tmp_path / JOURNAL) as journal:
            assert journal.counts()["in_doubt"] == 1
            assert journal.spent() == 0.25
            _, in_doubt = journal.find("job1") or (None, Progress())
        assert in_doubt.request_id
        of_the_other = ("generation_id", "video_url", "status", "completed_at", "saved_at", "error", "cost_usd")
        assert [getattr(in_doubt, name) for name in of_the_other] == [None] * len(of_the_other)
        results = await run_all(client, lines, output=tmp_path)
    assert results["job1"].generation_id == "gen-1"
    assert (tmp_path / "job1.mp4").read_text() == "https://files.example.com/gen-1.mp4?sig=a%2Bb"
    assert len(service.posted_at) == 2 + fails, "what failed unbilled is sent again"
    with read_journal(tmp_path / JOURNAL) as journal:
        assert journal.spent() == service.charged() == 0.5


@pytest.mark.usefixtures("no_threads")
async def test_a_generation_that_was_fetched_by_its_id_stays_so_when_a_lost_answer_turns_out_to_have_been_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    quick_downloads(monkeypatch)
    service = FakeService(seconds=30, listing_delay=1000)
    service.lost.append(Unclear("reset"))
    async with FakeClient(service, timeout=100.0) as client:
        assert (await run_all(client, jobs(1), output=tmp_path))["job0"].stage is Stage.IN_DOUBT
        assert (await client.wait("gen-0", output=tmp_path)).ok
        await anyio.sleep(1000)
        results = await run_all(client, jobs(1), output=tmp_path)
    assert (results["job0"].generation_id, results["job0"].ok) == ("gen-0", True)
    with read_journal(tmp_path / JOURNAL) as journal:
        assert journal.counts() == {"saved": 2}
        assert journal.spent() == service.charged() == 0.25
    assert "None" not in caplog.text
    assert len(service.posted_at) == 1


@pytest.mark.usefixtures("no_threads")
async def test_whoever_waits_for_a_generation_by_its_id_keeps_it_when_a_lost_answer_turns_out_to_have_been_it(
    tmp_path: Path,
) -> None:
    service = FakeService(seconds=300, listing_delay=-250)
    service.lost.append(Unclear("reset"))
    async with FakeClient(service, journal=tmp_path / JOURNAL) as client, client.run(jobs(1)) as results:
        await anyio.sleep(5)
        async with anyio.create_task_group() as tasks:
            waited: list[Any] = []

            async def wait() -> None:
                waited.append(await client.wait("gen-0"))

            tasks.start_soon(wait)
            assert (await anext(results)).generation_id == "gen-0"
    assert waited[0].ok
    assert len(service.posted_at) == 1


@pytest.mark.usefixtures("no_threads")
@pytest.mark.parametrize("stage", ["rendering", "ready"])
async def test_a_job_of_an_earlier_run_that_was_left_with_the_generation_of_another_one_gets_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    quick_downloads(monkeypatch)
    service = FakeService()
    service.lost.append(answer(201, {"id": "gen-1", "status": "queued"}))
    async with FakeClient(service) as client, client.run(jobs(2)[:1], output=tmp_path):
        await anyio.sleep(1)
    service.lost.append(Unclear("reset"))
    async with FakeClient(service) as client:
        if stage == "ready":
            async with open_journal(tmp_path / JOURNAL) as journal:
                record = journal.find("job0")
                assert record is not None
                journal.step(record.job, record.progress.to(Stage.READY, video_url="https://example.com/a.mp4"))
        await run_all(client, jobs(2)[1:], output=tmp_path)
        async with client.resume(tmp_path) as results:
            assert (await anext(results)).generation_id == "gen-0"
    assert (tmp_path / "job0.mp4").read_text() == "https://files.example.com/gen-0.mp4?sig=a%2Bb"
    assert len(service.posted_at) == 2


@pytest.mark.usefixtures("no_threads")
async def test_a_job_whose_clip_turns_out_to_be_another_one_s_while_it_is_fetched_again_keeps_no_link_to_it(
    tmp_path: Path,
) -> None:
    service = FakeService(seconds=300, listing_delay=-200)
    service.lost.extend([answer(201, {"id": "gen-1", "status": "queued"}), Unclear("reset")])
    known: list[Progress] = []
    async with open_journal(tmp_path / JOURNAL, create=True) as journal, FakeClient(service, journal=journal) as client:
        async with client.run(jobs(2)[:1]):
            await anyio.sleep(1)
        (record,) = journal.all_jobs()
        links = {"video_url": "https://example.com/a.mp4", "video_urls": ("https://example.com/a.mp4",)}
        ready = record.progress.to(Stage.READY, file_sizes=(4,), **links)
        journal.step(record.job, ready.to(Stage.RENDERING))
        async with client.run(jobs(2)) as results:
            results.watchers.append(lambda entry: known.append(entry.progress))
            generations = {result.job.id: result.generation_id async for result in results}
    assert generations == {"job0": "gen-0", "job1": "gen-1"}
    in_doubt = [(one.video_url, one.video_urls, one.file_sizes) for one in known if one.stage is Stage.IN_DOUBT]
    assert in_doubt == [(None, (), ())] * 2


@pytest.mark.usefixtures("no_threads")
async def test_the_owner_of_a_generation_waits_until_the_clip_of_another_job_that_has_it_is_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_downloads(monkeypatch)
    fetch = FakeDownload.fetch

    async def slowly(self: FakeDownload) -> Clip:
        await anyio.sleep(20)
        return await fetch(self)

    monkeypatch.setattr(FakeDownload, "fetch", slowly)
    # Listed while the other one's clip is on its way to the disk.
    service = FakeService(seconds=30, listing_delay=10)
    service.lost.extend([Unclear("reset"), answer(201, {"id": "gen-0", "status": "queued"})])
    async with FakeClient(service) as client:
        await run_all(client, jobs(2), output=tmp_path)
        results = await run_all(client, jobs(2), output=tmp_path)
    assert {result.job.id: result.generation_id for result in results.values()} == {"job0": "gen-0", "job1": "gen-1"}
    assert len(service.posted_at) == 2


async def test_a_full_last_page_of_the_log_is_not_taken_for_its_end() -> None:
    service = FakeService(seconds=60)
    service.lost.append(Unclear("reset"))
    async with FakeClient(service) as client, client.run(jobs(1)) as results:
        await anyio.sleep(5)
        add_strangers(service, 100)
        assert (await anext(results)).generation_id == "gen-0"


async def test_what_the_log_never_lists_is_sent_again_after_the_settle_time_and_not_before() -> None:
    service = FakeService(seconds=30)
    service.posts.extend([None, Unclear("read timeout")])
    async with FakeClient(service, settle=200.0) as client:
        results = await run_all(client, jobs(2))
    assert all(result.ok for result in results.values())
    assert len(service.posted_at) == 3
    assert 200 < service.posted_at[2] - service.posted_at[1] < 210


async def test_a_submission_that_a_killed_run_had_begun_is_in_doubt_for_the_next_one(tmp_path: Path) -> None:
    job = VideoJob(MODEL, id="a", **PARAMS)
    async with open_journal(tmp_path / JOURNAL, create=True) as journal:
        sent = Progress(Stage.SUBMITTING, request_id=Intent().request_id(job, "0123456789"), submitted_at=1.5)
        journal.step(journal.plan(job).job, sent)
    async with FakeClient(FakeService(), timeout=50, settle=9000) as client, client.resume(tmp_path) as results:
        assert (await anext(results)).stage is Stage.IN_DOUBT


async def test_without_a_settle_time_of_ones_own_ten_minutes_are_waited_for() -> None:
    service = FakeService(seconds=30)
    service.posts.extend([None, Unclear("read timeout")])
    async with FakeClient(service) as client:
        await run_all(client, jobs(2))
    assert 600 < service.posted_at[2] - service.posted_at[1] < 620


async def test_the_log_is_read_often_at_first_and_rarely_later() -> None:
    service = FakeService(seconds=400)
    service.lost.append(Unclear("reset"))
    async with FakeClient(service) as client:
        await client.generate(MODEL, **PARAMS)
    ages = [moment - service.posted_at[0] for moment in service.log_reads]
    assert sum(age < 10 for age in ages) >= 5
    assert 20 < len(ages) < 60
    assert (ages[-1] - 400) < 16


async def test_a_lost_submission_holds_its_slot_until_its_doubt_is_settled() -> None:
    service = FakeService(seconds=30)
    service.posts.extend([None, Unclear("read timeout")])
    async with FakeClient(service, max_outstanding=1, settle=100.0) as client:
        with anyio.fail_after(2000):
            results = await run_all(client, jobs(3))
    assert all(result.ok for result in results.values())
    assert service.posted_at[2] - service.posted_at[1] > 100
    assert service.peak == 1


async def test_a_log_that_cannot_be_read_for_twice_the_settle_time_leaves_the_job_in_doubt() -> None:
    class Deaf(FakeService):
        def _log_page(self, request: Any) -> Any:
            self.log_reads.append(anyio.current_time())
            return answer(500)

    service = Deaf(seconds=5)
    service.lost.append(Unclear("reset"))
    async with FakeClient(service, settle=100.0) as client:
        with pytest.raises(InDoubt, match="may have accepted"):
            await client.generate(MODEL, **PARAMS)
        assert 200 < anyio.current_time() - service.posted_at[0] < 210
    assert len(service.posted_at) == 1


async def test_a_lost_answer_is_looked_for_until_the_database_that_workers_share_is_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    service = FakeService(seconds=5)
    service.lost.append(Unclear("reset"))
    by_generation = InMemoryJournal.by_generation

    def away_for_a_while(journal: InMemoryJournal, generation_id: str) -> Any:
        if anyio.current_time() < service.posted_at[0] + 300:
            raise DatabaseAway("the database is away: connection refused")
        return by_generation(journal, generation_id)

    monkeypatch.setattr(InMemoryJournal, "by_generation", away_for_a_while)
    async with FakeClient(service, settle=100.0) as client:
        video = await client.generate(MODEL, **PARAMS)
    assert (video.generation_id, len(service.posted_at)) == ("gen-0", 1)
    assert "lost submissions wait: the database is away" in caplog.text
    assert "unexpected error" not in caplog.text


async def test_a_job_left_in_doubt_says_what_came_instead_of_its_answer() -> None:
    service = FakeService(seconds=5)
    service.posts.append(Unclear("the service failed (500): the prompt is bad"))
    async with FakeClient(service, timeout=60.0) as client:
        with pytest.raises(InDoubt, match=r"was lost \(the service failed \(500\): the prompt is bad\)"):
            await client.generate(MODEL, **PARAMS)


async def test_a_log_that_lists_some_of_our_ids_and_not_one_proves_that_it_was_never_accepted() -> None:
    service = FakeService(seconds=5)
    service.posts.extend([None, Unclear("read timeout")])
    async with FakeClient(service, settle=50.0) as client:
        results = await run_all(client, jobs(2))
    assert all(result.ok for result in results.values())
    assert max(service.by_request.values()) == 1


@pytest.mark.usefixtures("no_threads")
async def test_a_lost_submission_of_an_earlier_run_is_looked_for_from_its_own_time_on(tmp_path: Any) -> None:
    service, settings = FakeService(seconds=60), {"journal": tmp_path / "journal.sqlite3", "settle": 500.0}
    service.lost.append(Unclear("reset"))
    async with FakeClient(service, **settings) as client, client.run(jobs(1)):
        await anyio.sleep(1)
    await anyio.sleep(20_000)
    async with FakeClient(service, **settings) as client, client.resume() as results:
        began = anyio.current_time()
        assert (await anext(results)).generation_id == "gen-0"
        assert anyio.current_time() - began < 30
    assert len(service.posted_at) == 1


async def test_a_gateway_is_asked_for_a_lost_submission_by_the_id_that_we_chose() -> None:
    service = FakeGateway(seconds=60)
    service.lost.append(Unclear("reset"))
    async with FakeClient(service, service="kling") as client:
        results = await run_all(client, jobs(1, GATEWAY_JOB))
    assert results["job0"].ok
    assert len(service.posted_at) == 1


async def test_a_gateway_that_finds_our_ids_and_not_this_one_is_sent_it_again_after_a_minute() -> None:
    service = FakeGateway(seconds=5)
    service.posts.extend([None, Unclear("read timeout")])
    async with FakeClient(service, service="kling") as client:
        results = await run_all(client, jobs(2, GATEWAY_JOB))
    assert all(result.ok for result in results.values())
    assert 60 < service.posted_at[2] - service.posted_at[1] < 70


@pytest.mark.parametrize("taken_before", [True, False])
async def test_a_gateway_that_does_not_find_our_ids_is_never_sent_a_lost_one_again(taken_before: bool) -> None:
    service = FakeGateway(seconds=5)
    service.finds_ids = False
    service.posts.extend([None] * taken_before + [Unclear("read timeout")])
    async with FakeClient(service, service="kling") as client:
        results = await run_all(client, jobs(1 + taken_before, GATEWAY_JOB))
    assert isinstance(results[f"job{1 * taken_before}"].error, InDoubt)
    assert len(service.posted_at) == 1 + taken_before


async def test_ids_that_are_heard_late_are_settled_beside_others_that_are_fine() -> None:
    service = FakeService(seconds=40)
    service.lost.extend(Unclear("reset") if number % 3 == 0 else None for number in range(30))
    async with FakeClient(service, max_outstanding=30) as client:
        results = await run_all(client, [{**JOB, "id": f"{number}"} for number in range(30)])
    assert {result.generation_id for result in results.values()} == {f"gen-{number}" for number in range(30)}
    assert len(service.posted_at) == 30


async def test_the_log_is_read_no_more_often_than_the_service_allows() -> None:
    service = FakeService(seconds=1, page_rows=10)
    service.lost.append(Unclear("reset"))
    async with FakeClient(service) as client, client.run(jobs(1)) as results:
        await anyio.sleep(0.1)
        add_strangers(service, 400)
        assert (await anext(results)).ok
    busiest = max(sum(moment <= other < moment + 10 for other in service.log_reads) for moment in service.log_reads)
    assert len(service.log_reads) > 40
    assert busiest <= 200 / 60 * 10 + 5


async def test_a_second_generation_under_the_id_of_a_lost_answer_is_named(caplog: pytest.LogCaptureFixture) -> None:
    service = FakeService()
    service.lost.append(Unclear("reset"))
    async with FakeClient(service) as client, client.run(jobs(1)) as results:
        await anyio.sleep(5)
        service.accepted["gen-twice"] = service.accepted["gen-0"]
        service.note("gen-twice", service.log[0].request_id)
        video = (await anext(results)).or_raise()
    (error,) = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert {video.generation_id, error.rsplit(": ", 1)[1]} == {"gen-0", "gen-twice"}
    assert "accepted the submission of job 'job0' more than once" in error
