"""The sandbox answers as the service publishes: every endpoint, every model."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from aimlvideo.cli.model_tables import example_line
from aimlvideo.core.catalog.catalog import load_catalog
from tests.cases import for_each
from tests.sandbox.http_client import UNIVERSAL, V3, Visitor, visiting
from tests.schemas import endpoints, generation_schemas

pytestmark = pytest.mark.real_time
GONE = {"id": "old/model", "status": "withdrawn", "replaced_by": V3, "shutdown_at": "2026-08-10"}
OMNI = "klingai/video-v3-omni-720p-text-to-video"


def faults(body: Any, schema: dict[str, Any]) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(body)]


@for_each(
    ("path", "query"),
    [
        ("/v1/models", {}),
        ("/v1/models", {"include": "pricing,capabilities,modalities", "output_modalities": "video"}),
        ("/models/metrics", {}),
        ("/v2/logs", {"period": "24h"}),
        ("/v2/billing", {}),
        ("/v2/billing/detail", {}),
        ("/v2/billing/transactions", {}),
        ("/v1/key", {}),
        ("/v2/usage", {"period": "24h"}),
        ("/v2/usage/detail", {"period": "24h"}),
    ],
)
async def test_an_endpoint_answers_as_published(path: str, query: dict[str, str]) -> None:
    async with visiting(seconds=0.01, key_limit=25.0, key_scopes=("model:video",)) as visitor:
        await visitor.end((await visitor.submit(V3)).json["id"])
        answer = await visitor.get(path, **query)
        assert (answer.status, faults(answer.json, endpoints()[f"GET {path}"].answer)) == (200, [])
        assert answer.headers["Date"].endswith("GMT")
        assert (await visitor.get(path, **query, surprise="1")).status == 400


async def _ended(visitor: Visitor, model: str) -> tuple[str, list[str]]:
    body = json.loads(example_line(_model(model)))
    body = {name: _linked(value) for name, value in body.items() if name != "id"}
    first = await visitor.post(_model(model).path, body)
    assert first.status in (200, 201), (model, first.json)
    last = await visitor.end(first.json.get("id") or first.json["generation_id"], _model(model).path)
    schema = generation_schemas().get(model, generation_schemas()[""])
    return model, [*faults({"id": "", **first.json}, schema), *faults(last.json, schema)]


def _model(name: str) -> Any:
    return load_catalog().find(name)


def _linked(value: Any) -> Any:
    """Return a value with links for the files of an example."""
    if isinstance(value, list):
        return [_linked(one) for one in value]
    if isinstance(value, dict):
        return {name: _linked(one) for name, one in value.items()}
    is_file = isinstance(value, str) and value.rpartition(".")[2] in ("png", "mp4", "mp3", "jpg", "wav", "pdf")
    return f"https://example.com/{value}" if is_file and "://" not in value else value


async def test_a_generation_of_every_model_has_the_shape_that_is_published_for_it() -> None:
    models = [model.id for model in load_catalog() if model.service == "aimlapi"]
    assert len(models) >= 143
    async with visiting(seconds=0.01, video="tiny") as visitor:
        faulty = []
        for start in range(0, len(models), 24):
            ended = await asyncio.gather(*(_ended(visitor, model) for model in models[start : start + 24]))
            faulty += [(model, found) for model, found in ended if found]
    assert faulty == []


async def test_a_failed_generation_has_the_shape_that_is_published_for_it() -> None:
    async with visiting(seconds=0.01, status_error=1.0) as visitor:
        for model in (V3, OMNI):
            assert await _ended(visitor, model) == (model, [])


async def test_a_list_may_hold_several_clips_of_which_each_can_be_fetched() -> None:
    async with visiting(seconds=0.01, several_clips=1.0, video="tiny") as visitor:
        body = {"model": OMNI, "prompt": "a walk"}
        ended = await visitor.end((await visitor.post(UNIVERSAL, body)).json["id"])
        links = [clip["url"] for clip in ended.json["video"]]
        assert len(set(links)) == 2
        for link in links:
            assert (await visitor.file(link)).status == 200


async def test_a_key_sees_its_own_requests_alone() -> None:
    async with visiting(seconds=0.01) as visitor:
        await visitor.end((await visitor.submit(V3)).json["id"])
        for key, rows in (("other-key", 0), ("", 1)):
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            log = await visitor.get("/v2/logs", headers=headers, period="24h")
            assert len(log.json["data"]) == rows
            usage = await visitor.get("/v2/usage", headers=headers, period="24h")
            assert usage.json["requests"] == rows
            assert usage.json["api_key_prefix"] == (key or "key")[:8]


async def test_a_key_may_spend_no_more_than_its_limit_and_do_nothing_outside_its_scopes() -> None:
    async with visiting(seconds=0.01, price=0.5, key_limit=0.5) as visitor:
        await visitor.end((await visitor.submit(V3)).json["id"])
        assert (await visitor.get("/v1/key")).json["data"]["monthly_usage"] == 0.5
        assert (await visitor.submit(V3)).status == 403
    async with visiting(key_scopes=("model:chat",)) as visitor:
        assert (await visitor.submit(V3)).status == 403


async def test_models_that_go_are_listed_and_one_that_is_gone_is_not_there() -> None:
    async with visiting(deprecations=(GONE, {"id": V3, "status": "withdrawn"})) as visitor:
        for path in ("/v1/models/deprecations", "/models/deprecated", "/api/v1/models/deprecations"):
            page = await visitor.get(path, status="withdrawn,nonsense")
            assert [entry["id"] for entry in page.json["data"]] == ["old/model", V3]
        fields = {"id", "aliases", "status", "deprecated_at", "shutdown_at", "replaced_by", "reason"}
        assert page.json["data"][0].keys() == fields
        again = await visitor.get("/v1/models/deprecations", headers={"If-None-Match": page.headers["ETag"]})
        assert again.status == 304
        assert (await visitor.submit(V3)).status == 404


async def test_one_model_is_shown_by_its_id_and_by_its_aliases() -> None:
    async with visiting() as visitor:
        entry = (await visitor.get(f"/model/{V3}", include="pricing")).json
        assert (entry["id"], "pricing" in entry) == (V3, True)
        assert (await visitor.get(f"/model/{entry['aliases'][0]}")).json["id"] == V3
        assert (await visitor.get("/model/no/such")).status == 404
