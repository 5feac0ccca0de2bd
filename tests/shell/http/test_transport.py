"""A request goes out once, its key to one place only, and every failure says whether it may have arrived."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import time
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from email.utils import formatdate
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import jwt
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from multidict import CIMultiDict
from yarl import URL

from aimlvideo import __version__
from aimlvideo.core.services import service_of
from aimlvideo.core.wires.http import Answer, Request
from aimlvideo.errors import Rejected, ServiceError, SettingsError, Unavailable, Unclear
from aimlvideo.shell.http import deadline, proxies
from aimlvideo.shell.http.transport import HttpTransport, open_session
from tests.cases import for_each
from tests.shell.http_server import QUICK, read_request, served, talking

pytestmark = pytest.mark.real_time

KEY = "0123456789abcdef0123456789abcdef"
SHORT = "key-1"
POST = Request("POST", "/v2/video/generations", body={"a": 1}, headers={"X-Client-Request-Id": "av-1"})


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with open_session() as session:
        yield session


async def failure(session: aiohttp.ClientSession, url: str, request: Request = POST) -> ServiceError:
    """Return what a request fails with; the key is nowhere in it, nor in what caused it."""
    with pytest.raises(ServiceError) as caught:
        await HttpTransport(session, url, KEY).send(request)
    error: BaseException | None = caught.value
    while error is not None:
        assert KEY not in f"{error} {error!r} {error.args!r}"
        error = error.__cause__ or error.__context__
    assert caught.value.request_id == request.headers.get("X-Client-Request-Id")
    return caught.value


async def echo(request: web.Request) -> web.Response:
    return web.json_response(
        {
            "line": request.raw_path,
            "key": request.headers.get("Authorization"),
            "headers": dict(request.headers),
            "body": await request.json() if request.can_read_body else None,
        },
        headers={"X-Aimlapi-Usd-Spent": "0.5"},
    )


async def test_an_answer_has_status_headers_of_any_case_and_body(session: aiohttp.ClientSession) -> None:
    async with served(echo) as url:
        answer = await HttpTransport(session, url + "/", SHORT).send(POST)
    told = answer.json()
    assert answer.status == 200
    assert answer.headers.get("x-aimlapi-usd-spent") == answer.headers.get("X-AIMLAPI-USD-SPENT") == "0.5"
    assert told["line"] == "/v2/video/generations"
    assert told["key"] == f"Bearer {SHORT}"
    assert told["headers"]["X-Client-Request-Id"] == "av-1"
    assert told["headers"]["Content-Type"] == "application/json"
    assert told["body"] == {"a": 1}


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("d7c67219-04:veed/fabric-1.0-fast", "d7c67219-04%3Aveed%2Ffabric-1.0-fast"),
        ("a+b c&d=e%2F", "a%2Bb%20c%26d%3De%252F"),
        ("é", "%C3%A9"),
    ],
)
async def test_an_id_in_a_query_is_encoded_once(session: aiohttp.ClientSession, name: str, sent: str) -> None:
    async with served(echo) as url:
        answer = await HttpTransport(session, url, KEY).send(Request("GET", "/x", {"generation_id": name}))
    assert answer.json()["line"] == f"/x?generation_id={sent}"


async def test_a_whole_link_is_sent_byte_for_byte_and_a_query_is_added_to_its_own(
    session: aiohttp.ClientSession,
) -> None:
    signed = "/f/a%2Fb.json?sig=a%2Bb+c%2f&e=1;2"
    async with served(echo) as url:
        transport = HttpTransport(session, url, KEY)
        assert (await transport.send(Request("GET", url + signed))).json()["line"] == signed
        both = await transport.send(Request("GET", url + signed, (("page", "2"),)))
    assert both.json()["line"] == f"{signed}&page=2"


async def test_a_base_url_may_have_a_path(session: aiohttp.ClientSession) -> None:
    async with served(echo) as url:
        answer = await HttpTransport(session, url + "/gateway/", KEY).send(Request("GET", "/v1/models"))
    assert answer.json()["line"] == "/gateway/v1/models"


async def test_the_key_goes_to_the_service_s_own_origin_and_nowhere_else(session: aiohttp.ClientSession) -> None:
    async with served(echo) as url, served(echo) as other:
        transport = HttpTransport(session, url, SHORT)
        own = await transport.send(Request("GET", url + "/docs.json"))
        away = await transport.send(Request("GET", other + "/docs.json"))
        named = await transport.send(Request("GET", url.replace("127.0.0.1", "localhost") + "/docs.json"))
        lured = await transport.send(Request("GET", other + f"/docs.json?from={url}"))
    assert own.json()["key"] == f"Bearer {SHORT}"
    assert away.json()["key"] is None
    assert named.json()["key"] is None
    assert lured.json()["key"] is None


async def test_a_redirect_is_an_answer_and_is_not_followed(session: aiohttp.ClientSession) -> None:
    seen = []

    async def other(request: web.Request) -> web.Response:
        seen.append(request.headers)
        return web.Response()

    async with served(other) as elsewhere:

        async def moved(request: web.Request) -> web.Response:
            return web.Response(status=307, headers={"Location": elsewhere})

        async with served(moved) as url:
            answer = await HttpTransport(session, url, KEY).send(POST)
    assert answer.status == 307
    assert answer.headers["location"] == elsewhere
    assert seen == []


@pytest.mark.parametrize("status", [200, 401, 500])
async def test_an_answer_that_quotes_the_key_does_not_show_it(session: aiohttp.ClientSession, status: int) -> None:
    async def quoting(request: web.Request) -> web.Response:
        return web.Response(status=status, text=f'{{"code": 1000, "message": "{request.headers["Authorization"]}"}}')

    async with served(quoting) as url:
        transport = HttpTransport(session, url, KEY)
        answer = await transport.send(POST)
    assert answer.json() == {"code": 1000, "message": "Bearer [key]"}
    assert KEY not in f"{transport!r} {transport} {answer!r}"


async def test_a_short_key_spoils_no_good_answer(session: aiohttp.ClientSession) -> None:
    async with served(echo) as url:
        answer = await HttpTransport(session, url, "key").send(Request("GET", "/key"))
    assert answer.json()["line"] == "/key"


async def test_a_body_of_many_pictures_arrives_whole(session: aiohttp.ClientSession) -> None:
    picture = "A" * 3_000_000
    async with served(echo) as url:
        answer = await HttpTransport(session, url, KEY).send(Request("POST", "/x", body={"image": picture}))
    assert answer.json()["body"] == {"image": picture}


@pytest.mark.parametrize("value", [Path("a.png"), b"raw", float("nan"), {1, 2}], ids=repr)
async def test_a_body_that_is_no_json_is_refused_before_it_is_sent(session: aiohttp.ClientSession, value: Any) -> None:
    with pytest.raises(Rejected, match="cannot be put into JSON"):
        await HttpTransport(session, "http://127.0.0.1:1", KEY).send(Request("POST", "/x", body={"image": value}))


# What surely never arrived ---------------------------------------------------------------------------------------


async def test_a_refused_connection_was_never_sent(session: aiohttp.ClientSession) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        error = await failure(session, url)
    assert type(error) is Unavailable
    assert "no connection to 127.0.0.1" in str(error)


async def test_a_host_that_nobody_knows_was_never_sent() -> None:
    class Nobody(AbstractResolver):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            raise OSError(None, "Name or service not known")

        async def close(self) -> None: ...

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=Nobody())) as session:
        assert type(await failure(session, "https://api.example.com")) is Unavailable


async def test_a_server_that_speaks_no_tls_was_sent_nothing(session: aiohttp.ClientSession) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with talking(talk) as url:
        assert type(await failure(session, url.replace("http:", "https:"))) is Unavailable


async def test_a_certificate_that_nobody_vouches_for_was_sent_nothing(
    session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise AssertionError("something came")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*self_signed(tmp_path))
    server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=context)
    async with server:
        error = await failure(session, f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    assert type(error) is Unavailable
    assert "certificate verify failed" in str(error)


def self_signed(folder: Path) -> tuple[Path, Path]:
    """Return a certificate and its key."""
    from datetime import UTC, datetime, timedelta

    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    certificate, secret = folder / "cert.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    secret.write_bytes(key.private_bytes(pem, pkcs8, plain))
    return certificate, secret


async def test_a_connection_that_is_not_answered_in_time_was_never_sent(session: aiohttp.ClientSession) -> None:
    session._timeout = QUICK
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            with suppress(BlockingIOError):
                one.connect(full.getsockname())
        error = await failure(session, f"http://127.0.0.1:{full.getsockname()[1]}")
        for one in waiting:
            one.close()
    assert type(error) is Unavailable
    assert "timeout" in str(error).lower()


# What may have arrived -------------------------------------------------------------------------------------------


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.transport.abort()


async def closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    await reader.read()


async def cut_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 201 Crea")


async def half_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 201 Created\r\n")


async def cut_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b'HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{"id": ')


async def cut_chunks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n")


async def stalled_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await cut_body(reader, writer)
    await reader.read()


async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"what is this?\r\n\r\n")


async def endless_header(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 200_000 + b"\r\n\r\n")


@pytest.mark.parametrize(
    "talk",
    [reset, closed, silent, cut_head, half_head, cut_body, cut_chunks, stalled_body, garbage, endless_header],
)
async def test_a_lost_answer_leaves_open_whether_the_request_arrived(
    session: aiohttp.ClientSession, talk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadline, "DEADLINE", 0.2)
    connections = 0

    async def counted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await talk(reader, writer)

    async with talking(counted) as url:
        error = await failure(session, url)
    assert type(error) is Unclear
    assert "was lost" in str(error)
    assert "<" not in str(error), "the repr of something in aiohttp"
    assert connections == 1


async def test_a_post_on_a_kept_connection_that_dies_is_not_sent_again_by_itself(
    session: aiohttp.ClientSession,
) -> None:
    heads = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await read_request(reader))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        heads.append(await read_request(reader))

    async with talking(talk) as url:
        transport = HttpTransport(session, url, KEY)
        await transport.send(Request("GET", "/v1/models"))
        assert type(await failure(session, url)) is Unclear
    assert [head.split()[0] for head in heads] == [b"GET", b"POST"]


# Proxies ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


async def test_the_environment_s_proxy_is_used_where_that_is_said(environment: pytest.MonkeyPatch) -> None:
    async with served(echo) as proxy:
        environment.setenv("http_proxy", proxy.replace("//", "//me:secret@"))
        async with open_session(proxied=True) as session:
            answer = await HttpTransport(session, "http://api.example.invalid", KEY).send(Request("GET", "/x"))
    assert answer.json()["line"] == "http://api.example.invalid/x"
    assert answer.json()["headers"]["Proxy-Authorization"] == "Basic bWU6c2VjcmV0"


async def test_without_that_or_where_it_is_not_wanted_there_is_no_proxy(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("http_proxy", "http://127.0.0.1:1")
    async with served(echo) as url:
        async with open_session() as session:
            assert (await HttpTransport(session, url, KEY).send(Request("GET", "/x"))).status == 200
        async with open_session(proxied=True) as session:
            refused = await failure(session, url)
            assert type(refused) is Unavailable
            assert "through the proxy that the environment names" in str(refused)
        environment.setenv("no_proxy", "127.0.0.1")
        async with open_session(proxied=True) as session:
            assert (await HttpTransport(session, url, KEY).send(Request("GET", "/x"))).status == 200


async def test_a_proxy_that_will_not_connect_us_sent_nothing(environment: pytest.MonkeyPatch) -> None:
    async def closed_door(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert (await read_request(reader)).startswith(b"CONNECT api.example.invalid:443 ")
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")

    async with talking(closed_door) as proxy:
        environment.setenv("https_proxy", proxy)
        async with open_session(proxied=True) as session:
            assert type(await failure(session, "https://api.example.invalid")) is Unavailable


@pytest.mark.parametrize("name", ["http_proxy", "HTTPS_PROXY", "ALL_PROXY"])
@pytest.mark.parametrize(
    "url", ["socks5://me:sesame@127.0.0.1:1", "socks5h://h:1", "http://[::1", "ftp://h:21", "http://a..b:1"]
)
async def test_a_kind_of_proxy_that_cannot_be_used_is_refused_and_never_gone_without(
    environment: pytest.MonkeyPatch, name: str, url: str
) -> None:
    environment.setenv(name, url)
    with pytest.raises(SettingsError, match="only http proxies can be used") as caught:
        async with open_session(proxied=True):
            pass
    assert "sesame" not in str(caught.value)
    environment.setenv("NO_PROXY", "*")
    async with served(echo) as here, open_session(proxied=True) as session:
        assert (await HttpTransport(session, here, KEY).send(Request("GET", "/x"))).status == 200


async def test_a_netrc_file_changes_nothing(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login me password secret\n")
    netrc.chmod(0o600)
    environment.setenv("NETRC", str(netrc))
    environment.setenv("http_proxy", "http://127.0.0.1:1")
    environment.setenv("no_proxy", "127.0.0.1")
    async with served(echo) as url, open_session(proxied=True) as session:
        assert (await HttpTransport(session, url, SHORT).send(Request("GET", "/x"))).json()["key"] == f"Bearer {SHORT}"
        async with session.get(URL(url)) as response:
            assert (await response.json())["key"] is None


def test_the_proxy_of_a_proxied_request_is_chosen_once_for_a_host(environment: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    environment.setattr(proxies, "proxy_bypass", asked.append)
    environment.setenv("http_proxy", "http://127.0.0.1:1")
    kind = proxies.Proxies.of_environment().request_class
    loop = asyncio.new_event_loop()
    try:
        made = [kind("GET", URL("http://a.invalid/x"), loop=loop) for _ in range(3)]
    finally:
        loop.close()
    assert asked == ["a.invalid:80"]
    assert all(str(one.proxy) == "http://127.0.0.1:1" for one in made)


async def test_every_request_says_who_sends_it() -> None:
    async def who(request: web.Request) -> web.StreamResponse:
        return web.json_response(request.headers["User-Agent"])

    async with served(who) as url, open_session() as session:
        assert (await HttpTransport(session, url, KEY).send(Request("GET", "/x"))).json() == f"aimlvideo/{__version__}"
        async with session.get(URL(url)) as response:
            assert await response.json() == f"aimlvideo/{__version__}"


@for_each("label", ["gzip", "deflate", "br", "zstd", "identity", "nonsense", ""])
async def test_a_body_is_read_by_what_it_is_whatever_its_label_says(label: str) -> None:
    body = b'{"id": "gen-1"}'

    async def labelled(request: web.Request) -> web.StreamResponse:
        packed = {"/gzip": gzip.compress(body), "/deflate": zlib.compress(body)}.get(request.path, body)
        return web.Response(body=packed, headers={"Content-Encoding": label} if label else {})

    async with served(labelled) as url, open_session() as session:
        for path in ("/plain", "/gzip", *(["/deflate"] if label == "deflate" else [])):
            assert (await HttpTransport(session, url, KEY).send(Request("GET", path))).json() == {"id": "gen-1"}, path


async def test_an_answer_with_a_header_of_64_kb_is_read() -> None:
    async def talkative(request: web.Request) -> web.StreamResponse:
        return web.json_response({"id": "gen-1"}, headers={"Content-Security-Policy": "x" * 65_536})

    async with served(talkative) as url, open_session() as session:
        answer = await HttpTransport(session, url, KEY).send(Request("GET", "/x"))
        assert answer.json() == {"id": "gen-1"}


async def test_an_answer_s_repr_names_no_key() -> None:
    assert KEY not in repr(Answer(200, {}, b""))


class SigningService:
    """Stands for a session of aiohttp: a service whose clock is `ahead`, and that takes `all`, `current` or no keys."""

    timeout = aiohttp.ClientTimeout()

    def __init__(self, ahead: float, takes: str) -> None:
        self.ahead, self.takes = ahead, takes
        self.statuses: list[int] = []

    @asynccontextmanager
    async def request(self, *_: Any, headers: Mapping[str, str], **__: Any) -> AsyncIterator[Any]:
        now = time.time() + self.ahead
        claims = jwt.decode(headers["Authorization"].removeprefix("Bearer "), options={"verify_signature": False})
        is_current = claims["nbf"] <= now < claims["exp"]
        self.statuses.append(200 if self.takes == "all" or (self.takes == "current" and is_current) else 401)

        async def readany() -> bytes:
            return b"{}"

        dated = CIMultiDict(Date=formatdate(now, usegmt=True))
        content = SimpleNamespace(readany=readany, at_eof=lambda: True)
        yield SimpleNamespace(status=self.statuses[-1], headers=dated, content=content)


@for_each(
    ("ahead", "takes", "statuses"),
    [
        (-7200.0, "current", [401, 200, 200]),
        (7200.0, "current", [401, 200, 200]),
        (7200.0, "all", [200, 200]),
        (7200.0, "none", [401, 401, 401]),
        (0.0, "none", [401, 401]),
    ],
)
async def test_a_request_is_signed_anew_only_where_it_was_refused_and_the_service_s_clock_is_another_one(
    ahead: float, takes: str, statuses: list[int]
) -> None:
    signing: Any = SigningService(ahead, takes)
    carrier = HttpTransport(signing, "http://127.0.0.1:1", "access:secret", service_of("kling-official"))
    answers = [await carrier.send(POST) for _ in range(2)]
    assert signing.statuses == statuses, "what was accepted is never sent again, nor a wrong key each time"
    assert answers[-1].status == statuses[-1]
