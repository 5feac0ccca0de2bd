"""Status checks: when they are sent, what a refusal or a failure of one does, and when waiting ends."""

from __future__ import annotations

import asyncio
import logging
import socket
from itertools import pairwise
from math import floor, inf
from pathlib import Path
from typing import Any
from unittest import mock

import aiohttp
import anyio
import pytest

from aimlvideo import Stage
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress
from aimlvideo.core.polling.policy import FixedPolls, LearnedPolls, PollState
from aimlvideo.core.wires.answers import State
from aimlvideo.core.wires.base import Generation
from aimlvideo.core.wires.http import Answer, Request
from aimlvideo.errors import ContentRefused, GenerationFailed, OutOfPatience, Refused, Rejected, Unclear
from aimlvideo.pipeline.entry import Entry
from aimlvideo.pipeline.poll_policies import PollPolicies
from aimlvideo.pipeline.waiting import Waiting, Watched
from aimlvideo.shell import clock
from aimlvideo.shell.journal.sqlite_reader import read_journal
from tests.cases import for_each
from tests.conftest import VirtualTimeLoop
from tests.fakes import (
    GATEWAY_JOB,
    JOB,
    MODEL,
    FakeClient,
    FakeGateway,
    FakeService,
    answer,
    business_error,
    jobs,
    quick_downloads,
    run_all,
)

PARAMS = {"prompt": "waves", "image_url": "https://example.com/a.png"}


def gaps_of(service: FakeService) -> list[float]:
    return [after - before for (before, _), (after, _) in pairwise(service.polled_at)]


def unused_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


class Refusing(FakeService):
    """Refuses each status check that comes before some moment after the first one."""

    def __init__(self, refusal: Any, until: float, **how: Any) -> None:
        super().__init__(**how)
        self.refusal, self.until = refusal, until

    def _check(self, name: str) -> Any:
        if anyio.current_time() - (self.polled_at or [(anyio.current_time(), "")])[0][0] < self.until:
            self.checks.append(self.refusal)
        return super()._check(name)


async def test_a_429_on_one_status_check_stops_the_checks_of_all_generations_for_as_long_as_it_asks() -> None:
    service = FakeService(seconds=60)
    service.checks.extend([None] * 25 + [answer(429, {"message": "slow down"}, retry_after="40")])
    async with FakeClient(service, poll="every:5") as client:
        results = await run_all(client, jobs(60))
    refused_at = service.polled_at[25][0]
    assert not [moment for moment, _ in service.polled_at[26:] if moment < refused_at + 40]
    assert [moment for moment, _ in service.polled_at if refused_at + 40 <= moment < refused_at + 42]
    assert all(result.ok for result in results.values())


async def test_a_429_on_a_status_check_narrows_the_checks_of_all_and_calm_widens_them_again() -> None:
    service = FakeService(seconds=120)
    service.checks.extend([None] * 90 + [answer(429, {"message": "slow down"}, retry_after="1")])
    async with FakeClient(service, poll="every:1", poll_rate=3.0, max_outstanding=9) as client:
        await run_all(client, jobs(9))
    gaps = gaps_of(service)
    before, narrowed, calm = (sum(gaps[start : start + 8]) / 8 for start in (78, 92, len(gaps) - 40))
    assert before == pytest.approx(1 / 3, rel=0.02)
    assert narrowed > 0.35
    assert calm == pytest.approx(1 / 3, rel=0.02)


async def test_checks_that_come_too_fast_are_no_failed_checks() -> None:
    service = FakeService(seconds=60)
    service.checks.extend(answer(429, {"message": "slow down"}, retry_after="1") for _ in range(15))
    service.checks.append(answer(500))  # the first failed one, so it is repeated soon
    async with FakeClient(service) as client:
        video = await client.generate(MODEL, **PARAMS)
    assert (video.completed_at - video.submitted_at).total_seconds() < 100


@for_each("code", [1302, 1303])
@for_each("status", [200, 429])
async def test_a_gateway_s_too_fast_is_no_failed_check_whatever_the_http_status(code: int, status: int) -> None:
    service = FakeGateway(seconds=60)
    service.checks.extend(business_error(code, "too fast", status) for _ in range(11))
    service.checks.append(answer(500))
    async with FakeClient(service, service="kling") as client, client.run([GATEWAY_JOB]) as results:
        video = (await anext(results)).or_raise()
        assert results.stats.refused["polls"] == 11
    assert (video.completed_at - video.submitted_at).total_seconds() < 100


@pytest.mark.parametrize("status", [200, 429])
async def test_a_gateway_s_too_fast_leaves_it_alone_as_long_as_it_asks(status: int) -> None:
    service = FakeGateway(seconds=100)
    service.checks.append(business_error(1302, "too fast", status, retry_after="50"))
    async with FakeClient(service, service="kling", poll="every:5") as client:
        await run_all(client, jobs(5, GATEWAY_JOB))
    refused_at = service.polled_at[0][0]
    assert not [moment for moment, _ in service.polled_at[1:] if moment < refused_at + 50]


@for_each(("code", "status"), [(1301, 400), (1302, 429)])
async def test_one_whose_checks_always_come_too_fast_keeps_no_other_from_being_asked_about(
    code: int, status: int
) -> None:
    class OneRefused(FakeGateway):
        async def send(self, request: Request) -> Answer:
            told = await super().send(request)
            return business_error(code, "no", status) if request.path.endswith("gen-3") else told

    service, settings = OneRefused(seconds=100), {"service": "kling", "max_outstanding": 100, "timeout": 120}
    async with FakeClient(service, **settings, poll="every:5") as client:
        results = await run_all(client, jobs(10, GATEWAY_JOB))
    assert [result.generation_id for result in results.values() if not result.ok] == ["gen-3"]
    assert [name for _, name in service.polled_at].count("gen-3") < 15, (
        "others are answered: it makes none of them late"
    )


async def test_refusals_of_content_that_are_not_in_a_row_withhold_no_clip() -> None:
    service, moderated = FakeGateway(seconds=60), answer(400, {"message": "violates our content policy"})
    service.checks.extend([moderated, moderated, None, moderated, moderated])
    async with FakeClient(service, service="kling", poll="every:10") as client:
        (result,) = (await run_all(client, jobs(1, GATEWAY_JOB))).values()
    assert (result.ok, len(service.checks)) == (True, 0), result.error


async def test_a_failed_check_that_was_followed_by_an_answer_is_no_reason_why_a_clip_is_late() -> None:
    service = FakeGateway(seconds=900)
    service.checks.append(answer(500, {"message": "out of paper"}))
    async with FakeClient(service, service="kling", poll="every:10", timeout=60) as client:
        (result,) = (await run_all(client, jobs(1, GATEWAY_JOB))).values()
    assert "It keeps running at the service" in str(result.error)
    assert (len(service.checks), "out of paper" in str(result.error)) == (0, False)


async def test_a_key_that_is_revoked_during_an_outage_stops_the_buying() -> None:
    service = FakeGateway(seconds=5000)
    service.checks.extend([answer(500)] * 4 + [business_error(1002, "Invalid key", 401)] * 3)
    async with FakeClient(service, service="kling") as client, client.run(jobs(1, GATEWAY_JOB)) as run:
        await anyio.sleep(600)
        assert (isinstance(run.halted, Refused), len(service.checks)) == (True, 0)


async def test_a_service_that_is_away_is_asked_again_when_it_says() -> None:
    service = FakeService(seconds=10)
    service.checks.append(answer(503, {"message": "back soon"}, retry_after="70"))
    async with FakeClient(service) as client:
        await client.generate(MODEL, **PARAMS)
    assert gaps_of(service)[0] == pytest.approx(70, abs=0.2)


async def test_a_failed_check_is_repeated_soon_and_the_next_ones_ever_later() -> None:
    service = FakeService(seconds=5)
    service.checks.extend(answer(500) for _ in range(11))
    async with FakeClient(service, poll="every:1") as client:
        await client.generate(MODEL, **PARAMS)
    assert gaps_of(service) == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60, 60, 300, 300], abs=0.2)


async def test_a_check_that_is_answered_makes_the_failed_ones_before_it_forgotten() -> None:
    service = FakeService(seconds=900)
    service.checks.extend(([answer(500)] * 9 + [None]) * 3)
    async with FakeClient(service) as client:
        await client.generate(MODEL, **PARAMS)
    assert max(gaps_of(service)) < 70


async def test_a_generation_that_the_service_never_finds_ends_after_ten_checks_and_not_before() -> None:
    service = Refusing(answer(404, {"message": "no such generation"}), until=100_000, seconds=5)
    async with FakeClient(service, poll="every:1") as client:
        with pytest.raises(Rejected, match="no such generation"):
            await client.generate(MODEL, **PARAMS)
    assert len(service.polled_at) == 10


async def test_once_nothing_is_waited_for_the_service_is_asked_nothing_more() -> None:
    class Counting(FakeService):
        questions = 0

        def answer(self, request: Request) -> Answer:
            self.questions += 1
            return super().answer(request)

    service = Counting(seconds=10**6)
    async with FakeClient(service, poll="every:15") as client:
        async with client.run(jobs(1)):
            await anyio.sleep(5)
        generation = await client.submit(MODEL, **PARAMS)
        service.accepted.clear()
        with pytest.raises(Rejected):
            await client.wait(generation.id)
        questions = service.questions
        await anyio.sleep(3600)
    assert service.questions == questions


async def test_a_generation_is_not_asked_about_again_before_the_check_is_answered_that_a_call_has_brought_forward() -> (
    None
):
    service = FakeService(seconds=200)
    async with FakeClient(service, poll="every:12") as client, client.run(jobs(1)) as results:
        await anyio.sleep(1)
        service.latency = 30.0
        client._pipeline.poll.scheduler.hint("gen-0")
        await anyio.sleep(44)
        assert results.stats.polls == 1


async def test_a_service_that_is_away_is_asked_no_more_often_than_one_that_answers_whether_the_key_is_good() -> None:
    class Away(FakeService):
        questions = 0

        def answer(self, request: Request) -> Answer:
            if request.path != "/v2/billing":
                return super().answer(request)
            self.questions += 1
            if self.questions < 100:
                raise Unclear("reset")
            return answer(200, {})

    service = Away(seconds=10**6)
    async with FakeClient(service, poll="every:100000", timeout=3600.0) as client:
        generation = await client.submit(MODEL, **PARAMS)
        with pytest.raises(OutOfPatience):
            await client.wait(generation.id)
    assert 10 < service.questions < 100


async def test_a_generation_that_is_not_found_in_the_first_minute_is_waited_for() -> None:
    service = Refusing(answer(404, {"message": "no such generation"}), until=55, seconds=5)
    async with FakeClient(service, poll="every:1") as client:
        assert (await client.generate(MODEL, **PARAMS)).ok


async def test_a_key_that_is_refused_for_good_ends_the_waiting_and_keeps_the_id() -> None:
    service = Refusing(answer(401, {"message": "bad key"}), until=100_000, seconds=5)
    async with FakeClient(service) as client:
        with pytest.raises(Refused):
            await client.generate(MODEL, **PARAMS)
        assert client.outstanding.keys() == {"gen-0"}


async def test_one_refused_check_stops_nothing_and_three_in_a_row_stop_the_buying() -> None:
    for refusals, bought in ((1, 4), (2, 4), (3, 1)):
        service = FakeService(seconds=100)
        service.checks.extend(answer(401, {"message": "no such key"}) for _ in range(refusals))
        async with FakeClient(service, max_outstanding=1) as client:
            results = await run_all(client, jobs(4))
        assert results["job0"].ok
        assert len(service.posted_at) == bought


@for_each(("name", "service", "job"), [("aimlapi", FakeService, JOB), ("kling", FakeGateway, GATEWAY_JOB)])
async def test_a_question_that_is_refused_for_its_content_three_times_is_about_a_clip_that_was(
    name: str, service: type[FakeService], job: dict[str, Any]
) -> None:
    withheld = answer(400, {"code": "imagine:content-moderated", "error": "The input image was rejected by moderation"})
    for refusals in (2, 3):
        fake = service(seconds=5)
        fake.checks.extend([withheld] * refusals)
        async with FakeClient(fake, poll="every:1", service=name) as client:
            result = (await run_all(client, [{**job, "id": "a"}]))["a"]
        assert result.ok == (refusals < 3)
        assert isinstance(result.error, ContentRefused) == (result.stage is Stage.FAILED) == (refusals == 3)
        assert getattr(result.error, "field", None) == ("image" if refusals == 3 else None)


@for_each("status", [403, 451, 500])
async def test_a_refusal_of_content_under_a_status_of_what_lies_between_ends_no_generation(status: int) -> None:
    service = FakeService(seconds=5)
    service.checks.extend([answer(status, {"error": "blocked by the content policy of this network"})] * 5)
    async with FakeClient(service, poll="every:1") as client:
        assert (await client.generate(MODEL, **PARAMS)).ok


@for_each(("status", "message"), [(504, "Generation timeout"), (400, "generation timed out"), (504, "Gateway timeout")])
async def test_a_question_that_says_for_nine_minutes_that_a_generation_took_too_long_is_about_one_that_failed(
    status: int, message: str
) -> None:
    for checks in (10, 11):
        service = FakeService(seconds=5)
        service.checks.extend([answer(status, {"message": message, "statusCode": status})] * checks)
        async with FakeClient(service, poll="every:1") as client:
            result = (await run_all(client, jobs(1)))["job0"]
        has_failed = checks == 11 and message != "Gateway timeout"
        assert (result.stage is Stage.FAILED, type(result.error) is GenerationFailed) == (has_failed, has_failed)
        assert result.ok != has_failed


async def test_a_task_that_no_place_knows_is_refused_in_the_words_of_the_first_one() -> None:
    class Places(FakeGateway):
        async def send(self, request: Request) -> Answer:
            place = request.path.split("/")[-2]
            return answer(404, {"code": 1203, "message": "no such task" if place == "text2video" else f"no {place}"})

    async with FakeClient(Places(), service="kling") as client:
        with pytest.raises(Rejected, match="no such task"):
            await client.status("task-1")


@for_each("number", [0, 3, -1])
async def test_where_a_task_was_found_it_is_asked_for_from_then_on_were_it_the_last_place_of_all(number: int) -> None:
    asked: list[str] = []

    class Places(FakeGateway):
        async def send(self, request: Request) -> Answer:
            asked.append(request.path)
            if request.path == places[number]:
                return answer(200, {"code": 0, "data": {"task_id": "task-1", "task_status": "processing"}})
            return answer(404, {"code": 1203, "message": "no such task"})

    async with FakeClient(Places(), service="kling") as client:
        places = [question.path for question in client.wire.status("task-1")]
        assert (await client.status("task-1")).id == "task-1"
        assert asked == [*places[:number], places[number]]
        await client.status("task-1")
        assert asked[-2:] == [places[number]] * 2


class Withholding(FakeService):
    """Says of the first generation that it is completed, and never gives its clip."""

    def _check(self, name: str) -> Answer:
        return answer(200, {"id": name, "status": "completed"}) if name == "gen-0" else super()._check(name)


async def test_a_clip_that_does_not_come_though_completed_is_not_waited_for_as_one_that_renders() -> None:
    async with FakeClient(Withholding(), timeout=100_000.0) as client:
        with pytest.raises(OutOfPatience, match="completed without a clip"), anyio.fail_after(700):
            await client.generate(MODEL, **PARAMS)
        assert client.outstanding.keys() == {"gen-0"}


async def test_a_clip_that_is_withheld_though_completed_keeps_no_other_from_being_made() -> None:
    service = Withholding(seconds=5)
    async with FakeClient(service, max_outstanding=1, buy_ahead=2, timeout=600.0) as client:
        results = await run_all(client, jobs(3))
    assert isinstance(results["job0"].error, OutOfPatience)
    assert service.posted_at[-1] < 60


async def test_a_service_that_fails_for_an_hour_is_waited_for_as_long_as_patience_lasts() -> None:
    service = Refusing(answer(500), until=100_000, seconds=5)
    async with FakeClient(service, timeout=2500.0) as client:
        began = anyio.current_time()
        with pytest.raises(OutOfPatience), anyio.fail_after(5000):
            await client.generate(MODEL, **PARAMS)
    assert anyio.current_time() - began == pytest.approx(2500, abs=1)


@for_each(
    "trouble",
    [
        None,
        answer(500),
        answer(503, {"message": "back soon"}, retry_after="200"),
        answer(429, {"message": "slow down"}, retry_after="200"),
    ],
    ids=["none", "failing", "away", "too fast"],
)
@for_each("poll", ["every:7", "every:600"])
async def test_patience_ends_when_it_was_said_to_end(trouble: Any, poll: str) -> None:
    service = FakeService(seconds=10_000) if trouble is None else Refusing(trouble, until=10_000, seconds=10_000)
    async with FakeClient(service, timeout=100.0, poll=poll) as client:
        with pytest.raises(OutOfPatience, match="100 s") as raised, anyio.fail_after(5000):
            await client.generate(MODEL, **PARAMS)
        waited = anyio.current_time() - service.posted_at[0]
        assert raised.value.generation_id == "gen-0"
        assert client.outstanding.keys() == {"gen-0"}
    assert waited == pytest.approx(100, abs=0.2)


async def test_a_clip_that_is_ready_within_patience_is_delivered_however_rarely_it_is_asked_about() -> None:
    service = FakeService(seconds=99)
    async with FakeClient(service, timeout=100.0, poll="every:600") as client:
        video = await client.generate(MODEL, **PARAMS)
    assert (video.completed_at - video.submitted_at).total_seconds() == pytest.approx(100, abs=0.2)


@pytest.mark.usefixtures("no_threads")
@pytest.mark.parametrize("ends", ["completed", "failed", "cut"])
async def test_an_answer_that_comes_after_its_run_was_left_ends_no_client(
    tmp_path: Any, no_threads: None, caplog: pytest.LogCaptureFixture, ends: str
) -> None:
    service = FakeService(seconds=5, latency=10)
    service.broken = {"gen-0": "out of paint"} if ends == "failed" else {}
    service.checks.extend([Unclear("cut")] if ends == "cut" else [])
    async with FakeClient(service) as client:
        async with client.run(jobs(1), output=tmp_path):
            while not service.accepted:  # noqa: ASYNC110 - a service tells nobody
                await anyio.sleep(1)
            await anyio.sleep(20)  # the check is under way
            assert not service.polled_at
        assert (await client.generate(**JOB)).ok
        assert service.polled_at[0][1] == "gen-0"
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
    with read_journal(tmp_path / "journal.sqlite3") as journal:
        assert journal.counts() == {"rendering": 1}


async def test_a_generation_of_an_earlier_run_is_asked_about_at_its_age_and_waited_for_anew(tmp_path: Any) -> None:
    service, settings = FakeService(seconds=500), {"journal": tmp_path / "journal.sqlite3", "timeout": 400.0}
    async with FakeClient(service, **settings, poll="every:450") as client:
        with pytest.raises(OutOfPatience):
            await client.generate(MODEL, id="one", **PARAMS)
    await anyio.sleep(40)
    checks = len(service.polled_at)
    async with FakeClient(service, **settings, poll="every:450") as client, client.resume() as results:
        resumed_at = anyio.current_time()
        video = (await anext(results)).or_raise()
    moments = [moment - resumed_at for moment, _ in service.polled_at[checks:]]
    assert moments == pytest.approx([10, 400], abs=0.2)
    assert (video.completed_at - video.submitted_at).total_seconds() == pytest.approx(840, abs=0.2)


@pytest.mark.usefixtures("no_threads")
@for_each("hours", [72.0, -72.0])
async def test_a_clock_that_was_set_between_two_runs_makes_no_generation_older_or_younger_than_it_is(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, hours: float
) -> None:
    service, path, wall = FakeService(seconds=300), tmp_path / f"{hours}.sqlite3", clock.wall
    async with FakeClient(service, journal=path, timeout=100.0, poll="every:20") as client:
        with pytest.raises(OutOfPatience):
            await client.generate(MODEL, id="one", **PARAMS)
    with monkeypatch.context() as machine:
        machine.setattr(clock, "wall", lambda: wall() + hours * 3600)
        async with FakeClient(service, journal=path, poll="every:20") as client, client.resume() as results:
            assert (await anext(results)).ok
    with read_journal(path) as journal:
        ((_, progress),) = journal.all_jobs()
    # Those of the polls that found it unfinished; a negative one was queued.
    *moments, last = [moment - service.posted_at[0] for moment, _ in service.polled_at]
    assert progress.ages_at_polls == pytest.approx(moments, abs=1.5)
    assert last < 325


async def test_a_call_of_the_gateway_is_a_hint_to_ask_at_once_and_once_only() -> None:
    service, port = FakeGateway(seconds=100), unused_port()
    url = f"http://127.0.0.1:{port}/"

    async def call(task: str) -> None:
        async with aiohttp.ClientSession() as session:
            await session.post(url, json={"task_id": task})

    settings = {"callback": ("127.0.0.1", port), "callback_url": url, "poll": "every:600"}
    async with FakeClient(service, service="kling", **settings) as client, client.run([GATEWAY_JOB]) as results:
        await anyio.sleep(40)
        assert not service.polled_at
        await call("gen-0")
        await anyio.sleep(1)
        assert len(service.polled_at) == 1
        await anyio.sleep(65)
        assert len(service.polled_at) == 1
        await call("another")
        await call("gen-0")
        video = (await anext(results)).or_raise()
        await call("gen-0")
    assert video.polls == len(service.polled_at) == 2
    assert 100 <= (video.completed_at - video.submitted_at).total_seconds() < 400


async def test_while_the_gateway_calls_checks_are_rarer_and_one_that_is_silent_loses_nothing() -> None:
    service, port = FakeGateway(seconds=100), unused_port()
    settings = {"callback": ("127.0.0.1", port), "callback_url": f"http://127.0.0.1:{port}/", "poll": "every:15"}
    async with FakeClient(service, service="kling", **settings) as client:
        results = await run_all(client, [GATEWAY_JOB])
    assert [result.polls for result in results.values()] == [2]
    assert gaps_of(service) == pytest.approx([60], abs=0.2)


class Thrifty(FixedPolls):
    """Asks the more rarely the dearer a poll is."""

    def next_poll(self, last: float) -> float:
        return last + 2 * self.price


async def test_where_checks_are_scarce_the_price_of_one_rises_for_all_and_they_are_asked_for_more_rarely(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    policies = [Thrifty(), Thrifty()]
    monkeypatch.setattr(PollPolicies, "policy_for", lambda _, job: policies[job.id.endswith("1")])
    service = FakeService(seconds=400)
    async with FakeClient(service, poll_rate=2.0, max_outstanding=40) as client:
        await run_all(client, jobs(40))
    # 40 generations share 2 checks a second: each is asked about every 20 s, so a check is worth 10 s of waiting
    late = [(moment, name) for moment, name in service.polled_at if moment > service.posted_at[0] + 300]
    assert len(late) / len({name for _, name in late}) == pytest.approx(5, rel=0.3)
    assert [policy.price for policy in policies] == pytest.approx([10, 10], rel=0.3)


async def test_where_checks_are_plenty_their_price_stays_the_least(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = FixedPolls(5)
    monkeypatch.setattr(PollPolicies, "policy_for", lambda _, job: policy)
    async with FakeClient(FakeService(seconds=100), poll_rate=20.0, max_outstanding=40) as client:
        results = await run_all(client, jobs(40))
    assert policy.price == 0.5
    assert {result.stage for result in results.values()} == {Stage.READY}


async def test_a_generation_that_waits_in_the_queue_is_asked_about_as_one_that_has_not_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Queueing(FakeService):
        def _check(self, name: str) -> Any:
            found = super()._check(name)
            waits = anyio.current_time() - self.accepted[name] < 50
            return answer(200, {**found.json(), "status": "queued"}) if waits else found

    class Patient(FixedPolls):
        def queued_gap(self) -> float:
            return 7.0

    policy = Patient(20)
    monkeypatch.setattr(PollPolicies, "policy_for", lambda _, job: policy)
    service = Queueing(seconds=70)
    async with FakeClient(service) as client:
        assert (await client.generate(MODEL, **PARAMS)).ok
    ages = [moment - service.posted_at[0] for moment, _ in service.polled_at]
    assert ages == pytest.approx([20, 27, 34, 41, 48, 55, 75], abs=0.3)


class CountingLoop(VirtualTimeLoop):
    """Virtual time in which each pass of the loop takes 20 microseconds; the passes are counted."""

    passes = 0

    def _run_once(self) -> None:
        self.passes += 1
        self._jump.jumped += 2e-5
        super()._run_once()  # type: ignore[misc]


class MillisecondLoop(CountingLoop):
    """Tells time as uvloop does: its clock counts milliseconds, and its timers ring up to half of one early."""

    def time(self) -> float:
        return floor(super().time() * 1000) / 1000

    def call_at(self, when: float, *call: Any, **how: Any) -> asyncio.TimerHandle:
        return super().call_at(self.time() + round((when - self.time()) * 1000) / 1000, *call, **how)


def test_a_loop_whose_clock_counts_milliseconds_is_not_kept_busy_until_the_clock_moves_on() -> None:
    async def main() -> None:
        async with FakeClient(FakeService(seconds=8), poll="every:0.3", rate=1e5, poll_rate=1e5) as client:
            results = await run_all(client, jobs(10))
        assert all(result.ok for result in results.values())

    def passes_of(loop: type[CountingLoop]) -> int:
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(main())
            return runner.get_loop().passes  # type: ignore[attr-defined,no-any-return]

    assert passes_of(MillisecondLoop) < 1.3 * passes_of(CountingLoop)


@pytest.mark.real_time
def test_generations_are_polled_on_uvloop_too() -> None:
    uvloop = pytest.importorskip("uvloop")

    async def main() -> None:
        async with FakeClient(FakeService(seconds=0.0), poll="every:0.01", rate=1000.0) as client:
            results = await run_all(client, jobs(20))
        assert all(result.ok for result in results.values())

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


class Cached(FakeService):
    """Behind a cache that takes no notice of the query: for `lifetime` seconds all are told of one generation."""

    lifetime = 20.0
    _copy: tuple[float, Answer] | None = None

    def _check(self, name: str) -> Answer:
        fresh, now = super()._check(name), anyio.current_time()
        if self._copy is None or now - self._copy[0] > self.lifetime:
            self._copy = now, fresh
        return self._copy[1]


@pytest.mark.parametrize("broken", [{}, {"gen-1": {"message": "no GPU"}}])
async def test_a_check_that_is_answered_with_the_generation_of_another_job_says_nothing_of_this_one(
    broken: dict[str, Any],
) -> None:
    service = Cached(seconds=60, broken=broken)
    async with FakeClient(service, poll="every:7") as client:
        results = await run_all(client, jobs(3))
    ended = {result.generation_id: result.video_url for result in results.values() if result.ok}
    assert ended.keys() == {"gen-0", "gen-1", "gen-2"} - broken.keys()
    assert all(f"/{name}.mp4" in str(link) for name, link in ended.items())


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("no worker could render 'real people dance on a public square'", GenerationFailed),
        ("prohibited content in 'real people dance on a public square'", ContentRefused),
    ],
)
async def test_what_a_failure_quotes_of_the_prompt_is_no_refusal_of_its_content(
    words: str, kind: type[GenerationFailed]
) -> None:
    service = FakeService(seconds=5)
    service.broken["gen-0"] = words
    line = {**JOB, "id": "a", "prompt": "real people dance on a public square"}
    async with FakeClient(service) as client:
        error = (await run_all(client, [line]))["a"].error
    assert type(error) is kind


async def test_what_failed_checks_quote_of_the_prompt_ends_no_generation() -> None:
    prompt = "real people dance on a public square"
    service = FakeService(seconds=5)
    service.checks.extend([answer(400, {"message": f"'{prompt}' is on its way, look again"})] * 5)
    async with FakeClient(service, poll="every:1") as client:
        assert (await client.generate(**JOB | {"prompt": prompt})).ok


async def test_a_generation_is_not_polled_for_whom_it_is_taken_from_and_is_anybody_s_who_only_waits_for_it() -> None:
    sent = Progress(Stage.RENDERING, request_id="order-1", generation_id="gen-0")
    one, owner, by_id = (
        Entry(VideoJob("m", id=name), progress, mock.Mock())
        for name, progress in (("a", sent), ("b", Progress()), ("c", sent._replace(request_id=None)))
    )
    watched, waiting = Watched(), Waiting(one, FixedPolls(10), PollState(0.0, 0.0), inf, 0.0)
    watched.add(waiting)
    assert watched.take_back("gen-0", owner) is one
    assert (waiting.is_over, list(watched)) == (True, [])
    assert not watched.is_bought_for_another(by_id, Generation("gen-0", State.RENDERING, request_id="order-1"))


async def test_a_clock_that_stands_still_while_timers_ring_early_keeps_nothing_busy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reads, service = 0, FakeService(seconds=200)

    def late() -> float:
        nonlocal reads
        reads += 1
        assert reads < 20_000, "woken over and over for a moment that never comes"
        return asyncio.get_running_loop().time() - clock.TICK / 2

    monkeypatch.setattr(clock, "loop", late)
    service.checks.append(answer(429, retry_after="30"))
    async with FakeClient(service) as client:
        assert all(result.ok for result in (await run_all(client, jobs(3))).values())


@for_each("hours", [-12, 12])
async def test_a_wall_clock_that_is_set_between_two_runs_teaches_no_false_ages(
    hours: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_downloads(monkeypatch)
    service, stepped = FakeService(seconds=100), 0.0
    ages: list[float] = []
    monkeypatch.setattr(LearnedPolls, "observe", lambda self, lo, hi, done: ages.append(hi))
    monkeypatch.setattr(clock, "wall", lambda: service.now() + stepped)
    line = {**JOB, "id": "a"}
    async with FakeClient(service, poll="learned") as client:
        with anyio.move_on_after(50):
            await run_all(client, [line], output=tmp_path)
    stepped = hours * 3600
    async with FakeClient(service, poll="learned") as client:
        assert (await run_all(client, [line], output=tmp_path))["a"].ok
    assert ages
    assert max(ages) < 150
