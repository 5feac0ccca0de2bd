"""A clip is whole under its own name, or it is not there."""

from __future__ import annotations

import asyncio
import base64
import errno
import hashlib
import io
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import aiohttp
import pytest
from aiohttp import web

from aimlvideo.errors import DiskFailed, DownloadFailed, LinkDead
from aimlvideo.shell.files import downloads
from aimlvideo.shell.files.clip_metadata import write_metadata
from aimlvideo.shell.files.downloads import Clip, Download, ServiceOrigin, is_whole_file
from aimlvideo.shell.http.transport import open_session
from tests.core.test_mp4_boxes import FTYP, box
from tests.core.test_mp4_tags import index_of
from tests.shell.http_server import QUICK, read_request, served, talking

pytestmark = pytest.mark.real_time

MP4 = b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 800
PAGE = b"<!DOCTYPE html><html><body>One moment, please</body></html>"
OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with open_session() as session:
        yield session


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "clip.mp4"


def files(path: Path) -> list[str]:
    return sorted(file.name for file in path.parent.iterdir())


class Host:
    """A file host that gives its scripted answers, one for each request, then good ones; it notes what it was asked."""

    def __init__(self, *script: Callable[[Host, web.Request], Awaitable[web.StreamResponse]]) -> None:
        self.script = list(script)
        self.content = MP4
        self.tag: str | None = None
        self.ranges: list[str | None] = []
        self.asked: list[web.Request] = []

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self.ranges.append(request.headers.get("Range"))
        self.asked.append(request)
        if self.script:
            return await self.script.pop(0)(self, request)
        return await good(self, request)


async def good(host: Host, request: web.Request) -> web.StreamResponse:
    asked = request.headers.get("Range")
    tag = {"ETag": host.tag} if host.tag else {}
    if asked is None or request.headers.get("If-Range", host.tag) != host.tag:
        return web.Response(body=host.content, headers=tag)
    start = int(asked.removeprefix("bytes=").removesuffix("-"))
    said = f"bytes {start}-{len(host.content) - 1}/{len(host.content)}"
    return web.Response(status=206, body=host.content[start:], headers={"Content-Range": said} | tag)


def cut(size: int, *, whole: int | None = None) -> Callable[[Host, web.Request], Awaitable[web.StreamResponse]]:
    """Promise everything, send `size` bytes, hang up."""

    async def answer(host: Host, request: web.Request) -> web.StreamResponse:
        full = await good(host, request)
        assert isinstance(full, web.Response)
        assert isinstance(full.body, bytes)
        headers = {name: full.headers[name] for name in ("Content-Range", "ETag") if name in full.headers}
        response = web.StreamResponse(status=full.status, headers=headers)
        response.content_length = whole or len(full.body)
        await response.prepare(request)
        await response.write(full.body[:size])
        await asyncio.sleep(0.02)
        assert request.transport is not None
        request.transport.close()
        return response

    return answer


def says(status: int, body: bytes = b"", **headers: str) -> Callable[[Host, web.Request], Awaitable[web.Response]]:
    async def answer(host: Host, request: web.Request) -> web.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, body=body, headers=named)

    return answer


async def fetched(session: aiohttp.ClientSession, host: Host, path: Path, tries: int = 5) -> tuple[Clip, list[str]]:
    """Bring a clip, as often as it takes; return it with what went wrong on the way."""
    wrong = []
    async with served(host) as url:
        download = Download(session, f"{url}/clip.mp4", path)
        for _ in range(tries):
            try:
                return await download.fetch(), wrong
            except DownloadFailed as error:
                wrong.append(str(error).partition(" ")[2])
                assert not path.exists()
    raise AssertionError(wrong)


async def test_a_clip_is_there_whole_with_its_length_and_its_hash(session: aiohttp.ClientSession, path: Path) -> None:
    clip, wrong = await fetched(session, Host(), path)
    assert clip == Clip(path, len(MP4), hashlib.sha256(MP4).hexdigest())
    assert path.read_bytes() == MP4
    assert wrong == []
    assert files(path) == ["clip.mp4"]
    assert is_whole_file(path, len(MP4))
    assert is_whole_file(path, len(MP4), clip.sha256)
    assert not is_whole_file(path, len(MP4) - 1)
    assert not is_whole_file(path, len(MP4), "0" * 64)
    assert not is_whole_file(path.with_name("none"), 0)


@pytest.mark.parametrize("more", [0, 5_000_000])
async def test_all_of_a_clip_has_reached_the_disk_before_it_gets_its_name(
    session: aiohttp.ClientSession, path: Path, monkeypatch: pytest.MonkeyPatch, more: int
) -> None:
    synced: list[tuple[int, bool]] = []
    fsync = os.fsync

    def noted(file: int) -> None:
        synced.append((os.fstat(file).st_size, path.exists()))
        fsync(file)

    monkeypatch.setattr(os, "fsync", noted)
    host = Host()
    host.content = MP4 + bytes(more)
    await fetched(session, host, path)
    assert synced == [(len(host.content), False)]


@pytest.mark.parametrize("size", [1, 7, 150, 5000, len(MP4) - 1])
async def test_what_was_cut_goes_on_where_it_stopped(session: aiohttp.ClientSession, path: Path, size: int) -> None:
    host = Host(cut(size), cut(100), says(503))
    clip, wrong = await fetched(session, host, path)
    assert path.read_bytes() == MP4
    assert clip.sha256 == hashlib.sha256(MP4).hexdigest()
    assert len(wrong) == len(host.ranges) - 1
    assert host.ranges[:2] == [None, f"bytes={size}-"]
    assert "was cut after" in f"{wrong} was cut after"


async def test_a_clip_without_a_length_goes_on_too(session: aiohttp.ClientSession, path: Path) -> None:
    async def chunked(host: Host, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(MP4[:1000])
        await asyncio.sleep(0.02)
        assert request.transport is not None
        request.transport.close()
        return response

    host = Host(chunked)
    await fetched(session, host, path)
    assert host.ranges == [None, "bytes=1000-"]
    assert path.read_bytes() == MP4


WRONG_PARTS = {
    "the whole again": says(200, MP4),
    "another start": says(206, MP4[900:], Content_Range=f"bytes 900-{len(MP4) - 1}/{len(MP4)}"),
    "a part of the right length from another place": says(
        206, MP4[900:-100], Content_Range=f"bytes 900-{len(MP4) - 101}/{len(MP4)}"
    ),
    "another length": says(206, MP4[1000:], Content_Range=f"bytes 1000-{len(MP4) - 1}/{len(MP4) + 1}"),
    "no range": says(206, MP4[1000:]),
    "nonsense": says(206, MP4[1000:], Content_Range="items 1-2/3"),
    "an unknown length": says(206, MP4[1000:], Content_Range=f"bytes 1000-{len(MP4) - 1}/*"),
    "a huge number": says(206, MP4[1000:], Content_Range=f"bytes 1000-{'9' * 5000}/1"),
    "no such range": says(416, Content_Range=f"bytes */{len(MP4)}"),
    "another version": says(206, MP4[1000:], Content_Range=f"bytes 1000-{len(MP4) - 1}/{len(MP4)}", ETag='"2"'),
}


@pytest.mark.parametrize("name", WRONG_PARTS)
async def test_a_part_that_does_not_fit_is_not_believed(session: aiohttp.ClientSession, path: Path, name: str) -> None:
    host = Host(cut(1000), WRONG_PARTS[name])
    host.tag = '"1"'
    await fetched(session, host, path)
    assert path.read_bytes() == MP4
    assert host.ranges == [None, "bytes=1000-"] + ([] if name == "the whole again" else [None])


async def test_a_part_is_continued_in_whatever_case_its_unit_is_written(
    session: aiohttp.ClientSession, path: Path
) -> None:
    host = Host(cut(1000), says(206, MP4[1000:], Content_Range=f"Bytes 1000-{len(MP4) - 1}/{len(MP4)}"))
    await fetched(session, host, path)
    assert path.read_bytes() == MP4
    assert host.ranges == [None, "bytes=1000-"]


async def test_a_part_that_begins_with_the_clip_is_taken_as_the_beginning(
    session: aiohttp.ClientSession, path: Path
) -> None:
    host = Host(cut(1000), says(206, MP4[:5000], Content_Range=f"bytes 0-4999/{len(MP4)}"))
    await fetched(session, host, path)
    assert path.read_bytes() == MP4
    assert host.ranges == [None, "bytes=1000-", "bytes=5000-"]


async def test_a_clip_that_changed_meanwhile_is_fetched_anew(session: aiohttp.ClientSession, path: Path) -> None:
    async def changes(host: Host, request: web.Request) -> web.StreamResponse:
        response = await cut(1000)(host, request)
        host.content, host.tag = MP4[:16] + b"x" * (len(MP4) - 16), '"2"'
        return response

    host = Host(changes)
    host.tag = '"1"'
    await fetched(session, host, path)
    assert path.read_bytes() == host.content
    assert host.ranges == [None, "bytes=1000-"]
    assert host.asked[1].headers["If-Range"] == '"1"'
    assert {request.headers["Accept-Encoding"] for request in host.asked} == {"identity"}


async def test_a_part_without_a_version_is_continued_only_as_the_version_that_it_began_with(
    session: aiohttp.ClientSession, path: Path
) -> None:
    async def nameless(host: Host, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=206)
        response.headers["Content-Range"] = f"bytes 1000-{len(MP4) - 1}/{len(MP4)}"
        response.content_length = len(MP4) - 1000
        await response.prepare(request)
        await response.write(MP4[1000:1500])
        await asyncio.sleep(0.02)
        host.content, host.tag = MP4[:16] + b"x" * (len(MP4) - 16), '"2"'
        assert request.transport is not None
        request.transport.close()
        return response

    host = Host(cut(1000), nameless)
    host.tag = '"1"'
    await fetched(session, host, path)
    assert path.read_bytes() == host.content
    assert host.ranges == [None, "bytes=1000-", "bytes=1500-"]
    assert host.asked[2].headers["If-Range"] == '"1"'


async def test_a_part_that_somebody_took_away_is_fetched_anew(session: aiohttp.ClientSession, path: Path) -> None:
    host = Host(cut(1000))
    async with served(host) as url:
        download = Download(session, url, path)
        with pytest.raises(DownloadFailed):
            await download.fetch()
        path.with_name("clip.mp4.part").write_bytes(b"")
        await download.fetch()
    assert path.read_bytes() == MP4


async def test_a_part_that_another_download_began_meanwhile_is_left_to_that_one(
    session: aiohttp.ClientSession, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part, another = path.with_name("clip.mp4.part"), Download(session, "https://example.com/another.mp4", path)
    monkeypatch.setattr(downloads, "BATCH", 1000)
    monkeypatch.setattr(downloads, "_inodes_in_use", set())

    async def meanwhile(host: Host, request: web.Request) -> web.StreamResponse:
        os.close(another._open())
        part.write_bytes(b"another one's")
        return await good(host, request)

    clip, wrong = await fetched(session, Host(cut(100_000), meanwhile), path)
    assert wrong[1:] == ["download writes to the file that this one began"]
    assert (clip.path.read_bytes(), part.read_bytes()) == (MP4, b"another one's")
    assert downloads._inodes_in_use == {another._inode}


async def test_a_part_that_a_dead_process_left_is_not_believed(session: aiohttp.ClientSession, path: Path) -> None:
    path.with_name("clip.mp4.part").write_bytes(b"x" * 500_000)
    await fetched(session, Host(), path)
    assert path.read_bytes() == MP4
    assert files(path) == ["clip.mp4"]


async def test_a_packed_body_is_never_continued(session: aiohttp.ClientSession, path: Path) -> None:
    import gzip

    packed = gzip.compress(MP4)

    async def half(host: Host, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Encoding": "gzip"})
        response.content_length = len(packed)
        await response.prepare(request)
        await response.write(packed[: len(packed) // 2])
        await asyncio.sleep(0.02)
        assert request.transport is not None
        request.transport.close()
        return response

    host = Host(half, says(200, packed, Content_Encoding="gzip"))
    clip, _ = await fetched(session, host, path)
    assert host.ranges == [None, None]
    assert clip.bytes == len(MP4)
    assert path.read_bytes() == MP4


async def test_a_clip_that_is_packed_in_several_parts_is_kept_whole(session: aiohttp.ClientSession, path: Path) -> None:
    import gzip

    packed = b"".join(gzip.compress(part) for part in (MP4[:1000], MP4[1000:1001], MP4[1001:])) + bytes(512)
    clip, wrong = await fetched(session, Host(says(200, packed, Content_Encoding="gzip")), path)
    assert not wrong
    assert clip.bytes == len(MP4)
    assert path.read_bytes() == MP4


async def test_a_clip_of_endlessly_many_packed_parts_is_given_up(session: aiohttp.ClientSession, path: Path) -> None:
    import gzip

    packed = gzip.compress(MP4[:100]) + gzip.compress(b"") * 10_000
    _, wrong = await fetched(session, Host(says(200, packed, Content_Encoding="gzip")), path)
    assert "cannot be unpacked" in wrong[0]


async def test_a_clip_that_a_proxy_has_passed_on_is_taken(session: aiohttp.ClientSession, path: Path) -> None:
    clip, wrong = await fetched(session, Host(says(203, MP4)), path)
    assert not wrong
    assert clip.bytes == len(MP4)


NO_CLIPS = {
    "an error page": PAGE,
    "a long error page": PAGE * 2000,
    "an error in JSON": b'{"error": "expired"}',
    "a denial in XML": b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(500),
    "one byte": b"G",
    "nothing": b"",
}


@pytest.mark.parametrize("name", NO_CLIPS)
async def test_what_is_no_clip_is_never_kept(session: aiohttp.ClientSession, path: Path, name: str) -> None:
    host = Host(says(200, NO_CLIPS[name]), says(200, NO_CLIPS[name]))
    _, wrong = await fetched(session, host, path)
    assert len(wrong) == 2
    assert all("sent no video" in said or "empty file" in said for said in wrong)
    assert host.ranges == [None] * 3
    assert path.read_bytes() == MP4


CLIPS = {
    "mp4": MP4,
    "webm": b"\x1a\x45\xdf\xa3" + bytes(500),
    "quicktime": b"\0\0\0\x14ftypqt  " + bytes(500),
    "fragmented": b"\0\0\0\x14styp" + bytes(500),
    "avi": b"RIFF\0\0\0\0AVI " + bytes(500),
    "gif": b"GIF89a" + bytes(500),
    "ts": b"G" + bytes(187) + b"G" + bytes(500),
    "tiny": MP4[:20],
}


@pytest.mark.parametrize("name", CLIPS)
async def test_a_clip_of_any_usual_form_is_kept(session: aiohttp.ClientSession, path: Path, name: str) -> None:
    host = Host()
    host.content = CLIPS[name]
    _, wrong = await fetched(session, host, path)
    assert (wrong, path.read_bytes()) == ([], CLIPS[name])


@pytest.mark.parametrize("piece", [1, 3, 11])
async def test_a_clip_that_comes_in_small_pieces_is_known_for_one(
    session: aiohttp.ClientSession, path: Path, piece: int
) -> None:
    async def slowly(host: Host, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = len(MP4)
        await response.prepare(request)
        for start in range(0, 8 * piece, piece):
            await response.write(MP4[start : start + piece])
            await asyncio.sleep(0.005)
        await response.write(MP4[8 * piece :])
        return response

    _, wrong = await fetched(session, Host(slowly), path)
    assert wrong == []
    assert path.read_bytes() == MP4


def test_a_page_that_comes_in_small_pieces_is_known_for_none_at_once(path: Path) -> None:
    download = Download(None, "https://example.com/a.mp4", path)  # type: ignore[arg-type]  # nothing is asked
    download._sniff(PAGE[:3])
    with pytest.raises(DownloadFailed, match="sent no video: it begins with b'<!DOCTYPE html"):
        download._sniff((PAGE * 10)[3:])


async def test_more_than_was_promised_is_not_kept(session: aiohttp.ClientSession, path: Path) -> None:
    host = Host(cut(1000), says(206, MP4[1000:] + b"more", Content_Range=f"bytes 1000-{len(MP4) - 1}/{len(MP4)}"))
    await fetched(session, host, path)
    assert path.read_bytes() == MP4
    assert host.ranges == [None, "bytes=1000-", None]


@pytest.mark.parametrize("status", [401, 403, 404, 410])
async def test_a_dead_link_is_said_as_that(session: aiohttp.ClientSession, path: Path, status: int) -> None:
    async with served(Host(says(status, PAGE))) as url:
        with pytest.raises(LinkDead, match=rf"127.0.0.1:\d+ is dead \(HTTP {status}\)"):
            await Download(session, url + "/a?Signature=secret", path).fetch()
    assert not path.exists()


@pytest.mark.parametrize(
    "link", ["", "clip.mp4", "ftp://example.com/a", "http://[::1", "http://", "http://h:99999999/a"]
)
async def test_a_link_that_is_none_is_dead(session: aiohttp.ClientSession, path: Path, link: str) -> None:
    with pytest.raises(LinkDead):
        await Download(session, link, path).fetch()


@pytest.mark.parametrize(("status", "wait"), [(429, 7.0), (503, 7.0), (500, None), (204, None), (302, None)])
async def test_a_host_in_trouble_is_asked_again_when_it_says_so(
    session: aiohttp.ClientSession, path: Path, status: int, wait: float | None
) -> None:
    async with served(Host(says(status, Retry_After="7"))) as url:
        with pytest.raises(DownloadFailed, match=f"answered HTTP {status}") as caught:
            await Download(session, url, path).fetch()
    assert caught.value.retry_after == wait
    assert type(caught.value) is DownloadFailed


async def test_trouble_on_the_way_does_not_cost_what_is_here(session: aiohttp.ClientSession, path: Path) -> None:
    host = Host(cut(1000), says(503), says(500))
    await fetched(session, host, path)
    assert host.ranges == [None, *["bytes=1000-"] * 3]


def clip_after(heads: list[bytes]) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    """Return a host that notes the head of each request and answers with a whole clip."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await read_request(reader))
        writer.write(OK + b"Content-Length: %d\r\n\r\n" % len(MP4) + MP4)

    return talk


@pytest.mark.parametrize(
    "sent",
    [
        "/a%2Fb/c.mp4?X-Amz-Signature=a%2Bb+c%2f%7E~&e=1;2&x=(1)*'!",
        "/a//b/../c.mp4?a=%20&b=|{}^`",
        '/a"<>\\.mp4?sig=a=b==',
    ],
)
async def test_a_signed_link_is_sent_byte_for_byte(session: aiohttp.ClientSession, path: Path, sent: str) -> None:
    heads: list[bytes] = []
    async with talking(clip_after(heads)) as url:
        await Download(session, url + sent, path).fetch()
    assert heads[0].split(b" ")[1].decode() == sent


@pytest.mark.parametrize(
    ("given", "sent"), [("/a b.mp4", b"/a%20b.mp4"), ("/é", b"/%C3%A9"), ("/a\r\nX-Evil: 1", b"/a%0D%0AX-Evil:%201")]
)
async def test_what_no_request_can_hold_is_encoded(
    session: aiohttp.ClientSession, path: Path, given: str, sent: bytes
) -> None:
    heads: list[bytes] = []
    async with talking(clip_after(heads)) as url:
        await Download(session, url + given, path).fetch()
    assert heads[0].split(b"\r\n")[0] == b"GET " + sent + b" HTTP/1.1"


async def test_a_redirect_to_another_host_is_followed_byte_for_byte_and_no_key_goes_along(
    session: aiohttp.ClientSession, path: Path
) -> None:
    final = Host(cut(1000))
    async with served(final) as elsewhere:
        moved = says(302, Location=elsewhere.replace("127.0.0.1", "localhost") + "/x?sig=a%2Bb+c%2f%7E~")
        host = Host(moved, moved)
        clip, wrong = await fetched(session, host, path)
    assert len(wrong) == 1
    assert clip.bytes == len(MP4)
    assert [request.raw_path for request in final.asked] == ["/x?sig=a%2Bb+c%2f%7E~"] * 2
    assert final.ranges == [None, "bytes=1000-"]
    for request in (*host.asked, *final.asked):
        assert "Authorization" not in request.headers
        assert "Cookie" not in request.headers


async def test_a_page_that_sends_everybody_round_who_does_not_show_its_cookie_is_passed(
    session: aiohttp.ClientSession, path: Path
) -> None:
    async def wall(host: Host, request: web.Request) -> web.StreamResponse:
        host.script.append(wall)
        if request.cookies.get("seen") == "a%2Bb":
            return await good(host, request)
        cookie = {"Set-Cookie": "seen=a%2Bb; Path=/; HttpOnly"} if request.path == "/check" else {}
        return web.Response(status=302, headers={"Location": "/check" if not cookie else "/clip.mp4", **cookie})

    behind = Host(wall)
    async with served(behind) as elsewhere:
        host = Host(says(302, Location=f"{elsewhere}/clip.mp4", Set_Cookie="other=1"))
        clip, wrong = await fetched(session, host, path)
        asked = len(behind.asked)
        await Download(session, f"{elsewhere}/clip.mp4", path).fetch()
    assert (clip.bytes, wrong) == (len(MP4), [])
    assert {request.headers.get("Cookie") for request in (*host.asked, *behind.asked)} == {None, "seen=a%2Bb"}
    assert "Cookie" not in behind.asked[asked].headers, "what was kept for one download is no other's"


async def stalled(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(OK + b"Content-Length: %d\r\n\r\n" % len(MP4) + MP4[:5000])
    await reader.read()


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    await reader.read()


async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"\x16\x03\x01 what?\r\n\r\n")


@pytest.mark.parametrize("talk", [stalled, silent, garbage])
async def test_a_host_that_stalls_or_speaks_nonsense_is_tried_again(
    session: aiohttp.ClientSession, path: Path, talk: Any
) -> None:
    session._timeout = QUICK
    async with talking(talk) as url:
        with pytest.raises(DownloadFailed, match="was cut off after") as caught:
            await Download(session, url, path).fetch()
    assert type(caught.value) is DownloadFailed
    assert not path.exists()


async def test_a_refused_connection_is_tried_again(session: aiohttp.ClientSession, path: Path) -> None:
    with pytest.raises(DownloadFailed) as caught:
        await Download(session, "http://127.0.0.1:1/clip.mp4", path).fetch()
    assert type(caught.value) is DownloadFailed


@pytest.mark.parametrize("error", [ssl.SSLError("bad record"), ConnectionResetError(), TimeoutError()], ids=repr)
async def test_a_failing_network_is_not_taken_for_a_failing_disk(path: Path, error: OSError) -> None:
    class Broken:
        def get(self, *_: Any, **__: Any) -> Any:
            raise error

    with pytest.raises(DownloadFailed) as caught:
        await Download(Broken(), "http://127.0.0.1:1/a", path).fetch()  # type: ignore[arg-type]
    assert type(caught.value) is DownloadFailed


# The disk ----------------------------------------------------------------------------------------------------------


async def test_in_a_folder_that_is_gone_nothing_is_written(session: aiohttp.ClientSession, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with served(Host()) as url:
        for folder in ("gone", "file"):
            with pytest.raises(DiskFailed, match="cannot be written"):
                await Download(session, url, tmp_path / folder / "clip.mp4").fetch()
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


async def test_a_folder_of_the_clip_s_name_is_left_alone(session: aiohttp.ClientSession, path: Path) -> None:
    path.mkdir()
    async with served(Host()) as url:
        with pytest.raises(DiskFailed):
            await Download(session, url, path).fetch()
    assert files(path) == ["clip.mp4"]
    assert path.is_dir()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names")
async def test_a_pipe_in_the_place_of_a_half_clip_is_not_waited_for(session: aiohttp.ClientSession, path: Path) -> None:
    os.mkfifo(path.with_name("clip.mp4.part"))
    async with served(Host()) as url:
        with pytest.raises(DiskFailed, match="cannot be written"):
            await asyncio.wait_for(Download(session, url, path).fetch(), 10)


@pytest.mark.parametrize("step", ["write", "sync", "rename"])
async def test_a_full_disk_leaves_no_half_file(
    session: aiohttp.ClientSession, path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    match step:
        case "write":
            monkeypatch.setattr(hashlib, "sha256", type("Hash", (), {"update": full}))
        case "sync":
            monkeypatch.setattr(os, "fsync", full)
        case _:
            monkeypatch.setattr(os, "replace", full)
    async with served(Host()) as url:
        with pytest.raises(DiskFailed, match="No space left"):
            await Download(session, url, path).fetch()
    assert files(path) == []


async def test_a_system_that_takes_a_part_at_a_time_gets_the_whole_clip(
    session: aiohttp.ClientSession, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, content: write(file, memoryview(content)[:1000]))
    async with served(host := Host()) as url:
        clip = await Download(session, url, path).fetch()
    assert path.read_bytes() == host.content
    assert clip.sha256 == hashlib.sha256(host.content).hexdigest()


async def test_two_downloads_of_one_name_do_not_write_into_each_other(
    session: aiohttp.ClientSession, path: Path
) -> None:
    def of(content: bytes) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def slowly(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            response.content_length = len(content)
            await response.prepare(request)
            for start in range(0, len(content), 20_000):
                await response.write(content[start : start + 20_000])
                await asyncio.sleep(0.002)
            return response

        return slowly

    one, two = MP4 + b"1" * 50_000, MP4 + b"2" * 90_000
    async with served(of(one)) as first, served(of(two)) as second:
        clips = await asyncio.gather(
            Download(session, first, path, overwrite=False).fetch(),
            Download(session, second, path, overwrite=False).fetch(),
        )
    assert {clip.path.name for clip in clips} == {"clip.mp4", "clip-2.mp4"}
    assert [clip.path.read_bytes() for clip in clips] == [one, two]
    assert files(path) == ["clip-2.mp4", "clip.mp4"]
    assert downloads._inodes_in_use == set()


async def test_a_file_that_is_there_already_is_replaced_only_where_that_is_meant(
    session: aiohttp.ClientSession, path: Path
) -> None:
    path.write_bytes(b"precious")
    async with served(Host()) as url:
        clip = await Download(session, url, path, overwrite=False).fetch()
        assert (clip.path.name, path.read_bytes()) == ("clip-2.mp4", b"precious")
        again = await Download(session, url, clip.path, overwrite=False).fetch()
        assert again == clip
        await Download(session, url, path).fetch()
    assert path.read_bytes() == MP4
    assert files(path) == ["clip-2.mp4", "clip.mp4"]


async def test_a_download_that_is_stopped_leaves_nothing_under_the_final_name(
    session: aiohttp.ClientSession, path: Path
) -> None:
    async with talking(stalled) as url:
        task = asyncio.ensure_future(Download(session, url, path).fetch())
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert "clip.mp4" not in files(path)
    assert downloads._inodes_in_use == set()
    await fetched(session, Host(), path)
    assert files(path) == ["clip.mp4"]


def film(seconds: int = 1) -> bytes:
    """Return a file whose boxes are whole."""
    boxes = ((b"ftyp", b"isom"), (b"moov", bytes(40)), (b"mdat", bytes(1000 * seconds)))
    return b"".join((len(content) + 8).to_bytes(4) + kind + content for kind, content in boxes)


def unsized(content: bytes) -> Callable[[Host, web.Request], Awaitable[web.StreamResponse]]:
    """Send a body of which nobody says how long it is."""

    async def answer(host: Host, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Connection": "close"})
        await response.prepare(request)
        await response.write(content)
        return response

    return answer


async def test_without_a_length_half_a_clip_is_known_by_its_boxes(session: aiohttp.ClientSession, path: Path) -> None:
    host = Host(unsized(film()[:-300]), unsized(film()))
    clip, _ = await fetched(session, host, path)
    assert (clip.bytes, path.read_bytes()) == (len(film()), film())
    assert len(host.ranges) == 2


@pytest.mark.parametrize("repeat", [1, 400], ids=["in memory", "on disk"])
async def test_a_clip_that_the_service_itself_has_cut_is_refused_and_fetched_anew(
    session: aiohttp.ClientSession, path: Path, repeat: int
) -> None:
    host = Host(says(200, film(repeat)[:-300]), says(200, film(repeat)))
    clip, wrong = await fetched(session, host, path)
    assert [line for line in wrong if "its MP4 ends in the middle of a box" in line]
    assert (clip.bytes, path.read_bytes()) == (len(film(repeat)), film(repeat))
    assert host.ranges == [None, None]


async def test_a_clip_that_is_shorter_than_the_service_says_is_fetched_again(
    session: aiohttp.ClientSession, path: Path
) -> None:
    host = Host(says(200, film()[:-300]), says(200, film()))
    async with served(host) as url:
        download = Download(session, f"{url}/clip.mp4", path, size=len(film()))
        with pytest.raises(DownloadFailed, match="of 1,"):
            await download.fetch()
        assert (await download.fetch()).bytes == len(film())


async def test_a_whole_clip_of_another_size_than_the_service_says_is_kept(
    session: aiohttp.ClientSession, path: Path
) -> None:
    async with served(Host(says(200, film()))) as url:
        assert (await Download(session, f"{url}/clip.mp4", path, size=7).fetch()).bytes == len(film())


async def test_a_large_clip_whose_editing_fails_half_way_is_kept_as_it_came(
    session: aiohttp.ClientSession, path: Path
) -> None:
    def fails_half_way(clip: BinaryIO) -> bool:
        clip.seek(0, os.SEEK_END)
        clip.write(b"half a recipe")
        return False

    content = MP4 * 10
    host = Host(says(200, content), says(200, content))
    async with served(host) as url:
        download = Download(session, f"{url}/clip.mp4", path, edit=fails_half_way)
        with pytest.raises(DownloadFailed, match="fetched again"):
            await download.fetch()
        clip = await download.fetch()
    assert path.read_bytes() == content
    assert clip.sha256 == hashlib.sha256(content).hexdigest()
    assert files(path) == ["clip.mp4"]


async def test_a_clip_may_stand_in_the_link_itself(session: aiohttp.ClientSession, path: Path) -> None:
    link = "data:video/mp4;base64," + base64.b64encode(film()).decode()
    assert (await Download(session, link, path).fetch()).bytes == len(film())
    assert path.read_bytes() == film()
    with pytest.raises(DownloadFailed, match="no video"):
        await Download(session, "data:text/html,<html>no</html>", path).fetch()


@pytest.mark.parametrize("label", ["gzip", "br", "nonsense"])
async def test_a_clip_with_a_false_label_is_taken_as_it_is(
    session: aiohttp.ClientSession, path: Path, label: str
) -> None:
    clip, _ = await fetched(session, Host(says(200, film(), Content_Encoding=label)), path)
    assert path.read_bytes() == film()
    assert clip.bytes == len(film())


async def test_a_clip_behind_the_key_is_fetched_with_it_and_no_other_host_sees_it(
    session: aiohttp.ClientSession, path: Path
) -> None:
    keys: list[tuple[str, str | None]] = []

    def host_of(name: str, to: str | None = None) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answer(request: web.Request) -> web.StreamResponse:
            keys.append((name, request.headers.get("Authorization")))
            if to is None:
                return web.Response(body=film())
            if "Authorization" not in request.headers:
                return web.Response(status=401)
            return web.Response(status=302, headers={"Location": to})

        return answer

    async with served(host_of("files")) as files, served(host_of("service", f"{files}/a.mp4")) as service:
        origin = ServiceOrigin(service, lambda address: {"Authorization": "Bearer secret"})
        await Download(session, "/v1/videos/1/content", path, service=origin).fetch()
    assert keys == [("service", None), ("service", "Bearer secret"), ("files", None)]


async def test_a_link_of_another_host_never_gets_the_key(session: aiohttp.ClientSession, path: Path) -> None:
    asked: list[str | None] = []

    async def files(request: web.Request) -> web.StreamResponse:
        asked.append(request.headers.get("Authorization"))
        return web.Response(status=401)

    async with served(files) as url:
        origin = ServiceOrigin("https://api.example.com", lambda address: {"Authorization": "Bearer secret"})
        with pytest.raises(LinkDead):
            await Download(session, f"{url}/a.mp4", path, service=origin).fetch()
    assert asked == [None]


async def test_a_large_clip_is_written_while_it_comes_and_goes_on_from_there(
    session: aiohttp.ClientSession, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    monkeypatch.setattr(downloads, "BATCH", 2**14)
    threads: set[int] = set()
    write = Download._write

    def noted(self: Download) -> Any:
        threads.add(threading.get_ident())
        return write(self)

    monkeypatch.setattr(Download, "_write", noted)
    host = Host(cut(100_000))
    clip, wrong = await fetched(session, host, path)
    assert len(wrong) == 1
    assert host.ranges == [None, "bytes=100000-"]
    assert path.read_bytes() == MP4
    assert clip.sha256 == hashlib.sha256(MP4).hexdigest()
    assert threading.get_ident() not in threads  # no disk holds the event loop up


INDEX = box(b"moov", index_of([len(FTYP) + 8 + len(index_of([0])) + 8]))
LARGE_FILM = FTYP + INDEX + box(b"mdat", bytes(range(256)) * 800)


@pytest.mark.parametrize("script", [[], [cut(100_000)], [cut(100_000), says(200, LARGE_FILM)], [cut(100)]])
async def test_a_large_film_whose_index_comes_first_is_edited_while_it_comes(
    session: aiohttp.ClientSession, path: Path, monkeypatch: pytest.MonkeyPatch, script: list[Any]
) -> None:
    monkeypatch.setattr(downloads, "BATCH", 2**14)
    lengths: list[int] = []

    def edit(clip: BinaryIO) -> bool:
        lengths.append(clip.seek(0, os.SEEK_END))
        return write_metadata(clip, "waves", "a recipe")

    expected = io.BytesIO(LARGE_FILM)
    assert write_metadata(expected, "waves", "a recipe")
    host = Host(*script)
    host.content = LARGE_FILM
    async with served(host) as url:
        download = Download(session, f"{url}/clip.mp4", path, edit=edit)
        for _ in script[:1]:
            with pytest.raises(DownloadFailed, match=r"cut off|of \d"):
                await download.fetch()
        clip = await download.fetch()
    assert path.read_bytes() == expected.getvalue()
    assert clip == Clip(path, len(expected.getvalue()), hashlib.sha256(expected.getvalue()).hexdigest())
    assert max(lengths) < len(LARGE_FILM), "all of it would be read and written once more"
    assert all(asked in (None, "bytes=100-", "bytes=100000-") for asked in host.ranges), "what was received counts"


@pytest.mark.parametrize("more", [b"", box(b"free", bytes(9)), box(b"mfra", box(b"tfra", bytes(16)))])
async def test_a_large_film_with_more_behind_its_pictures_is_edited_when_all_of_it_is_here(
    session: aiohttp.ClientSession, path: Path, monkeypatch: pytest.MonkeyPatch, more: bytes
) -> None:
    monkeypatch.setattr(downloads, "BATCH", 2**14)
    host, expected = (
        Host(),
        io.BytesIO((LARGE_FILM + more) if more else (FTYP + LARGE_FILM[len(FTYP + INDEX) :] + INDEX)),
    )
    host.content = expected.getvalue()
    assert write_metadata(expected, "waves", "a recipe")
    async with served(host) as url:
        edit = partial(write_metadata, title="waves", recipe="a recipe")
        clip = await Download(session, f"{url}/clip.mp4", path, edit=edit).fetch()
    assert path.read_bytes() == expected.getvalue()
    assert clip == Clip(path, len(expected.getvalue()), hashlib.sha256(expected.getvalue()).hexdigest())


async def test_a_disk_without_any_room_is_said_to_be_full(
    session: aiohttp.ClientSession, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(download: Any) -> int:
        download._inode = (0, 0)
        return os.open("/dev/full", os.O_WRONLY)

    monkeypatch.setattr(Download, "_open", opened)
    async with served(Host()) as url:
        with pytest.raises(DiskFailed, match="No space left"):
            await Download(session, f"{url}/clip.mp4", path).fetch()


async def test_on_a_drive_whose_new_files_have_one_number_clips_are_saved_side_by_side(
    session: aiohttp.ClientSession, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fstat = os.fstat
    monkeypatch.setattr(os, "fstat", lambda file: os.stat_result((0, 0, 0, *fstat(file)[3:])))
    large = MP4 * 6  # more than is written in one go
    names = ("one.mp4", "two.mp4")

    async def both_at_once(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = len(large)
        await response.prepare(request)
        await response.write(large[: len(large) - 10])
        await begun.wait()
        await response.write(large[len(large) - 10 :])
        return response

    begun = asyncio.Barrier(2)
    async with served(both_at_once) as url:
        await asyncio.gather(*(Download(session, url, path.with_name(name)).fetch() for name in names))
    assert files(path) == [*names]


@pytest.fixture
def no_open_file_is_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no file be renamed or deleted that this process has open, as on Windows."""
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("only Linux tells which files are open")

    def guarded(move: Callable[..., None]) -> Callable[..., None]:
        def refuse_open(path: Any, *more: Any, **options: Any) -> None:
            if os.path.realpath(path) in (os.path.realpath(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")):
                raise PermissionError(errno.EACCES, "The process cannot access the file", str(path))
            move(path, *more, **options)

        return refuse_open

    for name in ("replace", "unlink"):
        monkeypatch.setattr(os, name, guarded(getattr(os, name)))


@pytest.mark.usefixtures("no_open_file_is_moved")
@pytest.mark.parametrize("times", [1, 8])
async def test_a_clip_gets_its_name_when_its_file_is_closed(
    session: aiohttp.ClientSession, path: Path, times: int
) -> None:
    host = Host()
    host.content = MP4 * times
    async with served(host) as url:
        clip = await Download(session, url, path).fetch()
    assert (clip.bytes, files(path)) == (len(host.content), ["clip.mp4"])


@pytest.mark.usefixtures("no_open_file_is_moved")
async def test_half_a_clip_is_deleted_when_its_file_is_closed(
    session: aiohttp.ClientSession, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    async with served(Host()) as url:
        with pytest.raises(DiskFailed):
            await Download(session, url, path).fetch()
    assert files(path) == []


@pytest.mark.parametrize(("times", "saved"), [(2, True), (9, False)])
async def test_a_virus_scanner_that_holds_a_new_clip_on_windows_is_waited_for(
    session: aiohttp.ClientSession, path: Path, monkeypatch: pytest.MonkeyPatch, times: int, saved: bool
) -> None:
    replace, refusals, waits = os.replace, iter(range(times)), list[float]()

    def held(source: Any, target: Any) -> None:
        if next(refusals, None) is None:
            return replace(source, target)
        error = PermissionError(errno.EACCES, "used by another process")
        error.winerror = 32  # type: ignore[attr-defined]  # on Windows alone
        raise error

    monkeypatch.setattr(os, "replace", held)
    monkeypatch.setattr(downloads.time, "sleep", waits.append)
    async with served(Host()) as url:
        if saved:
            await Download(session, url, path).fetch()
        else:
            with pytest.raises(DiskFailed, match="used by another process"):
                await Download(session, url, path).fetch()
    assert waits == ([0.1, 0.4] if saved else [0.1, 0.4, 1.5])
