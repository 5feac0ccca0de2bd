"""The file host: videos on signed links, whole or in parts, and sample pictures; no key may come here."""

from __future__ import annotations

import re

import anyio.to_thread
from aiohttp import web

from aimlvideo.sandbox.film.scenes import sample_picture
from aimlvideo.sandbox.generation import Generation, signed_query
from aimlvideo.sandbox.middleware import WORLD
from aimlvideo.sandbox.state import World

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_DENIED = b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code><Message>Access denied</Message></Error>'
_PAGE = b"<!DOCTYPE html><html><head><title>One moment</title></head><body>Please try again.</body></html>"
_TRICKLES = 40


def file_routes() -> list[web.RouteDef]:
    """Return the handlers of the files."""
    return [
        web.get("/files/{name}/{file:video(-[0-9]+)?}.mp4", send_file),
        web.get("/pictures/{name}.png", send_picture),
    ]


async def send_file(request: web.Request) -> web.StreamResponse:
    """Answer a download."""
    world = request.app[WORLD]
    # Counted, not only refused: a test can assert that no key ever came here.
    if "Authorization" in request.headers:
        world.tally.key_leaks += 1
        return web.Response(status=400, text="This host is not the API: never send it your key")
    number, _, link = request.match_info["name"].partition("-")
    generation = _opened(world, number, link, request.raw_path.partition("?")[2])
    if generation is None:
        world.tally.downloads["refused"] += 1
        return web.Response(status=403, body=_DENIED, content_type="application/xml")
    if not generation.clip.result().is_there:
        return web.Response(status=410)
    generation.downloads += 1
    if generation.fate.first_download == "page" and generation.downloads == 1:
        world.tally.downloads["error pages"] += 1
        return web.Response(body=_PAGE, content_type="text/html")
    return await _send(world, request, generation)


async def send_picture(request: web.Request) -> web.Response:
    """Answer a sample picture of any name."""
    picture = await anyio.to_thread.run_sync(sample_picture, request.match_info["name"])
    return web.Response(body=picture, content_type="image/png")


def _opened(world: World, number: str, link: str, query: str) -> Generation | None:
    """Return the generation whose file this link opens."""
    if not (number.isdecimal() and link.isdecimal()) or int(number) >= len(world.generations):
        return None
    generation = world.generations[int(number)]
    if generation.ended_at is None or query != signed_query(world.behaviour.seed, generation, int(link)):
        return None
    # The first link is dead from the start, and asking for it makes the service give out the next one.
    if generation.fate.dead_link and link == "0":
        generation.link = 1
        return None
    return generation


async def _send(world: World, request: web.Request, generation: Generation) -> web.StreamResponse:
    clip = generation.clip.result()
    part = _part(request.headers.get("Range", ""), clip.size)
    if part is None:
        world.tally.downloads["bad range"] += 1
        return web.Response(status=416, headers={"Content-Range": f"bytes */{clip.size}"})
    start, stop = part
    headers = {"Accept-Ranges": "bytes", "ETag": f'"{generation.number:x}-{clip.size:x}"', "Content-Type": "video/mp4"}
    # RFC 9110, 14.2: a range that cannot be parsed is ignored, and the whole is sent.
    partial = "Range" in request.headers and _RANGE.fullmatch(request.headers["Range"]) is not None
    if partial:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{clip.size}"
    status = 206 if partial else 200
    world.tally.downloads["parts" if partial else "whole"] += 1
    body = clip.read(start, stop)
    if generation.fate.first_download == "cut" and generation.downloads == 1:
        return await _send_half(world, request, body, status, headers)
    world.tally.bytes_sent += len(body)
    if generation.fate.trickles:
        return await _send_slowly(request, body, status, headers, world.behaviour.trickle_seconds)
    return web.Response(body=body, status=status, headers=headers)


def _part(byte_range: str, size: int) -> tuple[int, int] | None:
    """Return the first byte and the one after the last, None where there is no such part."""
    match = _RANGE.fullmatch(byte_range)
    if match is None or not any(match.groups()):
        return 0, size
    first, last = match.groups()
    if not first:
        return max(size - int(last), 0), size
    start, stop = int(first), min(int(last) + 1 if last else size, size)
    return (start, stop) if start < stop else None


async def _send_half(
    world: World, request: web.Request, body: bytes, status: int, headers: dict[str, str]
) -> web.StreamResponse:
    """Promise everything, send half, and cut the connection."""
    world.tally.downloads["cut"] += 1
    answer = web.StreamResponse(status=status, headers=headers)
    answer.content_length = len(body)
    await answer.prepare(request)
    await answer.write(body[: len(body) // 2])
    # Cut in the middle of the body, after its length was promised: the one case that tells a whole file from a part.
    if request.transport is not None:
        request.transport.close()
    return answer


async def _send_slowly(
    request: web.Request, body: bytes, status: int, headers: dict[str, str], seconds: float
) -> web.StreamResponse:
    answer = web.StreamResponse(status=status, headers=headers)
    answer.content_length = len(body)
    await answer.prepare(request)
    step = len(body) // _TRICKLES + 1
    for start in range(0, len(body), step):
        await anyio.sleep(seconds / _TRICKLES)
        await answer.write(body[start : start + step])
    await answer.write_eof()
    return answer
