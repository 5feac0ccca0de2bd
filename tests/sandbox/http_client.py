"""A caller of the sandbox that knows nothing of this project's client."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from yarl import URL

from aimlvideo.sandbox import Behaviour, Sandbox

MULTI = "kling-video/v1.6/standard/multi-image-to-video"
PRO = "kling-video/v1.6/pro/image-to-video"
V3 = "klingai/video-v3-standard-image-to-video"
UNIVERSAL = "/v2/video/generations"
KLING = "/kling/v1/videos/"
PICTURE = "https://example.com/dunes.png"
BODIES = {
    MULTI: {"model": MULTI, "prompt": "a walk", "image_list": [PICTURE, PICTURE], "duration": 5},
    PRO: {"model": PRO, "prompt": "a walk", "image_url": PICTURE, "duration": 5},
    V3: {"model": V3, "prompt": "a walk", "image_url": PICTURE, "duration": 3},
}
TASK = {"model": "kling-v1-6", "prompt": "a walk", "duration": "5"}


@dataclass
class Reply:
    """An answer: status, headers, and the body as bytes and as JSON where it is some."""

    status: int
    headers: Any
    body: bytes
    json: Any


@dataclass
class Visitor:
    """Calls one sandbox."""

    sandbox: Sandbox
    session: aiohttp.ClientSession

    async def get(self, path: str, *, headers: dict[str, str] | None = None, **query: str) -> Reply:
        return await self._call("GET", path, headers or {}, params=query or None)

    async def post(self, path: str, body: Any, *, chosen: str | None = None) -> Reply:
        headers = {"X-Client-Request-Id": chosen} if chosen else {}
        return await self._call("POST", path, headers, json=body)

    async def submit(self, model: str = MULTI, *, chosen: str | None = None, **params: Any) -> Reply:
        return await self.post(UNIVERSAL, BODIES[model] | params, chosen=chosen)

    async def end(self, generation_id: str, path: str = UNIVERSAL) -> Reply:
        """Ask until the generation has ended."""
        while True:
            reply = await self.get(path, generation_id=generation_id)
            if reply.status == 200 and reply.json["status"] in ("completed", "succeeded", "error", "failed"):
                return reply
            time.sleep(0.01)  # noqa: ASYNC251 - the sandbox goes by the real clock, in virtual time too

    async def task_end(self, task_id: str, kind: str = "text2video") -> Reply:
        while True:
            reply = await self.get(f"{KLING}{kind}/{task_id}")
            # A task that is under way has a link, too, where it is made of another video.
            shown = re.sub("'parent_video': {.*?}", "", str(reply.json))
            if "succe" in shown.lower().replace('succeed"', "") and "http" in shown:
                return reply
            if "fail" in str(reply.json["data"].get("task_status", reply.json["data"].get("status"))).lower():
                return reply
            time.sleep(0.01)  # noqa: ASYNC251 - the sandbox goes by the real clock, in virtual time too

    async def file(self, url: str, **headers: str) -> Reply:
        """Fetch a link exactly as it came, without the key."""
        async with aiohttp.ClientSession() as session, session.get(URL(url, encoded=True), headers=headers) as answer:
            return Reply(answer.status, answer.headers, await answer.read(), None)

    async def _call(self, method: str, path: str, headers: dict[str, str], **more: Any) -> Reply:
        headers = {"Authorization": "Bearer key"} | headers
        async with self.session.request(method, self.sandbox.url + path, headers=headers, **more) as answer:
            body = await answer.read()
            known = answer.content_type == "application/json"
            return Reply(answer.status, answer.headers, body, await answer.json() if known else None)


@asynccontextmanager
async def visiting(**behaviour: Any) -> AsyncIterator[Visitor]:
    """Open a quick sandbox with small clips, unless told otherwise, and a session to call it."""
    wanted = Behaviour(**({"seconds": 0.03, "video": "tiny", "seed": 7} | behaviour))
    async with Sandbox(wanted) as sandbox, aiohttp.ClientSession() as session:
        yield Visitor(sandbox, session)
