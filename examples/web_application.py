"""Inside a web application: one client for all requests, and a journal that outlives a restart.

AIMLAPI_API_KEY=... python examples/web_application.py
curl -d '{"prompt": "waves", "image_url": "https://..."}' http://127.0.0.1:8080/clips
"""

from collections.abc import AsyncIterator

from aiohttp import web

from aimlvideo import VideoClient, VideoError

MODEL = "kling-video/v1.6/pro/image-to-video"
CLIENT = web.AppKey("client", VideoClient)


async def one_client(app: web.Application) -> AsyncIterator[None]:
    async with VideoClient(journal="clips.sqlite3", max_outstanding=100) as client:
        app[CLIENT] = client
        yield


async def make_clip(request: web.Request) -> web.Response:
    try:
        video = await request.app[CLIENT].generate(MODEL, **await request.json())
    except VideoError as error:
        return web.json_response({"error": str(error)}, status=422)
    return web.json_response({"video_url": video.video_url, "cost_usd": video.cost_usd})


def application() -> web.Application:
    app = web.Application()
    app.cleanup_ctx.append(one_client)
    app.router.add_post("/clips", make_clip)
    return app


if __name__ == "__main__":
    web.run_app(application(), host="127.0.0.1", port=8080)
