"""A model, its parameters and its rules, as values: what each takes, in words too, and where its files stand."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from math import isfinite
from types import MappingProxyType
from typing import Any, NamedTuple, Self

from aimlvideo.core.media_types import FileLimits

TYPES = frozenset({"string", "integer", "number", "boolean", "array", "object", "any"})
MEDIA = frozenset({"image", "video", "audio", "any"})
DEPTH = 8  # the deepest parameter known is 5: dynamic_masks[].trajectories[].x
MOST = 12  # choices that are listed
_KINDS = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "any": "any value",
}
_FILES = {
    "image": "a picture (link, path or bytes)",
    "video": "a video (link, path or bytes)",
    "audio": "a sound (link, path or bytes)",
    "any": "a file (link, path or bytes)",
}

Replacement = Callable[[str, Any], Any]


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
    def parts(self) -> tuple[Param, ...]:
        """What it is made of: an object's fields, its forms, the entries of a list."""
        return (*(self.fields or {}).values(), *self.any_of, *((self.item,) if self.item else ()))

    @property
    def holds_media(self) -> bool:
        """Say whether a file may stand anywhere in this parameter."""
        return self.media is not None or _any_part_holds_media(self)

    def expected(self) -> str:
        """Return what it takes, in words: `one of 5, 10`, `a list of 2 to 4, each a picture (link, path or bytes)`."""
        if self.any_of:
            return " or ".join(dict.fromkeys(form.expected() for form in self.any_of))
        if self.choices:
            return _choices(self.choices)
        if self.media:
            return _FILES[self.media]
        if self.type == "array":
            size = _between(" of {} to {}", " of at least {}", " of at most {}", self.min_items, self.max_items)
            return f"a list{size}" + (f", each {self.item.expected()}" if self.item else "")
        if self.type == "string":
            return _KINDS["string"] + _between(
                " of {} to {} characters", " of at least {} characters", " of at most {} characters",
                self.min_length, self.max_length,
            )  # fmt: skip
        return _KINDS[self.type] + _between(
            " from {} to {}", " of at least {}", " of at most {}", self.minimum, self.maximum
        )

    def form_of(self, value: Any) -> Param | None:
        """Return the form that `value` has: the first of the same shape whose fixed words are the ones given."""
        return next((form for form in self.any_of if _shape(value) == _kind(form) and _same_words(form, value)), None)

    def replace_media(self, value: Any, path: str, replacement: Replacement) -> Any:
        """Return a value of this parameter, which stands at `path`, with its files replaced."""
        if value is None or not self.holds_media:
            return value
        if self.media is not None:
            # Some media parameters also take a word such as an asset's id: that is no path, even where a file has its
            # name.
            return value if self._is_no_file(value) else replacement(path, value)
        if self.any_of:
            form = self.form_of(value)
            return value if form is None else form.replace_media(value, path, replacement)
        if self.item is not None and isinstance(value, list | tuple):
            return [self.item.replace_media(item, f"{path}[{n}]", replacement) for n, item in enumerate(value)]
        if self.fields is not None and isinstance(value, Mapping):
            return {
                name: part.replace_media(item, f"{path}.{name}", replacement)
                if (part := self.fields.get(name))
                else item
                for name, item in value.items()
            }
        return value

    def _is_no_file(self, value: Any) -> bool:
        """Tell a name by which the service itself knows a file, such as `gs://bucket/a.png`, where it takes those."""
        return isinstance(value, str) and any(re.fullmatch(pattern, value.strip()) for pattern in self.accepts)


# Asked of every parameter of every job, and always the same; not when a catalogue is read: a command needs few of them.
@lru_cache(maxsize=8192)
def _any_part_holds_media(param: Param) -> bool:
    return any(part.holds_media for part in param.parts)


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

    @staticmethod
    def param_of(term: str) -> str:
        """Return the parameter of which a term speaks: `image` of `!image[].type=first`."""
        return term.lstrip("!").partition("=")[0].partition("[]")[0]


class _Sending(NamedTuple):
    """How an endpoint's parameters are sent, and what follows from them.

    `sent_as`: a parameter's name in a request, where it is another one; `entries`: the key of a list's plain entries,
    which are sent as objects; `inside`: the objects in which parameters are grouped; `contents`: the `type` under which
    a parameter is sent as an entry of the list of that name. A job that has all fields of one of the `marks` may be
    meant for this endpoint. `other_queries`: where else a task may be asked about. `external_id`: whether it takes an
    id of our own; `shows_id`: whether its tasks are found by it, and show it. `sends_model`: whether the model is sent;
    else `default_model` is, where named. `model_in_path`: whether the path names it, in place of the body.
    """

    sent_as: Mapping[str, str] = MappingProxyType({})
    entries: Mapping[str, str] = MappingProxyType({})
    inside: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    contents: Mapping[str, str] = MappingProxyType({})
    marks: tuple[tuple[str, ...], ...] = ()
    other_queries: tuple[str, ...] = ()
    external_id: bool = True
    shows_id: bool = True
    sends_model: bool = True
    default_model: str = ""
    model_in_path: bool = False


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

    @property
    def media_names(self) -> frozenset[str]:
        """The parameters in which a file may stand."""
        return _media_names(self)

    @classmethod
    def read(cls, name: str, raw: Any, service: str = "") -> Self:
        """Return the model of an entry of catalog.json, of `service` where it names none. Raises ValueError."""
        try:
            return cls(
                id=name,
                developer=str(raw["developer"]),
                path=_name(raw["path"]),
                params=MappingProxyType({str(key): _read_param(param) for key, param in raw["params"].items()}),
                documented_seconds=_number(raw.get("documented_seconds"), "documented_seconds"),
                rules=tuple(_read_rule(rule) for rule in raw.get("rules", ())),
                aliases=_names(raw.get("aliases", ())),
                service=str(raw.get("service") or service),
                service_names=dict(raw.get("service_names", {})),
                other_services=tuple(raw.get("other_services", ())),
                source=str(raw.get("source", "")),
                endpoint=str(raw.get("endpoint", "")),
                endpoints={str(key): cls.read(name, entry, service) for key, entry in raw.get("endpoints", {}).items()},
                sending=_read_sending(raw.get("sending", {})),
                example=dict(raw.get("example", {})),
            )
        except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            # A kept catalogue is a file that anybody may have edited: whatever its values are, the answer is one error.
            raise ValueError(f"{name}: no model description ({type(error).__name__}: {error})") from error

    def replace_media(self, params: Mapping[str, Any], replacement: Replacement) -> dict[str, Any]:
        """Return `params` with `replacement(field path, value)` in the place of each picture, clip or sound in a file.

        Lists and nested objects are walked; paths read `elements[2].reference_image_urls[0]`. Nothing given is changed.
        """
        return {
            name: param.replace_media(value, name, replacement) if (param := self.params.get(name)) else value
            for name, value in params.items()
        }

    def media_fields(self, params: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        """Yield the field path and the value of each picture, clip or sound in `params`."""
        media: list[tuple[str, Any]] = []

        def note(path: str, value: Any) -> Any:
            media.append((path, value))
            return value

        names = self.media_names
        for name, value in params.items():
            if name in names:
                self.params[name].replace_media(value, name, note)
        return iter(media)


@lru_cache(maxsize=512)  # asked with each job of a model
def _media_names(model: Model) -> frozenset[str]:
    return frozenset(name for name, param in model.params.items() if param.holds_media)


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
        contents=dict(raw.get("contents", {})),
        marks=tuple(tuple(mark) for mark in raw.get("marks", ())),
        other_queries=tuple(raw.get("other_queries", ())),
        external_id=raw.get("external_id", True) is True,
        shows_id=raw.get("external_id", True) is raw.get("shows_id", True) is True,
        sends_model=raw.get("sends_model", True) is True,
        default_model=str(raw.get("default_model", "")),
        model_in_path=raw.get("model_in_path") is True,
    )


def _choices(choices: tuple[Any, ...]) -> str:
    numbers = len(choices) > 3 and all(isinstance(choice, int) for choice in choices)
    if numbers and all(choice == choices[0] + step for step, choice in enumerate(choices)):
        return f"a whole number from {choices[0]} to {choices[-1]}"
    more = f", … ({len(choices)} in all)" if len(choices) > MOST else ""
    words = ", ".join(str(choice) for choice in choices[:MOST]) + more
    return f"only {words}" if len(choices) == 1 else f"one of {words}"


def _between(both: str, low: str, high: str, least: float | None, most: float | None) -> str:
    if least is not None and most is not None:
        return both.format(least, most)
    if least is not None:
        return low.format(least)
    return "" if most is None else high.format(most)


def _shape(value: Any) -> str:
    if isinstance(value, Mapping):
        return "object"
    return "array" if isinstance(value, list | tuple) else "one"


def _kind(form: Param) -> str:
    return form.type if form.type in {"object", "array"} else "one"


def _same_words(form: Param, value: Any) -> bool:
    parts = (form.fields or {}).items() if isinstance(value, Mapping) else ()
    return all(not part.choices or value.get(name, part.choices[0]) in part.choices for name, part in parts)
