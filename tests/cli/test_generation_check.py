"""What a service says of how a doubt is settled by hand."""

from __future__ import annotations

from aimlvideo.cli.generation_check import Settlement, _objection
from aimlvideo.core.jobs.job import Progress, Record, VideoJob
from aimlvideo.core.jobs.request_ids import Intent
from aimlvideo.core.jobs.stages import Stage
from tests.fakes import GATEWAY_JOB, SERVICE_EPOCH, FakeClient, ListingGateway


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
