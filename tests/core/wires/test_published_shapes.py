"""What the service publishes of its answers, the client reads: any answer that a schema allows."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from aimlvideo.core.services.aimlapi import SERVICE
from aimlvideo.core.wires.aimlapi import AimlApi
from aimlvideo.core.wires.aimlapi_account import BALANCE, LEDGER, LOG
from aimlvideo.core.wires.answers import State
from aimlvideo.core.wires.http import Answer
from tests.cases import for_each
from tests.core.wires.answers import answer
from tests.schemas import endpoints, generation_schemas
from tests.schemas.strategies import answers

WIRE = AimlApi()
SHAPES = {json.dumps(schema, sort_keys=True): model for model, schema in generation_schemas().items()}
"""A model for each of the shapes that generations have."""


@st.composite
def generations(draw: st.DrawFn) -> dict[str, Any]:
    """Return an answer to a status check, of any model."""
    model = draw(st.sampled_from(sorted(SHAPES.values())))
    body: dict[str, Any] = draw(answers(generation_schemas()[model]))
    return body


@settings(max_examples=5 * settings.default.max_examples)
@given(body=generations())
def test_any_published_generation_is_read_and_an_ended_one_is_seen_to_end(body: dict[str, Any]) -> None:
    seen = WIRE.parse_status(answer(body), "gen-1")
    clips = body.get("video")
    links = tuple(dict.fromkeys(clip["url"] for clip in (clips if isinstance(clips, list) else [clips]) if clip))
    assert seen.video_urls == links
    match body["status"]:
        case "completed" if links:
            assert (seen.state, seen.video_url) == (State.COMPLETED, links[0])
        case "error":
            assert seen.state is State.FAILED
            assert seen.error
        case "queued":
            assert seen.state is State.QUEUED
        case "generating":
            assert seen.state is State.RENDERING
    assert WIRE.parse_submission(answer(body, 201), "av-1").id == body["id"]


def answers_of(name: str) -> st.SearchStrategy[Answer]:
    return answers(endpoints()[name].answer).map(answer)


@given(told=answers_of("GET /v2/billing/transactions"))
def test_any_published_page_of_the_ledger_is_read(told: Answer) -> None:
    body = told.json()
    if body["pagination"]["has_more"] and not body["pagination"]["next_cursor"]:
        return
    charges, cursor = LEDGER.read(told)
    for charge, row in zip(charges, body["data"], strict=True):
        sign = -1 if row["direction"] == "TOPUP" else 1
        assert charge.usd == sign * row["amount"]["usd"]
        assert (charge.kind, charge.reference_id) == (row["type"], row["reference_id"])
    assert cursor == (body["pagination"]["next_cursor"] if body["pagination"]["has_more"] else None)


@given(told=answers_of("GET /v2/logs"))
def test_any_published_page_of_the_log_is_read(told: Answer) -> None:
    body, rows = told.json(), LOG.read(told)
    assert LOG.has_more(told) == body["pagination"]["has_more"]
    for row, raw in zip(rows, body["data"], strict=True):
        assert (row.request_id, row.generation_id) == (raw["client_request_id"], raw["inference_id"])
        assert (row.cost_usd, row.succeeded, row.failed) == (
            raw["cost"]["usd"],
            raw["status"] == "succeeded",
            raw["status"] == "failed",
        )


@settings(max_examples=30, deadline=None)
@given(told=answers_of("GET /v2/billing"))
def test_any_published_balance_is_read(told: Answer) -> None:
    in_dollars = {**told.json(), "currency": "USD"}
    assert BALANCE.read(answer(in_dollars)) == in_dollars["current_balance"]


@settings(max_examples=30, deadline=None)
@given(told=answers_of("GET /models/metrics"), listed=answers_of("GET /v1/models"))
def test_any_published_list_of_models_and_their_durations_is_read(told: Answer, listed: Answer) -> None:
    assert SERVICE.durations is not None
    assert SERVICE.prices is not None
    SERVICE.durations.read(told)
    SERVICE.prices.read(listed)


def test_every_question_of_the_client_has_documented_parameters_alone() -> None:
    assert SERVICE.balance is not None
    assert SERVICE.log is not None
    assert SERVICE.prices is not None
    assert SERVICE.durations is not None
    assert SERVICE.models is not None
    requests = [
        SERVICE.balance.request,
        SERVICE.ledgers[0].request(None, 0.0, 1.0),
        SERVICE.ledgers[0].request("cursor", 0.0, 1.0),
        SERVICE.log.request(0, 1, 0),
        SERVICE.prices.request,
        SERVICE.durations.request,
        SERVICE.models.request("tag"),
    ]
    for request in requests:
        documented = endpoints()[f"{request.method} {request.path}"].parameters
        assert dict(request.query).keys() <= documented.keys(), request
    assert [dict(request.query).keys() for request in WIRE.status("gen-1")] == [{"generation_id"}]


@for_each("model", ["klingai/video-v3-omni-720p-text-to-video", "minimax/h3-max", "veo2", ""])
def test_the_shapes_are_those_of_single_models(model: str) -> None:
    assert generation_schemas()[model]["required"] == ["id", "status"]


@for_each(
    ("headers", "usage", "usd"),
    [
        ({"x-aimlapi-usd-spent": "0.5", "x-aimlapi-credits-used": "9"}, None, 0.5),
        ({"x-aimlapi-credits-used": "1000000"}, None, 0.5),
        ({"x-aimlapi-credits-used": "1000000"}, {"credits_used": 3_120_000}, 1.56),
        ({"x-aimlapi-usd-spent": "0", "x-aimlapi-credits-used": "0"}, None, None),
        ({"x-aimlapi-credits-used": "many"}, {"tokens_used": 500}, None),
    ],
)
def test_what_a_clip_cost_is_read_in_either_header_and_in_the_body(
    headers: dict[str, str], usage: dict[str, Any] | None, usd: float | None
) -> None:
    body = {"id": "g", "status": "completed", "video": {"url": "https://x.test/a.mp4"}, "meta": {"usage": usage}}
    assert WIRE.parse_status(Answer(200, headers, json.dumps(body).encode()), "g").cost_usd == usd
