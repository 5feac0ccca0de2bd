"""What each video model accepts, as values read from `catalog.json` beside this file (lazily, model by model)."""

from __future__ import annotations

import difflib
import json
import pkgutil
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any

from aimlvideo.core.catalog.corrections import correct
from aimlvideo.core.catalog.endpoints import endpoint_entries
from aimlvideo.core.catalog.model import Model


class Catalog:
    """Every known model, by id or alias. `unlisted` are entries for models that are not known by name.

    An entry of `unlisted` has a `pattern`, a regular expression for the whole id, and what all such models share; by
    service, `elsewhere` has the pattern of those that are made in another way there, and in which.
    """

    def __init__(
        self,
        models: Mapping[str, Any],
        *,
        unlisted: Sequence[Mapping[str, Any]] = (),
        refreshed: frozenset[str] = frozenset(),
        before: Catalog | None = None,
    ) -> None:
        self._raw = dict(models)
        self._refreshed = refreshed
        self._before = before
        self._read: dict[str, Model | None] = {}
        self._unlisted_read: dict[tuple[str, str], Model] = {}
        self._unlisted = tuple(unlisted)

    def find(self, model: Any) -> Model | None:
        """Return the model of this id or alias."""
        if not isinstance(model, str):
            return None
        # Nearly always: a job's model is asked for at each of its steps.
        if (found := self._read.get(model)) is not None:
            return found
        name = model if model in self._raw else self._aliases.get(model, "")
        # Read at first use: a command needs a few of the hundred models, and reading all of them takes longer than the
        # command.
        if name in self._raw and name not in self._read:
            self._read[name] = self._model(name)
        return self._read.get(name)

    def _model(self, name: str) -> Model | None:
        if name in self._refreshed:
            return self._refreshed_model(name)
        return self._entry(name, self._raw[name]) if self._before is None else self._before.find(name)

    def _entry(self, name: str, raw: Any) -> Model:
        return Model.read(name, raw, self.default_service())

    @cached_property
    def _aliases(self) -> Mapping[str, str]:
        return {alias: name for name in self._raw for alias in self._aliases_of(name)}

    def _aliases_of(self, name: str) -> Sequence[str]:
        # A refreshed entry may be broken: its aliases hold only where all of it can be read.
        if name in self._refreshed:
            model = self.find(name)
            return () if model is None else model.aliases
        aliases: Sequence[str] = self._raw[name].get("aliases", ())
        return aliases

    def _refreshed_model(self, name: str) -> Model | None:
        """Return a refreshed model with the rules of this release; what was known before, where its entry is broken."""
        raw = self._raw[name]
        try:
            as_kept = self._entry(name, raw)
        except ValueError:
            return None if self._before is None else self._before.find(name)
        try:
            corrected = correct(name, raw["path"], raw["params"])
            # Corrections may add a parameter that this document did not have: the refreshed list decides which there
            # are.
            params = {param: corrected["params"][param] for param in raw["params"]}
            return self._entry(name, {**raw, "params": params, "rules": corrected.get("rules", [])})
        except (ValueError, KeyError, TypeError, AttributeError):
            # It can be read, and not corrected: another release wrote it, or somebody by hand.
            return as_kept

    def find_unlisted(self, model: Any, service: str | None = None) -> Model | None:
        """Return the common form of all models whose ids look like this one, at one service or at any; else None."""
        for form in self._unlisted if isinstance(model, str) else ():
            takers = (None, form.get("service"), *form.get("other_services", ()))
            is_here = service in takers and self.made_elsewhere(model, service) is None
            if is_here and re.fullmatch(form["pattern"], model):
                return self._unlisted_read.setdefault((model, form["pattern"]), self._entry(model, form))
        return None

    def made_elsewhere(self, model: str, service: str | None) -> str | None:
        """Return in which way a service makes a model that nothing here speaks; None where it is no such model."""
        for form in self._unlisted:
            other = form.get("elsewhere", {}).get(service)
            if other and re.fullmatch(other["pattern"], model):
                return str(other["how"])
        return None

    def nearest(self, model: str) -> list[str]:
        """Return up to three ids that look like this one, the nearest first."""
        word = model.lower().strip()
        exact = {name.lower(): name for name in self._raw if name in self}
        return [exact[name] for name in difflib.get_close_matches(word, exact, 3, 0.5)]

    def __iter__(self) -> Iterator[Model]:
        return (model for name in self._raw if (model := self.find(name)))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, model: object) -> bool:
        return self.find(model) is not None

    def with_refreshed(self, models: Mapping[str, Any]) -> Catalog:
        """Return a catalogue in which `models` (the form of catalog.json) take the place of what is known of them.

        A broken entry counts for nothing, and what was known of that model stays.
        """
        refreshed = {
            name: self._undocumented(name) | raw
            for name, raw in models.items()
            if isinstance(name, str) and isinstance(raw, dict)
        }
        return Catalog(
            {**self._raw, **refreshed},
            unlisted=self._unlisted,
            refreshed=self._refreshed | refreshed.keys(),
            before=self,
        )

    @staticmethod
    def source() -> str:
        """Return where the shipped catalogue's facts come from, and of what day they are."""
        return str(_content()["source"])

    @staticmethod
    def default_service() -> str:
        """Return the service whose models are those that name none."""
        return str(_content()["service"])

    def _undocumented(self, name: str) -> dict[str, Any]:
        """Return what no document tells about a model, and only its example once showed."""
        if name in self._refreshed and self._before is not None:
            return self._before._undocumented(name)
        raw = self._raw.get(name, {})
        return {key: raw[key] for key in ("developer", "documented_seconds") if key in raw}


def load_catalog(cached: Mapping[str, Any] | None = None) -> Catalog:
    """Return the catalogue that this release was shipped with, read once; `cached` models stand above it."""
    return _shipped().with_refreshed(cached) if cached else _shipped()


@lru_cache(maxsize=1)
def _shipped() -> Catalog:
    content = _content()
    listed, unlisted = endpoint_entries()
    return Catalog({**content["models"], **listed}, unlisted=[unlisted])


@lru_cache(maxsize=1)
def _content() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(pkgutil.get_data("aimlvideo.core.catalog", "catalog.json") or b"{}")
    return content
