"""The same with FastAPI: it answers at once, and after a restart it goes on with what was rendering.

pip install fastapi uvicorn
AIMLAPI_API_KEY=... python examples/fastapi_application.py
curl --json '{"prompt": "waves", "image_url": "https://..."}' http://127.0.0.1:8080/clips
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from aimlvideo import VideoClient, VideoError

MODEL, FOLDER = "kling-video/v1.6/pro/image-to-video", Path("clips")
# Whatever a caller sends: no file of this machine is read for it.
SETTINGS: Any = {"journal": "clips.sqlite3", "max_outstanding": 100, "local_files": False}


class Order(BaseModel):
    """What a caller may set, and nothing else: a path in `image_url` would be a file of this machine."""

    model_config = ConfigDict(extra="forbid")
    prompt: str = Field(min_length=1, max_length=2500)
    image_url: str = Field(pattern=r"^https://")


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """Hold one client for all requests; its journal knows what was bought before the last stop."""
    async with VideoClient(**SETTINGS) as client, asyncio.TaskGroup() as tasks:
        fetching = {tasks.create_task(carry_on(client))}
        yield {"client": client, "tasks": tasks, "fetching": fetching}
        for task in fetching:  # what is rendering goes on at the service; the journal has its ids
            task.cancel()


async def carry_on(client: VideoClient) -> None:
    """Fetch what was bought before the last stop, and is not saved yet."""
    async with client.resume(FOLDER) as results:
        async for result in results:
            print(result.job.id, result.path or result.error)


async def fetch(client: VideoClient, generation_id: str) -> None:
    try:
        await client.wait(generation_id, output=FOLDER)
    except VideoError as error:
        print(generation_id, error)


app = FastAPI(lifespan=serving)


@app.post("/clips", status_code=202)
async def make_clip(order: Order, request: Request) -> dict[str, str]:
    """Buy one clip and answer as soon as its id is known."""
    client: VideoClient = request.state.client
    try:
        generation = await client.submit(MODEL, prompt=order.prompt, image_url=order.image_url)
    except VideoError as error:
        raise HTTPException(422, str(error)) from error
    fetching = request.state.tasks.create_task(fetch(client, generation.id))
    request.state.fetching.add(fetching)
    fetching.add_done_callback(request.state.fetching.discard)
    return {"id": generation.id}


@app.get("/clips/{generation_id:path}")
async def show_clip(generation_id: str, request: Request) -> dict[str, str | None]:
    try:
        generation = await request.state.client.status(generation_id)
    except VideoError as error:
        raise HTTPException(404, str(error)) from error
    return {"status": generation.status, "video_url": generation.video_url}


@app.post("/callback", status_code=204)
async def callback(request: Request) -> Response:
    """Take the call of a service that calls back (Kling); its word alone ends nothing."""
    request.state.client.callback(await request.body(), request.headers)
    return Response(status_code=204)


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8080")))
