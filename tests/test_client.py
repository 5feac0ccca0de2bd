"""What an application sees: clips, failures as values, limits kept, nothing sent twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from aimlvideo import Stage, VideoJob
from aimlvideo.errors import (
    Busy,
    GenerationFailed,
    InDoubt,
    InvalidJobs,
    OutOfPatience,
    Refused,
    Rejected,
    SettingsError,
    Unavailable,
    Unclear,
    UsageError,
    VideoError,
)
from aimlvideo.shell.journal.sqlite import open_journal
from tests.cases import for_each, one_in
from tests.fakes import JOB, MODEL, FakeClient, FakeService, answer, jobs, quick_downloads, run_all

PARAMS = {"prompt": "waves", "image_url": "https://example.com/a.png"}


async def test_a_clip_is_ready_at_its_link_with_its_cost_and_its_moments() -> None:
    service = FakeService(seconds=20)
    async with FakeClient(service) as client:
        video = await client.generate(MODEL, **PARAMS)
    assert video.stage is Stage.READY
    assert video.video_url == "https://files.example.com/gen-0.mp4?sig=a%2Bb"
    assert video.cost_usd == 0.25
    assert video.polls == 2
    assert video.submitted_at is not None
    assert video.completed_at is not None


async def test_the_first_question_comes_only_after_one_gap() -> None:
    service = FakeService(seconds=1)
    async with FakeClient(service) as client:
        await client.generate(MODEL, **PARAMS)
    assert service.polled_at[0][0] - service.posted_at[0] >= 15


async def test_many_calls_at_once_share_the_limit_of_outstanding_generations() -> None:
    service = FakeService(seconds=20)
    async with FakeClient(service, max_outstanding=7) as client, anyio.create_task_group() as tasks:
        for _ in range(30):
            tasks.start_soon(lambda: client.generate(MODEL, **PARAMS))
    assert len(service.accepted) == 30
    assert service.peak == 7


async def test_no_more_submissions_start_in_a_second_than_the_rate_allows() -> None:
    service = FakeService(seconds=1)
    async with FakeClient(service, rate=4.0, max_outstanding=100) as client:
        await run_all(client, jobs(40))
    spans = [fifth - first for first, fifth in zip(service.posted_at, service.posted_at[4:], strict=False)]
    assert spans == pytest.approx([1.0] * 36)


async def test_many_jobs_at_once_end_each_once() -> None:
    service = FakeService(seconds=60)
    async with FakeClient(service, max_outstanding=100, poll_rate=1000.0) as client:
        results = await run_all(client, jobs(200))
    assert len(results) == 200
    assert {result.stage for result in results.values()} == {Stage.READY}
    assert max(service.by_request.values()) == 1


async def test_a_job_that_fails_is_a_value_and_the_others_go_on() -> None:
    service = FakeService()
    service.posts.extend([None, answer(400, {"message": "Body validation error"}), None])
    service.broken["gen-1"] = {"name": "ContentPolicy", "message": "not allowed"}
    async with FakeClient(service) as client:
        results = await run_all(client, jobs(3))
    assert results["job0"].ok
    assert isinstance(results["job1"].error, Rejected)
    assert "Body validation error" in str(results["job1"].error)
    assert isinstance(results["job2"].error, GenerationFailed)
    assert "not allowed" in str(results["job2"].error)


async def test_a_wrong_job_is_a_value_that_names_every_field_and_is_not_sent() -> None:
    service = FakeService()
    wrong = {"id": "wrong", "model": MODEL, "duration": 7, "cfg_scale": 3}
    async with FakeClient(service) as client:
        results = await run_all(client, [*jobs(1), wrong])
    error = results["wrong"].error
    assert isinstance(error, InvalidJobs)
    assert {problem.field for problem in error.problems} == {"image_url", "duration", "cfg_scale"}
    assert len(service.bodies) == 1


async def test_generate_raises_what_went_wrong() -> None:
    service = FakeService()
    service.posts.append(answer(400, {"message": "no"}))
    async with FakeClient(service) as client:
        with pytest.raises(Rejected):
            await client.generate(MODEL, **PARAMS)
        with pytest.raises(InvalidJobs):
            await client.generate("kling-video/v1.6/pro/image-to-vidoe", **PARAMS)


async def test_a_busy_service_is_asked_again_after_what_it_asked_for() -> None:
    service = FakeService()
    service.posts.append(answer(429, {"message": "slow down"}, retry_after="40"))
    async with FakeClient(service) as client:
        video = await client.generate(MODEL, **PARAMS)
    assert video.ok
    assert service.posted_at[1] - service.posted_at[0] >= 40


@pytest.mark.parametrize("error", [Unavailable("refused"), Busy("503", status=503)])
async def test_what_surely_was_not_accepted_is_sent_again(error: Any) -> None:
    service = FakeService()
    service.posts.extend([error, error])
    async with FakeClient(service) as client:
        video = await client.generate(MODEL, **PARAMS)
    assert video.ok
    assert len(service.posted_at) == 3


async def test_a_service_that_never_answered_is_given_up_and_the_job_stays_planned() -> None:
    service = FakeService()
    service.posts.extend(Unavailable("nobody there") for _ in range(1000))
    async with FakeClient(service) as client:
        results = await run_all(client, jobs(3))
    assert {result.stage for result in results.values()} == {Stage.PLANNED}
    assert all(isinstance(result.error, Unavailable) for result in results.values())


@pytest.mark.parametrize("refusal", [answer(401, {"message": "bad key"}), answer(403, {"message": "out of credits"})])
async def test_a_refusal_that_waiting_never_cures_stops_submission_and_sees_the_rest_through(refusal: Any) -> None:
    service = FakeService(seconds=100)
    service.posts.extend([None, None, refusal])
    async with FakeClient(service, max_outstanding=3) as client, client.run(jobs(50)) as results:
        seen = {result.job.id: result async for result in results}
        assert isinstance(results.halted, Refused)
    assert seen["job0"].ok
    assert seen["job1"].ok
    assert seen["job2"].stage is Stage.PLANNED
    assert len(service.posted_at) == 3


@for_each("lost", [Unclear("500", status=500), Unclear("reset"), Unclear("read timeout"), Unclear("cut", status=201)])
async def test_a_lost_answer_is_found_again_in_the_log_and_not_bought_twice(lost: Unclear) -> None:
    service = FakeService(seconds=60)
    service.lost.append(lost)
    async with FakeClient(service) as client:
        video = await client.generate(MODEL, **PARAMS)
    assert video.ok
    assert video.generation_id == "gen-0"
    assert len(service.posted_at) == 1


async def test_one_reading_of_the_log_answers_for_all_that_is_in_doubt() -> None:
    service = FakeService(seconds=5)
    service.lost.extend(Unclear("reset") for _ in range(50))
    async with FakeClient(service, max_outstanding=50) as client:
        results = await run_all(client, jobs(50))
    assert all(result.ok for result in results.values())
    assert len(service.posted_at) == 50
    assert len(service.log_reads) < 50


async def test_failed_status_checks_fail_nothing() -> None:
    service = FakeService(seconds=30)
    service.checks.extend([Unclear("502"), answer(500), answer(404), answer(429), Unavailable("gone"), answer(200, [])])
    async with FakeClient(service) as client:
        video = await client.generate(MODEL, **PARAMS)
    assert video.ok
    assert len(service.posted_at) == 1


async def test_ten_failed_checks_in_a_row_put_a_generation_on_the_slow_lane(caplog: pytest.LogCaptureFixture) -> None:
    service = FakeService(seconds=30)
    service.checks.extend(answer(500) for _ in range(11))
    async with FakeClient(service) as client:
        await client.generate(MODEL, **PARAMS)
    moments = [moment for moment, _ in service.polled_at]
    assert moments[11] - moments[10] >= 299
    assert caplog.text.count("10 checks in a row failed") == 1


async def test_unknown_status_words_mean_not_yet() -> None:
    service = FakeService(seconds=10)
    service.checks.append(answer(200, {"id": "gen-0", "status": "simmering"}))
    async with FakeClient(service) as client:
        video = await client.generate(MODEL, **PARAMS)
    assert video.polls == 2


async def test_patience_ends_the_waiting_and_keeps_the_id() -> None:
    service = FakeService(seconds=10_000)
    async with FakeClient(service, timeout=100.0) as client:
        with pytest.raises(OutOfPatience) as raised:
            await client.generate(MODEL, **PARAMS)
        assert raised.value.generation_id == "gen-0"
        assert client.outstanding.keys() == {"gen-0"}
    assert service.polled_at[-1][0] - service.posted_at[0] == pytest.approx(100, abs=1)


async def test_a_plain_id_is_waited_for_and_asked_about() -> None:
    service = FakeService(seconds=40)
    async with FakeClient(service) as client:
        generation = await client.submit(MODEL, **PARAMS)
        assert not (await client.status(generation.id)).ended
        result = await client.wait(generation.id)
        assert result.ok
        assert (await client.status(generation.id)).state == "completed"
    assert len(service.posted_at) == 1


async def test_a_generation_whose_age_nobody_knows_is_taken_for_one_that_has_just_begun() -> None:
    service = FakeService(seconds=100)
    async with FakeClient(service, poll="every:30") as client:
        generation = await client.submit(MODEL, **PARAMS)
    await anyio.sleep(200)
    async with FakeClient(service, poll="every:30") as client:
        began = anyio.current_time()
        assert (await client.wait(generation.id)).ok
    assert service.polled_at[0][0] - began == pytest.approx(30, abs=0.2)


async def test_a_generation_that_a_run_waits_for_may_be_waited_for_by_its_id_at_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_downloads(monkeypatch)
    service = FakeService(seconds=100)
    async with (
        FakeClient(service, timeout=1000.0) as client,
        client.run(jobs(1), output=tmp_path) as results,
        anyio.create_task_group() as tasks,
    ):
        await anyio.sleep(10)
        tasks.start_soon(client.wait, "gen-0")
        assert (await anext(results)).ok
        assert anyio.current_time() - service.posted_at[0] < 200
    assert len(service.posted_at) == 1


@for_each("has_journal", [True, False])
async def test_any_number_of_calls_may_wait_for_one_generation_at_a_time(tmp_path: Path, has_journal: bool) -> None:
    service = FakeService(seconds=100)
    journal = tmp_path / "journal.sqlite3" if has_journal else None
    async with FakeClient(service, journal=journal) as client:
        generation = await client.submit(MODEL, **PARAMS)
        await anyio.sleep(50)
        given_up = asyncio.create_task(client.wait(generation.id))
        waiting = [asyncio.create_task(client.wait(generation.id)) for _ in range(3)]
        await anyio.sleep(10)
        given_up.cancel()
        results = await asyncio.gather(*waiting)
        assert anyio.current_time() - service.posted_at[0] < 200
    assert len({result.video_url for result in results}) == 1
    assert {result.job.model for result in results} == {MODEL}
    assert len(service.posted_at) == 1


async def test_equal_submissions_and_waits_into_a_folder_at_a_time_are_one_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_downloads(monkeypatch)
    service = FakeService(seconds=100, latency=0.5)
    async with FakeClient(service, journal=tmp_path / "journal.sqlite3") as client:
        sent = await asyncio.gather(*(client.submit(MODEL, id="waves", **PARAMS) for _ in range(3)))
        assert {generation.id for generation in sent} == {"gen-0"}
        results = await asyncio.gather(*(client.wait("gen-0", output=tmp_path / "clips") for _ in range(3)))
    assert {result.path for result in results} == {tmp_path / "clips" / "waves.mp4"}
    assert (tmp_path / "clips" / "results.jsonl").read_text().count("\n") == 1
    assert len(service.posted_at) == 1


@for_each("place", ["journal", "output"])
async def test_equal_calls_at_a_time_are_one_clip_where_something_keeps_their_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    quick_downloads(monkeypatch)
    service = FakeService(seconds=100)
    settings = {"journal": tmp_path / "journal.sqlite3"} if place == "journal" else {}
    call = {"id": "waves", **PARAMS} | ({"output": tmp_path / "clips"} if place == "output" else {})
    async with FakeClient(service, **settings) as client:
        given_up, *calls = [asyncio.create_task(client.generate(MODEL, **call)) for _ in range(20)]
        await anyio.sleep(10)
        given_up.cancel()
        results = await asyncio.gather(*calls)
        with pytest.raises(InvalidJobs, match="prompt changed"):
            await client.generate(MODEL, **call | {"prompt": "other"})
    assert {result.generation_id for result in results} == {"gen-0"}
    assert all(result.ok for result in results)
    assert len(service.posted_at) == 1


async def test_waiting_for_a_planned_job_in_place_of_a_generation_buys_nothing(tmp_path: Path) -> None:
    service, path = FakeService(seconds=40), tmp_path / "journal.sqlite3"
    async with FakeClient(service, journal=path) as client, client.run(jobs(2), max_spend=0.25) as results:
        stages = {result.job.id: result.stage async for result in results}
    planned = next(name for name, stage in stages.items() if stage is Stage.PLANNED)
    async with FakeClient(service, journal=path) as client:
        with pytest.raises(UsageError, match=f"'{planned}' is the id of a job here: expected the id of a generation"):
            await client.wait(planned)
    assert len(service.posted_at) == 1


async def test_a_slow_consumer_slows_submission() -> None:
    service = FakeService(seconds=1)
    taken = 0

    async def endless() -> AsyncIterator[VideoJob]:
        nonlocal taken
        while True:
            taken += 1
            yield VideoJob(MODEL, id=f"job{taken}", **PARAMS)

    async with FakeClient(service, max_outstanding=5) as client, client.run(endless()) as results:
        await anyio.sleep(10_000)
        assert taken < 100
        async for _ in results:
            break


async def test_leaving_early_returns_at_once_and_keeps_every_id_that_was_heard() -> None:
    service = FakeService(seconds=100)
    async with FakeClient(service, max_outstanding=10) as client:
        async with client.run(jobs(50)) as results:
            with anyio.move_on_after(50):
                await anext(results)
            left_at = anyio.current_time()
        assert anyio.current_time() - left_at < 1
        assert client.outstanding.keys() == service.accepted.keys()
        again = await run_all(client, [{**JOB, "id": "after"}])
    assert again["after"].ok


async def test_the_users_own_error_comes_out_as_it_was() -> None:
    async with FakeClient(FakeService()) as client:
        with pytest.raises(ZeroDivisionError):
            async with client.run(jobs(5)):
                raise ZeroDivisionError


@one_in(2, "way", ["run", "generate"])
async def test_stopped_at_any_of_200_moments_around_a_submission_no_id_is_lost(way: str) -> None:
    for moment in range(200):
        service = FakeService(seconds=3, latency=0.5)
        client = FakeClient(service, poll="every:1")
        async with client:
            one = way == "generate"
            work = asyncio.ensure_future(client.generate(MODEL, **PARAMS) if one else run_all(client, jobs(2)))
            await asyncio.sleep(moment * 0.02)
            work.cancel()
            await asyncio.wait([work])
            known = set(client.outstanding)
            if not work.cancelled() and not work.exception():
                continue
        ended = {name for moment, name in service.polled_at if moment - service.accepted[name] >= 3}
        assert set(service.accepted) <= known | ended, moment


@pytest.mark.parametrize("moment", [0.75, 1.5], ids=["while it is sent", "while it renders"])
async def test_a_call_that_is_stopped_names_the_clip_that_is_being_paid(
    moment: float, caplog: pytest.LogCaptureFixture
) -> None:
    async with FakeClient(FakeService(seconds=30, latency=0.5)) as client:
        with anyio.move_on_after(moment):
            await client.generate(MODEL, **PARAMS)
        await anyio.sleep(1)
    assert "left behind at the service, and paid: 1 generation: gen-0; `client.wait(ID)` fetches one" in caplog.text


async def test_a_client_that_is_closed_while_calls_wait_names_the_clips_that_are_being_paid(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with FakeClient(FakeService(seconds=30)) as client:
        calls = [asyncio.create_task(client.generate(MODEL, **PARAMS)) for _ in range(2)]
        await anyio.sleep(1)
    for ended in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(ended, VideoError)
    assert caplog.text.count("left behind at the service, and paid") == 2
    assert all(name in caplog.text for name in ("gen-0", "gen-1"))


async def test_a_call_that_is_stopped_and_has_a_journal_says_nothing_of_what_the_next_one_fetches(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with FakeClient(FakeService(seconds=30), journal=tmp_path / "j.sqlite3") as client:
        with anyio.move_on_after(1):
            await client.generate(MODEL, id="waves", **PARAMS)
    assert "left behind" not in caplog.text


async def test_clips_that_nobody_has_read_when_a_run_is_left_are_named_too(caplog: pytest.LogCaptureFixture) -> None:
    async with FakeClient(FakeService(seconds=10), max_outstanding=3) as client:
        async with client.run(jobs(3)) as results:
            first = (await anext(results)).generation_id
            await anyio.sleep(100)
        named = sorted({"gen-0", "gen-1", "gen-2"} - {first or ""})
        assert f"left behind at the service, and paid: 2 generations: {', '.join(named)};" in caplog.text
        assert [(await client.wait(name)).ok for name in named] == [True, True]


async def test_what_is_given_up_before_it_is_sent_is_neither_kept_nor_bought_by_whoever_resumes() -> None:
    service = FakeService(seconds=100)
    async with FakeClient(service, max_outstanding=1) as client:
        async with client.run(jobs(5)):
            await anyio.sleep(1)
            with anyio.move_on_after(1):
                await client.generate(MODEL, **PARAMS)
        async with client.resume() as results:
            assert [result.generation_id async for result in results] == ["gen-0"]
        journal = results.spec.journal
        assert [*journal.all_jobs()] == []
    assert len(service.posted_at) == 1


async def test_runs_that_are_left_early_leave_every_slot_free() -> None:
    service = FakeService(seconds=50)
    async with FakeClient(service, max_outstanding=2) as client:
        for number in range(4):
            many = [{**JOB, "id": f"run{number}-{count}"} for count in range(20)]
            async with client.run(many):
                await anyio.sleep(0.5)
        with anyio.fail_after(1000):
            assert (await client.generate(MODEL, **PARAMS)).ok


async def test_closing_the_client_ends_what_waits_for_it() -> None:
    service = FakeService(seconds=10_000)
    async with FakeClient(service) as client:
        waiting = asyncio.ensure_future(client.generate(MODEL, **PARAMS))
        await anyio.sleep(30)
    with anyio.fail_after(5), pytest.raises(VideoError, match="closed"):
        await waiting


@pytest.fixture
async def held_open() -> AsyncIterator[FakeClient]:
    async with FakeClient(FakeService()) as client:
        yield client


async def test_a_client_may_be_opened_and_closed_by_a_fixture(held_open: FakeClient) -> None:
    assert (await held_open.generate(MODEL, **PARAMS)).ok


async def test_one_id_stands_for_one_job_at_a_time() -> None:
    service = FakeService()
    async with FakeClient(service) as client:
        same = [{**JOB, "id": "one"}, {**JOB, "id": "one"}, {**JOB, "id": "one", "prompt": "other"}]
        async with client.run(same) as results:
            seen = [result async for result in results]
    assert sorted(result.ok for result in seen) == [False, False, True]
    assert len(service.posted_at) == 1


async def test_jobs_of_the_same_content_are_clips_of_their_own() -> None:
    service = FakeService()
    async with FakeClient(service) as client:
        results = await run_all(client, [JOB, JOB])
    assert len(results) == 2
    assert len(service.posted_at) == 2


async def test_the_same_jobs_again_with_one_client_and_its_journal_buy_nothing(tmp_path: Any) -> None:
    service = FakeService()
    async with FakeClient(service, journal=tmp_path / "journal.sqlite3") as client:
        for _ in range(2):
            results = await run_all(client, [JOB])
            assert [result.ok for result in results.values()] == [True]
        for _ in range(2):
            assert (await client.generate(MODEL, id="mine", **PARAMS)).ok
    assert len(service.posted_at) == 2


async def test_an_id_that_the_service_does_not_know_is_not_waited_for_until_patience_is_over() -> None:
    async with FakeClient(FakeService()) as client:
        started = anyio.current_time()
        with pytest.raises(Rejected):
            await client.wait("no-such-generation")
        assert anyio.current_time() - started < 700


async def test_a_log_that_cannot_be_read_leaves_the_job_in_doubt_and_ends() -> None:
    class Deaf(FakeService):
        def _log_page(self, request: Any) -> Any:
            return answer(404, {"message": "no such page"})

    service = Deaf(seconds=5)
    service.lost.append(Unclear("reset"))
    async with FakeClient(service, settle=0.2) as client:
        with pytest.raises(InDoubt):
            await client.generate(MODEL, **PARAMS)
    assert len(service.posted_at) == 1


async def test_a_log_that_is_read_too_often_is_left_alone_as_long_as_it_asks_for() -> None:
    class Strict(FakeService):
        early = 0
        refused_until = 0.0

        def _log_page(self, request: Any) -> Any:
            now = anyio.current_time()
            if not self.refused_until:
                self.refused_until = now + 40
            if now < self.refused_until:
                self.early += 1
                return answer(429, {"message": "Too Many Requests"}, retry_after="40")
            return super()._log_page(request)

    service = Strict(seconds=5)
    service.lost.append(Unclear("reset"))
    async with FakeClient(service, settle=12.0) as client:
        assert (await client.generate(MODEL, **PARAMS)).ok
    assert len(service.posted_at) == 1
    assert service.early == 1


async def test_a_log_that_does_not_say_our_ids_proves_nothing() -> None:
    class Nameless(FakeService):
        def _log_page(self, request: Any) -> Any:
            row = {"client_request_id": None, "inference_id": "x", "status": "succeeded", "model": MODEL}
            return answer(200, {"data": [{**row, "created": "2026-01-01T00:00:00Z"}]})

    service = Nameless(seconds=5)
    service.lost.append(Unclear("reset"))
    async with FakeClient(service, settle=0.2) as client:
        with pytest.raises(InDoubt):
            await client.generate(MODEL, **PARAMS)
    assert len(service.posted_at) == 1


async def test_a_client_is_opened_closed_and_opened_again() -> None:
    client = FakeClient(FakeService())
    for _ in range(2):
        async with client:
            assert (await client.generate(MODEL, **PARAMS)).ok
    with pytest.raises(SettingsError):
        await client.generate(MODEL, **PARAMS)


def test_a_client_works_in_one_event_loop_after_another() -> None:
    client = FakeClient(FakeService(seconds=0.2), poll="every:0.3")

    async def once() -> bool:
        async with client:
            return (await client.generate(MODEL, **PARAMS)).ok

    assert asyncio.run(once())
    assert asyncio.run(once())


async def test_the_same_id_twice_in_one_run_is_refused_where_a_journal_knows(tmp_path: Any) -> None:
    service = FakeService()
    async with FakeClient(service, journal=tmp_path / "journal.sqlite3") as client, client.run(jobs(1) * 2) as results:
        seen = [result async for result in results]
    assert sorted(result.ok for result in seen) == [False, True]
    assert len(service.posted_at) == 1


async def test_jobs_of_the_same_content_are_found_again_by_the_next_run_of_a_client(tmp_path: Any) -> None:
    service = FakeService()
    twice = [{"model": MODEL, **PARAMS}] * 2
    async with FakeClient(service, journal=tmp_path / "journal.sqlite3") as client:
        ids = []
        for _ in range(2):
            async with client.run(twice) as results:
                ids.append(sorted([result.job.id async for result in results]))
    assert ids[0] == ids[1]
    assert len(service.posted_at) == 2


async def test_a_run_and_a_resume_of_one_journal_at_once_buy_each_job_once(tmp_path: Any) -> None:
    service, path = FakeService(seconds=5), tmp_path / "journal.sqlite3"
    async with open_journal(path) as journal:
        for job in jobs(150):
            journal.plan(VideoJob(**job))
    async with (
        FakeClient(service, journal=path, max_outstanding=2) as client,
        client.run(jobs(150)) as results,
    ):
        seen = [await anext(results)]
        async with client.resume() as beside:  # reads what is planned now, and has room for it later
            seen += [result async for result in results]
            seen += [result async for result in beside]
    assert {result.job.id for result in seen if result.ok} == {job["id"] for job in jobs(150)}
    assert len(service.posted_at) == len(service.accepted) == 150


@pytest.mark.parametrize("is_of_two", [False, True])
async def test_a_journal_that_is_lent_buys_each_job_once_and_counts_what_all_its_clients_spend(
    tmp_path: Any, is_of_two: bool
) -> None:
    service = FakeService(seconds=5)
    async with (
        open_journal(tmp_path / "journal.sqlite3") as journal,
        FakeClient(service, journal=journal, max_outstanding=1) as one,
        FakeClient(service, journal=journal, max_outstanding=1) as another,
        one.run(jobs(20)) as results,
    ):
        seen = [await anext(results)]
        async with (another if is_of_two else one).run(jobs(20)) as beside:  # reads what the other one is yet to buy
            seen += [result async for result in beside]
            seen += [result async for result in results]
        assert {result.job.id for result in seen if result.ok} == {job["id"] for job in jobs(20)}
        assert len(service.posted_at) == 20
        async with one.run([{**JOB, "id": "a"}], max_spend=5.25) as limited:
            assert [result.ok async for result in limited] == [True]
        async with another.run([{**JOB, "id": "b"}], max_spend=5.25) as limited:
            assert [result.stage async for result in limited] == [Stage.PLANNED]


async def test_a_folder_that_has_a_journal_takes_no_clips_of_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_downloads(monkeypatch)
    service, own = FakeService(seconds=5), tmp_path / "clips" / "journal.sqlite3"
    async with FakeClient(service) as client, client.run(jobs(1), output=own.parent) as results:
        await anext(results)
    async with FakeClient(service, journal=tmp_path / "other.sqlite3") as client:
        with pytest.raises(SettingsError, match="clips has a journal of its own"):
            await client.generate(**JOB, output=own.parent)
    async with FakeClient(service, journal=own) as client:
        assert (await client.generate(**JOB, id="job1", output=own.parent)).ok
    assert len(service.posted_at) == 2


async def test_a_spending_limit_stops_before_it_would_be_passed() -> None:
    service = FakeService(price=0.4)
    async with FakeClient(service) as client, client.run(jobs(10), max_spend=1.0) as results:
        seen = {result.job.id: result async for result in results}
    assert len(service.posted_at) == 2
    assert seen["job2"].stage is Stage.PLANNED


def test_in_doubt_is_an_error_that_names_the_request_id() -> None:
    assert InDoubt("lost", request_id="av-1").request_id == "av-1"


@pytest.mark.parametrize(
    ("check", "words"),
    [
        ({"status": "generating"}, "keeps running at the service, which said 'generating'"),
        ({"status": "upscaling"}, "was 'upscaling', which is not a known status"),
        ({"status": "completed", "video": None}, "The service said 'completed' 0.0 s ago, and gave no link to a clip"),
        (None, "No check of it was answered with its status; the last check failed: cut short"),
    ],
)
async def test_when_patience_ends_the_last_word_is_said_and_nothing_that_the_service_did_not_say(
    check: dict[str, Any] | None, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    service = FakeService(seconds=1000)
    odd = Unclear("cut short") if check is None else answer(200, {"id": "x", **check})
    service.checks.extend([odd] * 200)
    async with FakeClient(service, timeout=30) as client, client.run([{**JOB, "id": "a"}]) as results:
        (result,) = [result async for result in results]
    assert isinstance(result.error, OutOfPatience)
    assert words in str(result.error)
    assert ("keeps running" in str(result.error)) == (words.startswith("keeps"))
    assert ("upscaling" in caplog.text) == ("upscaling" in words)


async def test_results_that_are_read_after_their_block_say_so_and_what_is_kept() -> None:
    async with FakeClient(FakeService(seconds=10)) as client:
        async with client.run(jobs(2)) as results:
            pass
        with pytest.raises(VideoError, match="read after their `async with` block"):
            await anext(results)
        async with client.run(jobs(2)) as complete:
            await anyio.sleep(100)
        assert len([result async for result in complete]) == 2


def test_a_client_of_another_event_loop_is_refused_and_never_waited_for() -> None:
    client, loop = FakeClient(FakeService()), asyncio.new_event_loop()
    loop.run_until_complete(client.__aenter__())
    try:
        for call in (
            lambda: client.generate(MODEL, prompt="waves"),
            lambda: client.status("gen-0"),
            lambda: client.wait("gen-0"),
            client.read_log,
        ):
            with pytest.raises(SettingsError, match="another event loop"):
                asyncio.run(call())
    finally:
        loop.run_until_complete(client.__aexit__(None, None, None))
        loop.close()


def test_results_and_a_client_of_another_event_loop_are_neither_read_nor_closed_there() -> None:
    client, loop = FakeClient(FakeService(seconds=0.1), poll="every:0.1"), asyncio.new_event_loop()
    loop.run_until_complete(client.__aenter__())
    block = client.run(jobs(1))
    results = loop.run_until_complete(block.__aenter__())
    with pytest.raises(UsageError, match="in another event loop"):
        asyncio.run(asyncio.wait_for(anext(results), 1))
    with pytest.raises(SettingsError, match="in another event loop"):
        asyncio.run(client.__aexit__(None, None, None))
    assert loop.run_until_complete(anext(results)).ok
    loop.run_until_complete(block.__aexit__(None, None, None))
    loop.run_until_complete(client.__aexit__(None, None, None))
    loop.close()


async def test_a_client_that_is_not_open_says_so_whatever_it_is_asked() -> None:
    client = FakeClient(FakeService())
    for call in (lambda: client.generate(MODEL, prompt="waves"), lambda: client.status("gen-0"), client.read_log):
        with pytest.raises(SettingsError, match="not open"):
            await call()


async def test_a_saved_clip_that_is_not_in_the_folder_is_fetched_again_and_nothing_is_paid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_downloads(monkeypatch)
    service = FakeService()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x.mp4").write_bytes(b"precious")

    async def path(folder: str) -> Path:
        async with FakeClient(service, journal=tmp_path / "j.sqlite3") as client:
            result = await client.generate(MODEL, id="x", output=tmp_path / folder, **PARAMS)
        assert result.path is not None
        return result.path

    first = await path("a")
    clip = first.read_bytes()
    first.unlink()
    assert (await path("a")).read_bytes() == clip
    other = await path("b")
    assert (other.name, other.read_bytes()) == ("x-2.mp4", clip), "a file of that name in another folder is not ours"
    assert (tmp_path / "b" / "x.mp4").read_bytes() == b"precious"
    assert len(service.accepted) == 1
