"""The whole way of a refresh over a real connection: the sandbox's list and documents say what is shipped."""

from __future__ import annotations

from pathlib import Path

import pytest

from aimlvideo.core.catalog.catalog import load_catalog
from aimlvideo.core.catalog.refresh import compare
from aimlvideo.core.services import service_of
from aimlvideo.core.wires.aimlapi_models import _read_prices
from aimlvideo.shell.http.transport import HttpTransport, open_session
from aimlvideo.shell.state.catalog_cache import CatalogCache
from aimlvideo.shell.state.service_models import _refresh

MODELS = service_of("aimlapi").models
assert MODELS is not None

server = pytest.importorskip("aimlvideo.sandbox.server", reason="the sandbox is an extra")


@pytest.mark.real_time
async def test_147_documents_are_read_once_and_say_what_is_shipped(tmp_path: Path) -> None:
    cache = CatalogCache(tmp_path)
    async with server.Sandbox() as sandbox, open_session() as session:
        transport = HttpTransport(session, sandbox.url, "key")
        refreshed = await _refresh(transport.send, cache, MODELS, now="2026-08-22T10:00:00+00:00")
        again = await _refresh(transport.send, cache, MODELS, now="2026-08-23T10:00:00+00:00")
    assert not refreshed.refused
    assert len(refreshed.models) == 147
    assert again.models == refreshed.models
    assert list(compare(load_catalog(), refreshed.models)) == []
    assert len(load_catalog(refreshed.models)) == len(load_catalog())


@pytest.mark.real_time
async def test_the_sandboxs_prices_quote_most_models() -> None:
    async with server.Sandbox() as sandbox, open_session() as session:
        answer = await session.get(f"{sandbox.url}/v1/models?include=pricing")
        prices = _read_prices(await answer.json())
    models = [model for model in load_catalog() if model.service == "aimlapi"]
    quotes = [prices[model.id].quote(model, {"duration": 5}) if model.id in prices else None for model in models]
    known = [dollars for dollars in quotes if dollars is not None]
    assert len(known) > 100
    assert all(0 < dollars < 20 for dollars in known)
