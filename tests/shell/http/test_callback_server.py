"""The page that a gateway calls: a call is a hint, a false signature is turned away, nothing breaks it."""

from __future__ import annotations

import asyncio
import base64
import hmac
import io
import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from functools import partial
from types import SimpleNamespace
from typing import Any

import aiohttp
import anyio
import pytest

from aimlvideo.errors import SettingsError
from aimlvideo.shell.http import callback_server
from aimlvideo.shell.http.callback_server import LARGEST, LONGEST, MOST_CONNECTIONS, SWEEP_EVERY, callback_page
from aimlvideo.shell.task_groups import background_tasks
from tests.conftest import run_in_virtual_time
from tests.waiting import PATIENCE

pytestmark = pytest.mark.real_time

KEY = b"a secret of the right length....."
SECRET = "whsec_" + base64.b64encode(KEY).decode()
BODY = json.dumps({"task_id": "t", "task_status": "succeed"}).encode()


def signed(body: bytes, late: float = 0) -> dict[str, str]:
    moment = str(int(time.time() - late))
    made = base64.b64encode(hmac.digest(KEY, b"msg-1." + moment.encode() + b"." + body, "sha256")).decode()
    return {"Webhook-Id": "msg-1", "Webhook-Timestamp": moment, "Webhook-Signature": f"v1,{made}"}


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def called(
    session: aiohttp.ClientSession, body: bytes, headers: dict[str, str], secret: str | None = None
) -> tuple[int, list[Any]]:
    """Call a page once; return its answer's status and what it heard."""
    heard: list[Any] = []
    async with (
        callback_page("127.0.0.1", 0, heard.append, secret) as url,
        session.post(f"{url}any/path", data=io.BytesIO(body), headers=headers) as response,
    ):
        return response.status, heard


@pytest.mark.parametrize("secret", [None, SECRET])
async def test_an_unsigned_call_is_heard_as_a_hint(session: aiohttp.ClientSession, secret: str | None) -> None:
    assert await called(session, BODY, {}, secret) == (204, [json.loads(BODY)])


async def test_a_signed_call_is_heard(session: aiohttp.ClientSession) -> None:
    assert await called(session, BODY, signed(BODY), SECRET) == (204, [json.loads(BODY)])


async def test_without_a_secret_a_signature_says_nothing(session: aiohttp.ClientSession) -> None:
    assert await called(session, BODY, signed(b"other"), None) == (204, [json.loads(BODY)])


@pytest.mark.parametrize(
    "headers",
    [
        signed(b"other"),
        signed(BODY, late=4000),
        signed(BODY, late=-4000),
        signed(BODY) | {"Webhook-Timestamp": "9" * 5000},
        signed(BODY) | {"Webhook-Signature": ""},
        signed(BODY) | {"Webhook-Id": "\u00ff"},
    ],
    ids=["another body", "old", "early", "huge", "empty", "odd bytes"],
)
async def test_a_call_whose_signature_does_not_hold_is_turned_away(
    session: aiohttp.ClientSession, headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    assert await called(session, BODY, headers, SECRET) == (401, [])
    assert "wrong signature" in caplog.text


@pytest.mark.parametrize("body", [b"", b"<html>", b"[" * 100_000, b'{"a":'], ids=lambda body: repr(body[:5]))
async def test_a_call_that_is_no_json_is_refused_without_a_trace(
    session: aiohttp.ClientSession, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    assert await called(session, body, {}) == (400, [])
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_a_call_that_is_too_large_is_refused(session: aiohttp.ClientSession) -> None:
    status, heard = await called(session, b'"' + b"x" * LARGEST + b'"', {})
    assert (status, heard) == (413, [])


async def test_only_calls_are_answered(session: aiohttp.ClientSession) -> None:
    async with callback_page("127.0.0.1", 0, print) as url, session.get(url) as response:
        assert response.status == 405


async def test_a_place_that_cannot_be_served_is_said_as_that() -> None:
    async with callback_page("127.0.0.1", 0, print) as url:
        port = int(url.rstrip("/").rpartition(":")[2])
        with pytest.raises(SettingsError, match=rf"callbacks cannot be served on 127.0.0.1:{port}: "):
            async with callback_page("127.0.0.1", port, print):
                pass
    for wrong in (99999, -1):
        with pytest.raises(SettingsError, match="cannot be served"):
            async with callback_page("127.0.0.1", wrong, print):
                pass


@pytest.mark.parametrize("begun", [b"", b"POST / HTT", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{"])
@pytest.mark.parametrize(("limit", "value"), [("LONGEST", 0.0), ("MOST_CONNECTIONS", 0)])
async def test_a_caller_that_dawdles_is_hung_up_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, begun: bytes, limit: str, value: float
) -> None:
    monkeypatch.setattr(callback_server, "SWEEP_EVERY", 0.01)
    monkeypatch.setattr(callback_server, limit, value)
    async with callback_page("127.0.0.1", 0, print) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.split(":")[-1].strip("/")))
        with closing(writer), anyio.fail_after(PATIENCE):
            writer.write(begun)
            # Where it is hung up before what was sent is read, the system says so by a reset.
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
    assert not caplog.records


def test_a_connection_is_closed_once_it_is_old_or_there_are_too_many_younger_ones() -> None:
    class Connection:
        def __init__(self) -> None:
            self.opened_at = anyio.current_time()
            connections.append(self)

        def force_close(self) -> None:
            connections.remove(self)
            lasted.append(anyio.current_time() - self.opened_at)

    async def watch() -> None:
        server: Any = SimpleNamespace(connections=connections)
        async with background_tasks(partial(callback_server._close_old_connections, server)):
            for _ in range(MOST_CONNECTIONS + 1):
                Connection()
                await anyio.sleep(0.05)
            await anyio.sleep(LONGEST / 2)
            assert len(lasted) == 1, "the oldest made room for the youngest"
            await anyio.sleep(LONGEST)

    connections: list[Connection] = []
    lasted: list[float] = []
    run_in_virtual_time(watch())
    assert connections == []
    assert lasted[0] < LONGEST < min(lasted[1:])
    assert max(lasted) < LONGEST + 2 * SWEEP_EVERY


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x16\x03\x01\x00\xff\r\n\r\n",
        b"POST / HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n{}",
        b"POST / HTTP/1.1\r\nHost: a\r\n" + b"X: " + b"x" * 100_000 + b"\r\n\r\n",
    ],
)
async def test_what_is_no_request_is_refused_without_a_trace(caplog: pytest.LogCaptureFixture, nonsense: bytes) -> None:
    heard: list[Any] = []
    async with callback_page("127.0.0.1", 0, heard.append) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.split(":")[-1].strip("/")))
        with closing(writer), anyio.fail_after(PATIENCE):
            writer.write(nonsense)
            assert b" 400 " in await reader.readline()
    assert not caplog.records
    assert not heard


async def test_an_error_that_nobody_foresaw_is_logged_and_ends_nothing(
    session: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(body: Any) -> None:
        raise LookupError("nobody foresaw this")

    async with callback_page("127.0.0.1", 0, failing) as url:
        for _ in range(2):
            async with session.post(url, data=BODY) as response:
                assert response.status == 500
    assert "unexpected error" in caplog.text
