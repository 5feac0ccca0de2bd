"""What a gateway's calls are good for, ids that a job names itself, and tasks that were taken and then had no slot."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import logging
from dataclasses import replace
from email.message import Message
from pathlib import Path
from typing import Any

import anyio
import pytest

from aimlvideo import Result, Stage
from aimlvideo.core.polling.policy import FixedPolls
from aimlvideo.core.wires.http import Answer, Request
from aimlvideo.errors import GenerationFailed, InvalidJobs, SettingsError, Unclear
from aimlvideo.pipeline.poll_policies import PollPolicies
from aimlvideo.shell import clock
from aimlvideo.shell.journal.sqlite_reader import read_journal
from tests.cases import for_each
from tests.fakes import GATEWAY_JOB, FakeClient, FakeGateway, answer, http_date, jobs, run_all

NO_SLOT = {
    "task_id": "gen-0",
    "task_status": "failed",
    "task_status_msg": "1303: parallel task over resource pack limit",
}


def gateway_client(service: FakeGateway, **settings: Any) -> FakeClient:
    return FakeClient(service, service="kling", **settings)


def call(status: str, task: str = "gen-0", **more: Any) -> dict[str, Any]:
    return {"task_id": task, "task_status": status, **more}


# An application's own route -------------------------------------------------------------------------------------------


async def test_a_call_that_says_it_has_ended_is_a_reason_to_ask_at_once() -> None:
    service = FakeGateway(seconds=20)
    async with gateway_client(service, poll="every:600") as client, client.run(jobs(1, GATEWAY_JOB)) as results:
        await anyio.sleep(30)
        assert client.callback(json.dumps(call("succeed")).encode())
        result = await anext(results)
    assert result.ok
    assert [round(moment - service.posted_at[0]) for moment, _ in service.polled_at] == [30]


async def test_calls_that_come_before_the_gateway_itself_knows_its_task_do_not_end_the_waiting() -> None:
    service = FakeGateway(seconds=50)
    service.checks.extend(answer(404, {"code": 1203, "message": "no such task"}) for _ in range(12))
    async with gateway_client(service, poll="every:600") as client, client.run(jobs(1, GATEWAY_JOB)) as results:
        for _ in range(13):
            await anyio.sleep(3.5)
            assert client.callback(call("succeed"))
        assert (await anext(results)).ok


async def test_a_call_that_says_not_finished_counts_as_a_look_and_asks_nothing() -> None:
    service = FakeGateway(seconds=70)
    async with gateway_client(service, poll="every:60") as client, client.run(jobs(1, GATEWAY_JOB)) as results:
        for moment in (10, 50):
            await anyio.sleep(moment - (anyio.current_time() - service.posted_at[0] if service.posted_at else 0))
            assert client.callback(call("processing"))
        assert (await anext(results)).ok
    assert [round(moment - service.posted_at[0]) for moment, _ in service.polled_at] == [110]


@pytest.mark.usefixtures("no_threads")
async def test_a_call_reaches_a_run_that_goes_on_with_what_an_earlier_one_was_left_with(tmp_path: Path) -> None:
    service = FakeGateway(seconds=100)
    async with gateway_client(service, poll="every:600", journal=tmp_path / "journal.sqlite3") as client:
        async with client.run(jobs(1, GATEWAY_JOB)):
            await anyio.sleep(5)
        async with client.resume() as results:
            await anyio.sleep(100)
            assert client.callback(call("succeed"))
            assert (await anext(results)).ok


async def test_an_older_call_after_the_last_one_does_not_put_off_the_question() -> None:
    service = FakeGateway(seconds=20)
    async with gateway_client(service, poll="every:600") as client, client.run(jobs(1, GATEWAY_JOB)) as results:
        await anyio.sleep(30)
        assert client.callback(call("succeed"))
        assert client.callback(call("processing"))
        assert (await anext(results)).ok
    assert [round(moment - service.posted_at[0]) for moment, _ in service.polled_at] == [30]


async def test_calls_that_say_not_finished_for_ever_do_not_keep_a_clip_from_being_seen() -> None:
    service = FakeGateway(seconds=70)
    async with gateway_client(service, poll="every:60") as client, client.run(jobs(1, GATEWAY_JOB)) as results:
        for _ in range(30):
            await anyio.sleep(10)
            client.callback(call("processing"))
        assert (await anext(results)).ok
    assert [round(moment - service.posted_at[0]) for moment, _ in service.polled_at] == [120]


async def test_a_call_that_says_queued_is_a_look_at_a_task_that_has_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    class Patient(FixedPolls):
        def queued_gap(self) -> float:
            return 7.0

    monkeypatch.setattr(PollPolicies, "policy_for", lambda _, job: Patient(20))
    service = FakeGateway(seconds=30)
    async with gateway_client(service) as client, client.run(jobs(1, GATEWAY_JOB)) as results:
        await anyio.sleep(10)
        assert client.callback(call("submitted"))
        assert (await anext(results)).ok
    assert [round(moment - service.posted_at[0]) for moment, _ in service.polled_at] == [17, 37]


async def test_a_call_about_somebody_else_s_task_says_so() -> None:
    async with gateway_client(FakeGateway()) as client:
        assert not client.callback(call("succeed", "nobody"))
        assert not client.callback(b"<html>")
        assert not client.callback({})
    with pytest.raises(SettingsError, match="not open"):
        client.callback({})
    async with FakeClient(FakeGateway()) as client:
        assert not client.callback(call("succeed"))


async def test_a_call_with_a_wrong_signature_is_turned_away_at_an_application_s_route_too() -> None:
    key, service = b"a secret of the right length.....", FakeGateway(seconds=5)
    secret, body = "whsec_" + base64.b64encode(key).decode(), json.dumps(call("succeed")).encode()
    moment = str(int(clock.wall()))
    good = base64.b64encode(hmac.digest(key, f"msg-1.{moment}.".encode() + body, "sha256")).decode()
    headers = {"Webhook-Id": "msg-1", "Webhook-Timestamp": moment, "Webhook-Signature": f"v1,{good}"}
    settings = {"callback_secret": secret, "poll": "every:600"}
    async with gateway_client(service, **settings) as client, client.run(jobs(1, GATEWAY_JOB)) as results:
        await anyio.sleep(6)
        assert not client.callback(body, headers | {"Webhook-Signature": "v1,AAAA"})
        assert client.callback(body, headers)
        # As Flask, Quart and Python's own server hold them: no mappings, and still headers.
        message = Message()
        for name, value in headers.items():
            message[name] = value
        assert client.callback(body, message)
        assert (await anext(results)).ok


async def test_a_signed_call_is_taken_also_where_this_machine_s_clock_is_wrong() -> None:
    class Dated(FakeGateway):
        async def send(self, request: Request) -> Answer:
            told = await super().send(request)
            return replace(told, headers={**told.headers, "date": http_date(int(self.now()))})

    key, service = b"a secret of the right length.....", Dated(seconds=20)
    secret, body = "whsec_" + base64.b64encode(key).decode(), json.dumps(call("succeed")).encode()
    settings = {"callback_secret": secret, "poll": "every:600"}
    async with gateway_client(service, **settings) as client, client.run(jobs(1, GATEWAY_JOB)) as results:
        await anyio.sleep(21)

        def headers(moment: float) -> dict[str, str]:
            signed = f"msg-1.{moment:.0f}.".encode() + body
            good = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
            return {"webhook-id": "msg-1", "webhook-timestamp": f"{moment:.0f}", "webhook-signature": f"v1,{good}"}

        assert abs(service.now() - clock.wall()) > 3600
        assert not client.callback(body, headers(service.now() - 3600)), "it is repeated by somebody"
        assert client.callback(body, headers(service.now()))
        assert (await anext(results)).ok


# Lost answers ---------------------------------------------------------------------------------------------------------


async def after_a_call(service: FakeGateway, *called: str, settle: float) -> Result:
    """Return what became of a job whose answer was lost, and about which a call came that carries our id."""
    service.finds_ids = False
    service.lost.append(Unclear("reset"))
    async with gateway_client(service, settle=settle) as client, client.run(jobs(1, GATEWAY_JOB)) as results:
        await anyio.sleep(2)
        external = service.bodies[0]["external_task_id"]
        assert client.callback(call(*called, task_info={"external_task_id": external}))
        return await anext(results)


async def test_a_call_that_carries_our_id_settles_a_lost_answer_after_a_check_of_our_own() -> None:
    service = FakeGateway(seconds=20)
    result = await after_a_call(service, "submitted", settle=100.0)
    assert (result.ok, result.generation_id, len(service.posted_at)) == (True, "gen-0", 1)


async def test_a_call_settles_a_lost_answer_also_while_it_is_just_looked_up(caplog: pytest.LogCaptureFixture) -> None:
    service = FakeGateway(seconds=20, latency=1.0)
    service.lost.append(Unclear("reset"))
    service.checks.append(answer(404, {"code": 1203, "message": "no such task"}))
    async with gateway_client(service) as client, client.run(jobs(1, GATEWAY_JOB)) as results:
        await anyio.sleep(2.1)
        external = service.bodies[0]["external_task_id"]
        assert client.callback(call("submitted", task_info={"external_task_id": external}))
        assert (await anext(results)).ok
    # Of ours alone: what a tracing library says of an earlier test is none.
    ours = [record for record in caplog.records if record.name.startswith("aimlvideo")]
    assert [record.getMessage() for record in ours if record.levelno >= logging.WARNING] == ["in doubt: reset"]


@pytest.mark.usefixtures("no_threads")
@pytest.mark.parametrize("is_called", [False, True])
async def test_a_lost_answer_whose_run_is_left_while_it_is_looked_up_is_no_unexpected_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, is_called: bool
) -> None:
    service = FakeGateway(seconds=20, latency=1.0)
    service.lost.append(Unclear("reset"))
    service.checks.extend([answer(404, {"code": 1203, "message": "no such task"})] * is_called)
    own = [{**GATEWAY_JOB, "id": "a", "external_task_id": "mine"}]
    async with gateway_client(service) as client:
        async with client.run(own, output=tmp_path):
            while not service.accepted:  # noqa: ASYNC110 - a service tells nobody
                await anyio.sleep(0.25)
            if is_called:
                await anyio.sleep(1.1)
                assert client.callback(call("submitted", task_info={"external_task_id": "mine"}))
            await anyio.sleep(0.5)
        await anyio.sleep(20)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
    with read_journal(tmp_path / "journal.sqlite3") as journal:
        assert journal.counts() == {"in_doubt": 1}


async def test_a_call_that_the_service_does_not_confirm_settles_nothing() -> None:
    service = FakeGateway(seconds=20)
    result = await after_a_call(service, "succeed", "forged", settle=50.0)
    assert result.stage is Stage.IN_DOUBT
    assert len(service.posted_at) == 1


async def test_a_call_that_names_a_task_from_before_the_submission_settles_nothing() -> None:
    class WithAnOlderTask(FakeGateway):
        async def send(self, request: Request) -> Answer:
            if not request.path.endswith("/older"):
                return await super().send(request)
            links = {"videos": [{"url": "https://files.example.com/older.mp4"}]}
            older = call("succeed", "older", created_at=int(1000 * (clock.wall() - 2 * 86400)), task_result=links)
            return answer(200, {"code": 0, "data": older})

    service = WithAnOlderTask(seconds=20)
    result = await after_a_call(service, "succeed", "older", settle=50.0)
    assert result.stage is Stage.IN_DOUBT
    assert len(service.posted_at) == 1


FACE = {"face_id": "0", "audio_id": "a", "sound_start_time": 0, "sound_end_time": 3000, "sound_insert_time": 0}


@for_each(
    "job",
    [
        {"model": "kling-video-extend", "video_id": "clip-1"},
        {"model": "kling-lip-sync", "video_id": "c", "mode": "text2video", "text": "hello", "voice_id": "v"},
        {"model": "kling-advanced-lip-sync", "session_id": "s", "face_choose": [FACE]},
    ],
)
async def test_a_task_that_is_sent_without_our_id_is_never_sent_again_after_a_lost_answer(job: Any) -> None:
    service = FakeGateway(seconds=20)
    service.posts.extend([None, Unclear("reset")])
    many = [{**GATEWAY_JOB, "id": "first"}, {"id": "longer", **job}]
    async with gateway_client(service, settle=30.0) as client:
        results = await run_all(client, many)
    assert results["first"].ok
    assert results["longer"].stage is Stage.IN_DOUBT
    assert len(service.posted_at) == 2


# Ids that a job names itself ------------------------------------------------------------------------------------------


async def test_an_id_of_the_job_s_own_is_sent_kept_and_looked_up() -> None:
    service = FakeGateway(seconds=20)
    service.lost.append(Unclear("reset"))
    async with gateway_client(service) as client:
        result = await client.generate(**GATEWAY_JOB, external_task_id="order-17")
    assert service.bodies[0]["external_task_id"] == "order-17"
    assert (result.request_id, result.generation_id) == ("order-17", "gen-0")


async def test_two_jobs_of_one_id_are_a_problem_of_the_second() -> None:
    service = FakeGateway(seconds=20)
    many = [{**job, "external_task_id": "order-17"} for job in jobs(2, GATEWAY_JOB)]
    async with gateway_client(service) as client:
        results = await run_all(client, many)
    assert results["job0"].ok
    assert isinstance(results["job1"].error, InvalidJobs)
    assert "external_task_id" in str(results["job1"].error)
    assert len(service.posted_at) == 1


# Taken, and then no slot ----------------------------------------------------------------------------------------------


async def test_a_task_that_had_no_slot_is_planned_again_and_the_limit_narrows() -> None:
    service = FakeGateway(seconds=20)
    service.checks.append(answer(200, {"code": 0, "data": NO_SLOT}))
    async with gateway_client(service, max_outstanding=8) as client:
        async with client.run(jobs(1, GATEWAY_JOB)) as results:
            result = await anext(results)
        assert client._pipeline.slots.outstanding.limit < 8
    assert (result.ok, result.generation_id, len(service.posted_at)) == (True, "gen-1", 2)
    assert service.posted_at[1] - service.polled_at[0][0] >= 1, "a service without a slot is left alone for a moment"


@pytest.mark.usefixtures("no_threads")
async def test_a_task_that_had_no_slot_is_asked_about_once_more_where_the_run_was_killed_before_it_was_sent_again(
    tmp_path: Path,
) -> None:
    service = FakeGateway(seconds=20)
    service.checks.append(answer(200, {"code": 0, "data": NO_SLOT}))
    service.posts.extend([None, *[answer(503)] * 9])
    journal = tmp_path / "journal.sqlite3"
    async with gateway_client(service, journal=journal) as client, client.run(jobs(1, GATEWAY_JOB)):
        await anyio.sleep(25)
    service.posts.clear()
    sent = len(service.posted_at)
    async with gateway_client(service, journal=journal) as client, client.resume() as results:
        result = await anext(results)
    assert sent > 1
    assert (result.ok, result.generation_id, len(service.posted_at)) == (True, "gen-0", sent)


async def test_a_task_that_never_has_a_slot_fails_in_the_end() -> None:
    service = FakeGateway(seconds=20)
    service.checks.extend([answer(200, {"code": 0, "data": NO_SLOT})] * 100)
    async with gateway_client(service) as client:
        with pytest.raises(GenerationFailed, match="1303"):
            await client.generate(**GATEWAY_JOB)
    assert len(service.posted_at) == 21


async def test_a_task_with_an_id_of_its_own_is_not_sent_twice_under_it() -> None:
    service = FakeGateway(seconds=20)
    service.checks.append(answer(200, {"code": 0, "data": NO_SLOT}))
    async with gateway_client(service) as client:
        with pytest.raises(GenerationFailed, match="1303"):
            await client.generate(**GATEWAY_JOB, external_task_id="order-17")
    assert len(service.posted_at) == 1


@pytest.mark.parametrize("model", ["", GATEWAY_JOB["model"]])
async def test_a_task_that_is_only_waited_for_by_its_id_is_never_bought_again(model: str) -> None:
    service = FakeGateway(seconds=20)
    async with gateway_client(service) as buyer:
        generation = await buyer.submit(**GATEWAY_JOB)
    service.broken[generation.id] = NO_SLOT["task_status_msg"]
    async with gateway_client(service) as client:
        with pytest.raises(GenerationFailed, match="1303"):
            await client.wait(generation.id, model=model)
    assert len(service.posted_at) == 1


async def test_a_task_that_had_no_slot_is_planned_again_once_however_many_calls_wait_for_it() -> None:
    service = FakeGateway(seconds=20)
    async with gateway_client(service) as client:
        generation = await client.submit(**GATEWAY_JOB)
        service.broken[generation.id] = NO_SLOT["task_status_msg"]
        calls = [client.wait(generation.id) for _ in range(3)]
        ended = await asyncio.gather(*calls, return_exceptions=True)
    assert sorted(type(one).__name__ for one in ended) == ["GenerationFailed", "GenerationFailed", "Result"]
    assert len(service.posted_at) == 2
