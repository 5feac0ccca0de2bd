"""Models that are asked for at several endpoints, each with fields and rules of its own: read from `endpoints.json`."""

from __future__ import annotations

import json
import pkgutil
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

NAMED = "endpoint"
"""The field of a job that names its endpoint. It is not sent."""

_SENDING = ("sent_as", "entries", "inside", "other_queries", "external_id", "sends_model", "default_model", "marks")


@lru_cache(maxsize=1)
def endpoint_facts() -> dict[str, Any]:
    """Return the content of `endpoints.json`, as it is."""
    content: dict[str, Any] = json.loads(pkgutil.get_data("aimlvideo.core.catalog", "endpoints.json") or b"{}")
    return content


def endpoint_entries() -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Return an entry, in the form of catalog.json, for each model that is listed, and one for all others."""
    facts = endpoint_facts()
    listed = {name: _entry(facts, model) for name, model in facts["models"].items()}
    return listed, {"pattern": facts["unlisted"]["pattern"], **_entry(facts, facts["unlisted"])}


def _entry(facts: Mapping[str, Any], model: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's entry: what all its endpoints take together, and what each takes."""
    own = list(model["endpoints"])
    only = model.get("stands_for_endpoint") is True
    more = (
        [] if only else [name for name, raw in facts["endpoints"].items() if raw.get("any_model") and name not in own]
    )
    endpoints = {name: _at_endpoint(facts, name, model) for name in (*own, *more)}
    params: dict[str, Any] = {}
    for name in own:
        for field, raw in endpoints[name]["params"].items():
            # Required at one endpoint is not required of the model: what is missing is said once the endpoint is known.
            params.setdefault(field, raw if len(own) == 1 else {**raw, "required": False})
    if len(endpoints) > 1:
        params[NAMED] = {"type": "string", "choices": list(endpoints)}
    service, *others = facts["services"]
    return {
        "developer": facts["developer"],
        "path": facts["path"],
        "service": service,
        "other_services": others,
        "source": _sources(facts, model),
        "params": params,
        "rules": endpoints[own[0]]["rules"] if len(own) == 1 else [],
        "example": endpoints[own[0]]["example"],
        "endpoints": endpoints,
    }


def _at_endpoint(facts: Mapping[str, Any], name: str, model: Mapping[str, Any]) -> dict[str, Any]:
    raw, without = facts["endpoints"][name], set(model.get("without", ()))
    own, changed = raw.get("own_fields", {}), model.get("params", {})
    fields = [field for field in raw["fields"] if field not in without]
    params = {field: own.get(field) or changed.get(field) or facts["fields"][field] for field in fields} | facts[
        "common"
    ]
    if raw.get("external_id") is False:
        del params["external_task_id"]
    rules = [*raw["rules"], *(rule for shared in raw.get("shared_rules", ()) for rule in facts["rules"][shared])]
    if name in model["endpoints"]:
        rules += model.get("rules", [])
    gone = [field for field in raw["fields"] if field in without]
    rules = [_without(rule, set(gone)) for rule in rules if _still_holds(rule, set(gone))]
    for rule in [rule for rule in rules if rule["kind"] == "required_unless" and len(rule["fields"]) == 1]:
        # A rule that lost all but its first field by `without` says only that this one is required: then the parameter
        # says so itself.
        rules.remove(rule)
        params[rule["fields"][0]] = {**params[rule["fields"][0]], "required": True, "min_length": 1}
    if gone:
        rules.append({"kind": "forbidden", "fields": gone, "source": model.get("source", "")})
    sending = {key: raw[key] for key in _SENDING if key in raw}
    sending["sends_model"] = not (raw.get("any_model") or model.get("stands_for_endpoint"))
    return {
        "developer": facts["developer"],
        "path": f"{facts['path']}/{name}",
        "service": facts["services"][0],
        "service_names": {theirs: ours for ours, theirs in raw.get("sent_as", {}).items()},
        "source": _sources(facts, raw),
        "endpoint": name,
        "params": params,
        "rules": rules,
        "sending": sending,
        "example": raw.get("example", {}),
    }


def _still_holds(rule: Mapping[str, Any], gone: set[str]) -> bool:
    """Tell whether a rule speaks of something without these fields."""
    conditions, fields = set(map(param_of_term, rule.get("if", ()))), set(map(param_of_term, rule["fields"]))
    return not conditions & gone and not fields <= gone and not (rule["kind"] == "adds_up" and fields & gone)


def _without(rule: Mapping[str, Any], gone: set[str]) -> dict[str, Any]:
    return {**rule, "fields": [field for field in rule["fields"] if param_of_term(field) not in gone]}


def param_of_term(term: str) -> str:
    """Return the parameter of which a rule's term speaks: `image` of `!image[].type=first`."""
    return term.lstrip("!").partition("=")[0].partition("[]")[0]


def _sources(facts: Mapping[str, Any], raw: Mapping[str, Any]) -> str:
    return "; ".join(facts["sources"].get(letter, letter) for letter in raw.get("source", "").split())
