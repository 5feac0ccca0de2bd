"""What the service lists of its models today, compared with what was known of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from aimlvideo.core.catalog.catalog import Catalog
from aimlvideo.core.catalog.model import Model, Param


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


def compare(before: Catalog, after: Mapping[str, Any], *, only_these: bool = False) -> Iterator[_Change]:
    """Yield what `after` (refreshed models, as in catalog.json) has otherwise than `before`.

    With `only_these`, `after` says nothing of other models: none of them counts as removed.
    """
    refreshed = before.with_refreshed(after)
    aliases = {alias for raw in after.values() for alias in raw.get("aliases", ())}
    for model in () if only_these else before:
        if model.service == Catalog.default_service() and model.id not in after and model.id not in aliases:
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
    description = param.expected()
    if param.fields:
        description += " {" + ", ".join(f"{name}: {_described(part)}" for name, part in param.fields.items()) + "}"
    if param.item is not None and param.item.fields:
        description += f" of {_described(param.item)}"
    default = "" if param.default is None else f", default {param.default}"
    return description + (", required" if param.required else "") + default
