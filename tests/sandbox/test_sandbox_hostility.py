"""A hostile service: every knob does what it says, to the answers of the stations that are named, and they add up."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from aimlvideo.sandbox import Behaviour, hostility
from aimlvideo.sandbox.account import account_routes
from aimlvideo.sandbox.behaviour import HOSTILE, SHARES
from aimlvideo.sandbox.files import file_routes
from aimlvideo.sandbox.hostility import station_of
from aimlvideo.sandbox.model_pages import model_routes
from tests.cases import for_each
from tests.sandbox.http_client import UNIVERSAL, visiting

pytestmark = pytest.mark.own_sockets


async def answer_of(visitor: Any, path: str = "/v2/billing", limit: int = 2**20) -> bytes:
    """Return what comes over the socket, of `limit` bytes at most."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(visitor.sandbox.url.rpartition(":")[2]))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer key\r\nConnection: close\r\n\r\n".encode())
    answer = b""
    while len(answer) < limit and (part := await reader.read(limit)):
        answer += part
    writer.close()
    return answer


async def test_a_body_without_end_goes_on_for_as_long_as_it_is_read() -> None:
    async with visiting(endless_body=1.0) as visitor:
        assert len(await answer_of(visitor, limit=2**22)) >= 2**22


async def test_a_slow_body_comes_byte_by_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostility, "TRICKLE", 0.01)
    async with visiting(slow_body=1.0) as visitor:
        body = (await answer_of(visitor, limit=400)).partition(b"\r\n\r\n")[2]
    assert body.replace(b"1\r\n \r\n", b"") in (b"", b"1", b"1\r", b"1\r\n", b"1\r\n ", b"1\r\n \r")


async def test_a_bomb_is_small_and_unpacks_to_256_mb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostility, "UNPACKED", 2**22)
    hostility.bomb.cache_clear()
    async with visiting(gzip_bomb=1.0) as visitor:
        head, _, body = (await answer_of(visitor)).partition(b"\r\n\r\n")
    hostility.bomb.cache_clear()
    assert b"Content-Encoding: gzip" in head
    assert len(body) < 2**14
    assert len(zlib.decompress(body, 31)) == 2**22


async def test_an_answer_that_is_cut_gives_no_length() -> None:
    async with visiting(cut_without_length=1.0) as visitor:
        head, _, body = (await answer_of(visitor)).partition(b"\r\n\r\n")
    assert b"content-length" not in head.lower()
    assert body == b'{"current_balance":100'


async def test_headers_are_odd_or_large() -> None:
    async with visiting(odd_headers=1.0, large_headers=1.0) as visitor:
        head = (await answer_of(visitor)).partition(b"\r\n\r\n")[0]
    assert any(header in head for header in hostility.ODD_HEADERS)
    assert len(head) > 2**17


@for_each(
    ("knob", "bad"),
    [
        ("deep_json", hostility.TOO_DEEP),
        ("surrogates", rb"\ud83d"),
        ("control_characters", rb"\u001b]0;hostile"),
        ("odd_types", None),
    ],
)
async def test_bodies_are_odd(knob: str, bad: bytes | None) -> None:
    async with visiting(**{knob: 1.0}) as visitor:
        body = (await answer_of(visitor)).partition(b"\r\n\r\n")[2]
    if bad is not None:
        assert bad in body
    else:
        assert json.loads(body) != {"current_balance": 100_000.0, "currency": "USD"}


async def test_links_and_redirects_are_odd() -> None:
    async with visiting() as visitor:
        accepted = await visitor.submit()
        link = (await visitor.end(accepted.json["id"])).json["video"]["url"]
        visitor.sandbox.set(odd_links=1.0, odd_redirects=1.0)
        odd = await visitor.get(UNIVERSAL, generation_id=accepted.json["id"])
        assert odd.json["video"]["url"] in [*hostility.ODD_LINKS]
        redirected = await answer_of(visitor, link.partition("/files")[1] + link.partition("/files")[2], limit=10**6)
    assert redirected.startswith(b"HTTP/1.1 302 Found\r\nLocation: ")


async def test_choices_of_a_document_are_more_than_anybody_can_hold() -> None:
    async with visiting(huge_enums=1.0) as visitor:
        document = (await visitor.get("/docs-json/kling-video/v1.6/pro/image-to-video")).body
    assert b"200000000" in document or b"word-19999" in document


async def test_only_the_stations_that_are_named_are_hostile() -> None:
    async with visiting(deep_json=1.0, hostile_at=("account",)) as visitor:
        assert (await visitor.submit()).status in (200, 201)
        assert (await answer_of(visitor)).endswith(b"]" * 100)


@for_each(("station", "routes"), [("account", account_routes), ("catalogue", model_routes), ("files", file_routes)])
def test_every_page_of_a_topic_is_at_its_station_so_that_its_answers_can_be_odd(
    station: str, routes: Callable[[], list[web.RouteDef]]
) -> None:
    sent = [make_mocked_request(route.method, route.path) for route in routes()]
    assert {request.path: station_of(request) for request in sent} == {
        request.path: "" if request.path.startswith("/pictures/") else station for request in sent
    }


def test_every_knob_is_a_share() -> None:
    assert set(HOSTILE) <= set(SHARES)


@for_each(
    ("name", "value"),
    [
        ("latency", "x"), ("latency", -1), ("odd_types", 2), ("video", "foo"), ("hostile_at", ("x",)),
        ("retry_after", 1.5), ("seconds", None), ("odd_fields", "yes"), ("trickle_seconds", float("nan")),
        ("api_keys", "abc"), ("max_rate", 0), ("deprecations", ({"id": "a"},)), ("max_concurrent", -1),
        ("kling_shape", "round"),
    ],
)  # fmt: skip
def test_a_setting_is_checked_when_it_is_given(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        Behaviour().changed(**{name: value})


def test_the_help_of_the_command_lists_the_hostile_settings() -> None:
    from aimlvideo.cli.commands.sandbox import HOSTILE_HELP

    listed = HOSTILE_HELP.partition(": ")[2].partition(";")[0]
    assert tuple(listed.split(", ")) == HOSTILE
