"""What the service is asked about generations before jobs are tried again, and before a doubt is settled by hand."""

from __future__ import annotations

import asyncio

import pytest

from aimlvideo.cli import generation_check, session
from aimlvideo.cli.generation_check import PARALLEL_QUESTIONS, Settlement, _objection, completed_since
from aimlvideo.cli.options import ServiceOptions
from aimlvideo.core.jobs.job import Progress, Record, VideoJob
from aimlvideo.core.jobs.request_ids import Intent
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.wires.http import Answer
from aimlvideo.errors import GenerationFailed, ServiceError, Unavailable, Unclear
from tests.fakes import GATEWAY_JOB, JOB, SERVICE_EPOCH, FakeClient, FakeService, ListingGateway, answer


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


@pytest.mark.parametrize("error", [None, Unavailable("away"), Unclear("reset")])
def test_a_failed_generation_that_the_service_does_not_speak_of_is_not_known_to_have_failed(
    monkeypatch: pytest.MonkeyPatch, error: ServiceError | None
) -> None:
    async def unseen(*about: object) -> None:
        if error is not None:
            raise error

    monkeypatch.setattr(generation_check, "taken_up_since", unseen)
    monkeypatch.setattr(generation_check, "client_of", lambda settings: FakeClient(FakeService()))
    failed = Progress(Stage.FAILED, "r", "gen-0", error=GenerationFailed("out of paint"))
    asked = completed_since([Record(VideoJob("m", id="a"), failed)], ServiceOptions(api_key="k").client_options())
    assert asked == (set(), {"a"} if error else set())


def test_any_number_of_failed_jobs_are_asked_about_by_a_few_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    service, tasks = FakeService(), []

    def checked(name: str) -> Answer:
        tasks.append(len(asyncio.all_tasks()))
        return answer(200, {"id": name, "status": "generating" if name == "gen-7" else "error", "error": "no paint"})

    monkeypatch.setattr(service, "_check", checked)
    monkeypatch.setattr(session, "VideoClient", lambda **settings: FakeClient(service, **settings))
    failed = [
        Record(
            VideoJob(**{**JOB, "id": f"job{number}"}),
            Progress(Stage.FAILED, generation_id=f"gen-{number}", error=GenerationFailed("no paint")),
        )
        for number in range(500)
    ]
    settings = ServiceOptions(api_key="k").client_options()
    del settings["api_key"], settings["base_url"]
    assert completed_since(failed, settings) == ({"job7"}, set())
    assert len(tasks) == 500
    assert max(tasks) <= PARALLEL_QUESTIONS + 15
