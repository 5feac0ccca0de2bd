"""What holds between the parameters of one model, checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from aimlvideo.core.catalog.catalog import Model, Rule
from aimlvideo.errors import Problem

Params = Mapping[str, Any]


def broken_rules(model: Model, params: Params) -> Iterator[Problem]:
    """Yield a problem for each of the model's rules that these parameters break."""
    for rule in model.rules:
        if check := _CHECKS.get(rule.kind):
            yield from check(rule, model, params)


def sentence(rule: Rule) -> str:
    """Return what a rule says: `Exactly one of prompt and multi_prompt.`"""
    names = " and ".join(rule.fields)
    if rule.kind == "required_unless":
        return f"{rule.fields[0]} is required without {' or '.join(rule.fields[1:])}."
    if rule.kind == "forbidden_when":
        return f"{names} not together with {' and '.join(f'{name}={value}' for name, value in rule.when.items())}."
    return f"{'Exactly' if rule.kind == 'exactly_one' else 'Only'} one of {names}."


def _given(rule: Rule, params: Params) -> list[str]:
    return [name for name in rule.fields if params.get(name) is not None]


def _exactly_one(rule: Rule, model: Model, params: Params) -> Iterator[Problem]:
    if not _given(rule, params):
        yield Problem(rule.fields[0], f"exactly one of {' and '.join(rule.fields)}", "neither")
    yield from _at_most_one(rule, model, params)


def _at_most_one(rule: Rule, model: Model, params: Params) -> Iterator[Problem]:
    given = _given(rule, params)
    if len(given) > 1:
        yield Problem(given[-1], f"only one of {' and '.join(rule.fields)}", "both")


def _required_unless(rule: Rule, model: Model, params: Params) -> Iterator[Problem]:
    if not any(params.get(name) for name in rule.fields):
        yield Problem(rule.fields[0], f"required without {' or '.join(rule.fields[1:])}", "nothing")


def _forbidden_when(rule: Rule, model: Model, params: Params) -> Iterator[Problem]:
    if not _given(rule, params):
        return
    cases = [_case(model, params, name, value) for name, value in rule.when.items()]
    if "no" in cases:
        return
    condition = " and ".join(f"{name} is {str(value).lower()}" for name, value in rule.when.items())
    for name in _given(rule, params):
        if "default" in cases:
            yield Problem(name, f"not together with {condition}, its default", hint="set it otherwise")
        else:
            yield Problem(name, f"not together with {condition}", hint="leave out one of the two")


def _case(model: Model, params: Params, name: str, value: Any) -> str:
    """Say whether a parameter has this value: because it was given, by default, or not at all."""
    if params.get(name) is not None:
        return "given" if params[name] == value else "no"
    return "default" if name in model.params and model.params[name].default == value else "no"


_CHECKS: dict[str, Callable[[Rule, Model, Params], Iterator[Problem]]] = {
    "exactly_one": _exactly_one,
    "at_most_one": _at_most_one,
    "required_unless": _required_unless,
    "forbidden_when": _forbidden_when,
}
