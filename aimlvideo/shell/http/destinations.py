"""Where a service's links may lead: to the web, never into the network of this machine, never from https to http."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from aimlvideo.core.links import LOOPBACK

_NAT64 = ip_network("64:ff9b::/96")
_STAND_INS = ip_network("198.18.0.0/15")
"""What Clash, sing-box and their like answer for every name ("fake IP"); no machine has such an address."""
REDIRECTS = (301, 302, 303, 307, 308)


class _ForbiddenAddress(aiohttp.InvalidURL):
    """A link leads where no link of a service has any business; in the place of its URL stands why."""


def _is_public(address: str) -> bool:
    """Tell whether an address is one of the web: not of this machine, its network, its neighbours or nobody."""
    ip: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else None)
        ip = inner or ip
    return ip.is_global and not ip.is_multicast


def _stands_in(address: str) -> bool:
    """Tell an address that a program in between gave for a name, and leads to where that really is."""
    return ip_address(address.partition("%")[0]) in _STAND_INS


class Destinations(AbstractResolver):
    """Resolves names, and refuses those of links that lead to no public address.

    The service's own host and the `exempt` ones (proxies) may be anywhere. Where the service itself is on this machine
    or in its network, so may its links be; or where that is `allowed`.
    """

    def __init__(self, base_url: str, *, allowed: bool = False, exempt: frozenset[str] = frozenset()) -> None:
        self._host = (urlsplit(base_url).hostname or "").lower()
        self._exempt = exempt | {self._host}
        self._open = allowed or self._host in LOOPBACK or _is_private_literal(self._host)
        self._resolver: AbstractResolver | None = None

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a name. Raises aiohttp.InvalidURL where a link may lead to none of them."""
        # Made late, because aiohttp's resolver needs a running loop, and this object is made before there is one.
        if self._resolver is None:
            self._resolver = aiohttp.ThreadedResolver()
        addresses = await self._resolver.resolve(host, port, family)
        # At the name's resolution, because a check before it would see another answer than the connection does (DNS
        # rebinding).
        public = [address for address in addresses if _is_public(address["host"]) or _stands_in(address["host"])]
        if host.lower() == self._host and not public:
            self._open = True  # a gateway in the network of this machine: its clips are there too
        if self._open or host.lower() in self._exempt:
            return addresses
        if not public:
            raise _ForbiddenAddress(_refusal(host))
        return public

    async def close(self) -> None:
        """Close what resolves."""
        if self._resolver is not None:
            await self._resolver.close()

    async def guard(self, request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        """Send a request of a session, or one by which it follows a redirect, where that may be (a client middleware).

        A tenth of what a trace costs, which makes nine objects a request.
        """
        self.check(request.url)
        response = await send(request)
        if response.status in REDIRECTS and request.url.scheme == "https":
            try:
                self._stay_encrypted(request.url, response.headers)
            except Exception:
                response.close()
                raise
        return response

    def _stay_encrypted(self, url: URL, headers: Mapping[str, str]) -> None:
        named = headers.get("Location") or headers.get("URI") or ""
        if url.join(URL(named, encoded=True)).scheme == "http":
            raise _ForbiddenAddress(f"{url.host} redirects from https to http: that is not followed")

    def check(self, url: URL) -> None:
        """Raise aiohttp.InvalidURL where a URL names an address that no link may lead to."""
        host = (url.host or "").lower()
        if not self._open and host not in self._exempt and _is_private_literal(host):
            raise _ForbiddenAddress(_refusal(host))


def _is_private_literal(host: str) -> bool:
    try:
        return not _is_public(host.strip("[]"))
    except ValueError:
        return False


def _refusal(host: str) -> str:
    return (
        f"the link leads to {host[:100]}, which is in the network of this machine: that is not followed. Where it is "
        "meant to, allow it with local_links=True"
    )
