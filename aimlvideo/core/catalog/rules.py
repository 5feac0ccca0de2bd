"""What holds between the parameters of one model: each kind of rule, checked and in words (`corrections` has rules)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from aimlvideo.core.catalog.model import Model, Rule
from aimlvideo.core.formatting import is_blank, preview
from aimlvideo.core.media_types import MediaLimits
from aimlvideo.errors import Problem

Params = Mapping[str, Any]


def broken_rules(model: Model, params: Params, *, legacy: bool = False) -> Iterator[Problem]:
    """Yield a problem for each of the model's rules that these parameters break; `legacy` ones on older URLs only."""
    for rule in model.rules:
        if rule.legacy and not legacy:
            continue
        if check := _CHECKS.get(rule.kind):
            yield from check(rule, model, params)


def rule_sentences(model: Model) -> Iterator[str]:
    """Yield what holds between a model's parameters; of several endpoints one after another, by name."""
    yield from map(_sentence, model.rules)
    if len(model.endpoints) > 1:
        for endpoint in model.endpoints.values():
            required = [name for name, param in endpoint.params.items() if param.required]
            first = [f"{', '.join(required)} required."] if required else []
            yield " ".join([f"At {endpoint.endpoint}:", *first, *map(_sentence, endpoint.rules)])


def _sentence(rule: Rule) -> str:
    """Return what a rule says: `Exactly one of prompt and multi_prompt.`"""
    names, first = " and ".join(rule.fields), next(iter(rule.fields), "")
    condition, with_condition = _condition(rule), _with_condition(rule)
    amount = {"exactly_one": "Exactly", "at_least_one": "At least"}.get(rule.kind, "Only")
    others, is_or_are = _others(rule), "are" if len(rule.fields) > 1 else "is"
    by_kind = {
        "needs": f"{first} needs {others}",
        "steps": f"{first} is {rule.offset} more than a multiple of {rule.limit}",
        "items": f"{first} has exactly {_entries(rule.limit)}{with_condition}",
        "file": f"{names}: {rule.file}" + (with_condition and f",{with_condition}"),
        "note": rule.text,
        "required_unless": f"{first} is required without {others}",
        "required_when": f"{names} {is_or_are} required{with_condition}",
        "only_when": f"{names} only with {condition}",
        "forbidden": f"Without {', '.join(rule.fields)}",
        "forbidden_when": f"{names} not together with {condition}",
        "choices_when": f"{first} is {_or(rule.choices)} with {condition}",
        "at_most_items": f"{names}: at most {rule.limit} entries together" + (with_condition and f",{with_condition}"),
        "adds_up": f"{first} add up to {others}",
        "link": f"{names} {'are links' if len(rule.fields) > 1 else 'is a link'}",
    }
    ending = " on the legacy URL." if rule.legacy else "."
    return by_kind.get(rule.kind, f"{amount} one of {names}") + ending


def _entries(count: int) -> str:
    return "1 entry" if count == 1 else f"{count} entries"


def _term_holds(term: str, params: Params, model: Model | None = None) -> str:
    """Say whether a term holds: `yes`, `default` (a default makes it so), or `no`.

    `name` holds where the parameter is set, `name=value` where it has that value, `name=one|other` where it has one of
    them, `name[].part=value` where an entry of the list has it, and `!term` where the term does not hold.
    """
    if term.startswith("!"):
        return "no" if _term_holds(term[1:], params, model) == "yes" else "yes"
    name, _, words = term.partition("=")
    values = [entry for entry in _at(name, params) if entry is not None]
    if not words:
        return "yes" if any(entry not in ([], ()) and not _is_blank(entry) for entry in values) else "no"
    allowed = words.split("|")
    # As text: rules are written in a document's words, where true is `true` and 5 is `5`.
    if any(_text(entry) in allowed for entry in values):
        return "yes"
    # A default counts like a value, because the service fills it in before it looks at its rules.
    is_default = model is not None and any(_default_is(name, word, params, model) for word in allowed)
    return "default" if is_default else "no"


def _is_blank(value: Any) -> bool:
    return isinstance(value, str) and is_blank(value)


def _at(name: str, params: Params) -> Iterator[Any]:
    """Yield what stands at `name` or, in each entry of a list, at `name[].part`."""
    first, _, part = name.partition("[].")
    value = params.get(first)
    if not part:
        yield value
    elif isinstance(value, list | tuple):
        yield from (entry.get(part) for entry in value if isinstance(entry, Mapping))


def _default_is(name: str, value: str, params: Params, model: Model) -> bool:
    """Tell whether a parameter that is not set, or a part that an entry lacks, has this value by default."""
    first, _, part = name.partition("[].")
    param = model.params.get(first)
    if not part:
        return params.get(first) is None and param is not None and _text(param.default) == value
    entries = params.get(first)
    if param is None or param.item is None or not isinstance(entries, list | tuple):
        return False
    forms = (param.item, *param.item.any_of)
    defaults = [form.fields[part].default for form in forms if form.fields and part in form.fields]
    lacking = any(not isinstance(entry, Mapping) or entry.get(part) is None for entry in entries)
    return lacking and any(_text(default) == value for default in defaults if default is not None)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _or(values: tuple[Any, ...]) -> str:
    return " or ".join(map(str, values))


def _others(rule: Rule) -> str:
    return " or ".join(rule.fields[1:]).replace("|", " or ")


def _condition(rule: Rule) -> str:
    terms = [*(f"{name}={value}" for name, value in rule.when.items()), *rule.conditions]
    return " and ".join(term.replace("|", " or ") for term in terms)


def _with_condition(rule: Rule) -> str:
    return f" with {condition}" if (condition := _condition(rule)) else ""


def _set_names(rule: Rule, params: Params) -> list[str]:
    return [name for name in rule.fields if params.get(name) is not None]


def _exactly_one(rule: Rule, model: Model, params: Params) -> Iterator[Problem]:
    if not _set_names(rule, params):
        yield Problem(rule.fields[0], f"exactly one of {' and '.join(rule.fields)}", "neither")
    yield from _at_most_one(rule, model, params)


def _at_most_one(rule: Rule, model: Model, params: Params) -> Iterator[Problem]:
    set_names = _set_names(rule, params)
    if len(set_names) > 1:
        yield Problem(set_names[-1], f"only one of {' and '.join(rule.fields)}", "both")


def _at_least_one(rule: Rule, model: Model, params: Params) -> Iterator[Problem]:
    if not any(_term_holds(name, params) == "yes" for name in rule.fields):  # a blank text is as good as none
        yield Problem(rule.fields[0], f"at least one of {' and '.join(rule.fields)}", "neither")


def _required_unless(rule: Rule, model: Model, params: Params) -> Iterator[Problem]:
    if all(_term_holds(name, params, model) == "no" for name in rule.fields):
        yield Problem(rule.fields[0], f"required without {_others(rule)}", "nothing")


def _required_when(rule: Rule, model: Model, params: Params) -> Iterator[Problem]:
    if _applies(rule, model, params) != "no":
        for name in rule.fields:
            if _term_holds(name, params) == "no":
                legacy = " on the legacy URL" if rule.legacy else ""
                yield Problem(name, f"required{_with_condition(rule)}{legacy}", "nothing")


def _forbidden_when(rule: Rule, model: Model, params: Params) -> Iterator[Problem]:
    case = _applies(rule, model, params)
    if case == "no":
        return
    condition = _spoken(rule)
    for name in rule.fields:
        if _term_holds(name, params) == "no" and params.get(name) is None:
            continue
        if case == "default":
            yield Problem(name, f"not together with {condition}, its default", hint="set it otherwise")
        else:
            yield Problem(name, f"not together with {condition}", hint="leave out one of the two")


def _forbidden(rule: Rule, model: Model, params: Params) -> Iterator[Problem]:
    for name in _set_names(rule, params):
        place = f" at {model.endpoint}" if model.endpoint else ""
        yield Problem(name, f"no {name}: {model.id} does not take it{place}", "one", "leave it out")


def _only_when(rule: Rule, model: Model, params: Params) -> Iterator[Problem]:
    if _applies(rule, model, params) == "no":
        for name in _set_names(rule, params):
            yield Problem(name, f"only with {_condition(rule)}", "without it")


def _needs(rule: Rule, model: Model, params: Params) -> Iterator[Problem]:
    first, *others = rule.fields
    if _term_holds(first, params) == "yes" and all(_term_holds(other, params, model) == "no" for other in others):
        yield Problem(Rule.param_of(first), f"only together with {' or '.join(others)}", "without it")


def _steps(rule: Rule, model: Model, params: Params) -> Iterator[Problem]:
    value = params.get(rule.fields[0])
    if isinstance(value, int) and value % rule.limit != rule.offset % rule.limit:
        nearest = value - (value - rule.offset) % rule.limit
        expected = f"{rule.offset} more than a multiple of {rule.limit}: {nearest} or {nearest + rule.limit}"
        yield Problem(rule.fields[0], expected, str(value))


def _items(rule: Rule, model: Model, params: Params) -> Iterator[Problem]:
    value = params.get(rule.fields[0])
    count = len(value) if isinstance(value, list | tuple) else 1
    if value is not None and count != rule.limit and _applies(rule, model, params) != "no":
        yield Problem(rule.fields[0], f"exactly {_entries(rule.limit)}{_with_condition(rule)}", str(count))


def file_limits(model: Model, params: Params, place: str, limits: MediaLimits) -> MediaLimits:
    """Return which files a model takes at `place` (such as `image_urls[1]`), a service taking those within `limits`."""
    name = re.split(r"[\[.]", place, maxsplit=1)[0]
    rules = [rule for rule in model.rules if rule.file is not None and name in rule.fields]
    holding = [rule.file for rule in rules if rule.file is not None and _applies(rule, model, params) != "no"]
    inline = limits.inline_in_path if model.sending.model_in_path else None
    return limits._replace(inline=inline or limits.inline, files=(*limits.files, *holding))


def _choices_when(rule: Rule, model: Model, params: Params) -> Iterator[Problem]:
    value = params.get(rule.fields[0])
    if value is not None and _text(value) not in map(_text, rule.choices) and _applies(rule, model, params) != "no":
        yield Problem(rule.fields[0], f"{_or(rule.choices)} with {_condition(rule)}", _text(value))


def _at_most_items(rule: Rule, model: Model, params: Params) -> Iterator[Problem]:
    lists = {name: value for name in rule.fields if isinstance(value := params.get(name), list | tuple)}
    total = sum(map(len, lists.values()))
    if total > rule.limit and _applies(rule, model, params) != "no":
        most = f"{' and '.join(rule.fields)}: at most {rule.limit} together{_with_condition(rule)}"
        yield Problem(list(lists)[-1], most, str(total))


def _link(rule: Rule, model: Model, params: Params) -> Iterator[Problem]:
    for name in rule.fields:
        value = params.get(name)
        entries = value if isinstance(value, list | tuple) else [value]
        # Sent as it stands, a path of this machine would be paid for, and show what is here.
        if wrong := [entry for entry in entries if isinstance(entry, str) and not _LINK.match(entry)]:
            yield Problem(
                name, "a link (https://...)", preview(wrong[0]), "a file of this machine cannot be sent there"
            )


_LINK = re.compile(r"\s*(?!file:)[a-z][a-z0-9+.-]+:", re.IGNORECASE)


def _adds_up(rule: Rule, model: Model, params: Params) -> Iterator[Problem]:
    parts = [entry for entry in _at(rule.fields[0], params) if isinstance(entry, int | float)]
    whole = params.get(rule.fields[1])
    if whole is None and rule.fields[1] in model.params:
        whole = model.params[rule.fields[1]].default
    if parts and isinstance(whole, int | float) and sum(parts) != whole:
        yield Problem(rule.fields[0], f"{whole:g} in all, as {rule.fields[1]} says", f"{sum(parts):g}")


def _applies(rule: Rule, model: Model, params: Params) -> str:
    """Say whether a rule's conditions hold: `yes`, `default` where a default makes one of them hold, or `no`."""
    cases = [_case(model, params, name, value) for name, value in rule.when.items()]
    cases += [_term_holds(term, params, model) for term in rule.conditions]
    return next((case for case in ("no", "default") if case in cases), "yes")


def _spoken(rule: Rule) -> str:
    named = [f"{name} is {str(value).lower()}" for name, value in rule.when.items()]
    return " and ".join([*named, *rule.conditions])


def _case(model: Model, params: Params, name: str, value: Any) -> str:
    """Say whether a parameter has this value: because it was given, by default, or not at all."""
    if params.get(name) is not None:
        return "yes" if params[name] == value else "no"
    return "default" if name in model.params and model.params[name].default == value else "no"


_CHECKS: dict[str, Callable[[Rule, Model, Params], Iterator[Problem]]] = {
    "exactly_one": _exactly_one,
    "at_most_one": _at_most_one,
    "at_least_one": _at_least_one,
    "required_unless": _required_unless,
    "required_when": _required_when,
    "forbidden_when": _forbidden_when,
    "forbidden": _forbidden,
    "only_when": _only_when,
    "needs": _needs,
    "steps": _steps,
    "items": _items,
    "choices_when": _choices_when,
    "at_most_items": _at_most_items,
    "adds_up": _adds_up,
    "link": _link,
}
