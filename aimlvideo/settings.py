"""The settings of a client, checked; what nobody passes comes from the environment, then from defaults."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from sys import float_info
from types import NoneType
from typing import Any
from urllib.parse import urlsplit

from aimlvideo.core.catalog.catalog import Catalog
from aimlvideo.core.formatting import SecretText, preview
from aimlvideo.core.links import LOOPBACK
from aimlvideo.core.polling.policy import FixedPolls
from aimlvideo.core.services import DEFAULT_SERVICE, service_of
from aimlvideo.core.services.base import KEY_SEPARATOR, Service
from aimlvideo.core.store_schemes import OTHER_STORES
from aimlvideo.core.wires.base import Wire
from aimlvideo.core.wires.webhooks import WebhookSecret
from aimlvideo.errors import SettingsError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Settings:
    """The settings of one client. Raises SettingsError where one of them cannot be right. See `VideoClient`."""

    api_key: str = field(default="", repr=False)
    base_url: str = ""
    service: str = DEFAULT_SERVICE
    legacy: bool = False
    journal: str | Path | None = None
    max_outstanding: int | None = 20
    buy_ahead: int = 0
    rate: float = 5.0
    poll: str = "learned"
    poll_rate: float = 50.0
    downloads: int | None = None
    timeout: float = 1800.0
    settle: float | None = None
    strict: bool = False
    metadata: bool = True
    local_links: bool = False
    local_files: bool = True
    callback: tuple[str, int] | None = None
    callback_url: str | None = None
    callback_secret: str | None = field(default=None, repr=False)
    knowledge: str | Path | None = None
    upload: str | None = None

    def __post_init__(self) -> None:
        service = service_of(self.service)
        for name, (types, expected) in _TYPES.items():
            if not isinstance(value := getattr(self, name), types) or (types is _PATH and not _names_a_file(value)):
                raise SettingsError(f"{name} is {_preview(name, value)}: expected {expected}")
        self._check_numbers()
        # Found out now, not with the first call, hours later, when every signature would seem wrong.
        if self.callback_secret is not None:
            try:
                WebhookSecret(self.callback_secret)
            except ValueError:
                raise SettingsError("callback_secret cannot sign: expected Base64 behind whsec_") from None
        if self.callback is not None and not _is_address(self.callback):
            raise SettingsError(f"callback is {preview(self.callback)}: expected a pair of a host and a port")
        if (self.callback or self.callback_url) and service.read_callback is None:
            raise SettingsError(f"{service.title} sends no callbacks: leave out callback and callback_url")
        if self.callback_url is not None and not _is_link(self.callback_url):
            raise SettingsError(f"callback_url is {self.callback_url!r}: expected a link that the service can call")
        check_upload(self.upload)
        self.fixed_polls()  # refuses a `poll` that cannot be read

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> Settings:
        """Return the settings of a client's arguments. A key or URL that is missing comes from the environment."""
        service = arguments["service"]
        api_key = resolve_key(arguments["api_key"], service)
        base_url = _resolve_base_url(arguments["base_url"], service)
        return cls(**{**arguments, "api_key": api_key, "base_url": base_url})

    @property
    def chosen_service(self) -> Service:
        """All that the client has to know of the service."""
        return service_of(self.service)

    def wire(self, catalog: Callable[[], Catalog]) -> Wire:
        """Return the wire of the service, which submits each model where the catalogue of that moment says."""
        return self.chosen_service.wire(legacy=self.legacy, path_of=lambda model: self._path_of(model, catalog()))

    def _path_of(self, model: str, catalog: Catalog) -> str | None:
        """Return where a model of the service is submitted; None where the catalogue does not know it."""
        entry = catalog.find(model) or catalog.find_unlisted(model)
        return entry.path if entry and entry.service == self.service else None

    @property
    def remembers(self) -> bool:
        """Whether what is learned of durations is kept: not of a service on this machine, unless a file is named."""
        return self.knowledge is not None or urlsplit(self.base_url).hostname not in LOOPBACK

    def fixed_polls(self) -> FixedPolls | None:
        """Return the fixed policy where one was asked for; None: each model's own is learned."""
        try:
            return FixedPolls.parse(self.poll)
        except (ValueError, AttributeError) as error:
            raise SettingsError(f"poll: {error}") from None

    def _check_numbers(self) -> None:
        ahead = self.buy_ahead
        if not isinstance(ahead, int) or isinstance(ahead, bool) or ahead < 0:
            raise SettingsError(f"buy_ahead is {preview(ahead)}: expected a whole number, 0 or more")
        for name, more in _NUMBERS.items():
            if (value := getattr(self, name)) is None and name in _MAY_BE_NONE:
                continue
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            # What no float holds could be reckoned with only once something was bought.
            if not (is_number and value > 0 and (isinstance(value, float) or value <= float_info.max)):
                raise SettingsError(f"{name} is {preview(value)}: expected a number above 0{more}")
        for name in ("max_outstanding", "downloads"):
            if (count := getattr(self, name)) is not None and not float(count).is_integer():
                raise SettingsError(f"{name} is {count!r}: expected a whole number, or None")


_NUMBERS = {
    "max_outstanding": ", or None for as many as the service takes",
    "rate": "",
    "poll_rate": "",
    "downloads": ", or None for as many as the line takes",
    "timeout": ", in seconds",
    "settle": ", in seconds, or None",
}
"""The settings that are numbers, each with what a message adds about it."""
_MAY_BE_NONE = ("max_outstanding", "downloads", "settle")
_PATH = (str, PurePath, NoneType)
_TYPES: Mapping[str, tuple[type | tuple[type, ...], str]] = {
    "api_key": (str, "text"),
    "base_url": (str, "text"),
    "legacy": (bool, "True or False"),
    "journal": (_PATH, "the path of a file, or None"),
    "poll": (str, "'learned' or 'every:SECONDS'"),
    "strict": (bool, "True or False"),
    "metadata": (bool, "True or False"),
    "local_links": (bool, "True or False"),
    "local_files": (bool, "True or False"),
    "callback": ((tuple, NoneType), "a pair of a host and a port, or None"),
    "callback_url": ((str, NoneType), "a link that the service can call, or None"),
    "callback_secret": ((str, NoneType), "text, or None"),
    "knowledge": (_PATH, "the path of a file, or None"),
    "upload": ((str, NoneType), "a URL such as s3://bucket/prefix, or None"),
}
"""What each setting has to be; numbers are checked by their size too."""


def _names_a_file(path: object) -> bool:
    """Tell whether a path may be a file's, which a folder such as `.` or `..` is not; None is left out."""
    return path is None or PurePath(str(path)).name.strip() not in ("", "..")


_SECRET = ("api_key", "callback_secret")
_BAR = "|"


def _preview(name: str, value: object) -> str:
    return f"of type {type(value).__name__}" if name in _SECRET else preview(value)


def resolve_key(api_key: str | None, service: str, environment: Mapping[str, str] = os.environ) -> str:
    """Return this key, or else the one that the environment has. Raises SettingsError where there is none.

    A key of several parts is one text, its parts joined by a colon, or by a bar as in gateways' settings; a service may
    have keys in one part, too.
    """
    chosen = service_of(service)
    if not isinstance(api_key, str | None):
        raise SettingsError(f"api_key is of type {type(api_key).__name__}: expected text")
    # An empty one is a variable that was not set, as likely as not: another account's key would pay in its place.
    if api_key is not None and not api_key.strip():
        raise SettingsError("api_key is an empty text: expected a key, or None for the one that the environment has")
    key = SecretText(_key_in(environment, chosen) if api_key is None else api_key.strip())
    if not key:
        names = " or ".join(" and ".join(names) for names in chosen.key_variables)
        raise SettingsError(f"no API key: set {names} (or pass api_key=, --api-key). Get one at {chosen.key_url}")
    # Copied from a chat or a page, a key brings blanks, quotation marks or a line break along: the service would only
    # say "wrong key".
    # Docker's `--env-file` leaves quotation marks in, where a shell takes them away.
    if any(ord(letter) < 33 or ord(letter) > 126 for letter in key) or key[0] in "\"'":
        raise SettingsError(
            "the API key contains characters that keys never contain: expected it without spaces, quotation marks or "
            "line breaks"
        )
    # One spelling of one account: what is in doubt is looked up with the key that it was sent with.
    if chosen.key_parts > 1 and KEY_SEPARATOR not in key:
        key = SecretText(key.replace(_BAR, KEY_SEPARATOR, 1))
    parts = key.split(KEY_SEPARATOR, chosen.key_parts - 1)
    if not all(parts) or len(parts) not in map(len, chosen.key_variables):
        names = " or ".join(KEY_SEPARATOR.join(names) for names in chosen.key_variables)
        raise SettingsError(f"a part of the key of {chosen.title} is missing: expected {names}")
    return key


def _key_in(environment: Mapping[str, str], service: Service) -> str:
    """Return the first key whose variables are all set, or an empty text."""
    for names in service.key_variables:
        parts = [environment.get(name, "").strip() for name in names]
        if all(parts):
            return KEY_SEPARATOR.join(parts)
    return ""


def _resolve_base_url(base_url: str | None, service: str, environment: Mapping[str, str] = os.environ) -> str:
    """Return this base URL, or the environment's, or the service's own; it is safe to send a key to."""
    chosen = service_of(service)
    if isinstance(base_url, str) and not base_url.strip():
        raise SettingsError(f"base_url is an empty text: expected a URL, or None for {chosen.base_url}")
    if base_url is None:
        base_url = environment.get(chosen.base_url_variable, "").strip() or chosen.base_url
    checked = _checked_base_url(base_url)
    return chosen.base_url_tails.sub("", checked).rstrip("/") if chosen.base_url_tails else checked


_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def _checked_base_url(text: str) -> str:
    """Return a base URL that is safe to send a key to; raise SettingsError otherwise."""
    if not _is_link(text):
        raise SettingsError(
            f"base URL {_without_password(text)} is not a URL: expected something like https://api.example.com"
        )
    parts = urlsplit(text.strip())
    if parts.username or parts.password or parts.query or parts.fragment:
        raise SettingsError(f"the base URL of {parts.hostname!r} must have no user, query or fragment")
    # The key is in every request's header: over plain http everybody on the way can read it.
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise SettingsError(
            f"base URL {text!r} is plain http to another machine: the API key would be sent unencrypted. Use https"
        )
    # One place has one name: what was sent to it under another spelling would count as sent elsewhere.
    host = parts.netloc.lower().removesuffix(_DEFAULT_PORTS[parts.scheme]).rstrip(":")
    return f"{parts.scheme}://{host}{parts.path}".rstrip("/")


def check_upload(url: str | None) -> None:
    """Raise SettingsError for a place of uploads that is no URL."""
    if url is not None and not re.match(r"[a-z][a-z0-9+.-]+://.", url, re.IGNORECASE):
        raise SettingsError(f"upload is {url!r}: expected s3://bucket/prefix (or {OTHER_STORES})")


def _is_address(address: object) -> bool:
    """Tell whether this is a host and a port to listen on."""
    match address:
        case (str(host), int(port)):
            return bool(host) and not isinstance(port, bool) and 0 <= port < 2**16
    return False


def _is_link(text: object) -> bool:
    """Tell whether a text is an http link to a host, with nothing in it that no link holds."""
    if not isinstance(text, str) or re.search(r"[^!-~]|[\\<>\"{}|^`]", text.strip()):
        return False
    try:
        parts = urlsplit(text.strip())
        # As it is looked up: a name with an empty part (`a..b`) or a too long one would only seem to lose its answers.
        host = (parts.hostname or "").encode("idna")
        return parts.scheme in ("http", "https") and bool(host) and parts.port != 0
    except ValueError:
        return False


def _without_password(text: object) -> str:
    """Return what was given for a URL, without what may be a password in it."""
    # Whole: a text that is cut off may end within its password.
    return re.sub(r"//[^/@]*@", "//...@", repr(text) if isinstance(text, str) else preview(text))
