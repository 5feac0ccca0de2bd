"""The file host: signed links, parts, and everything that goes wrong with downloads."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import aiohttp
import pytest
from yarl import URL

from tests.cases import for_each
from tests.sandbox.http_client import UNIVERSAL, Visitor, visiting

pytestmark = pytest.mark.real_time


async def finished(visitor: Visitor, **params: Any) -> tuple[str, str]:
    """Return the id of a finished generation, and its link."""
    accepted = await visitor.submit(**params)
    ended = await visitor.end(accepted.json["id"])
    return accepted.json["id"], ended.json["video"]["url"]


async def test_a_link_opens_only_byte_for_byte() -> None:
    async with visiting() as visitor:
        _, url = await finished(visitor)
        parts = urlsplit(url)
        again = [
            str(URL(url)),
            parts._replace(query=urlencode(parse_qsl(parts.query))).geturl(),
            parts._replace(query="").geturl(),
            url + "&more=1",
        ]
        assert (await visitor.file(url)).status == 200
        for other in again:
            assert other != url
            assert (await visitor.file(other)).status == 403


async def test_the_file_lies_on_another_host_and_takes_no_key() -> None:
    async with visiting() as visitor:
        _, url = await finished(visitor)
        assert URL(url).host != URL(visitor.sandbox.url).host
        assert (await visitor.file(url, Authorization="Bearer key")).status == 400
        assert visitor.sandbox.stats()["key_leaks"] == 1


@for_each(
    ("asked", "status", "first", "last"),
    [
        ("bytes=0-99", 206, 0, 100),
        ("bytes=100-", 206, 100, None),
        ("bytes=-50", 206, -50, None),
        ("bytes=10-999999", 206, 10, None),
        ("nonsense", 200, 0, None),
    ],
)
async def test_a_part_is_the_part_that_was_asked_for(asked: str, status: int, first: int, last: int | None) -> None:
    async with visiting() as visitor:
        _, url = await finished(visitor)
        whole = (await visitor.file(url)).body
        part = await visitor.file(url, Range=asked)
        assert (part.status, part.body) == (status, whole[first:last])
        if status == 206:
            start = first % len(whole)
            assert part.headers["Content-Range"] == f"bytes {start}-{start + len(part.body) - 1}/{len(whole)}"


async def test_a_part_beyond_the_end_is_refused() -> None:
    async with visiting() as visitor:
        _, url = await finished(visitor)
        refused = await visitor.file(url, Range="bytes=999999-")
        assert refused.status == 416
        assert refused.headers["Content-Range"].startswith("bytes */")


async def test_a_cut_download_is_continued_with_a_range() -> None:
    async with visiting(cut_download=1.0) as visitor:
        _, url = await finished(visitor)
        async with aiohttp.ClientSession() as session, session.get(URL(url, encoded=True)) as answer:
            got = await answer.content.readany()
            with pytest.raises(aiohttp.ClientPayloadError):
                await answer.read()
            assert 0 < len(got) < int(answer.headers["Content-Length"])
        rest = await visitor.file(url, Range=f"bytes={len(got)}-")
        assert rest.status == 206
        assert got + rest.body == (await visitor.file(url)).body


async def test_a_dead_link_is_replaced_when_the_generation_is_asked_for_again() -> None:
    async with visiting(dead_link=1.0) as visitor:
        generation_id, url = await finished(visitor)
        assert (await visitor.file(url)).status == 403
        fresh = (await visitor.get(UNIVERSAL, generation_id=generation_id)).json["video"]["url"]
        assert fresh != url
        assert (await visitor.file(fresh)).status == 200
        assert (await visitor.file(url)).status == 403


async def test_an_error_page_comes_once_in_place_of_the_video() -> None:
    async with visiting(error_page=1.0) as visitor:
        _, url = await finished(visitor)
        page = await visitor.file(url)
        assert (page.status, page.body[:15]) == (200, b"<!DOCTYPE html>")
        assert (await visitor.file(url)).body[4:8] == b"ftyp"


async def test_a_trickling_file_arrives_whole() -> None:
    async with visiting(slow_trickle=1.0, trickle_seconds=0.2) as visitor:
        _, url = await finished(visitor)
        assert (await visitor.file(url)).body[4:8] == b"ftyp"


async def test_a_sample_picture_has_a_link() -> None:
    async with visiting() as visitor:
        assert (await visitor.file(visitor.sandbox.url + "/pictures/dunes.png")).body[1:4] == b"PNG"
