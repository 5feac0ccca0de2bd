"""Which endpoint a job is for: by its model first, by its fields second, or as the job names it as `endpoint`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from typing import Any

from aimlvideo.core.catalog.aliases import canonical_name
from aimlvideo.core.catalog.catalog import Model
from aimlvideo.core.catalog.endpoints import NAMED, endpoint_facts
from aimlvideo.errors import Problem


def choose_endpoint(model: Model, params: Mapping[str, Any]) -> Model | Problem:
    """Return what a model takes at the endpoint that a job is for, or what is wrong where none takes it.

    An endpoint that the job names is taken; else, of those whose marks are among the fields, the one that knows most of
    them; else the model's first.
    """
    if not model.endpoints:
        return model
    names = set(_flat(params, {key for endpoint in model.endpoints.values() for key in endpoint.sending.inside}))
    names.discard(NAMED)
    if (named := params.get(NAMED)) is not None:
        return _named(model, named)
    return _choice(model, frozenset(names))


# The jobs of a file have the same few sets of fields.
@lru_cache(maxsize=1024)
def _choice(model: Model, names: frozenset[str]) -> Model | Problem:
    fitting = [endpoint for endpoint in model.endpoints.values() if _fits(endpoint, names)]
    # The one that knows most of the fields: a mark alone may be common to several.
    chosen = min(fitting, key=lambda endpoint: len(_unknown(endpoint, names)), default=None)
    chosen = chosen or next(iter(model.endpoints.values()))
    for name in sorted(_unknown(chosen, names)):
        if takers := _takers(name, endpoint_facts()):
            expected = f"a field of {chosen.endpoint}, the endpoint of {model.id} that these fields are for"
            return Problem(name, expected, "a field of another one", f"{takers}; or name the endpoint in the job")
    return chosen


def flattened(endpoint: Model, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that are set, without the objects in which the service groups some of them."""
    return _flat(params, endpoint.sending.inside.keys())


def _flat(params: Mapping[str, Any], groups: Collection[str]) -> dict[str, Any]:
    flat = {name: value for name, value in params.items() if value is not None}
    for name in groups:
        if isinstance(group := flat.get(name), Mapping):
            del flat[name]
            flat = {**group, **flat}
    return flat


def _named(model: Model, named: Any) -> Model | Problem:
    plain = str(named).strip().lower().replace("_", "-").rpartition("videos/")[2].strip("/")
    endpoint_model = model.endpoints.get(plain)
    if endpoint_model is None:
        near = [endpoint for name, endpoint in model.endpoints.items() if plain and name.split("/")[0] == plain]
        endpoint_model = near[0] if len(near) == 1 else None
    if endpoint_model is not None:
        return endpoint_model
    others = endpoint_facts()["endpoints"].get(plain)
    hint = f"{plain} takes {', '.join(_models_at(plain, endpoint_facts()))}" if others else ""
    return Problem(NAMED, f"one of {', '.join(model.endpoints)}", repr(named)[:60], hint)


def _fits(endpoint: Model, names: frozenset[str]) -> bool:
    fields = {_field(endpoint, name) for name in names}
    return any(set(mark) <= fields for mark in endpoint.sending.marks)


def _unknown(endpoint: Model, names: frozenset[str]) -> set[str]:
    return {name for name in names if _field(endpoint, name) not in endpoint.params}


def _field(endpoint: Model, name: str) -> str:
    """Return a field's name here, from the one that the service or somebody else gives it."""
    if name in endpoint.params:
        return name
    return endpoint.service_names.get(name) or canonical_name(name, endpoint.params) or name


def _takers(field: str, facts: Mapping[str, Any]) -> str:
    """Say which endpoints a field decides for, and which models are asked for there; else nothing."""
    takers = [name for name, raw in facts["endpoints"].items() if _decides(raw, field)]
    return "; ".join(f"{name} takes it ({', '.join(_models_at(name, facts))})" for name in takers)


def _decides(raw: Mapping[str, Any], field: str) -> bool:
    ours = {theirs: name for name, theirs in raw.get("sent_as", {}).items()}.get(field, field)
    return any(ours in mark for mark in raw["marks"])


def _models_at(endpoint: str, facts: Mapping[str, Any]) -> Iterator[str]:
    return (name for name, model in facts["models"].items() if endpoint in model["endpoints"])
