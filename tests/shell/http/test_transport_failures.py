"""Every failure that aiohttp knows, and what it is called here (the one module that stands in for aiohttp)."""

from __future__ import annotations

import inspect
import re
import ssl
from collections.abc import AsyncIterator, Iterator
from socket import gaierror
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey, RequestInfo
from aioresponses import aioresponses, core
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from aimlvideo.core.wires.http import Request
from aimlvideo.errors import ServiceError, Unavailable, Unclear
from aimlvideo.shell.http.bodies import loss_reason
from aimlvideo.shell.http.transport import HttpTransport, open_session
from tests.cases import for_each

HOST = "https://api.example.com"
KEY = "0123456789abcdef0123456789abcdef"
POST = Request("POST", "/v2/video/generations", body={}, headers={"X-Client-Request-Id": "av-1"})
KEYED = CIMultiDictProxy(CIMultiDict(Authorization=f"Bearer {KEY}"))
ASKED = RequestInfo(URL(HOST), "POST", KEYED, URL(HOST))
WHERE = ConnectionKey("api.example.com", 443, True, True, None, None, None)
REFUSED = ConnectionRefusedError(111, "Connect call failed")

NEVER_SENT = [
    aiohttp.ClientConnectorError(WHERE, REFUSED),
    aiohttp.ClientConnectorDNSError(WHERE, OSError(-2, "Name or service not known")),
    aiohttp.ClientProxyConnectionError(WHERE, REFUSED),
    aiohttp.ClientConnectorSSLError(WHERE, ssl.SSLError(1, "wrong version number")),
    aiohttp.ClientConnectorCertificateError(WHERE, ssl.CertificateError("self-signed")),
    aiohttp.ConnectionTimeoutError("Connection timeout to host"),
    aiohttp.ClientHttpProxyError(ASKED, (), status=407),
    aiohttp.InvalidURL("https://"),
    aiohttp.NonHttpUrlClientError("ftp://a"),
]
NOBODY_KNOWS = [
    aiohttp.SocketTimeoutError("Timeout on reading data from socket"),
    aiohttp.ServerTimeoutError(),
    aiohttp.ServerDisconnectedError(),
    aiohttp.ClientConnectionResetError("Cannot write to closing transport"),
    aiohttp.ClientOSError(104, "Connection reset by peer"),
    aiohttp.ClientPayloadError("Response payload is not completed"),
    aiohttp.ClientResponseError(ASKED, (), status=400, message="Bad status line", headers=CIMultiDict()),
    aiohttp.ServerFingerprintMismatch(b"a", b"b", "api.example.com", 443),
    aiohttp.ClientConnectionError("Connector is closed."),
    aiohttp.ClientError(),
    TimeoutError(),
    ConnectionResetError(104, "Connection reset by peer"),
    BrokenPipeError(32, "Broken pipe"),
    ssl.SSLError(1, "bad record mac"),
]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[aioresponses]:
    class Response(aiohttp.ClientResponse):
        """An answer as aioresponses makes them, which does not know what newer versions of aiohttp want to be told."""

        def __init__(self, *given: Any, **named: Any) -> None:
            if "stream_writer" in inspect.signature(aiohttp.ClientResponse).parameters:
                named.setdefault("stream_writer", SimpleNamespace(output_size=0))
            super().__init__(*given, **named)

    monkeypatch.setattr(core, "ClientResponse", Response)
    with aioresponses() as service:
        yield service


@pytest.fixture
async def transport() -> AsyncIterator[HttpTransport]:
    async with aiohttp.ClientSession() as session:
        yield HttpTransport(session, HOST, KEY)


@for_each(
    ("error", "said"),
    [
        (aiohttp.ClientConnectorError(WHERE, REFUSED), "Connection refused"),
        (
            aiohttp.ClientConnectorDNSError(WHERE, gaierror(-2, "Name or service not known")),
            "Name or service not known",
        ),
        (
            aiohttp.ClientConnectorSSLError(WHERE, ssl.SSLError(1, "no TLS there")),
            r".*com:443.*no TLS there.*",
        ),
        (aiohttp.ClientProxyConnectionError(WHERE, REFUSED), r".*api\.example\.com:443.*"),
    ],
    ids=["refused", "no such host", "no TLS", "a proxy"],
)
def test_why_there_is_no_connection_is_said_once_and_in_the_systems_words(error: Exception, said: str) -> None:
    assert re.fullmatch(said, loss_reason(error))


def test_an_answer_that_is_no_http_has_no_status_that_the_service_never_gave() -> None:
    message = "Bad status line:\n  Expected HTTP/, RTSP/ or ICE/:\n\n  b'<html>'\n    ^"
    error = aiohttp.ClientResponseError(ASKED, (), status=400, message=message, headers=CIMultiDict())
    assert loss_reason(error) == "it is no HTTP: Bad status line: Expected HTTP/, RTSP/ or ICE/: b'<html>'"


@pytest.mark.parametrize("error", [*NEVER_SENT, *NOBODY_KNOWS], ids=lambda error: type(error).__name__)
async def test_a_failure_says_whether_the_request_may_have_arrived(
    service: aioresponses, transport: HttpTransport, error: Exception
) -> None:
    service.post(f"{HOST}{POST.path}", exception=error)
    with pytest.raises(ServiceError) as caught:
        await transport.send(POST)
    assert type(caught.value) is (Unavailable if error in NEVER_SENT else Unclear)
    assert caught.value.request_id == "av-1"
    assert "api.example.com" in str(caught.value)
    assert KEY not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"
    assert len(service.requests) == 1


def test_no_failure_of_a_connection_is_left_out() -> None:
    kinds = [kind for _, kind in inspect.getmembers(aiohttp, inspect.isclass) if issubclass(kind, aiohttp.ClientError)]
    connecting = [
        kind for kind in kinds if issubclass(kind, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
    ]
    known = {type(error) for error in NEVER_SENT}
    assert {kind for kind in connecting if kind.__name__ not in ("UnixClientConnectorError", "ClientSSLError")} <= known


async def test_what_is_no_failure_of_the_way_is_a_bug_and_stays_one(
    service: aioresponses, transport: HttpTransport
) -> None:
    service.post(f"{HOST}{POST.path}", exception=ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        await transport.send(POST)


@pytest.mark.parametrize("status", [200, 201, 400, 401, 403, 404, 429, 500, 502, 503, 504])
async def test_an_answer_of_any_status_is_an_answer(
    service: aioresponses, transport: HttpTransport, status: int
) -> None:
    service.post(f"{HOST}{POST.path}", status=status, payload={"id": "g"}, headers={"Retry-After": "7"})
    answer = await transport.send(POST)
    assert (answer.status, answer.json(), answer.headers.get("retry-after")) == (status, {"id": "g"}, "7")


async def test_no_post_goes_out_on_a_connection_that_servers_are_about_to_drop() -> None:
    async with open_session() as session:
        # Looked up: aiohttp goes by a clock of its own. uvicorn, Node and Apache drop an idle connection after 5 s.
        assert vars(session.connector)["_keepalive_timeout"] < 5
