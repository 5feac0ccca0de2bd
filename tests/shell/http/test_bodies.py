"""Many large answers at once take the memory of a few."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import aiohttp
import anyio
import pytest
from aiohttp import web

from aimlvideo.core.wires.http import Answer, Request
from aimlvideo.errors import Unclear
from aimlvideo.shell.http.bodies import LARGE_AT_ONCE, MAX_BODY, MOST_MEMBERS, SMALL_BODY, STRIDE, TooLarge
from aimlvideo.shell.http.transport import HttpTransport, open_session
from tests.shell.http_server import served

PIECE = 2**18


class SlowAnswers:
    """Stands for a session of aiohttp: each answer comes piece by piece; counts what is read and not given up yet."""

    timeout = aiohttp.ClientTimeout()

    def __init__(self, size: int) -> None:
        self.size = size
        self.held = self.most_held = 0

    @asynccontextmanager
    async def request(self, *_: Any, **__: Any) -> AsyncIterator[Any]:
        sent = 0

        async def readany() -> bytes:
            nonlocal sent
            await anyio.sleep(0.01)
            sent += PIECE
            self.held += PIECE
            self.most_held = max(self.most_held, self.held)
            return b" " * PIECE

        content = SimpleNamespace(readany=readany, at_eof=lambda: sent >= self.size)
        try:
            yield SimpleNamespace(status=200, headers={}, content=content)
        finally:
            self.held -= sent


async def read_at_once(answers: SlowAnswers, count: int) -> list[int]:
    transport = HttpTransport(answers, "http://127.0.0.1:1", "k")  # type: ignore[arg-type]
    sizes = []

    async def read() -> None:
        try:
            sizes.append(len((await transport.send(Request("GET", "/x"))).body))
        except Unclear:
            sizes.append(-1)

    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(read)
    return sizes


@pytest.mark.parametrize(("size", "count"), [(4 * 2**20, 60), pytest.param(2 * MAX_BODY, 40, marks=pytest.mark.long)])
async def test_many_large_answers_at_once_are_held_a_few_at_a_time(size: int, count: int) -> None:
    answers = SlowAnswers(size)
    sizes = await read_at_once(answers, count)
    assert sizes == [size if size <= MAX_BODY else -1] * count
    assert answers.most_held <= count * (SMALL_BODY + 2 * PIECE) + LARGE_AT_ONCE * (MAX_BODY + PIECE)
    assert answers.most_held < 200 * 2**20


async def test_small_answers_wait_for_no_large_one() -> None:
    answers = SlowAnswers(SMALL_BODY)
    with anyio.move_on_after(0.01 * SMALL_BODY / PIECE + 0.01) as in_time:
        assert await read_at_once(answers, 100) == [SMALL_BODY] * 100
    assert not in_time.cancelled_caught


@pytest.mark.parametrize("body", [b"[" + b"[]," * 2**20 + b"0]", b"[" + b"7," * 2**20 + b"7]"])
def test_an_answer_of_a_million_values_is_none_that_is_understood(body: bytes) -> None:
    assert Answer(200, {}, body).json() is None


def test_an_answer_as_large_as_any_service_sends_is_read() -> None:
    body = b"[" + b'{"id": "kling", "type": "video"},' * 50_000 + b"0]"
    assert len(Answer(200, {}, body).json()) == 50_001


async def test_an_error_of_an_answer_that_is_too_large_does_not_keep_what_was_read() -> None:
    transport = HttpTransport(SlowAnswers(2 * MAX_BODY), "http://127.0.0.1:1", "k")  # type: ignore[arg-type]
    with pytest.raises(Unclear) as caught:
        await transport.send(Request("GET", "/x"))
    assert isinstance(caught.value.__cause__, TooLarge)
    assert caught.value.__cause__.__traceback__ is None


class Bodies:
    """Stands for a session of aiohttp whose answers come at a speed of their own, which the path names."""

    timeout = aiohttp.ClientTimeout()

    @asynccontextmanager
    async def request(self, method: str, url: Any, **_: Any) -> AsyncIterator[Any]:
        kind = url.path.strip("/")
        size = 1000 if kind == "small" else 4 * SMALL_BODY
        sent = 0

        async def readany() -> bytes:
            nonlocal sent
            trickles = kind == "trickling" and sent > SMALL_BODY
            await anyio.sleep(1.0 if trickles else 0.01)
            piece = 1 if trickles else min(size, PIECE)
            sent += piece
            return b" " * piece

        content = SimpleNamespace(readany=readany, at_eof=lambda: sent >= size)
        yield SimpleNamespace(status=200, headers={}, content=content)


async def test_servers_that_trickle_keep_no_other_answer_waiting_for_long() -> None:
    transport = HttpTransport(Bodies(), "http://127.0.0.1:1", "k")  # type: ignore[arg-type]
    ended: dict[str, float] = {}

    async def read(kind: str) -> None:
        began = anyio.current_time()
        try:
            await transport.send(Request("GET", f"/{kind}"))
        except Unclear as lost:
            assert "trickles" in str(lost)  # noqa: PT017 - some are read to their end
        ended[kind] = max(ended.get(kind, 0.0), anyio.current_time() - began)

    with anyio.move_on_after(60):
        async with anyio.create_task_group() as tasks:
            for _ in range(LARGE_AT_ONCE):
                tasks.start_soon(read, "trickling")
            await anyio.sleep(1)
            for kind in ("large",) * 20 + ("small",) * 20:
                tasks.start_soon(read, kind)
    assert ended["small"] < 1
    assert ended["large"] < 2 * STRIDE


async def test_a_slow_answer_that_nobody_waits_behind_is_not_given_up_early() -> None:
    transport = HttpTransport(Bodies(), "http://127.0.0.1:1", "k")  # type: ignore[arg-type]
    with anyio.move_on_after(50) as patience:
        await transport.send(Request("GET", "/trickling"))
    assert patience.cancelled_caught


@pytest.mark.real_time
@pytest.mark.parametrize(
    ("members", "is_read"), [(1, True), (2, True), (MOST_MEMBERS, True), (MOST_MEMBERS + 1, False)]
)
async def test_an_answer_that_is_packed_in_several_parts_is_read_whole(members: int, is_read: bool) -> None:
    body = b'{"id": "' + b"g" * members + b'"}'
    parts = [*(body[place : place + 1] for place in range(members - 1)), body[members - 1 :]]

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=b"".join(map(gzip.compress, parts)), headers={"Content-Encoding": "gzip"})

    async with served(answer) as url, open_session() as session:
        answered = await HttpTransport(session, url, "key").send(Request("GET", "/v1"))
    assert answered.json() == ({"id": "g" * members} if is_read else None)


@pytest.mark.real_time
async def test_packed_parts_that_are_too_large_together_are_no_answer() -> None:
    packed = gzip.compress(bytes(MAX_BODY // 2 + 1)) * 2

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=packed, headers={"Content-Encoding": "gzip"})

    async with served(answer) as url, open_session() as session:
        with pytest.raises(Unclear, match="more than 16 MB"):
            await HttpTransport(session, url, "key").send(Request("GET", "/v1"))
