"""Requests made from the catalogue: right ones, and each way in which one parameter can be wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from aimlvideo.core.catalog.catalog import load_catalog
from aimlvideo.core.catalog.model import Model, Param, Rule
from aimlvideo.core.catalog.rules import _term_holds

CATALOG = load_catalog()
MODELS = [model for model in CATALOG if model.service == "aimlapi"]
LINKS = ["https://a.example/x.png", "data:image/png;base64,iVBORw0KGgo="]


def plain(param: Param) -> Any:
    """Return the simplest value that is right."""
    if param.any_of:
        return plain(param.any_of[0])
    if param.choices:
        return param.choices[0]
    if param.media:
        return LINKS[0]
    if param.type == "array":
        return [plain(param.item)] * max(1, param.min_items or 0) if param.item else []
    if param.type == "object":
        return {name: plain(part) for name, part in (param.fields or {}).items() if part.required}
    low = param.minimum if param.minimum is not None else 1
    return {"string": "x" * (param.min_length or 1), "integer": int(low), "number": low, "boolean": True}[param.type]


def least(model: Model) -> dict[str, Any]:
    """Return the smallest request that is right."""
    params = {name: plain(param) for name, param in model.params.items() if param.required}
    for rule in model.rules:
        if rule.kind in {"exactly_one", "required_unless", "at_least_one"} and not params.keys() & set(rule.fields):
            params[rule.fields[0]] = plain(model.params[rule.fields[0]])
    return _lawful(model, params)


def beside(model: Model, name: str) -> dict[str, Any]:
    """Return the smallest request that is right and has room for this parameter, with what it needs beside it."""
    needed = [rule.fields[1] for rule in model.rules if rule.kind == "needs" and rule.fields[0] == name]
    request = least(model) | {other: plain(model.params[other]) for other in needed}
    for rule in model.rules:
        if rule.kind in {"exactly_one", "at_most_one"} and {name, *needed} & set(rule.fields):
            request = {key: value for key, value in request.items() if key in needed or key not in rule.fields}
    return request


def values(param: Param) -> st.SearchStrategy[Any]:
    """Return everything that is right for a parameter (or a fair part of it)."""
    if param.any_of:
        return st.one_of([values(form) for form in param.any_of])
    if param.choices:
        return st.sampled_from(param.choices)
    if param.media:
        return st.sampled_from(LINKS)
    low, high = param.minimum, param.maximum
    return {
        "string": lambda: st.text(
            st.characters(exclude_categories=("Cs",), exclude_characters="\0"),
            min_size=param.min_length or 0,
            max_size=min(param.max_length or 20, 20),
        ),
        "integer": lambda: st.integers(_whole(low, -(2**63)), _whole(high, 2**63 - 1)),
        "number": lambda: st.floats(low, high, allow_nan=False, allow_infinity=False),
        "boolean": st.booleans,
        "array": lambda: st.lists(values(param.item), min_size=param.min_items or 0, max_size=param.max_items or 3),
        "object": lambda: objects(param.fields or {}),
    }[param.type]()


def _whole(limit: float | None, furthest: int) -> int:
    """Return a limit of whole numbers; without one, what every reader holds."""
    return furthest if limit is None else int(limit)


def _says_something(value: Any) -> bool:
    return not isinstance(value, str) or bool(value.strip())


def objects(fields: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {name: values(part).filter(_says_something) for name, part in fields.items() if part.required},
        optional={name: values(part) for name, part in fields.items() if not part.required},
    )


def requests(model: Model) -> st.SearchStrategy[dict[str, Any]]:
    """Return requests that are right for a model, its rules between fields kept."""
    usual = {name: param for name, param in model.params.items() if not param.legacy}
    # Twice: what one rule takes away another may have asked for.
    return objects(usual).map(lambda params: _lawful(model, _lawful(model, params)))


def _lawful(model: Model, params: dict[str, Any]) -> dict[str, Any]:
    for rule in model.rules:
        given = [name for name in rule.fields if name in params]
        if rule.legacy:
            continue
        if rule.kind == "forbidden_when" and given:
            params |= {name: not value for name, value in rule.when.items()}
        elif rule.kind in {"exactly_one", "at_most_one"}:
            for name in given[1:]:
                del params[name]
        elif rule.kind == "at_most_items":
            room = rule.limit or 0
            for name in (name for name in given if isinstance(params[name], list)):
                params[name] = params[name][:room]
                room -= len(params[name])
        elif rule.kind in _MENDED:
            _MENDED[rule.kind](rule, model, params)
        needs_one = rule.kind in {"exactly_one", "required_unless", "at_least_one"}
        if needs_one and all(params.get(name, "") == "" for name in given):  # an empty text is as good as none
            params[rule.fields[0]] = plain(model.params[rule.fields[0]])
    return params


def _holds(rule: Rule, model: Model, params: dict[str, Any]) -> bool:
    return all(_term_holds(term, params, model) != "no" for term in rule.conditions)


def _drop_what_needs_more(rule: Rule, model: Model, params: dict[str, Any]) -> None:
    first, *others = rule.fields
    if _term_holds(first, params) == "yes" and all(_term_holds(other, params, model) == "no" for other in others):
        del params[first.partition("=")[0]]


def _require(rule: Rule, model: Model, params: dict[str, Any]) -> None:
    for name in rule.fields if _holds(rule, model, params) else ():
        params.setdefault(name, plain(model.params[name]))


def _choose(rule: Rule, model: Model, params: dict[str, Any]) -> None:
    name = rule.fields[0]
    if _holds(rule, model, params) and params.get(name, rule.choices[0]) not in rule.choices:
        params[name] = rule.choices[0]


def _step(rule: Rule, model: Model, params: dict[str, Any]) -> None:
    if (name := rule.fields[0]) in params:
        low = int(model.params[name].minimum or 0)
        params[name] = low + (params[name] - low) // rule.limit * rule.limit


def _count(rule: Rule, model: Model, params: dict[str, Any]) -> None:
    if _holds(rule, model, params):
        params[rule.fields[0]] = [LINKS[0]] * rule.limit


def _link(rule: Rule, model: Model, params: dict[str, Any]) -> None:
    """Put links where nothing else is taken, and in the place of files that would be looked into."""
    for name in rule.fields:
        if name in params:
            params[name] = [LINKS[0]] * len(params[name]) if isinstance(params[name], list) else LINKS[0]


_MENDED = {
    "needs": _drop_what_needs_more,
    "required_when": _require,
    "choices_when": _choose,
    "steps": _step,
    "items": _count,
    "file": _link,
    "link": _link,
}


def mistakes(param: Param, path: str) -> Iterator[tuple[str, Any, str]]:
    """Yield what is wrong, a value that is wrong in this one way, and the path of the field to be named."""
    if param.any_of:
        yield "wrong type", 7.5, path
        return
    yield from (("wrong type", value, path) for value in _other_types(param))
    if param.choices:
        yield "not among the choices", "no such choice" if param.type == "string" else 10**6, path
    elif param.minimum is not None and param.maximum is not None:
        yield "below its limit", param.minimum - 1, path
        yield "above its limit", param.maximum + 1, path
    if param.max_length is not None:
        yield "too long", "x" * (param.max_length + 1), path
    if param.min_length:
        yield "too short", "", path
    if param.type == "array" and param.item:
        yield from _wrong_lists(param, param.item, path)
    for name, part in (param.fields or {}).items():
        yield from _wrong_fields(param, name, part, path)


def _other_types(param: Param) -> list[Any]:
    if param.media:
        return [7, 2.5, True, "", " ", b"", {}]
    return {
        "string": [7.5, True, {}, ["x"], b"x"],
        "integer": ["many", 2.5, True, [5]],
        "number": ["much", True, [0.5], float("nan")],
        "boolean": ["perhaps", 7, [True]],
        "array": ["x", 7, {}, {"a"}],
        "object": ["x", 7, []],
    }[param.type]


def _wrong_lists(param: Param, item: Param, path: str) -> Iterator[tuple[str, Any, str]]:
    size = max(1, param.min_items or 0)
    if param.max_items:
        yield "too many", [plain(item)] * (param.max_items + 1), path
    if param.min_items:
        yield "too few", [plain(item)] * (param.min_items - 1), path
    for what, value, place in mistakes(item, f"{path}[{size - 1}]"):
        yield what, [plain(item)] * (size - 1) + [value], place


def _wrong_fields(param: Param, name: str, part: Param, path: str) -> Iterator[tuple[str, Any, str]]:
    right = plain(param)
    if part.required:
        yield "missing", {key: value for key, value in right.items() if key != name}, f"{path}.{name}"
    for what, value, place in mistakes(part, f"{path}.{name}"):
        yield what, {**right, name: value}, place
