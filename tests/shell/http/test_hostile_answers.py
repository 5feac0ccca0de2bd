"""No answer, however large, slow, odd or badly meant, takes the machine, the run or the key."""

from __future__ import annotations

import asyncio
import base64
import gzip
import socket
import zlib
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import ResolveResult
from yarl import URL

from aimlvideo.core.wires.http import Answer, Request
from aimlvideo.errors import DownloadFailed, LinkDead, ServiceError, SettingsError, Unclear
from aimlvideo.settings import Settings
from aimlvideo.shell.descriptors import BREATH
from aimlvideo.shell.files import downloads
from aimlvideo.shell.files.downloads import Download, _Pace
from aimlvideo.shell.http import deadline
from aimlvideo.shell.http.bodies import spellings
from aimlvideo.shell.http.destinations import Destinations, _is_public
from aimlvideo.shell.http.proxies import Proxies
from aimlvideo.shell.http.transport import HttpTransport, open_session
from tests.cases import for_each
from tests.shell.http_server import read_request, served, talking

pytestmark = pytest.mark.real_time

KEY = "sk/0123+56789abcdef0123456789abcdef"
GET, POST = Request("GET", "/v1/x"), Request("POST", "/v1/x", body={"a": 1})


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with open_session() as session:
        yield session


async def endless(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse()
    await answer.prepare(request)
    while True:
        await answer.write(b" " * 2**18)


@cache
def packed_spaces() -> bytes:
    """64 MB that are 65 KB while they are packed."""
    # A part that is flushed says nothing of what came before it, so that it may be said again and again.
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    return packer.compress(b"") + 64 * (packer.compress(b" " * 2**20) + packer.flush(zlib.Z_FULL_FLUSH))


async def bomb(request: web.Request) -> web.StreamResponse:
    return web.Response(body=packed_spaces(), headers={"Content-Encoding": "gzip"})


async def trickling(request: web.Request) -> web.StreamResponse:
    import anyio

    answer = web.StreamResponse()
    await answer.prepare(request)
    while True:
        await answer.write(b" ")
        await anyio.sleep(0.02)


@pytest.mark.parametrize("handler", [endless, bomb])
@pytest.mark.parametrize("request_", [GET, POST], ids=["GET", "POST"])
async def test_an_answer_without_end_is_given_up_at_16_mb(
    session: aiohttp.ClientSession, handler: Any, request_: Request
) -> None:
    async with served(handler) as url:
        with pytest.raises(Unclear, match="more than 16 MB"):
            await HttpTransport(session, url, KEY).send(request_)


async def test_an_answer_that_only_trickles_is_given_up_at_a_deadline(
    session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadline, "DEADLINE", 0.2)
    async with served(trickling) as url:
        with pytest.raises(Unclear):
            await HttpTransport(session, url, KEY).send(POST)


async def test_headers_are_text_that_can_be_written_whatever_bytes_came(session: aiohttp.ClientSession) -> None:
    async def talk(reader: Any, writer: Any) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nx-inference-id: a\xed\xa0\xbdb\xff\xc3\xa9\r\nContent-Length: 2\r\n\r\n{}")

    async with talking(talk) as url:
        answer = await HttpTransport(session, url, KEY).send(GET)
    name = answer.headers["X-Inference-Id"]
    assert name.encode().decode() == name
    assert name.startswith("a")
    assert name.endswith("é")


def test_json_that_is_too_deep_is_none() -> None:
    assert Answer(200, {}, b"[" * 40 + b"]" * 40).json() is None
    assert Answer(200, {}, b"[" * 100_000).json() is None
    assert Answer(200, {}, b'{"a": [1]}').json() == {"a": [1]}


@pytest.mark.parametrize("path", ["https:@HOST/x", "@HOST/x", ".HOST/x", "//HOST/x", "http://HOST/x", "\\@HOST/x"])
async def test_the_key_goes_by_where_a_request_really_ends_up(session: aiohttp.ClientSession, path: str) -> None:
    sent: list[str] = []

    async def other(request: web.Request) -> web.Response:
        sent.append(str(dict(request.headers)))
        return web.Response(text="{}")

    async with served(other) as foreign:
        host = foreign.removeprefix("http://")
        for base in ("http://api.invalid", "http://api.invalid:80"):
            try:
                await HttpTransport(session, base, KEY).send(Request("GET", path.replace("HOST", host)))
            except ServiceError:
                continue
    assert all(KEY not in headers for headers in sent)


@pytest.mark.parametrize("spelled", spellings(KEY))
async def test_the_key_is_masked_however_it_is_spelled(session: aiohttp.ClientSession, spelled: str) -> None:
    async def quoting(request: web.Request) -> web.Response:
        return web.Response(status=400, text=f"no: {spelled}!", headers={"X-Said": f"<{spelled}>"})

    async with served(quoting) as url:
        answer = await HttpTransport(session, url, KEY).send(GET)
    assert answer.body == b"no: [key]!"
    assert answer.headers["x-said"] == "<[key]>"
    assert base64.b64encode(KEY.encode()).decode() in spellings(KEY)


@pytest.mark.parametrize(
    "header", ["http://127.0.0.1:99999/", f"http://{'a' * 64}.example/", "http://[::1", "http://\ud800/"]
)
async def test_a_redirect_to_no_possible_address_is_a_dead_link(
    session: aiohttp.ClientSession, tmp_path: Path, header: str
) -> None:
    async def talk(reader: Any, writer: Any) -> None:
        await read_request(reader)
        location = header.encode(errors="replace")
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: " + location + b"\r\nContent-Length: 0\r\n\r\n")

    async with talking(talk) as url:
        with pytest.raises(DownloadFailed):
            await Download(session, url, tmp_path / "a.mp4").fetch()


async def test_redirects_without_end_are_said(session: aiohttp.ClientSession, tmp_path: Path) -> None:
    async def turning(request: web.Request) -> web.Response:
        raise web.HTTPFound("/again")

    async with served(turning) as url:
        with pytest.raises(LinkDead, match="redirects more than 10 times"):
            await Download(session, url, tmp_path / "a.mp4").fetch()


def test_a_download_that_trickles_is_given_up_and_a_slow_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(downloads.time, "monotonic", lambda: now)
    slow, trickle = _Pace(), _Pace()
    for now in range(0, 100, 5):
        slow.check(6000)
        if now < 30:
            trickle.check(1)
    with pytest.raises(DownloadFailed, match="too slow"):
        trickle.check(1)


async def test_a_clip_that_trickles_in_is_given_up(
    session: aiohttp.ClientSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "RATE_WINDOW", 0.0)
    monkeypatch.setattr(downloads, "LEAST_RATE", 10**12)

    async def drops(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b"\0\0\0\x18ftypmp42")
        return answer

    async with served(drops) as url:
        with pytest.raises(DownloadFailed, match="too slow"):
            await Download(session, url, tmp_path / "a.mp4").fetch()


async def test_a_clip_without_end_is_given_up(
    session: aiohttp.ClientSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def films(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        while True:
            await answer.write(b"\0\0\0\x18ftypmp42" * 1000)

    monkeypatch.setattr(downloads, "MAX_CLIP", 100_000)
    async with served(films) as url:
        with pytest.raises(LinkDead, match="no clip is that large"):
            await Download(session, url, tmp_path / "a.mp4").fetch()


async def test_a_packed_clip_is_unpacked_in_small_pieces(
    session: aiohttp.ClientSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = b"\0\0\0\x18ftypmp42" * 2**18
    packed, largest = gzip.compress(film, 9), 0
    assert len(packed) < downloads.CHUNK
    take = Download._take

    async def watched(self: Download, chunk: bytes) -> None:
        nonlocal largest
        largest = max(largest, len(chunk))
        await take(self, chunk)

    async def films(request: web.Request) -> web.Response:
        return web.Response(body=packed, headers={"Content-Encoding": "gzip"})

    monkeypatch.setattr(Download, "_take", watched)
    async with served(films) as url:
        clip = await Download(session, url, tmp_path / "a.mp4").fetch()
    assert clip.bytes == len(film)
    assert largest <= downloads.CHUNK


async def test_a_head_that_only_trickles_is_given_up(
    session: aiohttp.ClientSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def talk(reader: Any, writer: Any) -> None:
        await read_request(reader)
        for letter in b"HTTP/1.1 200 OK\r\n" + b"X-Long: " + b"x" * 1000:
            writer.write(bytes([letter]))
            await writer.drain()
            await asyncio.sleep(0.02)

    monkeypatch.setattr(downloads, "HEAD_TIMEOUT", 0.2)
    async with talking(talk) as url:
        with pytest.raises(DownloadFailed, match="was cut off after 0 bytes"):
            await Download(session, url, tmp_path / "a.mp4").fetch()


async def test_too_many_open_files_is_tried_again_and_fails_no_disk(
    session: aiohttp.ClientSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.EMFILE, "Too many open files")

    async def film(request: web.Request) -> web.Response:
        return web.Response(body=b"\0\0\0\x18ftypmp42" * 100)

    async with served(film) as url:
        monkeypatch.setattr(downloads.os, "open", full)
        with pytest.raises(DownloadFailed, match="too many open files") as caught:
            await Download(session, url, tmp_path / "a.mp4").fetch()
    assert type(caught.value) is DownloadFailed
    assert caught.value.retry_after == BREATH


# Where links may lead ----------------------------------------------------------------------------------------------


@for_each(
    ("address", "public"),
    [
        ("8.8.8.8", True), ("2606:4700::1", True), ("127.0.0.1", False), ("10.0.0.1", False), ("192.168.1.1", False),
        ("169.254.169.254", False), ("100.64.0.1", False), ("0.0.0.0", False), ("::1", False), ("fe80::1%eth0", False),
        ("fd00::1", False), ("::ffff:127.0.0.1", False), ("64:ff9b::7f00:1", False), ("2002:7f00:1::", False),
        ("224.0.0.1", False),
    ],
)  # fmt: skip
def test_an_address_is_public_or_it_is_not(address: str, public: bool) -> None:
    assert _is_public(address) is public


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_link_into_this_machine_is_not_followed_where_the_service_is_elsewhere(
    tmp_path: Path, host: str
) -> None:
    asked = []

    async def film(request: web.Request) -> web.Response:
        asked.append(request)
        return web.Response(body=b"\0\0\0\x18ftypmp42" * 100)

    async with served(film) as url:
        link = url.replace("127.0.0.1", host)
        async with open_session(destinations=Destinations("https://api.example.com")) as session:
            with pytest.raises(LinkDead, match="in the network of this machine"):
                await Download(session, link, tmp_path / "a.mp4").fetch()
        assert not asked
        for allowing in (Destinations("http://localhost:1"), Destinations("https://api.example.com", allowed=True)):
            async with open_session(destinations=allowing) as session:
                assert (await Download(session, link, tmp_path / "a.mp4").fetch()).bytes == 1200


async def test_a_name_for_which_a_program_in_between_gives_an_address_of_its_own_is_followed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def resolve(*_: object) -> list[dict[str, str]]:
        return [{"host": address}]

    monkeypatch.setattr(aiohttp.ThreadedResolver, "resolve", resolve)
    destinations = Destinations("https://api.example.com")
    address = "198.19.255.7"
    for host in ("api.example.com", "cdn.example.com"):
        assert await destinations.resolve(host) == [{"host": address}]
    with pytest.raises(aiohttp.InvalidURL, match="in the network of this machine"):
        destinations.check(URL(f"https://{address}/clip.mp4"))
    address = "192.168.0.7"
    with pytest.raises(aiohttp.InvalidURL, match="in the network of this machine"):
        await destinations.resolve("cdn.example.com")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_request_to_an_address_that_the_service_named_goes_to_no_machine_of_this_network(host: str) -> None:
    asked = []

    async def document(request: web.Request) -> web.Response:
        asked.append(request)
        return web.Response(text="{}")

    async with served(document) as url:
        link = url.replace("127.0.0.1", host)
        destinations = Destinations("https://api.example.com")
        async with open_session(destinations=destinations) as clips, open_session(pool=clips.connector) as session:
            client = HttpTransport(session, "https://api.example.com", KEY, destinations=destinations)
            with pytest.raises(ServiceError, match="in the network of this machine"):
                await client.send(Request("GET", link))
    assert not asked


async def test_a_redirect_from_https_to_http_is_not_followed() -> None:
    destinations, closed = Destinations("https://api.example.com"), []

    async def follow(first: str, location: str, status: int = 302) -> None:
        async def send(request: object) -> object:
            return SimpleNamespace(status=status, headers={"Location": location}, close=lambda: closed.append(location))

        await destinations.guard(SimpleNamespace(url=URL(first)), send)  # type: ignore[arg-type]

    for location in ("http://cdn.example.com/a", "HTTP://cdn.example.com/a"):
        for status in (301, 302, 303, 307, 308):
            with pytest.raises(aiohttp.InvalidURL, match="from https to http"):
                await follow("https://cdn.example.com/a", location, status)
    assert len(closed) == 10, "the connection is given up with the answer"
    await follow("https://cdn.example.com/a", "/b")
    await follow("http://cdn.example.com/a", "http://cdn.example.com/b")
    await follow("https://cdn.example.com/a", "http://cdn.example.com/a", status=200)


@for_each("target", ["http://169.254.169.254/latest", "http://127.0.0.1:9/a", "http://localhost:9/a"])
async def test_a_redirect_into_the_network_of_this_machine_is_not_followed(tmp_path: Path, target: str) -> None:
    async def away(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": target})

    class Resolved(Destinations):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            if host == "cdn.example.com":
                return await aiohttp.ThreadedResolver().resolve("127.0.0.1", port, family)
            return await super().resolve(host, port, family)

    async with served(away) as url:
        destinations = Resolved("https://api.example.com")
        async with open_session(destinations=destinations) as session:
            link = url.replace("127.0.0.1", "cdn.example.com")
            with pytest.raises(LinkDead, match="in the network of this machine"):
                await Download(session, link, tmp_path / "a.mp4").fetch()


def test_local_links_is_a_setting() -> None:
    assert Settings(api_key="k", base_url="https://a.example", local_links=True).local_links
    with pytest.raises(SettingsError):
        Settings(api_key="k", base_url="https://a.example", local_links="yes")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value", "hosts"),
    [
        ("https_proxy", "proxy.example:3128", {"proxy.example"}),
        ("HTTPS_PROXY", "http://proxy.example:3128", {"proxy.example"}),
        ("ALL_PROXY", "proxy.example:3128", {"proxy.example"}),
    ],
)
def test_proxies_are_read_as_curl_reads_them(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, hosts: set[str]
) -> None:
    for other in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(other, raising=False)
        monkeypatch.delenv(other.upper(), raising=False)
    monkeypatch.setenv(name, value)
    assert Proxies.of_environment().hosts == hosts
