"""A caller that hangs up leaves no trace in the sandbox's log."""

from __future__ import annotations

import asyncio
import logging

import pytest

from tests.sandbox.http_client import UNIVERSAL, Visitor, visiting

pytestmark = pytest.mark.own_sockets

HALF = (
    f'POST {UNIVERSAL} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer key\r\nContent-Length: 999\r\n\r\n{{"model":'
).encode()


@pytest.mark.parametrize("abruptly", [False, True])
async def test_a_caller_that_hangs_up_is_no_error(abruptly: bool, caplog: pytest.LogCaptureFixture) -> None:
    async with visiting(slow_trickle=1.0, trickle_seconds=2.0) as visitor:
        await hang_up(visitor, HALF, abruptly)
        made = await visitor.end((await visitor.submit()).json["id"])
        link = made.json["video"]["url"].removeprefix(visitor.sandbox.url)
        await hang_up(visitor, f"GET {link} HTTP/1.1\r\nHost: x\r\n\r\n".encode(), abruptly)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


async def hang_up(visitor: Visitor, said: bytes, abruptly: bool) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", int(visitor.sandbox.url.rpartition(":")[2]))
    writer.write(said)
    await writer.drain()
    await asyncio.sleep(0.1)
    if abruptly:
        writer.transport.abort()
    writer.close()
    await asyncio.sleep(0.1)
