"""A request ends after its time, unless it was this process that stood still."""

from __future__ import annotations

import asyncio
import time

import pytest

from aimlvideo.core.wires.http import Request
from aimlvideo.shell.http import deadline, transport
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


@pytest.mark.real_time
async def test_an_answer_that_came_while_the_process_was_stopped_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "DEADLINE", 0.2)
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
