"""A request ends after its time, unless it was this process that stood still."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from aimlvideo.core.wires.http import Request
from aimlvideo.errors import Unclear
from aimlvideo.shell.http import deadline
from aimlvideo.shell.http.deadline import Deadline
from aimlvideo.shell.http.transport import HttpTransport, open_session
from tests.shell.http_server import read_request, talking


async def test_what_does_not_end_in_time_raises_a_timeout() -> None:
    began = asyncio.get_running_loop().time()
    with pytest.raises(TimeoutError), Deadline(60):
        await asyncio.sleep(3600)
    assert asyncio.get_running_loop().time() - began == pytest.approx(60, abs=0.1)


async def test_what_ends_in_time_is_left_alone_afterwards() -> None:
    with Deadline(60):
        await asyncio.sleep(59)
    await asyncio.sleep(100)


async def test_whoever_is_cancelled_is_cancelled() -> None:
    async def wait() -> None:
        with Deadline(60):
            await asyncio.sleep(3600)

    task = asyncio.create_task(wait())
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


class SlowLine:
    """Stands for a session of aiohttp: each answer comes after so many seconds."""

    timeout = aiohttp.ClientTimeout()

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    @asynccontextmanager
    async def request(self, *_: Any, **__: Any) -> AsyncIterator[Any]:
        async def readany() -> bytes:
            return b"{}"

        await asyncio.sleep(self.seconds)
        yield SimpleNamespace(status=200, headers={}, content=SimpleNamespace(readany=readany, at_eof=lambda: True))


@pytest.mark.parametrize(("size", "lost_after"), [(100, 60), (900_000, 114), (3_000_000, 900)])
async def test_a_request_has_the_longer_the_more_it_sends(size: int, lost_after: int) -> None:
    request = Request("POST", "/v2", body="x" * size)
    for seconds in (lost_after - 1, lost_after + 1):
        carrier = HttpTransport(SlowLine(seconds), "http://127.0.0.1:1", "k")  # type: ignore[arg-type]
        with pytest.raises(Unclear) if seconds > lost_after else nullcontext():
            assert (await carrier.send(request)).status == 200


@pytest.mark.real_time
async def test_an_answer_that_came_while_the_process_was_stopped_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "DEADLINE", 0.2)
    monkeypatch.setattr(deadline, "LATE", 0.01)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
        # What a stop does to the event loop: nothing runs past the deadline, and what came waits in the socket.
        time.sleep(0.3)  # noqa: ASYNC251
        writer.write(b'{"id":"g"}')

    async with talking(talk) as url, open_session() as session:
        answer = await HttpTransport(session, url, "key").send(Request("POST", "/v2", body={}))
    assert answer.json() == {"id": "g"}


@pytest.mark.real_time
async def test_no_answer_after_a_stop_is_waited_for_a_moment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "LATE", 0.01)
    monkeypatch.setattr(deadline, "GRACE", 0.05)

    async def wait() -> None:
        with Deadline(0.05):
            time.sleep(0.1)  # noqa: ASYNC251
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await wait()
