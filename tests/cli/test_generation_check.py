"""What the service is asked about generations before jobs are tried again, and before a doubt is settled by hand."""

from __future__ import annotations

import asyncio

import pytest

from aimlvideo.cli.generation_check import PARALLEL_QUESTIONS, Settlement, _completed_since, _objection, completed_since
from aimlvideo.cli.options import ServiceOptions
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress, Record
from aimlvideo.core.jobs.request_ids import Intent
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.wires.http import Answer
from aimlvideo.errors import GenerationFailed, Refused, ServiceError, Unavailable, Unclear
from tests.cases import for_each
from tests.fakes import (
    GATEWAY_JOB,
    JOB,
    SERVICE_EPOCH,
    FakeClient,
    FakeService,
    ListingGateway,
    OneCheckASecond,
    answer,
)


async def test_a_task_that_stands_in_a_list_alone_was_accepted_all_the_same() -> None:
    service = ListingGateway(seconds=0.0)
    lost, never = (VideoJob(GATEWAY_JOB["model"], id=name, prompt="waves") for name in ("lost", "never"))
    ids = {job.id: Intent("0123abcd", SERVICE_EPOCH).request_id(job, "0123456789") for job in (lost, never)}
    service.accepted["gen-0"] = 0.0
    service.note("gen-0", ids[lost.id])
    async with FakeClient(service, api_key="access:secret", service="kling-official") as client:
        for job in (lost, never):
            record = Record(job, Progress(Stage.IN_DOUBT, request_id=ids[job.id]))
            objection = await _objection(Settlement(record, None, (), ()), client)
            assert (objection is not None and "has become generation gen-0" in objection) == (job is lost)


def failed(number: int) -> Record:
    """Return a job that has failed with the generation of this number."""
    progress = Progress(Stage.FAILED, "r", f"gen-{number}", error=GenerationFailed("no paint"))
    return Record(VideoJob(**{**JOB, "id": f"job{number}"}), progress)


@for_each("error", [None, Unavailable("away"), Unclear("reset"), Refused("wrong key", status=401)])
async def test_a_failed_generation_that_the_service_does_not_speak_of_is_not_known_to_have_failed(
    error: ServiceError | None,
) -> None:
    service = FakeService()
    service.checks.extend([error] * 5)
    async with FakeClient(service) as client:
        assert await _completed_since([failed(0)], client) == (set(), {"job0"} if error else set())


async def test_a_failed_generation_that_another_key_has_bought_is_not_known_to_have_failed() -> None:
    async with FakeClient(FakeService()) as client, FakeClient(FakeService(), api_key="another-key") as other:
        job, progress = failed(0)
        for account, unknown in ((client.account, set()), (other.account, {"job0"})):
            record = Record(job, progress._replace(account=account))
            assert await _completed_since([record], client) == (set(), unknown)


def test_where_there_is_no_key_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AIMLAPI_API_KEY", "AIML_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    assert completed_since([failed(0)], ServiceOptions().client_options()) == (set(), set())


async def test_any_number_of_failed_jobs_are_asked_about_by_a_few_tasks() -> None:
    tasks = []

    class Mending(FakeService):
        def _check(self, name: str) -> Answer:
            tasks.append(len(asyncio.all_tasks()))
            status = "generating" if name == "gen-7" else "error"
            return answer(200, {"id": name, "status": status, "error": "no paint"})

    async with FakeClient(Mending()) as client:
        assert await _completed_since(map(failed, range(500)), client) == ({"job7"}, set())
    assert len(tasks) == 500
    assert max(tasks) <= PARALLEL_QUESTIONS + 15


async def test_failed_jobs_are_asked_about_at_the_rate_that_the_service_bears() -> None:
    class Failing(FakeService):
        def _check(self, name: str) -> Answer:
            return answer(200, {"id": name, "status": "error", "error": "no paint"})

    class Strict(OneCheckASecond, Failing):
        """Takes one check a second."""

    async with FakeClient(Strict()) as client:
        assert await _completed_since(map(failed, range(10)), client) == (set(), set())
