"""What each video model accepts, as values read from `catalog.json` beside this file (lazily, model by model)."""

from __future__ import annotations

import difflib
import json
import pkgutil
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from math import isfinite
from types import MappingProxyType
from typing import Any, NamedTuple

from aimlvideo.core.catalog.corrections import correct
from aimlvideo.core.catalog.endpoints import endpoint_entries
from aimlvideo.core.media_limits import FileLimits

TYPES = frozenset({"string", "integer", "number", "boolean", "array", "object", "any"})
MEDIA = frozenset({"image", "video", "audio", "any"})
DEPTH = 8  # the deepest parameter known is 5: dynamic_masks[].trajectories[].x


@dataclass(frozen=True, slots=True, eq=False)
class Param:
    """One parameter, or one part of one. Limits are inclusive; `None` where none is documented.

    `type` is one of `TYPES` (`any` with `any_of`: one of several forms). `media` says that a picture, clip or sound is
    wanted: a link, or a local file that is encoded when it is sent; a text that one of the patterns in `accepts` fits
    whole is neither, and is sent as it is. `legacy` marks what only the legacy URL takes.
    """

    type: str
    required: bool = False
    choices: tuple[Any, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    min_items: int | None = None
    max_items: int | None = None
    min_length: int | None = None
    max_length: int | None = None
    item: Param | None = None
    fields: Mapping[str, Param] | None = None
    any_of: tuple[Param, ...] = ()
    nullable: bool = False
    default: Any = None
    media: str | None = None
    accepts: tuple[str, ...] = ()
    legacy: bool = False

    @property
    def holds_media(self) -> bool:
        """Say whether a file may stand anywhere in this parameter."""
        parts = (*(self.fields or {}).values(), *self.any_of, *((self.item,) if self.item else ()))
        return self.media is not None or any(part.holds_media for part in parts)


class Rule(NamedTuple):
    """What holds between parameters, while all of `when` and `conditions` hold (always, where there are none).

    `kind` is one of these; a field may be a *term* such as `sound=on`, `image_list[].type=first_frame` or `!video_list`
    (see `rules._term_holds`):

    - `exactly_one`, `at_most_one`, `at_least_one` of `fields`;
    - `required_unless`: the first of `fields`, unless one of the others holds; `required_when`: all of `fields`;
    - `forbidden_when`, `forbidden`: none of `fields`; `only_when`: none of `fields` unless the conditions hold;
    - `needs`: the first of `fields`, where it holds, needs one of the others;
    - `choices_when`: the first of `fields` is one of `choices`;
    - `steps`: the first of `fields` is `offset` more than a multiple of `limit`;
    - `at_most_items`: the lists in `fields` have at most `limit` entries together; `items`: the first has exactly that;
    - `adds_up`: the numbers at the first of `fields` add up to the second;
    - `link`: what is given in `fields` is a link, as no file of this machine can be sent there;
    - `file`: a file in one of `fields` keeps within `file`; `note`: nothing can be checked, and `text` says it.

    A `legacy` rule holds on the service's older URLs only. `source` says where the rule stands.
    """

    kind: str
    fields: tuple[str, ...]
    when: Mapping[str, Any] = MappingProxyType({})
    conditions: tuple[str, ...] = ()
    choices: tuple[Any, ...] = ()
    limit: int = 0
    offset: int = 0
    file: FileLimits | None = None
    text: str = ""
    legacy: bool = False
    source: str = ""


class _Sending(NamedTuple):
    """How an endpoint's parameters are sent, and what follows from them.

    `sent_as`: a parameter's name in a request, where it is another one; `entries`: the key of a list's plain entries,
    which are sent as objects; `inside`: the objects in which parameters are grouped. A job that has all fields of one
    of the `marks` may be meant for this endpoint. `other_queries`: where else a task may be asked about. `external_id`:
    whether it takes an id of our own. `sends_model`: whether the model is sent; else `default_model` is, where named.
    """

    sent_as: Mapping[str, str] = MappingProxyType({})
    entries: Mapping[str, str] = MappingProxyType({})
    inside: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    marks: tuple[tuple[str, ...], ...] = ()
    other_queries: tuple[str, ...] = ()
    external_id: bool = True
    sends_model: bool = True
    default_model: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """One model of the service named `service`. `documented_seconds` is how long the documentation's example took.

    `path` is where it is submitted. `service_names` has the service's own names of parameters, and ours for them.
    `other_services` take it too. Where it is asked for at several `endpoints`, `params` are those of all of them, and
    each has its own; the model at one of them says which in `endpoint`, and how it is sent in `sending`.
    """

    id: str
    developer: str
    path: str
    params: Mapping[str, Param]
    documented_seconds: float | None = None
    rules: tuple[Rule, ...] = ()
    aliases: tuple[str, ...] = ()
    service: str = ""
    service_names: Mapping[str, str] = field(default_factory=dict)
    other_services: tuple[str, ...] = ()
    source: str = ""
    endpoint: str = ""
    endpoints: Mapping[str, Model] = field(default_factory=dict)
    sending: _Sending = field(default_factory=_Sending)
    example: Mapping[str, Any] = field(default_factory=dict)

    @property
    def services(self) -> tuple[str, ...]:
        """All services that take this model."""
        return (self.service, *self.other_services)


class Catalog:
    """Every known model, by id or alias. `unlisted` are entries for models that are not known by name.

    An entry of `unlisted` has a `pattern`, a regular expression for the whole id, and what all such models share.
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
        name = model if model in self._raw else self._aliases.get(model, "")
        # Read at first use: a command needs a few of the hundred models, and reading all of them takes longer than the
        # command.
        if name in self._raw and name not in self._read:
            self._read[name] = self._model(name)
        return self._read.get(name)

    def _model(self, name: str) -> Model | None:
        if name in self._refreshed:
            return self._refreshed_model(name)
        return read_model(name, self._raw[name]) if self._before is None else self._before.find(name)

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
            as_kept = read_model(name, raw)
        except ValueError:
            return None if self._before is None else self._before.find(name)
        try:
            corrected = correct(name, raw["path"], raw["params"])
            # Corrections may add a parameter that this document did not have: the refreshed list decides which there
            # are.
            params = {param: corrected["params"][param] for param in raw["params"]}
            return read_model(name, {**raw, "params": params, "rules": corrected.get("rules", [])})
        except (ValueError, KeyError, TypeError, AttributeError):
            # It can be read, and not corrected: another release wrote it, or somebody by hand.
            return as_kept

    def find_unlisted(self, model: Any, service: str | None = None) -> Model | None:
        """Return the common form of all models whose ids look like this one, at one service or at any; else None."""
        for form in self._unlisted if isinstance(model, str) else ():
            takers = (None, form.get("service"), *form.get("other_services", ()))
            if service in takers and re.fullmatch(form["pattern"], model):
                return self._unlisted_read.setdefault((model, form["pattern"]), read_model(model, form))
        return None

    def nearest(self, model: str, n: int = 3) -> list[str]:
        """Return up to `n` ids that look like this one, the nearest first."""
        word = model.lower().strip()
        exact = {name.lower(): name for name in self._raw if name in self}
        return [exact[name] for name in difflib.get_close_matches(word, exact, n, 0.5)]

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


def read_model(name: str, raw: Any) -> Model:
    """Return the model that an entry of catalog.json describes; ValueError says what is wrong with the entry."""
    try:
        return Model(
            id=name,
            developer=str(raw["developer"]),
            path=_name(raw["path"]),
            params=MappingProxyType({str(key): _read_param(param) for key, param in raw["params"].items()}),
            documented_seconds=_number(raw.get("documented_seconds"), "documented_seconds"),
            rules=tuple(_read_rule(rule) for rule in raw.get("rules", ())),
            aliases=_names(raw.get("aliases", ())),
            service=str(raw.get("service") or Catalog.default_service()),
            service_names=dict(raw.get("service_names", {})),
            other_services=tuple(raw.get("other_services", ())),
            source=str(raw.get("source", "")),
            endpoint=str(raw.get("endpoint", "")),
            endpoints={str(key): read_model(name, entry) for key, entry in raw.get("endpoints", {}).items()},
            sending=_read_sending(raw.get("sending", {})),
            example=dict(raw.get("example", {})),
        )
    except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        # A kept catalogue is a file that anybody may have edited: whatever its values are, the answer is one error.
        raise ValueError(f"{name}: no model description ({type(error).__name__}: {error})") from error


def _name(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a text, got {str(value)[:40]!r}")
    return value


def _names(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list | tuple):
        raise TypeError(f"expected a list of texts, got {str(values)[:40]!r}")
    return tuple(map(_name, values))


def _read_param(raw: Any, depth: int = 0) -> Param:
    """Return the parameter that `raw` describes; ValueError says what is wrong with the description."""
    if not isinstance(raw, Mapping) or depth > DEPTH:
        raise ValueError(f"a parameter is described by an object at most {DEPTH} deep")
    kind = raw.get("type", "any" if "any_of" in raw else None)
    if kind not in TYPES or raw.get("media") not in {None, *MEDIA}:
        raise ValueError(f"unknown type {str(raw.get('type'))[:40]!r} or media {str(raw.get('media'))[:40]!r}")
    parts = raw.get("fields")
    return Param(
        type=kind,
        # `is True`, not truth: a refreshed document that says "false" as text must not make a parameter required.
        required=raw.get("required") is True,
        choices=tuple(raw.get("choices", ())),
        minimum=_number(raw.get("min"), "min"),
        maximum=_number(raw.get("max"), "max"),
        **{name: _size(raw.get(name), name) for name in _SIZES},
        item=_read_param(raw["item"], depth + 1) if "item" in raw else None,
        fields=None if parts is None else {str(key): _read_param(part, depth + 1) for key, part in parts.items()},
        any_of=tuple(_read_param(form, depth + 1) for form in raw.get("any_of", ())),
        nullable=raw.get("nullable") is True,
        default=raw.get("default"),
        media=raw.get("media"),
        accepts=tuple(_pattern(text) for text in raw.get("accepts", ())),
        legacy=raw.get("legacy") is True,
    )


_SIZES = ("min_items", "max_items", "min_length", "max_length")


def _number(value: Any, name: str) -> float | None:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)):
        return value
    raise ValueError(f"{name}: expected a number, got {str(value)[:40]!r}")


def _size(value: Any, name: str) -> int | None:
    if value is None or (type(value) is int and 0 <= value < 2**31):
        return value
    raise ValueError(f"{name}: expected a count, got {str(value)[:40]!r}")


def _pattern(text: Any) -> str:
    try:
        return str(re.compile(text).pattern)
    except (re.error, TypeError) as error:
        raise ValueError(f"accepts has {str(text)[:40]!r}, expected a regular expression") from error


def _read_rule(raw: Any) -> Rule:
    return Rule(
        kind=str(raw["kind"]),
        fields=tuple(raw["fields"]),
        when=dict(raw.get("when", {})),
        conditions=tuple(raw.get("if", ())),
        choices=tuple(raw.get("choices", ())),
        limit=int(raw.get("limit", 0)),
        offset=int(raw.get("offset", 0)),
        file=FileLimits(**{name: _tuples(value) for name, value in raw["file"].items()}) if "file" in raw else None,
        text=str(raw.get("text", "")),
        legacy=raw.get("legacy") is True,
        source=str(raw.get("source", "")),
    )


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _read_sending(raw: Any) -> _Sending:
    return _Sending(
        sent_as=dict(raw.get("sent_as", {})),
        entries=dict(raw.get("entries", {})),
        inside={str(name): tuple(fields) for name, fields in raw.get("inside", {}).items()},
        marks=tuple(tuple(mark) for mark in raw.get("marks", ())),
        other_queries=tuple(raw.get("other_queries", ())),
        external_id=raw.get("external_id", True) is True,
        sends_model=raw.get("sends_model", True) is True,
        default_model=str(raw.get("default_model", "")),
    )
