"""`aimlvideo doctor`: every free answer of a service is understood, or it is said what of it is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest
from aiohttp import web

from aimlvideo.cli.commands import doctor
from aimlvideo.cli.commands.doctor import _diagnose, _Diagnosis
from aimlvideo.client import VideoClient
from aimlvideo.core.catalog.catalog import Catalog
from aimlvideo.core.wires.expected_fields import Oddity
from aimlvideo.sandbox import Behaviour, Sandbox
from aimlvideo.shell.http.proxies import Proxies
from tests.cases import for_each
from tests.shell.http_server import served

pytestmark = pytest.mark.real_time
KEY = "a-key-that-nobody-must-see"


async def diagnosis_of(url: str, service: str = "aimlapi") -> _Diagnosis:
    async with VideoClient(f"ACCESS:{KEY}" if service == "kling-official" else KEY, url, service) as client:
        return await _diagnose(client, url)


@for_each("service", ["aimlapi", "kling", "kling-official"])
async def test_the_sandbox_is_understood_in_every_answer(service: str) -> None:
    async with Sandbox(Behaviour(video="tiny")) as sandbox:
        diagnosis = await diagnosis_of(sandbox.url, service)
        assert [finding for finding in diagnosis.findings if not finding.understood] == []
        assert diagnosis.is_well
        assert len(diagnosis.findings) == {"aimlapi": 10, "kling": 2, "kling-official": 5}[service]
        assert diagnosis.clock_offset is not None
        assert abs(diagnosis.clock_offset) < 60
        assert sandbox.stats()["posts"] == 0


async def test_a_gateway_none_of_whose_models_is_known_is_asked_the_other_questions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doctor, "known_catalog", lambda: Catalog({}))
    async with Sandbox(Behaviour(video="tiny")) as sandbox:
        (finding,) = (await diagnosis_of(sandbox.url, "kling")).findings
    assert finding.understood


async def test_our_ids_are_found_in_the_log_once_there_is_a_request() -> None:
    async with Sandbox(Behaviour(video="tiny", seconds=0.01)) as sandbox:
        assert (await diagnosis_of(sandbox.url)).ids_can_be_looked_up is None
        async with VideoClient(KEY, sandbox.url, poll="every:0.02") as client:
            await client.generate("minimax/hailuo-02", prompt="waves")
        assert (await diagnosis_of(sandbox.url)).ids_can_be_looked_up is True


LONG_AGO = {"Date": "Thu, 01 Jan 2026 00:00:00 GMT"}
Answers = dict[str, Any]
ODD: Answers = {
    "/v2/billing": {"balance": 5},
    "/v2/billing/transactions": {
        "data": [
            {"created_at": "2026-01-01T00:00:00Z", "amount": "much", "type": "MODEL_USAGE", "direction": "CHARGE"}
        ],
        "pagination": {"next_cursor": None, "has_more": False},
    },
    "/v1/models": {"data": [{"id": "m", "pricing": {"kind": "fixed", "units": [{"name": "frame", "price": 1}]}}]},
    "/v2/logs": {"data": [], "pagination": {}},
}


def answering(answers: Answers) -> Callable[[web.Request], Any]:
    async def answer(request: web.Request) -> web.StreamResponse:
        body = answers.get(request.path)
        if body is None:
            return web.json_response({"message": f"no such page for {KEY}"}, status=404, headers=LONG_AGO)
        return web.json_response(body, headers=LONG_AGO)

    return answer


async def test_what_is_not_understood_is_named_with_what_was_expected_and_what_came() -> None:
    async with served(answering(ODD)) as url:
        diagnosis = await diagnosis_of(url)
    findings = {finding.asked: finding for finding in diagnosis.findings}
    assert not diagnosis.is_well
    assert "names no balance" in findings["balance"].detail
    assert findings["ledger"].detail.startswith("data[].amount.usd: expected a number, got nothing")
    assert findings["balance"].oddities == (
        Oddity("current_balance", "a number", "nothing"),
        Oddity("currency", "text", "nothing"),
    )
    assert findings["durations"].oddities == (Oddity("HTTP status", "200", "404"),)
    assert "'frame'" in findings["prices"].detail
    assert "--max-spend" in findings["prices"].without
    assert findings["request log"].detail == "pagination.has_more: expected true or false, got nothing"
    assert findings["an unknown generation"].understood
    assert KEY not in json.dumps([finding.detail for finding in diagnosis.findings])
    assert diagnosis.clock_offset is not None
    assert diagnosis.clock_offset < -86_400


async def test_a_refused_key_is_not_a_generation_that_is_not_there_at_a_place_that_is_none() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        is_there = "text2video" in request.path
        return web.json_response({"message": "Invalid token"}, status=401 if is_there else 404)

    async with served(answer) as url:
        diagnosis = await diagnosis_of(url, "kling")
    assert not any(finding.understood for finding in diagnosis.findings)


NONSENSE = [
    web.Response(text="<html>an error page</html>", content_type="text/html"),
    web.json_response([]),
    web.json_response("word"),
    web.json_response({"data": [None, 5, "x", {"id": 5, "pricing": [], "amount": {"usd": "NaN"}}]}),
    web.json_response({"data": {"data": {"data": []}}}),
    web.Response(body=b"\xff\xfe{", content_type="application/json"),
    web.Response(body=b"[" * 100_000, content_type="application/json"),
    web.json_response({"error": {"message": "no"}}, status=500),
]


@for_each("service", ["aimlapi", "kling", "kling-official"])
@for_each("nonsense", range(len(NONSENSE)))
async def test_whatever_a_service_answers_is_said_in_words_for_each_question(service: str, nonsense: int) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        given = NONSENSE[nonsense]
        return web.Response(body=given.body, status=given.status, content_type=given.content_type)

    async with served(answer) as url:
        diagnosis = await diagnosis_of(url, service)
    assert not diagnosis.is_well
    not_understood = [finding for finding in diagnosis.findings if not finding.understood]
    assert not_understood
    assert all(finding.detail and finding.without for finding in not_understood)
    assert KEY not in json.dumps(asdict(diagnosis))


async def test_the_proxy_that_requests_really_go_through_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("all_proxy", "user:secret-word@proxy.example:3128")
    monkeypatch.setenv("no_proxy", "direct.example")
    assert Proxies.of_environment().passed_by("https://api.example.com") == "proxy.example:3128"
    assert Proxies.of_environment().passed_by("https://direct.example") == ""
    assert Proxies.of_environment().passed_by("http://api.example.com") == ""


async def test_a_service_that_is_not_there_is_said_and_no_traceback() -> None:
    diagnosis = await diagnosis_of("http://127.0.0.1:1")
    assert not any(finding.understood for finding in diagnosis.findings)
