"""The environment's proxies for aiohttp, without the keys of a `.netrc`, which aiohttp would send along with them."""

from __future__ import annotations

import base64
import logging
from typing import Any
from urllib.request import getproxies, proxy_bypass

from aiohttp import ClientRequest
from multidict import CIMultiDict
from yarl import URL

log = logging.getLogger("aimlvideo")


def proxied_request() -> type[ClientRequest]:
    """Return a kind of request that goes through the proxy that the environment names now for its URL, if any."""
    proxies = {scheme: url for scheme, url in getproxies().items() if _usable(scheme, url)}
    direct: dict[str, bool] = {}

    class ProxiedRequest(ClientRequest):
        def __init__(self, method: str, url: URL, **options: Any) -> None:
            proxy = proxies.get(url.scheme)
            host = url.host or ""
            if proxy and options.get("proxy") is None:
                if host not in direct:
                    direct[host] = bool(proxy_bypass(host))
                if not direct[host]:
                    options |= _through(URL(proxy))
            super().__init__(method, url, **options)

    return ProxiedRequest if proxies else ClientRequest


def _through(proxy: URL) -> dict[str, Any]:
    if proxy.user is None:
        return {"proxy": proxy}
    secret = base64.b64encode(f"{proxy.user}:{proxy.password or ''}".encode()).decode()
    return {"proxy": proxy.with_user(None), "proxy_headers": CIMultiDict(Authorization=f"Basic {secret}")}


def _usable(scheme: str, url: str) -> bool:
    if scheme not in {"http", "https"}:
        return False
    usable = url.startswith(("http://", "https://"))
    if not usable:
        log.warning("ignoring the %s proxy from the environment: only http proxies can be used", scheme)
    return usable
