"""Callbacks: when they come, what they carry, how they are signed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from aimlvideo.sandbox.callbacks import is_here, sign
from tests.cases import for_each
from tests.sandbox.http_client import KLING, TASK, visiting

SECRET = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="


@asynccontextmanager
async def page() -> AsyncIterator[tuple[str, list[tuple[Any, bytes]], asyncio.Event]]:
    """Serve a page that keeps what it is sent, and says when it was called three times."""
    calls: list[tuple[Any, bytes]] = []
    done = asyncio.Event()

    async def take(request: web.Request) -> web.Response:
        calls.append((request.headers.copy(), await request.read()))
        if len(calls) == 3:
            done.set()
        return web.Response()

    application = web.Application()
    application.router.add_post("/hook", take)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook", calls, done
    finally:
        await runner.cleanup()


def test_the_signature_is_that_of_the_published_example() -> None:
    body = (
        b'{"id":"1234567890","status":"succeeded","message":"","create_time":1781080778802,"update_time":1781080794151}'
    )
    assert sign(SECRET, "9876543210", 1781080794, body) == "v1,UsKlJP00XoQyOn410NM9xv34sP+Gl0jnOO9Lcpr7NJ4="


@for_each(
    ("url", "here"),
    [
        ("http://127.0.0.1:9/x", True),
        ("http://localhost/x", True),
        ("http://example.com/x", False),
        ("http://192.168.0.1/", False),
        ("nonsense", False),
    ],
)
def test_only_this_machine_is_called(url: str, here: bool) -> None:
    assert is_here(url) is here


@pytest.mark.own_sockets
async def test_each_change_is_told_once_as_the_bare_task_signed() -> None:
    async with page() as (url, calls, done), visiting(seconds=0.1, webhook_secret=SECRET) as visitor:
        await visitor.post(KLING + "text2video", TASK | {"callback_url": url})
        await done.wait()
        tasks = [json.loads(body) for _, body in calls]
        assert [task["task_status"] for task in tasks] == ["submitted", "processing", "succeed"]
        assert tasks[-1]["task_result"]["videos"][0]["url"].startswith("http://localhost:")
        for headers, body in calls:
            signature = sign(SECRET, headers["webhook-id"], int(headers["webhook-timestamp"]), body)
            assert headers["webhook-signature"] == signature


@pytest.mark.own_sockets
async def test_a_page_that_is_not_there_disturbs_nothing() -> None:
    async with visiting() as visitor:
        accepted = await visitor.post(KLING + "text2video", TASK | {"callback_url": "http://127.0.0.1:9/hook"})
        await visitor.task_end(accepted.json["data"]["task_id"])
        elsewhere = await visitor.post(KLING + "text2video", TASK | {"callback_url": "http://example.com/hook"})
        assert elsewhere.json["code"] == 0
        assert visitor.sandbox.stats()["callbacks"]["not on this machine"] == 1
