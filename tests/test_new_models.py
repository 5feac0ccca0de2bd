"""A model that this release does not know is asked for at the service, when it is named."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from aimlvideo.core.wires.http import Answer, Request
from aimlvideo.errors import InvalidJobs, Unavailable
from aimlvideo.shell.state.catalog_cache import CatalogCache, Refreshed, known_catalog
from aimlvideo.shell.state.service_models import _read_named_models
from tests.cases import for_each
from tests.fakes import FakeClient, FakeService, answer, run_all

NEW = "maker/next-video"


def document(name: str) -> dict[str, Any]:
    properties = {
        "model": {"enum": [name]},
        "prompt": {"type": "string"},
        "duration": {"type": "integer", "enum": [5, 10]},
    }
    schema = {"type": "object", "properties": properties, "required": ["model", "prompt"]}
    body = {"requestBody": {"content": {"application/json": {"schema": schema}}}}
    return {"paths": {"/v2/video/generations": {"post": body}}}


class Newer(FakeService):
    """Lists a model more than this release; `pages` are its answers, `reads` how often each was asked for."""

    def __init__(self, *, listed: Any = None, described: Any = None) -> None:
        super().__init__(seconds=5)
        entry = {"id": NEW, "aliases": [f"{NEW}-latest"], "info": {"docsJson": "/docs/next.json"}}
        self.pages = {
            "/v1/models": {"data": [entry]} if listed is None else listed,
            "/docs/next.json": document(NEW) if described is None else described,
        }
        self.reads: list[str] = []

    def answer(self, request: Request) -> Answer:
        """Return a page of these, else what the service says."""
        if request.path in self.pages and "include" not in dict(request.query):
            self.reads.append(request.path)
            page = self.pages[request.path]
            if isinstance(page, Exception):
                raise page
            return page if isinstance(page, Answer) else answer(200, page)
        return super().answer(request)


async def test_a_call_that_is_given_up_while_its_new_model_is_asked_for_leaves_it_to_the_next_one() -> None:
    service = Newer()
    service.latency = 1.0
    async with FakeClient(service) as client:
        for patience in (0.5, 1.5):
            with anyio.move_on_after(patience):
                await client.generate(NEW, prompt="waves")
        assert (await client.generate(NEW, prompt="waves")).ok
    assert len(service.posted_at) == 1


@pytest.mark.parametrize("name", [NEW, f"{NEW}-latest"])
async def test_a_new_model_is_asked_for_when_it_is_named_and_checked_by_its_document(name: str) -> None:
    service = Newer()
    async with FakeClient(service) as client:
        assert (await client.generate(name, prompt="waves", duration=10)).ok
        with pytest.raises(InvalidJobs, match="one of 5, 10, got 7"):
            await client.generate(name, prompt="waves", duration=7)
    assert service.reads == ["/v1/models", "/docs/next.json"]
    assert [body["model"] for body in service.bodies] == [name]


async def test_many_jobs_of_one_new_model_ask_for_it_once() -> None:
    service = Newer()
    async with FakeClient(service) as client:
        results = await run_all(client, [{"id": f"j{n}", "model": NEW, "prompt": f"{n}"} for n in range(30)])
    assert all(result.ok for result in results.values())
    assert service.reads == ["/v1/models", "/docs/next.json"]


async def test_a_model_that_the_service_does_not_know_either_is_asked_for_once() -> None:
    service = Newer()
    async with FakeClient(service) as client:
        for _ in range(3):
            with pytest.raises(InvalidJobs, match="a known model, got"):
                await client.generate("maker/nothing", prompt="waves")
    assert service.reads == ["/v1/models"]


DEEP: Any = []
for _ in range(500):
    DEEP = [DEEP]


@for_each(
    "pages",
    [
        {"listed": answer(500)},
        {"listed": answer(401)},
        {"listed": Unavailable("away")},
        {"listed": Answer(200, {}, b"<html>")},
        {"listed": Answer(200, {}, b"[" * 100_000)},
        {"listed": Answer(200, {}, b" " * 3_000_000)},
        {"listed": {"data": {"id": NEW}}},
        {"listed": {"data": [None, 7, {"id": [NEW]}, {"id": NEW, "aliases": 3}]}},
        {"listed": {"data": [{"id": NEW, "info": {"docsJson": "http://10.0.0.1/x"}}]}},
        {"listed": {"data": [{"id": NEW, "info": {"docsJson": "file:///etc/passwd"}}]}},
        {"listed": {"data": [{"id": "x" * 10_000, "aliases": [NEW], "info": {"docsJson": "/docs/next.json"}}]}},
        {"listed": {"data": [{"id": "a\x1b[2Jb", "aliases": [NEW], "info": {"docsJson": "/docs/next.json"}}]}},
        {"described": Answer(200, {}, b"nothing")},
        {"described": answer(404)},
        {"described": DEEP},
        {"described": {"paths": {"//elsewhere.example/v2": {"post": None}}}},
        {"described": document("somebody/else")},
        {"described": Unavailable("away")},
    ],
)
async def test_whatever_the_service_answers_a_model_that_nobody_can_describe_is_just_not_known(
    pages: dict[str, Any],
) -> None:
    service = Newer(**pages)
    async with FakeClient(service) as client:
        with pytest.raises(InvalidJobs, match="a known model, got"):
            await client.generate(NEW, prompt="waves")
    assert not service.bodies


async def test_a_service_cannot_change_a_model_that_is_known_by_listing_it_as_a_new_one() -> None:
    known = "kling-video/v1.6/pro/image-to-video"
    entry = {"id": known, "aliases": [NEW], "info": {"docsJson": "/docs/next.json"}}
    service = Newer(listed={"data": [entry]}, described=document(known))
    async with FakeClient(service) as client:
        with pytest.raises(InvalidJobs):
            await client.generate(NEW, prompt="waves")
        with pytest.raises(InvalidJobs, match="image_url: "):
            await client.generate(known, prompt="waves")


async def test_a_service_that_never_answers_holds_nobody_up_for_long() -> None:
    class Silent(Newer):
        async def send(self, request: Request) -> Answer:
            if request.path == "/v1/models":
                await anyio.sleep_forever()
            return await super().send(request)

    async with FakeClient(Silent()) as client:
        began = anyio.current_time()
        with pytest.raises(InvalidJobs):
            await client.generate(NEW, prompt="waves")
        assert anyio.current_time() - began < 60


async def test_what_was_learned_is_kept_beside_what_a_refresh_has_read() -> None:
    cache = CatalogCache()
    cache.write(Refreshed({"x/other": {"developer": "x", "path": "/p", "params": {}}}, {}, "2026-01-01", '"tag"'))
    models = FakeClient(FakeService()).service.models
    assert models is not None
    cache.add(await _read_named_models(Newer().send, models, [NEW]))
    kept = cache.read()
    assert kept is not None
    assert (kept.date, kept.etag, sorted(kept.models)) == ("2026-01-01", '"tag"', [NEW, "x/other"])
    assert known_catalog().find(f"{NEW}-latest") is not None
