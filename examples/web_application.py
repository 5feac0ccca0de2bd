"""A web application: it answers at once, and after a restart it goes on with what was rendering.

AIMLAPI_API_KEY=... python examples/web_application.py
curl -d '{"prompt": "waves", "image_url": "https://..."}' http://127.0.0.1:8080/clips
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from aimlvideo import VideoClient, VideoError

MODEL, FOLDER = "kling-video/v1.6/pro/image-to-video", Path("clips")
# Whatever a caller sends: no file of this machine is read for it.
SETTINGS: Any = {"journal": "clips.sqlite3", "max_outstanding": 100, "local_files": False}
CLIENT = web.AppKey("client", VideoClient)
FETCHING = web.AppKey("fetching", set[asyncio.Task[None]])
TASKS = web.AppKey("tasks", asyncio.TaskGroup)


async def make_clip(request: web.Request) -> web.Response:
    """Buy one clip and answer as soon as its id is known; the caller sets these two fields and nothing else."""
    body = await request.json()
    prompt, picture = str(body.get("prompt", "")), str(body.get("image_url", ""))
    if not picture.startswith("https://"):  # a path would be a file of this machine
        return web.json_response({"error": "image_url: expected an https link"}, status=422)
    try:
        generation = await request.app[CLIENT].submit(MODEL, prompt=prompt, image_url=picture)
    except VideoError as error:
        return web.json_response({"error": str(error)}, status=422)
    fetching = request.app[TASKS].create_task(fetch(request.app[CLIENT], generation.id))
    request.app[FETCHING].add(fetching)
    fetching.add_done_callback(request.app[FETCHING].discard)
    return web.json_response({"id": generation.id}, status=202)


async def fetch(client: VideoClient, generation_id: str) -> None:
    try:
        await client.wait(generation_id, output=FOLDER)
    except VideoError as error:
        print(generation_id, error)


async def carry_on(client: VideoClient) -> None:
    """Fetch what was bought before the last stop, and is not saved yet."""
    async with client.resume(FOLDER) as results:
        async for result in results:
            print(result.job.id, result.path or result.error)


async def show_clip(request: web.Request) -> web.Response:
    try:
        generation = await request.app[CLIENT].status(request.match_info["id"])
    except VideoError as error:
        return web.json_response({"error": str(error)}, status=404)
    return web.json_response({"status": generation.status, "video_url": generation.video_url})


async def callback(request: web.Request) -> web.Response:
    """Take the call of a service that calls back (Kling); its word alone ends nothing."""
    request.app[CLIENT].callback(await request.read(), request.headers)
    return web.Response(status=204)


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[None]:
    async with VideoClient(**SETTINGS) as client, asyncio.TaskGroup() as tasks:
        app[CLIENT], app[TASKS], app[FETCHING] = client, tasks, {tasks.create_task(carry_on(client))}
        yield
        for task in app[FETCHING]:  # what is rendering goes on at the service; the journal has its ids
            task.cancel()


async def clips(app: web.Application) -> AsyncIterator[None]:
    async with serving(app):
        yield


def application() -> web.Application:
    app = web.Application()
    app.cleanup_ctx.append(clips)
    routes = [web.post("/clips", make_clip), web.get("/clips/{id:.+}", show_clip), web.post("/callback", callback)]
    app.add_routes(routes)
    return app


if __name__ == "__main__":
    web.run_app(application(), host="127.0.0.1", port=int(os.environ.get("PORT", "8080")))
