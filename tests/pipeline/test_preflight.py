"""Models that are gone and keys that may not buy are said before anything is sent: by the client, not its command."""

from __future__ import annotations

import logging
from typing import Any

import anyio
import pytest

from aimlvideo import Stage
from aimlvideo.core.wires.http import Answer, Request
from aimlvideo.errors import InvalidJobs, Refused, Unavailable
from tests.cases import for_each
from tests.fakes import JOB, MODEL, FakeClient, FakeService, answer, jobs, run_all

PARAMS = {"prompt": "waves", "image_url": "https://example.com/a.png"}
WITHDRAWN = {"id": MODEL, "aliases": [], "status": "withdrawn", "shutdown_at": "2026-08-10", "replaced_by": "x/newer"}


class Strict(FakeService):
    """Says which models go, and what the key may do."""

    pages: dict[str, Any]
    reads: list[str]

    def __init__(self, **pages: Any) -> None:
        super().__init__(seconds=5)
        self.reads = []
        self.pages = {"/v1/models/deprecations": pages.get("deprecations"), "/v1/key": pages.get("key")}

    def answer(self, request: Request) -> Answer:
        """Return a page of these, else what the service says."""
        if request.path in self.pages:
            self.reads.append(request.path)
            page = self.pages[request.path]
            if isinstance(page, Exception):
                raise page
            return page if isinstance(page, Answer) else answer(200, {"data": page})
        return super().answer(request)


async def test_a_withdrawn_model_is_refused_by_generate_before_anything_is_sent_and_its_successor_named() -> None:
    service = Strict(deprecations=[WITHDRAWN])
    async with FakeClient(service) as client:
        with pytest.raises(InvalidJobs, match="withdrawn since 10 August 2026: use x/newer"):
            await client.generate(MODEL, **PARAMS)
    assert not service.bodies


async def test_in_a_run_only_the_jobs_of_a_withdrawn_model_fail() -> None:
    service = Strict(deprecations=[WITHDRAWN])
    other = {**JOB, "id": "other", "model": "klingai/video-v3-standard-image-to-video"}
    async with FakeClient(service) as client:
        results = await run_all(client, [*jobs(2), other])
    assert {name: result.stage for name, result in results.items()} == {
        "job0": Stage.FAILED,
        "job1": Stage.FAILED,
        "other": Stage.READY,
    }
    assert len(service.bodies) == 1


async def test_a_model_that_will_go_is_mentioned_once_and_bought(caplog: pytest.LogCaptureFixture) -> None:
    service = Strict(deprecations=[{**WITHDRAWN, "status": "deprecated", "shutdown_at": "2126-08-10"}])
    with caplog.at_level(logging.WARNING):
        async with FakeClient(service) as client:
            results = await run_all(client, jobs(3))
    assert all(result.ok for result in results.values())
    assert [text for text in caplog.messages if "will be withdrawn on 10 August 2126" in text] == [
        f"model {MODEL!r} will be withdrawn on 10 August 2126: use x/newer"
    ]


@for_each(
    ("key", "words"),
    [
        ({"disabled": True}, "disabled"),
        ({"scopes": ["model:chat"]}, "may not make videos"),
        ({"limit": {"threshold": 5, "retention": "month"}, "monthly_usage": 5.0}, "used up its own limit of 5.00 USD"),
    ],
)
async def test_a_key_that_may_not_buy_stops_the_run_before_anything_is_sent(key: dict[str, Any], words: str) -> None:
    service = Strict(key=key)
    async with FakeClient(service) as client:
        with pytest.raises(Refused, match=words):
            await client.generate(MODEL, **PARAMS)
        async with client.run(jobs(3)) as run:
            results = [result async for result in run]
        assert isinstance(run.halted, Refused)
    assert {result.stage for result in results} == {Stage.PLANNED}
    assert not service.bodies


@for_each(
    "page", [answer(500), answer(404), answer(401), Unavailable("away"), answer(200, "x"), answer(200, {"data": [[3]]})]
)
async def test_where_the_service_does_not_say_clips_are_bought_as_ever(page: Any) -> None:
    service = Strict(deprecations=page, key=page)
    async with FakeClient(service) as client:
        assert (await client.generate(MODEL, **PARAMS)).ok


async def test_a_service_that_does_not_answer_the_two_questions_is_waited_for_ten_seconds() -> None:
    class Silent(Strict):
        async def send(self, request: Request) -> Answer:
            if request.path in self.pages:
                await anyio.sleep(1000)
            return await super().send(request)

    service = Silent()
    async with FakeClient(service) as client:
        began = anyio.current_time()
        assert (await client.generate(MODEL, **PARAMS)).ok
    assert service.posted_at[0] - began == pytest.approx(10, abs=0.2)


async def test_it_is_asked_once_for_many_jobs_and_again_after_an_hour() -> None:
    service = Strict(deprecations=[], key={})
    async with FakeClient(service, max_outstanding=1) as client:
        await run_all(client, jobs(20))
        assert sorted(service.reads) == ["/v1/key", "/v1/models/deprecations"]
        await anyio.sleep(4000)
        await client.generate(MODEL, **PARAMS)
    assert len(service.reads) == 4


async def test_somebody_who_has_read_it_may_buy_anyway() -> None:
    service = Strict(deprecations=[WITHDRAWN], key={"disabled": True})
    async with FakeClient(service) as client:
        client.skip_preflight()
        assert (await client.generate(MODEL, **PARAMS)).ok
    assert not service.reads
