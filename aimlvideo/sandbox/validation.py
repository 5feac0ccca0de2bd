"""Whether AI/ML API takes a request: its body against the model's JSON Schema, and the rules between fields."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

from aimlvideo.sandbox.catalogue import Model, find_model
from aimlvideo.sandbox.media_content import media_faults

LEGACY_REQUIRED = {"kling-video/v1.6/pro/image-to-video": ("prompt",)}
"""What a model needs on its legacy URL only."""

_formats = FormatChecker(formats=())


@_formats.checks("uri")
def _is_media(value: object) -> bool:
    return not isinstance(value, str) or value.startswith(("https://", "http://", "data:"))


@_formats.checks("uri-or-gs")
def _is_media_or_stored(value: object) -> bool:
    return _is_media(value) or str(value).startswith("gs://")


@_formats.checks("uri-or-asset")
def _is_media_or_asset(value: object) -> bool:
    return _is_media(value) or str(value).startswith(("asset://", "asset-"))


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a request: the field's path, what was expected, what was received."""

    path: tuple[str | int, ...]
    expected: str
    received: str

    def __str__(self) -> str:
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path).lstrip(".")
        return f"{where or 'body'}: expected {self.expected}, received {self.received}"

    def as_json(self) -> dict[str, Any]:
        """Return the fault as an answer lists it."""
        return {"path": list(self.path), "expected": self.expected, "received": self.received, "message": str(self)}


def accepts(model: str, body: Mapping[str, Any], *, legacy: bool = False) -> list[str]:
    """Return what AI/ML API would object to in this body for this model; nothing when it would accept it.

    Unknown parameters are ignored, as the service does, and a number may come as a string (`duration: "5"`). On the
    *omni* models a last picture and sound exclude each other, and sound is on unless it is turned off: the service
    fills in its defaults before it looks at that rule.
    """
    entry = find_model(model)
    if entry is None:
        return [f"model: expected a known model, received {model!r}"]
    return [str(fault) for fault in find_faults(entry, body, legacy=legacy)]


def find_faults(model: Model, body: Mapping[str, Any], *, legacy: bool = False) -> list[Fault]:
    """Return all that is wrong with a body, one fault for each field."""
    read = _numbers_from_text(model, body)
    faults = [_as_fault(error) for error in _validator(model.id).iter_errors(read)]
    faults += [fault for rule in model.rules for fault in _broken(rule, model, body)]
    if legacy:
        needed = (name for name in LEGACY_REQUIRED.get(model.id, ()) if name not in body)
        faults += [Fault((name,), "a value", "nothing") for name in needed]
    # One fault for each field, the first one: the service lists a field once, whatever breaks in it.
    return list({fault.path: fault for fault in reversed(faults)}.values())[::-1]


@cache
def _validator(model_id: str) -> Draft202012Validator:
    model = find_model(model_id)
    assert model is not None
    return Draft202012Validator(model.schema, format_checker=_formats)


def _numbers_from_text(model: Model, body: Mapping[str, Any]) -> dict[str, Any]:
    """Read `"5"` as 5 where an integer is wanted: the published examples send it so."""
    params = model.params
    return {
        name: int(value)
        if isinstance(value, str) and value.isdecimal() and params.get(name, {}).get("type") == "integer"
        else value
        for name, value in body.items()
    }


def _broken(rule: Mapping[str, Any], model: Model, body: Mapping[str, Any]) -> list[Fault]:
    if names := rule.get("exactly_one"):
        present = [name for name in names if body.get(name) is not None]
        expected = f"exactly one of {' and '.join(names)}"
        return [] if len(present) == 1 else [Fault((names[0],), expected, " and ".join(present) or "none")]
    if names := rule.get("at_most_one"):
        present = [name for name in names if body.get(name) is not None]
        return [Fault((present[-1],), f"only one of {' and '.join(names)}", "both")] if len(present) > 1 else []
    if names := rule.get("at_most_together"):
        total = sum(len(body[name]) for name in names if isinstance(body.get(name), list))
        expected = f"at most {rule['limit']} in {', '.join(names)} together"
        return [Fault((names[0],), expected, str(total))] if total > rule["limit"] else []
    if picture := rule.get("not_with_audio"):
        if body.get(picture) is not None and body.get("generate_audio", model.default("generate_audio")) is True:
            return [Fault((picture,), "no last picture together with sound", "both (send generate_audio: false)")]
        return []
    return list(_broken_prose(rule, model, body))


def _broken_prose(rule: Mapping[str, Any], model: Model, body: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield the faults of a rule that stands in prose only; the service fills in its defaults before it looks."""
    sent = {name: value for name, value in body.items() if value not in (None, [], "")}
    complete = {name: model.default(name) for name in model.params} | sent
    if "with" in rule and rule["with"] not in sent:
        return
    if any(complete.get(name) not in values for name, values in rule.get("if", {}).items()):
        return
    for name, values in rule.get("then", {}).items():
        if complete.get(name) not in values:
            yield Fault((name,), f"one of {', '.join(map(str, values))} with these", shorten(complete.get(name)))
    if (names := rule.get("one_of")) and not sent.keys() & set(names):
        yield Fault((names[0],), f"one of {', '.join(names)}", "none")
    yield from _wrong_numbers(rule, complete)
    if name := rule.get("media"):
        entries = sent.get(name)
        for number, entry in enumerate(entries if isinstance(entries, list) else [entries]):
            place = (name, number) if isinstance(entries, list) else (name,)
            yield from (Fault(place, *fault) for fault in media_faults(entry, rule))


def _wrong_numbers(rule: Mapping[str, Any], complete: Mapping[str, Any]) -> Iterator[Fault]:
    if name := rule.get("remainder"):
        number = complete.get(name)
        if isinstance(number, int) and number % rule["of"] != rule["is"]:
            yield Fault((name,), f"a multiple of {rule['of']} plus {rule['is']}", shorten(number))
    if (name := rule.get("count")) and complete.get(name) is not None:
        count = len(complete[name]) if isinstance(complete[name], list) else 1
        if count != rule["is"]:
            yield Fault((name,), f"{rule['is']} pictures with this effect", str(count))


def _as_fault(error: Any) -> Fault:
    path = tuple(error.absolute_path)
    if error.validator == "required":
        return Fault((*path, str(error.message).split("'")[1]), "a value", "nothing")
    return Fault(path, _expectation(error), shorten(error.instance))


def _expectation(error: Any) -> str:
    limit: Any = error.validator_value
    phrases: dict[str, Callable[[], str]] = {
        "type": lambda: " or ".join(limit) if isinstance(limit, list) else f"{limit}",
        "enum": lambda: "one of " + ", ".join(str(choice) for choice in limit[:40]),
        "minimum": lambda: f"at least {limit}",
        "maximum": lambda: f"at most {limit}",
        "minItems": lambda: f"at least {limit} items",
        "maxItems": lambda: f"at most {limit} items",
        "minLength": lambda: f"at least {limit} characters",
        "maxLength": lambda: f"at most {limit} characters",
        "format": lambda: {
            "uri": "a link (http:// or https://) or a data: URI",
            "uri-or-gs": "a link (http://, https:// or gs://) or a data: URI",
            "uri-or-asset": "a link (http:// or https://), a data: URI or the id of an asset",
        }[limit],
        "anyOf": lambda: "one of the documented shapes",
    }
    return phrases[str(error.validator)]()


def shorten(value: object) -> str:
    """Return a value as a message shows it."""
    if isinstance(value, list | dict):
        return f"{'array' if isinstance(value, list) else 'object'} of {len(value)}"
    text = f"{type(value).__name__} {value!r}" if value is not None else "null"
    return text if len(text) <= 80 else text[:77] + "..."
