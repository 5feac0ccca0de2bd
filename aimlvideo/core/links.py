"""Links in the forms that services give, resolved as a browser would, and the names of this machine."""

from __future__ import annotations

import re
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
"""The hosts that no request leaves this machine for, as `urlsplit` says them."""

_BLANKS = "".join(map(chr, range(0x21))) + "\xa0\u200b\u200c\u200d\u2060\ufeff"
"""What stands around a link and is no part of it, also where nobody sees it."""
_WRAPPED = re.compile(r"<(https?:.*)>|\"(https?:.*)\"|'(https?:.*)'", re.IGNORECASE | re.DOTALL)
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))
_SCHEME = re.compile(r"(https?):[/\\]*", re.IGNORECASE)
_HOST = re.compile(r"^(https?://[^/\\?#]*)\\")
"""A host that is closed by a backslash, as some programs for Windows write it."""
_NO_HOST = re.compile(r"[\s<>\"{}|^`\\]|^[.*_-]*$|^\.|\.\.|[^.]{64}")
"""What stands in the place of a host that was not filled in, or that no name server can be asked for."""
_PLAIN = re.compile(
    r"https?://[A-Za-z0-9][A-Za-z0-9-]{0,62}(?:\.[A-Za-z0-9-]{1,63})*(:[1-9][0-9]{0,4})?/([!-\"$-\[\]-~]*[!-\"$->@-\[\]-~])?"
)
"""Links as nearly all are: in them nothing changes."""
_DATA = re.compile(r"\s*data:([^,;]*)((?:;[^,;]*)*),", re.IGNORECASE)


def resolve_link(link: str, base_url: str) -> str:
    """Return the address of a link that stands in an answer of the service at `base_url`.

    Blanks around it are no part of a link; it may be relative, lack a scheme, or be escaped for a page throughout; a
    host in any script is written as DNS has it. Everything else stays byte for byte: a signature holds for one spelling
    alone.
    Raises ValueError where it is no address.
    """
    link = _unescaped(link)
    if (plain := _PLAIN.fullmatch(link)) and int((plain[1] or ":80")[1:]) < 2**16:
        return link
    text = link.strip(_BLANKS)
    if wrapped := _WRAPPED.fullmatch(text):
        text = next(filter(None, wrapped.groups()))
    # urlsplit drops line breaks and tabs without a word, and a signature would no longer hold.
    text = re.sub(r"[\x00-\x1f]", lambda match: f"%{ord(match[0]):02X}", text)
    if not text:
        raise ValueError("it is empty")
    if scheme := _SCHEME.match(text):
        text = f"{scheme[1].lower()}://{text[scheme.end() :]}"
    elif text.startswith("\\"):
        # As browsers read it: `\\host\clip.mp4` is written on Windows for `//host/clip.mp4`.
        text = text.replace("\\", "/", 2)
    text = _HOST.sub(lambda match: match[1] + "/", text)
    parts = urlsplit(text if _SCHEME.match(text) else _joined(base_url, text))
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"its scheme is {parts.scheme[:20]!r}, expected https")
    if not parts.hostname or parts.port == 0:
        raise ValueError("it names no host")
    if _NO_HOST.search(parts.hostname):
        raise ValueError(f"{parts.hostname[:40]!r} is no host")
    netloc = parts.netloc if parts.netloc.isascii() else _ascii_netloc(parts.netloc, parts.hostname)
    return quote(urlunsplit((parts.scheme, netloc, parts.path or "/", parts.query, "")), safe=_PRINTABLE)


def _unescaped(link: str) -> str:
    """Return a link without the escapes of HTML, or of a text in a text, where all of its ampersands have them."""
    # One that has a plain ampersand, too, may mean what it says.
    if "&" in link.replace("&amp;", ""):
        return link
    return link.replace("&amp;", "&").replace("\\u0026", "&")


def data_of_link(link: str) -> tuple[bool, str] | None:
    """Return of a `data:` link whether its data are Base64, and the data; None where the link is another one."""
    match = _DATA.match(link[:200])
    return None if match is None else (";base64" in match[2].lower(), link[match.end() :])


def same_origin(link: str, other: str) -> bool:
    """Tell whether two addresses have the same scheme, host and port."""
    return _origin(link) == _origin(other)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _joined(base_url: str, link: str) -> str:
    """Join a relative link, without touching its query."""
    head, mark, tail = _before_query(link)
    return urljoin(base_url.rstrip("/") + "/", head) + mark + tail


def _before_query(text: str) -> tuple[str, str, str]:
    match = re.search(r"[?#]", text)
    return (text, "", "") if match is None else (text[: match.start()], match[0], text[match.end() :])


def _ascii_netloc(netloc: str, host: str) -> str:
    user, at, place = netloc.rpartition("@")
    port = place.rpartition(":")[2] if re.search(r":\d+$", place) else ""
    return f"{user}{at}{host.encode('idna').decode()}" + (f":{port}" if port else "")
