"""HTTP through aiohttp: one request out, one answer back; aiohttp's errors become ours."""

from __future__ import annotations

import io
import json
import os
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlsplit

import aiohttp
import anyio
from multidict import CIMultiDict
from yarl import URL

from aimlvideo import __version__
from aimlvideo.core.service_clock import ServiceClock
from aimlvideo.core.services import DEFAULT_SERVICE, service_of
from aimlvideo.core.services.base import Service
from aimlvideo.core.wires.http import Answer, Request
from aimlvideo.errors import Rejected, ServiceError, SettingsError, Unavailable, Unclear
from aimlvideo.settings import Settings
from aimlvideo.shell.descriptors import connections_that_fit
from aimlvideo.shell.http.bodies import (
    ACCEPTED,
    LARGE_AT_ONCE,
    TooLarge,
    clean_headers,
    loss_reason,
    read_body,
    spellings,
)
from aimlvideo.shell.http.deadline import Deadline
from aimlvideo.shell.http.destinations import Destinations
from aimlvideo.shell.http.proxies import Proxies
from aimlvideo.shell.http.retrying import retrying

CONNECTIONS = 256
"""Connections of one client at most, over all hosts; fewer where the system allows few open files."""

TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)
"""Seconds, for a clip: as long as something comes, it may take as long as it likes."""

USER_AGENT = f"aimlvideo/{__version__}"
MAX_HEADER = 2**17
"""Bytes of one header of an answer: some services send tens of thousands."""
LARGE = 2**20
"""Bytes of a body that is written piece by piece, so that the event loop goes on."""

CLOCK_TOLERANCE = 4.0
"""Seconds between the service's clock and the one that a request was signed by, from which on it is signed anew."""

REAL_KEY = 16
"""Characters of a key that no text has by chance: it is taken out of every answer, a shorter one out of errors."""

_JSON = json.JSONEncoder(allow_nan=False)

NEVER_SENT = (
    aiohttp.ClientConnectorError,  # refused, DNS, TLS, the proxy away
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientHttpProxyError,  # the proxy would not connect us
    aiohttp.InvalidURL,
    aiohttp.NonHttpUrlClientError,
)


@dataclass(frozen=True, slots=True, eq=False)
class HttpTransport:
    """Carries requests to one service. What shows the key goes to the service's own origin and nowhere else."""

    session: aiohttp.ClientSession
    base_url: str
    api_key: str = field(repr=False)
    service: Service = field(default_factory=lambda: service_of(DEFAULT_SERVICE))
    clock: ServiceClock = field(default_factory=ServiceClock)
    destinations: Destinations | None = None
    """Where requests may go that are not for the service's own origin; None: anywhere."""
    _large_bodies: anyio.Semaphore = field(default_factory=lambda: anyio.Semaphore(LARGE_AT_ONCE), repr=False)

    async def send(self, request: Request) -> Answer:
        """Return the service's answer, whatever its status. A redirect is an answer: it is not followed.

        Raises Unavailable where the request surely never left, Unclear where nobody knows, and Rejected where its body
        cannot be put into JSON. A signed request that is refused because our clock is off is sent again, once, by the
        service's clock: a refused signature bought nothing.
        """
        signed_at = self._now()
        answer = await self._send_once(request, signed_at)
        # Only where the service's clock has just been learned to differ: a key that is simply wrong must not be sent
        # twice each time.
        if answer.status == 401 and self.service.signs and abs(self._now() - signed_at) > CLOCK_TOLERANCE:
            answer = await self._send_once(request, self._now())
        return answer

    def _now(self) -> float:
        """Return the service's time where it is known, else ours; in seconds since 1970."""
        return self.clock.at(time.monotonic()) or time.time()

    async def _send_once(self, request: Request, now: float) -> Answer:
        url, body = self._url(request), _encoded(request)
        headers = {"Accept-Encoding": ACCEPTED, **request.headers}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            target = URL(url, encoded=True)
            if _is_below(request.path) or target.origin() == _origin(self.base_url):
                headers |= self.service.authorize(request, self.api_key, now)
            elif self.destinations is not None:
                self.destinations.check(target)
            with Deadline.of(body):
                async with self.session.request(
                    request.method,
                    target,
                    data=body,
                    headers=headers,
                    allow_redirects=False,
                    auto_decompress=False,
                    timeout=_timeout(self.session, body),
                ) as response:
                    raw = await read_body(response, self._large_bodies)
            clean = clean_headers(response.headers)
            if self.service.signs:
                self.clock.observe(clean, monotonic=time.monotonic(), wall=time.time())
            return self._answer(response.status, clean, raw)
        except (aiohttp.ClientError, TimeoutError, ssl.SSLError, OSError, ValueError) as error:
            raised = _translated(error, url, request)
        raise raised

    def _url(self, request: Request) -> str:
        base, path = self.base_url.rstrip("/"), request.path
        if self.service.path_below is not None and not _absolute(path) and (below := urlsplit(base).path):
            path = self.service.path_below(below, path)
        url = path if _absolute(path) else base + path
        if not request.query:
            return url
        pairs = request.query.items() if isinstance(request.query, Mapping) else request.query
        query = "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in pairs)
        return f"{url}{'&' if '?' in url else '?'}{query}"

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> Answer:
        """Return an answer without the key: some services quote it in their errors, escaped in all ways."""
        written = "\n".join(headers.values())
        for secret in self.service.secrets(self.api_key):
            if not secret or (status < 300 and len(secret) < REAL_KEY):
                continue
            forms, raw_forms = _spellings(secret)
            # In nearly every answer there is none of them.
            if any(map(body.__contains__, raw_forms)):
                for raw in raw_forms:
                    body = body.replace(raw, b"[key]")
            if any(map(written.__contains__, forms)):
                for form in forms:
                    headers = CIMultiDict((name, value.replace(form, "[key]")) for name, value in headers.items())
        return Answer(status, headers, body)


@asynccontextmanager
async def open_session(
    *,
    proxied: bool = False,
    destinations: Destinations | None = None,
    pool: aiohttp.BaseConnector | None = None,
    over_tls: bool = True,
) -> AsyncIterator[aiohttp.ClientSession]:
    """Give one connection pool, closed on leaving. With `proxied`, the environment's proxies are used.

    `destinations` says where requests may go, also by redirects; None: anywhere. With a `pool`, its connections are
    used, and it is left open. Without `over_tls` no certificates are read, which takes 60 ms: for plain http alone.

    Idle connections are dropped before many servers drop them, after 5 s: one that is closed while a POST is on its way
    leaves that POST in doubt.
    """
    connector = pool or aiohttp.TCPConnector(
        limit=connections_that_fit(CONNECTIONS),
        keepalive_timeout=4,
        resolver=destinations,
        ssl=(over_tls and _trusted_authorities()) or True,
    )
    async with aiohttp.ClientSession(
        connector=connector,
        connector_owner=pool is None,
        middlewares=(destinations.guard,) if destinations else (),
        # A load balancer's cookie would tie all requests to one of its machines.
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": USER_AGENT},
        max_line_size=MAX_HEADER,
        max_field_size=MAX_HEADER,
        timeout=TIMEOUT,
        # A signed link holds for one spelling alone.
        requote_redirect_url=False,
        request_class=Proxies.of_environment().request_class if proxied else aiohttp.ClientRequest,
    ) as session:
        yield session


def _timeout(session: aiohttp.ClientSession, body: Any) -> aiohttp.ClientTimeout:
    """Return how long the parts of a request may take. A timer for each read beside that of the whole is felt."""
    usual = session.timeout
    return _within(usual.sock_connect, usual.sock_read if isinstance(body, io.BytesIO) else None)


@lru_cache(maxsize=8)
def _within(sock_connect: float | None, sock_read: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, sock_connect=sock_connect, sock_read=sock_read)


def _encoded(request: Request) -> Any:
    """Return the body in JSON; raise Rejected where it holds what JSON cannot."""
    if request.body is None:
        return None
    try:
        body = _JSON.encode(request.body).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise Rejected(f"the request cannot be put into JSON: {error}") from error
    return body if len(body) < LARGE else io.BytesIO(body)


def _translated(error: Exception, url: str, request: Request) -> ServiceError:
    """Return our error; without a cause that shows a request's headers, and the key in them."""
    host = urlsplit(url).netloc.rpartition("@")[2]
    request_id = request.headers.get("X-Client-Request-Id")
    reason = loss_reason(error)
    if isinstance(error, TooLarge):
        error.__traceback__ = None  # its frames hold 16 MB, for as long as a result has this error
    raised: ServiceError
    if isinstance(error, NEVER_SENT):
        by_proxy = isinstance(error, aiohttp.ClientProxyConnectionError | aiohttp.ClientHttpProxyError)
        way = " through the proxy that the environment names" if by_proxy else ""
        raised = Unavailable(f"no connection to {host}{way}: {reason}", request_id=request_id)
    else:
        raised = Unclear(f"the answer of {host} was lost: {reason}", request_id=request_id)
    if not isinstance(error, aiohttp.ClientResponseError):
        raised.__cause__ = error
    return raised


def _is_below(path: str) -> bool:
    """Tell a path that leads to the base URL's own host, whatever it holds; of any other, the whole URL tells."""
    return path.startswith("/") and not path.startswith("//")


def _absolute(path: str) -> bool:
    return path.startswith(("http://", "https://"))


@lru_cache(maxsize=16)
def _spellings(secret: str) -> tuple[tuple[str, ...], tuple[bytes, ...]]:
    forms = spellings(secret)
    return forms, tuple(map(str.encode, forms))


@lru_cache(maxsize=4096)  # a generation's id is sent with each of its status checks
def _quoted(text: str) -> str:
    return quote(text, safe="")


@lru_cache(maxsize=64)
def _origin(url: str) -> URL | None:
    """Return where a request to this URL really goes; None where nobody can tell."""
    try:
        return URL(url, encoded=True).origin()
    except ValueError:
        return None


CERTIFICATE_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""The first that is set counts: what Python reads itself, then what other tools in the same shell go by."""


def _trusted_authorities(environment: Mapping[str, str] = os.environ) -> ssl.SSLContext | None:
    """Return what connections are checked with, None for the system's authorities.

    A file or a folder of certificates in PEM counts alone. Raises SettingsError where it holds none.
    """
    name = next((name for name in CERTIFICATE_VARIABLES if environment.get(name)), None)
    if name is None:
        return None
    path = Path(environment[name])
    try:
        return _authorities_in(path, path.stat().st_mtime_ns)
    except (OSError, ValueError) as error:
        # Of a file without any certificate OpenSSL says only that something is wrong.
        missing = "no such file" if not path.exists() else getattr(error, "strerror", None) or "no certificates in it"
        reason = "no certificates in it" if isinstance(error, ssl.SSLError) else missing
        raise SettingsError(
            f"{name} is {str(path)!r}: expected a file with certificates in PEM ({reason}). Correct it, or unset it to "
            "trust the system's"
        ) from error


@lru_cache(maxsize=4)
def _authorities_in(path: Path, _changed_at: int) -> ssl.SSLContext:
    """Return a context that all clients of this process share, until the file changes: reading it takes 60 ms."""
    if path.is_dir():
        return ssl.create_default_context(capath=str(path))
    return ssl.create_default_context(cafile=str(path))


@dataclass(frozen=True, slots=True)
class AskedService:
    """A service that is only asked what costs nothing: at a fraction of what a `VideoClient` takes to open."""

    service: Service
    _transport: HttpTransport

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings) -> AsyncIterator[Self]:
        """Give the service of these settings, to be asked until the block is left. Raises SettingsError."""
        over_tls, service = settings.base_url.startswith("https:"), settings.chosen_service
        # Nothing but the service's own host is asked: where that speaks no TLS, no certificates are read.
        async with open_session(proxied=over_tls, over_tls=over_tls) as session:
            yield cls(service, HttpTransport(session, settings.base_url, settings.api_key, service))

    async def send(self, question: Request, *, tries: int = 4) -> Answer:
        """Return the service's answer to a question. Raises ServiceError where none comes."""
        return await retrying(lambda: self._transport.send(question), on=(ServiceError,), tries=tries)
