"""A submission that is refused under HTTP 200, in words: known by each wire, said in the service's words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aimlvideo.core.services import SERVICE_NAMES, service_of
from aimlvideo.core.wires.base import Wire
from aimlvideo.core.wires.http import Answer
from aimlvideo.errors import ContentRefused, Refused, Rejected, ServiceError, Unclear
from tests.cases import for_each

WIRES = [(name, legacy) for name in SERVICE_NAMES for legacy in ((False, True) if service_of(name).log else (False,))]

CANNOT_PAY: list[Any] = [
    {"message": "insufficient balance"},
    {"message": "Insufficient balance. Please top up"},
    {"msg": "balance not enough", "code": 1102},
    {"status": "error", "message": "insufficient balance"},
    {"ok": False, "message": "insufficient credits"},
    {"success": False, "message": "You have run out of credits"},
    {"result": None, "message": "account suspended"},
    {"errors": ["insufficient balance"]},
    {"data": {"error": "insufficient balance"}},
    {"data": None, "message": "Not enough credits"},
    {"code": "INSUFFICIENT_BALANCE", "message": "x"},
    {"statusCode": 403, "message": "You've run out of credits"},
    {"reason": "insufficient funds"},
    {"error": {"message": "quota exhausted"}},
    "insufficient balance",
    ["insufficient balance"],
    {"message": "余额不足"},
    {"message": "该令牌额度已用尽"},
    {"error": "You do not have enough credits to run this task."},
    {"error": {"message": "Billing hard limit has been reached"}},
    {"error": "Your team has used all available credits"},
    {"detail": "User is locked. Reason: Exhausted balance."},
]
REFUSED_CONTENT: list[Any] = [
    {"message": "blocked by moderation"},
    {"error": {"message": "blocked by moderation"}},
    {"error": "blocked by moderation"},
    {"detail": "blocked by moderation"},
    {"status": "failed", "error": "blocked by moderation"},
    {"status": "blocked", "message": "blocked by moderation"},
    {"description": "content policy violation"},
    {"errors": [{"message": "blocked by moderation"}]},
]
NOT_UNDERSTOOD: list[Any] = [
    {"message": "the service is busy"},
    {"message": "Too many requests, please slow down"},
    {"info": "Internal error"},
    {"result": None, "note": "see you later"},
]


@pytest.fixture(params=WIRES, ids=lambda one: f"{one[0]}{' legacy' if one[1] else ''}")
def wire(request: pytest.FixtureRequest) -> Wire:
    name, legacy = request.param
    return service_of(name).wire(legacy=legacy, path_of=lambda model: None)


def error_of(wire: Wire, body: Any, status: int = 200) -> ServiceError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(ServiceError) as caught:
        wire.parse_submission(Answer(status, {"x-inference-id": "i-1"}, raw), "av-1")
    return caught.value


@for_each("body", CANNOT_PAY, ids=str)
def test_an_account_that_cannot_pay_is_said_to_be_one_and_not_a_lost_answer(wire: Wire, body: Any) -> None:
    assert isinstance(error_of(wire, body), Refused)


@for_each("status", [400, 402, 422])
def test_an_account_that_cannot_pay_stops_the_run_also_where_the_request_is_called_wrong(
    wire: Wire, status: int
) -> None:
    assert isinstance(error_of(wire, {"message": "Insufficient balance"}, status), Refused)


def test_a_gateway_s_key_that_is_used_up_is_no_wrong_one() -> None:
    wire = service_of("kling").wire(legacy=False, path_of=lambda model: None)
    error = error_of(wire, {"error": {"message": "该令牌额度已用尽"}}, 401)
    assert (isinstance(error, Refused) and error.wrong_key, "Top up" in str(error)) == (False, True)


@for_each("status", [400, 403, 502, 503, 524])
def test_a_proxy_s_page_is_told_by_its_title_and_not_by_its_styles(wire: Wire, status: int) -> None:
    page = b"""<!DOCTYPE html>
<!--[if lt IE 7]> <html class="no-js ie6 oldie" lang="en-US"> <![endif]-->
<head>%b<title>
  api.example.com | Bad&nbsp;gateway &amp; no&#39;s </title></head><body>...</body></html>""" % (
        b"<style>*{}</style>" * 99
    )
    text = str(error_of(wire, page, status))
    assert 'a web page: "api.example.com | Bad gateway & no\'s"' in text
    assert "<" not in text


def test_a_text_of_several_lines_is_told_in_one(wire: Wire) -> None:
    assert "no upstream connect error" in str(error_of(wire, b"no upstream\r\n\tconnect  error", 503))


def test_a_request_that_is_too_large_says_how_it_is_made_smaller(wire: Wire) -> None:
    error = error_of(wire, b"<html><title>413 Request Entity Too Large</title></html>", 413)
    assert "give links to them, or --upload" in str(error)


@for_each("body", REFUSED_CONTENT, ids=str)
def test_refused_content_is_said_to_be_refused(wire: Wire, body: Any) -> None:
    assert isinstance(error_of(wire, body), ContentRefused)


@for_each("body", [{"message": "duration must be 5"}, {"message": "sold out of luck"}], ids=str)
def test_a_wrong_request_is_no_matter_of_the_account(wire: Wire, body: Any) -> None:
    error = error_of(wire, body, 400)
    assert isinstance(error, Rejected)
    assert not isinstance(error, ContentRefused)


def unclear(wire: Wire, body: Any) -> Unclear:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(Unclear) as caught:
        wire.parse_submission(Answer(200, {}, raw), "av-1")
    return caught.value


@for_each("body", NOT_UNDERSTOOD, ids=str)
def test_what_is_not_understood_is_in_doubt_and_said_in_the_service_s_words(wire: Wire, body: Any) -> None:
    assert next(text for text in body.values() if text) in str(unclear(wire, body))


@for_each(
    "body",
    [
        b'{"id": "gen-1", "status": "queued", "note": "insufficient balance so',
        {"prompt": "a man with insufficient balance", "note": "accepted"},
        {"input": {"prompt": "blocked by moderation"}},
    ],
    ids=str,
)
def test_words_of_a_cut_answer_or_of_our_own_prompt_refuse_nothing(wire: Wire, body: Any) -> None:
    unclear(wire, body)
