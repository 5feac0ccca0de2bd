"""A model's OpenAPI document as an entry of the catalogue. Documents come from outside and are believed only so far."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from aimlvideo.core.catalog.corrections import correct
from aimlvideo.core.catalog.model import DEPTH, Model

LARGEST = 2_000_000  # bytes of one document: the largest known has 90,000
MOST_PARTS = 4_000  # parts of a schema that are looked at: the largest document known has some 200
MOST_NAMES = 200  # parameters of one object
MOST_CHOICES = 1_000
LONGEST = 4_000  # characters of a name, a choice or a default

_LIMITS = {
    "minimum": "min",
    "maximum": "max",
    "minItems": "min_items",
    "maxItems": "max_items",
    "minLength": "min_length",
    "maxLength": "max_length",
}

Raw = dict[str, Any]


def parsed_document(body: bytes) -> Any:
    """Return a document's JSON; ValueError where it is too large, too deep or none."""
    if len(body) > LARGEST:
        raise ValueError(f"{len(body):,} bytes, more than {LARGEST:,}")
    try:
        return json.loads(body)
    except RecursionError as error:
        raise ValueError("too deep") from error


class Document:
    """One OpenAPI document, and how much of it has been looked at. Raises ValueError where it is none."""

    def __init__(self, document: Any) -> None:
        if not isinstance(document, Mapping):
            raise ValueError("not an OpenAPI document: expected a JSON object")
        self._document = document
        self._parts = 0

    def catalog_entry(self, model: str, *, also: tuple[str, ...] = (), usual_path: str = "") -> Raw:
        """Return the entry of catalog.json that it gives for `model` (or one of its aliases `also`).

        Of several requests that fit, the one at `usual_path` counts.

        ValueError says why a document is refused: no fitting request in it, a reference that is foreign or turns in a
        circle, too large, too deep, or of wrong types.
        """
        with self._reading():
            path, schema = self._request_of({model, *also}, usual_path)
            params = self._fields(schema, 0)
            # Every job names its model beside its parameters, so a parameter of this name would be a second one.
            params.pop("model", None)
            entry = correct(model, path, params)
        if not params:
            raise ValueError("a request without parameters")
        from aimlvideo.core.catalog.validators import is_valid_model  # noqa: PLC0415 - 20 ms that only a refresh needs

        if not is_valid_model(Model.read(model, entry)):
            raise ValueError("limits or choices that contradict each other")
        return entry

    def models(self) -> list[str]:
        """Return the ids of the models that its requests name. ValueError where it is no usable document."""
        with self._reading():
            return list(dict.fromkeys(name for _, schema in self._requests() for name in self._model_names(schema)))

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Count what is looked at from here on, and refuse what is of wrong types."""
        self._parts = 0
        try:
            yield
        except (TypeError, AttributeError, KeyError, RecursionError) as error:
            raise ValueError(f"not a usable document ({type(error).__name__}: {str(error)[:80]})") from error

    def _request_of(self, names: set[str], usual_path: str) -> tuple[str, Mapping[str, Any]]:
        """Return the path and the schema of the body that submits a model; `usual_path` before any other."""
        requests = [(path, schema) for path, schema in self._requests() if self._is_for(schema, names)]
        if not requests:
            raise ValueError("no POST in it is for this model")
        # A document may list a model's legacy address as well: the usual one is where it is submitted, else the first
        # by name, so that the same document gives the same entry every time.
        return min(requests, key=lambda request: (request[0] != usual_path, request[0]))

    def _requests(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Give the path and the schema of the body of everything that can be POSTed."""
        for path, methods in self._document["paths"].items():
            if not isinstance(path, str) or not path.startswith("/") or "post" not in methods:
                continue
            body = self._plain(methods["post"].get("requestBody", {}))
            schema = body.get("content", {}).get("application/json", {}).get("schema")
            if schema is not None:
                yield from ((path, form) for form in self._forms(schema))

    def _forms(self, schema: Any) -> list[Mapping[str, Any]]:
        plain = self._plain(schema)
        # One document may describe several models, each as an alternative of one request's body.
        forms = plain.get("oneOf") or plain.get("anyOf") or [plain]
        return [self._plain(form) for form in forms]

    def _model_names(self, schema: Mapping[str, Any]) -> list[str]:
        """Return the models that a body's schema allows; none where it allows any."""
        model = self._plain(schema.get("properties", {}).get("model", {}))
        allowed = model.get("enum", [model["const"]] if "const" in model else [])
        return [name for name in allowed if isinstance(name, str)]

    def _is_for(self, schema: Mapping[str, Any], names: set[str]) -> bool:
        allowed = self._model_names(schema)
        return not allowed or bool(names.intersection(allowed))

    def _plain(self, schema: Any) -> Mapping[str, Any]:
        """Return a schema with its reference followed and what `allOf` spreads over several put together."""
        # A bound instead of a set of visited references: documents come from outside, and a long chain is as bad as a
        # circle.
        for _ in range(DEPTH):
            self._count()
            if not isinstance(schema, Mapping):
                raise ValueError(f"a schema that is not an object: {str(schema)[:40]!r}")
            if "$ref" not in schema:
                return self._merged(schema) if "allOf" in schema else schema
            schema = self._followed(schema["$ref"])
        raise ValueError("a circular reference")

    def _merged(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        merged: Raw = {key: value for key, value in schema.items() if key != "allOf"}
        for part in map(self._plain, schema["allOf"]):
            properties = {**merged.get("properties", {}), **part.get("properties", {})}
            required = [*merged.get("required", []), *part.get("required", [])]
            merged = {**merged, **part, "properties": properties, "required": required}
        return merged

    def _followed(self, reference: Any) -> Any:
        if not isinstance(reference, str) or not reference.startswith("#/"):
            raise ValueError(f"a reference to outside the document: {str(reference)[:40]!r}")
        target: Any = self._document
        for step in reference[2:].split("/"):
            target = target[step.replace("~1", "/").replace("~0", "~")]
        return target

    def _fields(self, schema: Mapping[str, Any], depth: int) -> dict[str, Raw]:
        """Return the parameters of an object."""
        properties, required = schema.get("properties", {}), schema.get("required", [])
        if len(properties) > MOST_NAMES:
            raise ValueError(f"{len(properties)} parameters in one object")
        fields = {_text(name): self._param(part, depth + 1) for name, part in properties.items()}
        for name in required:
            if name in fields:
                fields[name]["required"] = True
        return fields

    def _param(self, schema: Any, depth: int) -> Raw:
        if depth > DEPTH:
            raise ValueError(f"more than {DEPTH} objects inside each other (or a circular reference)")
        plain = self._plain(schema)
        param: Raw = {ours: plain[theirs] for theirs, ours in _LIMITS.items() if plain.get(theirs) is not None}
        # Two ways to say so: OpenAPI 3.0 has `nullable`, 3.1 a list of types.
        if plain.get("nullable") is True or "null" in (plain.get("type") or ()):
            param["nullable"] = True
        if "default" in plain and plain["default"] is not None:
            param["default"] = _small(plain["default"])
        if choices := plain.get("enum", [plain["const"]] if "const" in plain else []):
            param["choices"] = _choices(choices)
        return {**self._typed(plain, depth), **param}

    def _typed(self, plain: Mapping[str, Any], depth: int) -> Raw:
        forms = plain.get("oneOf") or plain.get("anyOf")
        if forms and "properties" not in plain:
            return {"any_of": [self._param(form, depth + 1) for form in forms]}
        kind = plain.get("type", "object" if "properties" in plain else "any")
        if isinstance(kind, list):
            # OpenAPI 3.1 writes "nullable" as one more type; that is no form of its own.
            return {"any_of": [self._typed({**plain, "type": one}, depth) for one in kind if one != "null"]}
        if kind == "array":
            return (
                {"type": kind, "item": self._param(plain["items"], depth + 1)} if "items" in plain else {"type": kind}
            )
        if kind == "object" and "properties" in plain:
            return {"type": kind, "fields": self._fields(plain, depth)}
        return {"type": kind}

    def _count(self) -> None:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise ValueError(f"more than {MOST_PARTS} parts")


def _choices(choices: Any) -> list[Any]:
    if not isinstance(choices, list) or len(choices) > MOST_CHOICES:
        raise ValueError(f"choices are a list of at most {MOST_CHOICES}")
    return [_small(choice) for choice in choices if choice is not None]


def _text(name: Any) -> str:
    if not isinstance(name, str) or not 0 < len(name) <= 100:
        raise ValueError(f"a parameter's name: {str(name)[:40]!r}")
    return name


def _small(value: Any) -> Any:
    if isinstance(value, str | int | float | bool) and len(str(value)) <= LONGEST:
        return value
    if isinstance(value, list | dict) and len(value) <= 10:
        return value
    raise ValueError(f"a choice or default that is not a plain value: {str(value)[:40]!r}")
