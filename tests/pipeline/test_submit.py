"""Submissions: the pace and the number that a service takes are found, kept and regained; slots come back."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest

from aimlvideo import Stage, VideoJob
from aimlvideo.core.wires.http import Answer, Request
from aimlvideo.errors import GenerationFailed, Rejected, Unavailable, Unclear
from aimlvideo.pipeline import pipeline
from tests.cases import for_each, one_in
from tests.fakes import MODEL, FakeClient, FakeService, answer, jobs, run_all

PARAMS = {"prompt": "waves", "image_url": "https://example.com/a.png"}
TOO_FAST = answer(429, {"message": "Too Many Requests"}, retry_after="2")
NO_MORE = answer(429, {"message": "Concurrency limit reached"}, retry_after="1")


class Crowded(FakeService):
    """Takes `most` generations at a time, and refuses more."""

    most = 5
    refusals = 0
    highest = 0

    def _post(self, request: Any) -> Any:
        if self.outstanding() >= self.most:
            self.posts.appendleft(NO_MORE)
            self.refusals += 1
        return super()._post(request)


async def test_after_a_429_submissions_are_sent_more_slowly_and_after_a_calm_time_as_fast_as_before() -> None:
    service = FakeService(seconds=1)
    service.posts.extend([None] * 60 + [TOO_FAST])
    async with FakeClient(service, rate=2.0, max_outstanding=100) as client:
        await run_all(client, jobs(300))
    gaps = [after - before for before, after in pairwise(service.posted_at)]
    assert sum(gaps[10:60]) / 50 == pytest.approx(0.5, rel=0.005)
    assert 0.53 < sum(gaps[61:67]) / 6 < 0.7
    assert sum(gaps[-20:]) / 20 == pytest.approx(0.5, rel=0.005)


@pytest.mark.parametrize("reason", ["Too Many Requests", "Concurrency limit reached"])
async def test_after_a_429_nothing_is_submitted_for_as_long_as_it_asks_by_any_job(reason: str) -> None:
    service = FakeService(seconds=5, latency=0.3)
    service.posts.extend([None] * 5 + [answer(429, {"message": reason}, retry_after="60")])
    async with FakeClient(service, rate=2.0) as client:
        results = await run_all(client, jobs(20))
    refused_at = service.posted_at[5]
    assert not [moment for moment in service.posted_at[6:] if moment < refused_at + 60]
    assert service.posted_at[6] < refused_at + 62
    assert all(result.ok for result in results.values())


async def test_a_429_that_does_not_say_how_long_is_left_alone_ever_longer() -> None:
    service = FakeService(seconds=1)
    service.posts.extend(answer(429, {"message": "slow down"}) for _ in range(8))
    async with FakeClient(service) as client, client.run(jobs(1)) as results:
        assert (await anext(results)).ok
    assert results.stats.refused["submissions"] == 8
    gaps = [after - before for before, after in pairwise(service.posted_at)]
    assert gaps == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60], rel=0.05)


@one_in(2, "most", [None, 20])
async def test_the_number_that_a_service_takes_is_found_kept_and_regained(most: int | None) -> None:
    service = Crowded(seconds=30)
    async with FakeClient(service, max_outstanding=most, poll="every:15") as client, client.run(jobs(400)) as results:
        with anyio.move_on_after(400):
            async for _ in results:
                pass
        assert service.peak == 5
        assert service.refusals < 60
        before = len(service.posted_at)
        service.most, service.refusals = 15, 0
        with anyio.move_on_after(900):
            async for _ in results:
                pass
    assert len(service.posted_at) > before
    assert service.peak >= 13


async def test_a_service_that_answers_slowly_is_sent_many_submissions_side_by_side() -> None:
    service = FakeService(seconds=50, latency=20)
    async with FakeClient(service, max_outstanding=40) as client:
        await run_all(client, jobs(40))
    assert service.posted_at[-1] - service.posted_at[0] < 1


async def test_a_limit_that_was_given_is_never_passed_however_long_all_goes_well() -> None:
    service = FakeService(seconds=10)
    service.posts.extend([None] * 20 + [NO_MORE])
    async with FakeClient(service, max_outstanding=6, poll="every:2") as client:
        await run_all(client, jobs(120))
    assert service.peak == 6
    assert len(service.accepted) == 120


async def test_where_no_limit_is_given_as_many_as_the_service_takes_are_outstanding() -> None:
    service = FakeService(seconds=60)
    async with FakeClient(service, max_outstanding=None, poll="every:60") as client:
        await run_all(client, jobs(280))
    assert service.peak > 100


async def test_a_job_that_ends_however_it_ends_gives_its_slot_to_the_next() -> None:
    service = FakeService(seconds=10)
    service.posts.extend([answer(400, {"message": "no"}), None, TOO_FAST, None, None])
    service.broken["gen-0"] = "not allowed"
    async with FakeClient(service, max_outstanding=1) as client:
        with anyio.fail_after(600):
            results = await run_all(client, jobs(4))
    errors = [type(results[f"job{number}"].error) for number in range(4)]
    assert errors == [Rejected, GenerationFailed, type(None), type(None)]
    assert service.peak == 1


@one_in(2, "latency", [0.7, 0.0])
async def test_runs_left_at_any_moment_neither_lose_a_slot_nor_give_one_twice(latency: float) -> None:
    service = FakeService(seconds=30, latency=latency)
    async with FakeClient(service, max_outstanding=3, poll="every:2", rate=5.0) as client:
        for number in range(60):
            many = [{**job, "id": f"{number}-{job['id']}"} for job in jobs(8)]
            async with client.run(many):
                await anyio.sleep(0.05 * number)
            if number % 12 == 11:
                await anyio.sleep(60)  # what was left at the service has ended
                service.peak = 0
                async with client.run([{**job, "id": f"all-{number}-{job['id']}"} for job in jobs(9)]) as results:
                    assert [result.stage async for result in results] == [Stage.READY] * 9
                assert service.peak == 3, number


async def leave_three(service: FakeService, settings: dict[str, Any], *, answer_lost: bool) -> None:
    """Let a run be left while three of its jobs are outstanding at the service, as known or in doubt."""
    service.lost.extend([Unclear("reset")] * 3 * answer_lost)
    async with FakeClient(service, **settings) as client, client.run(jobs(3)):
        await anyio.sleep(10)


@pytest.mark.usefixtures("no_threads")
@pytest.mark.parametrize("answer_lost", [False, True])
async def test_what_an_earlier_run_left_at_the_service_holds_slots_until_it_ends(
    tmp_path: Path, answer_lost: bool
) -> None:
    service, settings = FakeService(seconds=100), {"journal": tmp_path / "journal.sqlite3", "max_outstanding": 3}
    await leave_three(service, settings, answer_lost=answer_lost)
    async with FakeClient(service, **settings) as client:
        with anyio.fail_after(3000):
            results = await run_all(client, jobs(9))
    assert {result.stage for result in results.values()} == {Stage.READY}
    assert service.peak == 3
    assert len(service.posted_at) == 9


@pytest.mark.usefixtures("no_threads")
@pytest.mark.parametrize("answer_lost", [False, True])
async def test_what_an_earlier_run_left_at_the_service_holds_slots_that_other_runs_wait_for(
    tmp_path: Path, answer_lost: bool
) -> None:
    service, settings = FakeService(seconds=100), {"journal": tmp_path / "journal.sqlite3", "max_outstanding": 3}
    await leave_three(service, settings, answer_lost=answer_lost)
    async with FakeClient(service, **settings) as client, client.resume() as earlier:
        await anyio.sleep(1)
        with anyio.fail_after(3000):
            results = await run_all(client, [{**job, "id": f"new-{job['id']}"} for job in jobs(3)])
        assert [result.ok async for result in earlier] == [True] * 3
    assert [result.ok for result in results.values()] == [True] * 3
    assert service.peak == 3


async def test_what_was_refused_takes_no_place_among_the_clips_that_a_slow_reader_has_still_to_take() -> None:
    service = FakeService(seconds=5)
    service.posts.extend(answer(400, {"message": "no"}) for _ in range(4))
    async with FakeClient(service, max_outstanding=2) as client, client.run(jobs(9)) as results:
        await anyio.sleep(100)
        assert len(service.posted_at) == 4 + 2, "two clips wait to be taken, and no more are bought"
        stages = [result.stage async for result in results]
    assert stages.count(Stage.FAILED) == 4
    assert len(service.posted_at) == 9


async def test_leaving_waits_a_moment_for_a_submission_under_way_and_not_for_a_service_that_is_silent() -> None:
    class Slow(FakeService):
        silence = 0.5

        async def send(self, request: Request) -> Answer:
            if request.method == "POST":
                await anyio.sleep(self.silence)
            return await super().send(request)

    service = Slow()
    for silence, accepted in ((0.5, 1), (10_000.0, 1)):
        service.silence, began = silence, anyio.current_time()
        async with FakeClient(service) as client, client.run(jobs(1)):
            await anyio.sleep(0.1)
        assert len(service.accepted) == accepted
        assert anyio.current_time() - began < 5


async def test_calls_that_are_cancelled_while_they_wait_for_a_slot_leave_the_others_their_places() -> None:
    service = FakeService(seconds=20)
    ended = []

    async def one(patience: float) -> None:
        with anyio.move_on_after(patience):
            ended.append(await client.generate(MODEL, **PARAMS))

    async with FakeClient(service, max_outstanding=2, poll="every:1") as client, anyio.create_task_group() as tasks:
        for number in range(30):
            tasks.start_soon(one, 10 if number > 1 and number % 3 else 10_000)
    assert len(ended) >= 10
    assert service.peak == 2


async def test_calls_that_are_cancelled_while_they_wait_for_their_turn_leave_it_to_the_next() -> None:
    service = FakeService(seconds=1)
    async with FakeClient(service, rate=0.1, max_outstanding=10) as client:
        await client.submit(MODEL, **PARAMS)
        with anyio.move_on_after(5):
            async with anyio.create_task_group() as tasks:
                for number in range(4):
                    tasks.start_soon(partial(client.submit, MODEL, **PARAMS, id=f"given-up{number}"))
        for _ in range(3):
            await client.submit(MODEL, **PARAMS)
    assert [round(moment - service.posted_at[0]) for moment in service.posted_at] == [0, 10, 20, 30]


async def test_a_service_that_has_answered_and_is_away_is_waited_for() -> None:
    service = FakeService(seconds=5)
    service.posts.extend([None, *(Unavailable("nobody there") for _ in range(10))])
    async with FakeClient(service) as client:
        results = await run_all(client, jobs(2))
    assert all(result.ok for result in results.values())
    assert service.posted_at[-1] - service.posted_at[0] > 30


async def test_a_service_that_has_answered_and_stays_away_is_given_up_when_patience_is_over() -> None:
    service = FakeService(seconds=5)
    service.posts.extend([None, *(Unavailable("nobody there") for _ in range(1000))])
    async with FakeClient(service, timeout=100.0) as client:
        results = await run_all(client, jobs(2))
        ended_after = anyio.current_time() - service.posted_at[0]
    assert sorted(result.stage for result in results.values()) == [Stage.PLANNED, Stage.READY]
    assert 100 <= ended_after < 135


@pytest.mark.parametrize("status", [429, 503])
async def test_a_wait_that_is_longer_than_the_timeout_ends_the_run_at_once_and_sends_nothing(status: int) -> None:
    service = FakeService(seconds=5)
    service.posts.extend([None, *(answer(status, {}, retry_after="1000000000000000000") for _ in range(50))])
    async with FakeClient(service, timeout=60.0) as client:
        began = anyio.current_time()
        results = await run_all(client, jobs(3))
        assert anyio.current_time() - began < 60
    assert sorted(result.stage for result in results.values()) == [Stage.PLANNED, Stage.PLANNED, Stage.READY]
    assert len(service.posted_at) <= 4


async def test_a_service_that_never_answered_is_tried_for_20_s_with_pauses() -> None:
    service = FakeService()
    service.posts.extend(Unavailable("nobody there") for _ in range(1000))
    async with FakeClient(service) as client:
        results = await run_all(client, jobs(1))
    assert results["job0"].stage is Stage.PLANNED
    gaps = [after - before for before, after in pairwise(service.posted_at)]
    assert 20 < sum(gaps) < 40
    assert all(gap >= 1 for gap in gaps)


async def test_a_service_that_is_away_is_sent_nothing_until_it_said_it_is_back() -> None:
    service = FakeService(seconds=5)
    service.posts.extend([None, answer(503, {"message": "maintenance"}, retry_after="90")])
    async with FakeClient(service) as client:
        await run_all(client, jobs(6))
    refused_at = service.posted_at[1]
    assert not [moment for moment in service.posted_at[2:] if moment < refused_at + 90]


async def test_a_job_whose_files_are_still_being_read_when_its_run_stops_is_not_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = FakeService(latency=1)
    service.posts.append(answer(402, {"message": "out of credits"}))

    async def encode(job: VideoJob, *_: Any) -> VideoJob:
        await anyio.sleep(0 if job.id == "job0" else 60)
        return job

    monkeypatch.setattr(pipeline, "_encode", encode)
    async with FakeClient(service) as client:
        results = await run_all(client, jobs(3))
    assert len(service.posted_at) == 1
    assert {result.stage for result in results.values()} == {Stage.PLANNED}
    assert all("out of credits" in str(result.error) for result in results.values())


@for_each(
    "words",
    [
        "A car at full throttle", "The gambler has run out of money", "He says: invalid token, no ride",
        "Slow down in the traffic", "Real people walk in the rain", "The id is already taken, says the clerk",
    ],
)  # fmt: skip
@for_each("quoting", ["message", "input"])
async def test_a_refusal_that_quotes_the_prompt_is_about_that_job_alone(words: str, quoting: str) -> None:
    body = {
        "message": {"statusCode": 400, "message": f"prompt: expected at most 10 characters, received '{words}'"},
        "input": {"detail": [{"loc": ["body", "image_url"], "msg": "Field required", "input": {"prompt": words}}]},
    }[quoting]
    service = FakeService()
    service.posts.append(answer(400, body))
    first, second = jobs(2)
    async with FakeClient(service) as client:
        results = await run_all(client, [first | {"prompt": words}, second])
    assert (results["job0"].stage, results["job1"].stage) == (Stage.FAILED, Stage.READY)
    assert type(results["job0"].error) is Rejected
    assert len(service.posted_at) == 2


async def test_an_id_that_has_the_beginning_of_the_prompt_in_it_is_kept_whole() -> None:
    service = FakeService()
    service.posts.append(answer(201, {"id": "61f0:kling-video/v1.6/pro", "status": "queued"}))
    (job,) = jobs(1)
    async with FakeClient(service) as client:
        generation = await client.submit(**job | {"prompt": "kling-video/v1.6 in letters of neon"})
    assert generation.id == "61f0:kling-video/v1.6/pro"
