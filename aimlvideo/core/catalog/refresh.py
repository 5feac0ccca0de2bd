"""What the service says about its models today: its list read and compared with what was known, and which ones go."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from aimlvideo.core.catalog.catalog import Catalog, Model, Param
from aimlvideo.core.catalog.describe import expected

GONE = ("withdrawn",)


class Deprecation(NamedTuple):
    """A model that goes: `deprecated` serves until `shutdown_at`, `superseded` answers as another, `withdrawn` is out.

    That other one is `replaced_by`. Moments are seconds since 1970, 0 where unknown.
    """

    model: str
    status: str
    deprecated_at: float = 0.0
    shutdown_at: float = 0.0
    replaced_by: str = ""
    reason: str = ""

    def is_gone(self, now: float) -> bool:
        """Tell whether the model answers no more."""
        return self.status in GONE or (self.status == "deprecated" and 0 < self.shutdown_at <= now)

    def sentence(self, now: float, run_ends: float) -> str:
        """Return what a person should know before jobs of this model are sent; empty where that is nothing."""
        use = f": use {self.replaced_by}" if self.replaced_by else ""
        if self.is_gone(now):
            since = (
                f" since {_day(self.shutdown_at or self.deprecated_at)}"
                if self.shutdown_at or self.deprecated_at
                else ""
            )
            return f"model {self.model!r} is withdrawn{since}{use}"
        if self.status == "deprecated" and self.shutdown_at:
            passed = ", which this run may pass" if self.shutdown_at < run_ends else ""
            return f"model {self.model!r} will be withdrawn on {_day(self.shutdown_at)}{passed}{use}"
        if self.status == "superseded":
            return f"model {self.model!r} is superseded, the service answers with {self.replaced_by or 'another one'}"
        return f"model {self.model!r} is deprecated{use}" if self.status == "deprecated" else ""


def notices(
    models: Iterable[str], deprecations: Mapping[str, Deprecation], now: float, run_ends: float
) -> tuple[list[str], list[str]]:
    """Return what is wrong with models that are gone, and what to know of those that go."""
    listed = [deprecations[model] for model in models if model in deprecations]
    sentences = [(entry.is_gone(now), sentence) for entry in listed if (sentence := entry.sentence(now, run_ends))]
    return [text for gone, text in sentences if gone], [text for gone, text in sentences if not gone]


def _day(moment: float) -> str:
    day = datetime.fromtimestamp(moment, UTC)
    return f"{day.day} {day:%B %Y}"


LARGEST = 2_000_000  # bytes of one document: the largest known has 90,000
VIDEO = "internal/video-generations/submit"


class ListedModel(NamedTuple):
    """One video model of the service's list; `document` is the address of its OpenAPI document, empty where none is."""

    id: str
    aliases: tuple[str, ...]
    developer: str
    document: str


class _Change(NamedTuple):
    """One thing that is not as it was: "added", "removed" or "changed"; `field` is empty for a whole model."""

    what: str
    model: str
    field: str = ""
    before: str = ""
    after: str = ""


def parse_document(body: bytes) -> Any:
    """Return a document's JSON; ValueError where it is too large, too deep or none."""
    if len(body) > LARGEST:
        raise ValueError(f"{len(body):,} bytes, more than {LARGEST:,}")
    try:
        return json.loads(body)
    except RecursionError as error:
        raise ValueError("too deep") from error


def compare(
    before: Catalog, after: Mapping[str, Any], *, service: str | None = None, only_these: bool = False
) -> Iterator[_Change]:
    """Yield what `after` (refreshed models of one service, as in catalog.json) has otherwise than `before`.

    With `only_these`, `after` says nothing of other models: none of them counts as removed.
    """
    service = service or Catalog.default_service()
    refreshed = before.with_refreshed(after)
    aliases = {alias for raw in after.values() for alias in raw.get("aliases", ())}
    for model in () if only_these else before:
        if model.service == service and model.id not in after and model.id not in aliases:
            yield _Change("removed", model.id)
    for name in after:
        new, old = refreshed.find(name), before.find(name)
        if new is not None:
            yield from [_Change("added", name)] if old is None else _changes(old, new)


def _changes(old: Model, new: Model) -> Iterator[_Change]:
    if old.path != new.path:
        yield _Change("changed", new.id, "path", old.path, new.path)
    for name in [*old.params, *(name for name in new.params if name not in old.params)]:
        was, now = old.params.get(name), new.params.get(name)
        if now is None and was is not None:
            yield _Change("removed", new.id, name, before=_described(was))
        elif was is None and now is not None:
            yield _Change("added", new.id, name, after=_described(now))
        elif was and now and _described(was) != _described(now):
            yield _Change("changed", new.id, name, _described(was), _described(now))


def _described(param: Param) -> str:
    """Return all that is known of a parameter in one line, for people and for comparison."""
    description = expected(param)
    if param.fields:
        description += " {" + ", ".join(f"{name}: {_described(part)}" for name, part in param.fields.items()) + "}"
    if param.item is not None and param.item.fields:
        description += f" of {_described(param.item)}"
    default = "" if param.default is None else f", default {param.default}"
    return description + (", required" if param.required else "") + default
