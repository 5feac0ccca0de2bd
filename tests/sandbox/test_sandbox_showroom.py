"""The public pages: models, their documents, how long they take."""

from __future__ import annotations

import pytest
from jsonschema import Draft202012Validator

from aimlvideo.sandbox.catalogue import all_models
from aimlvideo.sandbox.prices import clip_price, price_entry
from tests.cases import one_in
from tests.sandbox.http_client import MULTI, UNIVERSAL, V3, visiting

pytestmark = pytest.mark.real_time

KEYLESS = {"Authorization": ""}


async def test_the_list_needs_no_key_and_shows_sections_only_when_they_are_asked_for() -> None:
    async with visiting() as visitor:
        bare = (await visitor.get("/v1/models", headers=KEYLESS, id=V3)).json["data"]
        assert [sorted(entry) for entry in bare] == [["aliases", "id", "info", "tags", "type"]]
        full = (await visitor.get("/v1/models", id=V3, include="pricing,capabilities,modalities")).json["data"][0]
        assert full["pricing"]["kind"] == "variants"
        assert full["modalities"] == {"input": ["text", "image"], "output": ["video"]}


async def test_the_list_is_filtered_by_output_and_by_type_and_found_by_alias() -> None:
    async with visiting() as visitor:
        everything = (await visitor.get("/v1/models")).json["data"]
        videos = (await visitor.get("/v1/models", output_modalities="video")).json["data"]
        typed = (await visitor.get("/v1/models", type="internal/video-generations/submit")).json["data"]
        assert len(everything) > len(videos) == len(typed) == len(all_models()) == 147
        alias = next(entry["aliases"][0] for entry in videos if entry["aliases"])
        assert len((await visitor.get("/v1/models", id=alias)).json["data"]) == 1


async def test_who_has_the_list_already_hears_304() -> None:
    async with visiting() as visitor:
        tag = (await visitor.get("/v1/models")).headers["ETag"]
        again = await visitor.get("/v1/models", headers={"If-None-Match": tag})
        assert (again.status, again.body) == (304, b"")
        other = await visitor.get("/v1/models", headers={"If-None-Match": tag}, include="pricing")
        assert other.status == 200


async def test_every_model_has_a_document_that_is_openapi_3_0() -> None:
    async with visiting() as visitor:
        for entry in (await visitor.get("/v1/models", output_modalities="video")).json["data"][::9]:
            path = entry["info"]["docsJson"].removeprefix(visitor.sandbox.url)
            document = (await visitor.get(path, headers=KEYLESS)).json
            (wire, operations), *_ = document["paths"].items()
            schema = operations["post"]["requestBody"]["content"]["application/json"]["schema"]
            assert wire.startswith("/v2/")
            assert document["openapi"].startswith("3.0")
            assert schema["required"][0] == "model"
            assert '"null"' not in str(schema)


async def test_the_metrics_tell_what_was_seen_else_what_is_documented_else_nothing() -> None:
    async with visiting(seconds="lognormal:100,0.3", time_scale=0.001) as visitor:
        metrics = (await visitor.get("/models/metrics", aliases=MULTI)).json["models"]
        assert metrics[0]["metrics"]["duration_ms"]["p50"] == pytest.approx(100, abs=2)
        assert (await visitor.get("/models/metrics", aliases="video-01")).json["models"] == []
        accepted = await visitor.post(UNIVERSAL, {"model": "video-01", "prompt": "x"})
        await visitor.end(accepted.json["id"])
        seen = (await visitor.get("/models/metrics", aliases="video-01")).json["models"]
        assert seen[0]["metrics"]["duration_ms"].keys() == {"p50", "p75", "p90", "p99"}


def test_the_price_list_has_every_kind_and_a_clip_of_usual_length_costs_what_clips_cost() -> None:
    kinds = [price_entry(model)["kind"] for model in all_models()]
    assert {"fixed", "variants", "variable"} == set(kinds)
    for model in all_models().values():
        seconds = float(model.default("duration") or 5)
        assert 0.1 <= clip_price(model, {}, seconds) <= 2.5


@one_in(4, "part", range(4))
def test_every_schema_is_a_sound_one(part: int) -> None:
    for model in list(all_models().values())[part::4]:
        Draft202012Validator.check_schema(model.schema)
