"""The refreshed catalogue: asked for politely, kept whole, one broken document breaks nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from aimlvideo.core.catalog.catalog import load_catalog
from aimlvideo.core.catalog.validation import check
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.services import service_of
from aimlvideo.core.wires.http import Answer, Request
from aimlvideo.errors import ServiceError, SettingsError, Unavailable
from aimlvideo.shell.state.catalog_cache import CatalogCache, Refreshed, _say_damaged
from aimlvideo.shell.state.service_models import PARALLEL_DOCUMENTS, _refresh

MODELS = service_of("aimlapi").models
assert MODELS is not None

NOW = "2026-08-22T10:00:00+00:00"


class Service:
    """A list of models with a document each, and what was asked of it."""

    def __init__(self, *names: str) -> None:
        self.names = list(names)
        self.documents: dict[str, Any] = {name: document(name) for name in names}
        self.etag = '"one"'
        self.asked: list[Request] = []
        self.at_once = self.most_at_once = 0

    async def fetch(self, request: Request) -> Answer:
        self.asked.append(request)
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        await anyio.sleep(0.1)
        self.at_once -= 1
        return self._list(request) if request.path == "/v1/models" else self._document(request)

    def _list(self, request: Request) -> Answer:
        if request.headers.get("If-None-Match") == self.etag:
            return Answer(304, {}, b"")
        entries = [
            {"id": name, "aliases": [f"{name}-latest"], "info": {"docsJson": f"https://d/{name}"}}
            for name in self.names
        ]
        return Answer(200, {"etag": self.etag}, json.dumps({"data": entries}).encode())

    def _document(self, request: Request) -> Answer:
        found = self.documents[request.path.removeprefix("https://d/")]
        if isinstance(found, Exception):
            raise found
        return found if isinstance(found, Answer) else Answer(200, {}, json.dumps(found).encode())


def document(name: str) -> dict[str, Any]:
    properties = {"model": {"enum": [name]}, "prompt": {"type": "string"}}
    schema = {"type": "object", "properties": properties, "required": ["model", "prompt"]}
    body = {"requestBody": {"content": {"application/json": {"schema": schema}}}}
    return {"paths": {"/v2/video/generations": {"post": body}}}


@pytest.fixture
def cache(tmp_path: Path) -> CatalogCache:
    return CatalogCache(tmp_path / "not there yet")


async def test_a_model_that_was_not_shipped_works_after_a_refresh_also_by_its_alias(cache: CatalogCache) -> None:
    refreshed = await _refresh(Service("x/new").fetch, cache, MODELS, now=NOW)
    kept = cache.read()
    assert kept == refreshed
    assert kept is not None
    assert kept.date == NOW
    catalog = load_catalog(kept.models)
    for name in ("x/new", "x/new-latest"):
        assert not check(VideoJob(name, prompt="p"), catalog).problems
        assert check(VideoJob(name), catalog).problems
    assert "x/new" not in load_catalog()


async def test_documents_are_asked_for_a_few_at_once(cache: CatalogCache) -> None:
    service = Service(*(f"x/{number}" for number in range(40)))
    refreshed = await _refresh(service.fetch, cache, MODELS, now=NOW)
    assert service.most_at_once == PARALLEL_DOCUMENTS
    assert list(refreshed.models) == service.names
    assert len(service.asked) == 41


async def test_a_list_that_did_not_change_is_asked_for_once_and_nothing_else(cache: CatalogCache) -> None:
    service = Service("x/a", "x/b")
    first = await _refresh(service.fetch, cache, MODELS, now=NOW)
    service.asked.clear()
    again = await _refresh(service.fetch, cache, MODELS, now="2026-09-01T00:00:00+00:00")
    assert [request.path for request in service.asked] == ["/v1/models"]
    assert again.models == first.models
    assert again.date == "2026-09-01T00:00:00+00:00"
    await _refresh(service.fetch, cache, MODELS, now=NOW, force=True)
    assert len(service.asked) == 1 + 3


BROKEN = [
    Unavailable("not today"),
    Answer(500, {}, b"{}"),
    Answer(200, {}, b"<html>"),
    Answer(200, {}, b"[" * 200_000),
    Answer(200, {}, b" " * 2_000_001),
    {"paths": {}},
    {"paths": {"/v2/video/generations": {"post": {"$ref": "#/paths"}}}},
]


@pytest.mark.parametrize("broken", BROKEN, ids=range(len(BROKEN)))
async def test_one_broken_document_is_refused_with_a_reason_and_asked_for_again_next_time(
    broken: Any, cache: CatalogCache
) -> None:
    service = Service("x/good", "x/bad")
    service.documents["x/bad"] = broken
    refreshed = await _refresh(service.fetch, cache, MODELS, now=NOW)
    assert list(refreshed.models) == ["x/good"]
    assert list(refreshed.refused) == ["x/bad"]
    assert 0 < len(refreshed.refused["x/bad"]) < 250
    service.documents["x/bad"] = document("x/bad")
    assert (await _refresh(service.fetch, cache, MODELS, now=NOW)).models.keys() == {"x/good", "x/bad"}


async def test_what_was_known_of_a_model_stays_when_its_document_breaks(cache: CatalogCache) -> None:
    service = Service("x/a")
    first = await _refresh(service.fetch, cache, MODELS, now=NOW)
    service.documents["x/a"], service.etag = {}, '"two"'
    again = await _refresh(service.fetch, cache, MODELS, now=NOW)
    assert again.models == first.models
    assert "x/a" in again.refused


async def test_a_list_that_cannot_be_had_changes_nothing(cache: CatalogCache) -> None:
    first = await _refresh(Service("x/a").fetch, cache, MODELS, now=NOW)

    async def down(request: Request) -> Answer:
        raise Unavailable("down")

    def answering(body: bytes, status: int = 200) -> Any:
        async def fetch(request: Request) -> Answer:
            return Answer(status, {}, body)

        return fetch

    whole_list = Service("x/a")._list(Request("GET", "/v1/models")).body
    for fetch, error, reason in (
        (down, Unavailable, "down"),
        (answering(b"<html>"), ServiceError, "cannot be read"),
        (answering(b"[]"), ServiceError, "expected video models, got none"),
        (answering(b'{"data": [null, 5, {"id": "x", "type": "chat-completion"}]}'), ServiceError, "got none"),
        (answering(whole_list, 500), ServiceError, r"refused \(500\)"),
        (answering(b"<html>", 403), ServiceError, r"refused \(403\)"),
    ):
        with pytest.raises(error, match=reason):
            await _refresh(fetch, cache, MODELS, now=NOW)
    assert cache.read() == first


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b"5", b'{"models": 5}', b'{"models": {}, "date": 5}', b'{"else": 1}', b"[" * 99_999, b"\xff"],
)
def test_a_file_that_cannot_be_read_counts_as_none_and_is_said_to_be_damaged(
    text: bytes, cache: CatalogCache, caplog: pytest.LogCaptureFixture
) -> None:
    _say_damaged.cache_clear()  # folders of tests are used again
    cache.path.parent.mkdir()
    cache.path.write_bytes(text)
    assert cache.read() is None
    assert "is damaged, the shipped one is used" in caplog.text
    assert "models --refresh" in caplog.text


def test_no_file_is_no_refresh(cache: CatalogCache) -> None:
    assert cache.read() is None


def test_without_a_folder_it_lies_in_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert "aimlvideo" in str(CatalogCache().path)


def test_a_folder_that_cannot_be_written_is_said_plainly(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"cannot keep the catalogue in .*: File exists"):
        CatalogCache(tmp_path / "file").write(Refreshed())


def test_nothing_half_written_is_left_beside_the_file(cache: CatalogCache) -> None:
    cache.write(Refreshed(date=NOW))
    cache.write(Refreshed(date="later"))
    assert [path.name for path in cache.path.parent.iterdir()] == [cache.path.name]
    assert cache.read() == Refreshed(date="later")
