"""HTTP through aiohttp: one request out, one answer back; aiohttp's errors become ours."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlencode, urljoin, urlsplit

import aiohttp
from yarl import URL

from aimlvideo.core.http import Answer, Request
from aimlvideo.errors import Unavailable, Unclear

CONNECTIONS = 256
"""Connections of one client at most, over all hosts."""

TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)
"""Seconds. Never `total`: it cannot tell a request that never left from one whose answer was lost."""


@dataclass(frozen=True, slots=True)
class Transport:
    """Carries requests to one service. The key goes to the service's own host and nowhere else."""

    session: aiohttp.ClientSession
    base_url: str
    api_key: str = field(repr=False)

    async def send(self, request: Request) -> Answer:
        """Return the service's answer, whatever its status.

        Raises Unavailable where the request surely never left, Unclear where nobody knows.
        """
        url, headers = self._url(request), dict(request.headers)
        if "://" not in request.path or _origin(url) == _origin(self.base_url):
            headers["Authorization"] = f"Bearer {self.api_key}"
        try:
            async with self.session.request(
                request.method, URL(url, encoded=True), json=request.body, headers=headers, allow_redirects=False
            ) as response:
                body = await response.read()
                return Answer(response.status, response.headers, self._without_key(response.status, body))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise Unavailable(f"no connection to {urlsplit(url).netloc}: {_said(error)}") from error
        except (aiohttp.ClientError, TimeoutError, ssl.SSLError, ConnectionError) as error:
            asked = request.headers.get("X-Client-Request-Id")
            raise Unclear(f"the answer of {urlsplit(url).netloc} was lost: {_said(error)}", request_id=asked) from error

    def _url(self, request: Request) -> str:
        url = request.path if "://" in request.path else self.base_url.rstrip("/") + request.path
        return f"{url}?{urlencode(request.query)}" if request.query else url

    def _without_key(self, status: int, body: bytes) -> bytes:
        """Take the key out of an error's text: some services quote it."""
        key = self.api_key.encode()
        return body.replace(key, b"[key]") if status >= 400 and key else body


@asynccontextmanager
async def open_session(*, proxied: bool = False) -> AsyncIterator[aiohttp.ClientSession]:
    """Give one connection pool, closed on leaving. With `proxied`, the environment's proxies are used.

    Idle connections are dropped early: a server that closes one while a POST is on its way leaves that POST in doubt.
    """
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=CONNECTIONS, keepalive_timeout=10),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=TIMEOUT,
        requote_redirect_url=False,
        trust_env=proxied,
    ) as session:
        yield session


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(urljoin(url, "/"))
    return parts.scheme, parts.hostname, parts.port


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__
