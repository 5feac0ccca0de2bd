"""Models that are asked for at several endpoints: their entries, and which endpoint a job is for.

Their facts are in two files: `endpoints.json`, where a body names the model, and `model_paths.json`, where the path
does.
"""

from __future__ import annotations

import json
import pkgutil
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from typing import Any

from aimlvideo.core.catalog.aliases import canonical_name
from aimlvideo.core.catalog.model import Model, Rule
from aimlvideo.errors import Problem

NAMED = "endpoint"
"""The field of a job that names its endpoint. It is not sent."""

_SENDING = (
    "sent_as", "entries", "inside", "contents", "other_queries", "external_id", "shows_id", "sends_model",
    "default_model", "marks",
)  # fmt: skip


@lru_cache(maxsize=2)
def endpoint_facts(*, model_in_path: bool = False) -> dict[str, Any]:
    """Return the content of `endpoints.json`, or of `model_paths.json`, as it is."""
    name = "model_paths.json" if model_in_path else "endpoints.json"
    content: dict[str, Any] = json.loads(pkgutil.get_data("aimlvideo.core.catalog", name) or b"{}")
    return content


def endpoint_entries() -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Return an entry, in the form of catalog.json, for each model that is listed, and one for all others."""
    families = (endpoint_facts(), endpoint_facts(model_in_path=True))
    listed = {name: _entry(facts, model, name) for facts in families for name, model in facts["models"].items()}
    facts = families[0]
    shared = {name: facts["unlisted"][name] for name in ("pattern", "elsewhere")}
    return listed, {**shared, **_entry(facts, facts["unlisted"])}


def _entry(facts: Mapping[str, Any], model: Mapping[str, Any], model_id: str = "") -> dict[str, Any]:
    """Return a model's entry: what all its endpoints take together, and what each takes."""
    own = list(model["endpoints"])
    only = model.get("stands_for_endpoint") is True
    more = (
        [] if only else [name for name, raw in facts["endpoints"].items() if raw.get("any_model") and name not in own]
    )
    endpoints = {name: _at_endpoint(facts, name, model, model_id) for name in (*own, *more)}
    params: dict[str, Any] = {}
    for name in own:
        for field, raw in endpoints[name]["params"].items():
            # Required at one endpoint is not required of the model: what is missing is said once the endpoint is known.
            known = params.setdefault(field, raw if len(own) == 1 else {**raw, "required": False})
            if choices := [
                choice for choice in raw.get("choices", ()) if choice not in known.get("choices", (choice,))
            ]:
                params[field] = {**known, "choices": [*known["choices"], *choices]}
    if "contents" in params:
        params["contents"] = facts["fields"]["contents"]  # of all types; each endpoint says which of them it takes
    if len(endpoints) > 1:
        params[NAMED] = {"type": "string", "choices": list(endpoints)}
    service, *others = facts["services"]
    return {
        "developer": facts["developer"],
        "path": facts["path"] or endpoints[own[0]]["path"],
        "service": service,
        "other_services": others,
        "source": _sources(facts, model),
        "params": params,
        "rules": endpoints[own[0]]["rules"] if len(own) == 1 else [],
        "example": endpoints[own[0]]["example"],
        "endpoints": endpoints,
    }


def _at_endpoint(facts: Mapping[str, Any], name: str, model: Mapping[str, Any], model_id: str) -> dict[str, Any]:
    raw, without = facts["endpoints"][name], set(model.get("without", ()))
    own, changed = raw.get("own_fields", {}), model.get("params", {})
    fields = [field for field in raw["fields"] if field not in without]
    params = {field: own.get(field) or changed.get(field) or facts["fields"][field] for field in fields} | facts[
        "common"
    ]
    if raw.get("external_id") is False:
        del params["external_task_id"]
    if types := model.get("contents", {}).get(name):
        params["contents"] = _of_types(params["contents"], types)
    rules = [*raw["rules"], *(rule for shared in raw.get("shared_rules", ()) for rule in facts["rules"][shared])]
    if name in model["endpoints"]:
        rules += [rule for rule in model.get("rules", []) if _names(rule) <= params.keys()]
    gone = [field for field in raw["fields"] if field in without]
    rules = [_without(rule, set(gone)) for rule in rules if _still_holds(rule, set(gone))]
    for rule in [rule for rule in rules if rule["kind"] == "required_unless" and len(rule["fields"]) == 1]:
        # A rule that lost all but its first field by `without` says only that this one is required: then the parameter
        # says so itself.
        rules.remove(rule)
        params[rule["fields"][0]] = {**params[rule["fields"][0]], "required": True, "min_length": 1}
    if gone:
        rules.append({"kind": "forbidden", "fields": gone, "source": model.get("source", "")})
    in_path = facts.get("model_in_path", False)
    sending = {"inside": facts.get("inside", {})} | {key: raw[key] for key in _SENDING if key in raw}
    sending["sends_model"] = not (raw.get("any_model") or model.get("stands_for_endpoint") or in_path)
    return {
        "developer": facts["developer"],
        "path": f"{facts['path']}/{name}" + (f"/{model_id}" if in_path else ""),
        "service": facts["services"][0],
        "service_names": {theirs: ours for ours, theirs in raw.get("sent_as", {}).items()},
        "source": _sources(facts, raw),
        "endpoint": name,
        "params": params,
        "rules": rules,
        "sending": {**sending, "model_in_path": in_path},
        "example": raw.get("example", {}),
    }


def _of_types(contents: Mapping[str, Any], types: list[str]) -> dict[str, Any]:
    """Return the parameter `contents` whose entries have these types: others Kling takes, leaves out, and bills."""
    fields = {**contents["item"]["fields"]}
    fields["type"] = {**fields["type"], "choices": types}
    return {**contents, "item": {**contents["item"], "fields": fields}}


def _names(rule: Mapping[str, Any]) -> set[str]:
    """Return the parameters of which a rule speaks."""
    return set(map(Rule.param_of, (*rule["fields"], *rule.get("if", ()))))


def _still_holds(rule: Mapping[str, Any], gone: set[str]) -> bool:
    """Tell whether a rule speaks of something without these fields."""
    conditions, fields = set(map(Rule.param_of, rule.get("if", ()))), set(map(Rule.param_of, rule["fields"]))
    is_left = not fields or not fields <= gone
    return not conditions & gone and is_left and not (rule["kind"] == "adds_up" and fields & gone)


def _without(rule: Mapping[str, Any], gone: set[str]) -> dict[str, Any]:
    return {**rule, "fields": [field for field in rule["fields"] if Rule.param_of(field) not in gone]}


def _sources(facts: Mapping[str, Any], raw: Mapping[str, Any]) -> str:
    return "; ".join(facts["sources"].get(letter, letter) for letter in raw.get("source", "").split())


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
        if takers := _takers(name, chosen):
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
    facts = _facts_of(next(iter(model.endpoints.values())))
    hint = f"{plain} takes {', '.join(_models_at(plain, facts))}" if plain in facts["endpoints"] else ""
    return Problem(NAMED, f"one of {', '.join(model.endpoints)}", repr(named)[:60], hint)


def _fits(endpoint: Model, names: frozenset[str]) -> bool:
    fields = {_field(endpoint, name) for name in names}
    return any(set(mark) <= fields for mark in endpoint.sending.marks)


def _unknown(endpoint: Model, names: frozenset[str]) -> set[str]:
    return {name for name in names if _field(endpoint, name) not in endpoint.params}


def _facts_of(endpoint: Model) -> dict[str, Any]:
    return endpoint_facts(model_in_path=endpoint.sending.model_in_path)


def _field(endpoint: Model, name: str) -> str:
    """Return a field's name here, from the one that the service or somebody else gives it."""
    if name in endpoint.params:
        return name
    return endpoint.service_names.get(name) or canonical_name(name, endpoint.params) or name


def _takers(field: str, chosen: Model) -> str:
    """Say which endpoints beside the chosen one a field decides for, and which models are asked for there."""
    facts = _facts_of(chosen)
    takers = [name for name, raw in facts["endpoints"].items() if name != chosen.endpoint and _decides(raw, field)]
    return "; ".join(f"{name} takes it ({', '.join(_models_at(name, facts))})" for name in takers)


def _decides(raw: Mapping[str, Any], field: str) -> bool:
    ours = {theirs: name for name, theirs in raw.get("sent_as", {}).items()}.get(field, field)
    return any(ours in mark for mark in raw["marks"])


def _models_at(endpoint: str, facts: Mapping[str, Any]) -> Iterator[str]:
    return (name for name, model in facts["models"].items() if endpoint in model["endpoints"])
