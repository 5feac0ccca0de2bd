"""The environment's proxies for aiohttp, without the keys of a `.netrc`, which aiohttp would send along with them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, NamedTuple, Self
from urllib.request import getproxies, proxy_bypass

from aiohttp import ClientRequest
from multidict import CIMultiDict
from yarl import URL

from aimlvideo.errors import SettingsError


class Proxies(NamedTuple):
    """The environment's proxies, each by the scheme of what goes through it."""

    by_scheme: Mapping[str, str]

    @classmethod
    def of_environment(cls) -> Self:
        """Return what the environment names now, as curl takes it: `host:port` too, and `all_proxy` for the rest.

        Raises SettingsError for one that cannot be used: whoever named it does not want to go without.
        """
        named = getproxies()
        if named.get("no", "").strip() == "*":
            return cls({})
        everywhere = named.get("all", "")
        chosen = {scheme: named.get(scheme) or everywhere for scheme in ("https", "http")}
        return cls({scheme: _usable(scheme, url) for scheme, url in chosen.items() if url})

    @property
    def request_class(self) -> type[ClientRequest]:
        """The kind of request that goes through the proxy of its URL, if there is one."""
        proxies = self.by_scheme
        direct: dict[tuple[str, int | None], bool] = {}

        # A class, because aiohttp takes no function here; made anew for each session: the environment may change.
        # aiohttp's own `trust_env` would also read `.netrc` and send its passwords along.
        class ProxiedRequest(ClientRequest):
            def __init__(self, method: str, url: URL, **options: Any) -> None:
                proxy = proxies.get(url.scheme)
                if proxy and options.get("proxy") is None:
                    place = url.host or "", url.port
                    if place not in direct:
                        direct[place] = _is_direct(*place)
                    if not direct[place]:
                        options |= _through(URL(proxy))
                super().__init__(method, url, **options)

        return ProxiedRequest if proxies else ClientRequest

    @property
    def hosts(self) -> frozenset[str]:
        """The hosts of the proxies."""
        return frozenset((URL(url).host or "").lower() for url in self.by_scheme.values())

    def passed_by(self, url: str) -> str:
        """Return host and port of the proxy that requests to an https address go through; an empty text for none.

        Never its user or password.
        """
        target, proxies = URL(url), self.by_scheme if url.lower().startswith("https:") else {}
        proxy = URL(proxies.get(target.scheme, ""))
        return "" if proxy.host is None or _is_direct(target.host or "", target.port) else f"{proxy.host}:{proxy.port}"


def _through(proxy: URL) -> dict[str, Any]:
    if proxy.user is None:
        return {"proxy": proxy}
    secret = base64.b64encode(f"{proxy.user}:{proxy.password or ''}".encode()).decode()
    return {"proxy": proxy.with_user(None), "proxy_headers": CIMultiDict(Authorization=f"Basic {secret}")}


def _is_direct(host: str, port: int | None) -> bool:
    """Tell whether `NO_PROXY` names a host: by name, domain, `host:port`, address, or network (`10.0.0.0/8`)."""
    names = (host, f"[{host}]:{port}") if ":" in host else (f"{host}:{port}",)
    if any(map(proxy_bypass, names)):
        return True
    entries = [entry.strip().lower() for entry in getproxies().get("no", "").split(",")]
    if any(entry.startswith("*.") and host.lower().endswith(entry[1:]) for entry in entries):
        return True
    # Python's own rules know no networks, and curl's do.
    with suppress(ValueError):
        address = ip_address(host)
        return any(address in network for entry in entries if "/" in entry and (network := _network(entry)))
    return False


def _network(entry: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(entry, strict=False)
    except ValueError:
        return None


def _usable(scheme: str, text: str) -> str:
    """Return a proxy's URL. Raises SettingsError where it is of a kind that cannot be used."""
    url = text.strip() if "://" in text else f"http://{text.strip()}"
    try:
        parsed = URL(url)
        host = (parsed.host or "").encode("idna")  # as it is looked up
        if parsed.scheme.lower() in ("http", "https") and host and parsed.port:
            return url
        kind = parsed.scheme.lower()
    except ValueError:
        kind = ""
    # Neither the host nor what stands before it: both may hold a password.
    problem = f"is a {kind} proxy" if "://" in url and kind not in ("http", "https", "") else "cannot be read"
    raise SettingsError(
        f"the proxy that the environment names for {scheme} {problem}: only http proxies can be used. Set "
        f"{scheme.upper()}_PROXY=http://HOST:PORT, or NO_PROXY=* to go without one"
    )
