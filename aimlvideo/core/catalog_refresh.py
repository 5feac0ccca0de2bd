"""What the service says about its models today: its list read, and compared with what was known."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from aimlvideo.core.catalog import Catalog, Model, Param
from aimlvideo.core.http import Request
from aimlvideo.core.wording import wanted

LARGEST = 2_000_000  # bytes of one document: the largest known has 90,000
VIDEO = "internal/video-generations/submit"
LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class Listed:
    """One video model of the service's list; `document` is the address of its OpenAPI document, empty where none is."""

    id: str
    aliases: tuple[str, ...]
    developer: str
    document: str


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is not as it was: "added", "removed" or "changed"; `field` is empty for a whole model."""

    what: str
    model: str
    field: str = ""
    before: str = ""
    after: str = ""


def list_request(etag: str = "") -> Request:
    """Return the request for the list of video models; with its `etag` it is answered 304 when nothing changed."""
    return Request("GET", "/v1/models", query={"type": VIDEO}, headers={"If-None-Match": etag} if etag else {})


def read_list(answer: Any) -> list[Listed]:
    """Return the video models of an answer of `/v1/models`; broken entries and other kinds of model are left out."""
    entries = answer.get("data") if isinstance(answer, Mapping) else answer
    if not isinstance(entries, list):
        raise ValueError("the list of models is no list")
    return [listed for entry in entries if (listed := _listed(entry)) is not None]


def _listed(entry: Any) -> Listed | None:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("id"), str) or entry.get("type", VIDEO) != VIDEO:
        return None
    info, aliases = entry.get("info"), entry.get("aliases")
    about = info if isinstance(info, Mapping) else {}
    address = about.get("docsJson")
    return Listed(
        id=entry["id"],
        aliases=tuple(alias for alias in aliases if isinstance(alias, str)) if isinstance(aliases, list) else (),
        developer=str(about.get("developer") or ""),
        document=address if isinstance(address, str) and _fetchable(address) else "",
    )


def _fetchable(address: str) -> bool:
    """Say whether an address is one to ask: https, or a path of the service itself; http on this machine alone."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    if parts.scheme == "http":
        return parts.hostname in LOCAL
    return parts.scheme == "https" or (not parts.scheme and not parts.netloc and address.startswith("/"))


def read_body(body: bytes) -> Any:
    """Return a document's JSON; ValueError where it is too large, too deep or none."""
    if len(body) > LARGEST:
        raise ValueError(f"{len(body):,} bytes, more than {LARGEST:,}")
    try:
        return json.loads(body)
    except RecursionError as error:
        raise ValueError("too deep") from error


def compare(before: Catalog, after: Mapping[str, Any], *, service: str = "aimlapi") -> Iterator[Change]:
    """Yield what `after` (refreshed models in the form of catalog.json) has otherwise than `before`."""
    refreshed = before.with_refreshed(after)
    aliases = {alias for raw in after.values() for alias in raw.get("aliases", ())}
    for model in before:
        if model.service == service and model.id not in after and model.id not in aliases:
            yield Change("removed", model.id)
    for name in after:
        new, old = refreshed.find(name), before.find(name)
        if new is not None:
            yield from [Change("added", name)] if old is None else _changes(old, new)


def _changes(old: Model, new: Model) -> Iterator[Change]:
    if old.path != new.path:
        yield Change("changed", new.id, "path", old.path, new.path)
    for name in [*old.params, *(name for name in new.params if name not in old.params)]:
        was, now = old.params.get(name), new.params.get(name)
        if now is None and was is not None:
            yield Change("removed", new.id, name, before=described(was))
        elif was is None and now is not None:
            yield Change("added", new.id, name, after=described(now))
        elif was and now and described(was) != described(now):
            yield Change("changed", new.id, name, described(was), described(now))


def described(param: Param) -> str:
    """Return all that is known of a parameter in one line, for people and for comparison."""
    said = wanted(param)
    if param.fields:
        said += " {" + ", ".join(f"{name}: {described(part)}" for name, part in param.fields.items()) + "}"
    if param.item is not None and param.item.fields:
        said += f" of {described(param.item)}"
    default = "" if param.default is None else f", default {param.default}"
    return said + (", required" if param.required else "") + default
