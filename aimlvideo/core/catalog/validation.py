"""A job against the catalogue: what to send, and all that is wrong with it at once."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from aimlvideo.core.catalog.aliases import canonical_name
from aimlvideo.core.catalog.catalog import Catalog
from aimlvideo.core.catalog.endpoints import NAMED, choose_endpoint, flattened
from aimlvideo.core.catalog.model import Model, Param
from aimlvideo.core.catalog.rules import broken_rules
from aimlvideo.core.formatting import is_blank, preview, redact_for_display
from aimlvideo.core.jobs.job import PLAIN, TOO_DEEP, VideoJob, is_too_deep, python_number
from aimlvideo.core.jobs.problems import (
    NUMBER,
    WITHOUT_NUL,
    is_writable,
    places_of_wrong_values,
    secret_problems,
    unwritable_problem,
)
from aimlvideo.core.jobs.templates import MATRIX
from aimlvideo.core.links import resolve_link
from aimlvideo.errors import Problem

if TYPE_CHECKING:
    from pydantic_core import SchemaValidator, ValidationError

Place = tuple[str | int, ...]

SETTINGS = frozenset({
    "anyway", "api_key", "base_url", "buy_ahead", "callback", "callback_secret", "confirm_above", "downloads",
    "journal", "knowledge", "legacy", "local_files", "local_links", "max_outstanding", "max_spend", "metadata",
    "output", "poll", "poll_rate", "rate", "retry_failed", "service", "settle", "strict", "timeout", "upload",
})  # fmt: skip
"""What no model takes, and people write beside the parameters of one: a setting of the client or of a run."""
LONGEST_LINK = 80
"""Letters of a link that a message shows at most."""
EXAMPLE_LINK = "https://example.com/picture.png"
_EMPTY_DATA = re.compile(r"data:[^,]{0,200},?\s*\Z", re.IGNORECASE)
_GAP = r"\$?\{\{? ?[^\W\d]\w{0,40}([ _.|-]\w{1,40}){0,4} ?\}\}?"
"""Where a template has a name for what is to stand there: `{colour}`, `{{ colour }}`, `${product name}`."""


class Checked(NamedTuple):
    """`params` is what to send, in this package's names and without defaults; `problems` refuse the job, `warnings` do
    not.
    """

    params: dict[str, Any]
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()


def check(job: VideoJob, catalog: Catalog, *, service: str = "", strict: bool = False, legacy: bool = False) -> Checked:
    """Check a job against its model on `service` (else the catalogue's usual one).

    With `strict`, unknown names are problems. `legacy`: it is sent to the service's older URLs, which have rules and
    parameters of their own.
    """
    if not all(map(_is_plain, job.params.values())):
        if is_too_deep(job.params):
            return _checked(job, dict(job.params), [TOO_DEEP])
        if not is_writable(job.params):
            return _checked(job, dict(job.params), [unwritable_problem(job)])
    if never_sent := [*_about_id(job), *secret_problems(job), *_about_template(job)]:
        return _checked(job, dict(job.params), never_sent)
    service = service or Catalog.default_service()
    listed = catalog.find(job.model)
    problems: list[Problem] = []
    if listed is None or service not in listed.services:
        problems += _about_model(job, catalog, service)
    model = model_of(job, catalog, service)
    if isinstance(model, Problem):
        problems.append(model)
    if not isinstance(model, Model) or any(not problem.warning for problem in problems):
        return _checked(job, dict(job.params), problems)
    params = _unified(flattened(model, job.params), model, problems)
    named = {NAMED: params.pop(NAMED)} if model.endpoint and NAMED in params else {}
    params = _validated(model, params, problems, strict=strict) | named
    if not legacy:
        problems.extend(_legacy_only(model, params))
    # A field that is wrong by itself breaks rules too: two messages about one slip would send people to two places.
    wrong_fields = {problem.field for problem in problems if not problem.warning}
    values = (
        Problem(place, WITHOUT_NUL if isinstance(value, str) else NUMBER, preview(value))
        for place, value in places_of_wrong_values(params, "")
    )
    further = (
        *_blank_texts(model, params), *_links_to_nowhere(model, params), *values, *_gaps(params),
        *_unsendable(model, params),
    )  # fmt: skip
    more = [problem for problem in further if problem.field not in wrong_fields]
    problems.extend(more)
    if model.rules:
        wrong_fields |= {problem.field for problem in more if not problem.warning}
        broken = broken_rules(model, params, legacy=legacy)
        problems.extend(problem for problem in broken if problem.field not in wrong_fields)
    return _checked(job, params, problems)


def _about_id(job: VideoJob) -> Iterator[Problem]:
    # Neither a database nor a file's name can have one, and it would end the others that are written with it.
    if "\0" in job.id:
        yield Problem("id", WITHOUT_NUL, preview(job.id))
    if not is_writable(job.id):
        yield unwritable_problem(job)


def _about_template(job: VideoJob) -> Iterator[Problem]:
    if MATRIX in job.params:
        # Sent unchanged, as other unknown parameters are, it would be ignored, and the rest of the template bought.
        hint = "add --matrix; in Python: aimlvideo.core.jobs.templates.expand"
        expected_job = "one job, not a template: the lists under `matrix` are combined with --matrix only"
        yield Problem(MATRIX, expected_job, hint=hint)


def _blank_texts(model: Model, params: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield a problem for each required text that has no letter: the service would take it, and charge for it."""
    for name, value in params.items():
        if isinstance(value, str) and is_blank(value) and (param := model.params.get(name)) and param.required:
            yield Problem(name, f"required: {param.expected()}", f"{preview(value)}, which is blank")


def _gaps(params: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield a remark for each text with a gap of a template in it: it would be bought as it stands."""
    for name, value in params.items():
        if isinstance(value, str) and "{" in value and (gap := re.search(_GAP, value)):
            yield Problem(
                name, "a text whose gaps are filled in", repr(gap[0]), "it is sent as it stands", warning=True
            )


def _links_to_nowhere(model: Model, params: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield a problem for each picture, clip or sound whose link names no host, or holds nothing: paid, never read."""
    for path, value in model.media_fields(params):
        if isinstance(value, str) and _EMPTY_DATA.match(value):
            yield Problem(path, "a file that can be sent", f"{value[:LONGEST_LINK]!r}, a data: URI without its content")
        if not isinstance(value, str) or not value[:8].lower().startswith(("http://", "https://")):
            continue
        try:
            resolve_link(value, "")
        except ValueError as error:
            got = f"{redact_for_display(value, LONGEST_LINK)} is not a link ({error})"
            yield Problem(path, "a file that can be sent", f"{got}: expected something like {EXAMPLE_LINK}")


def _unsendable(model: Model, params: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield a problem for each value that no request can hold, of the parameters that nothing else looks into."""
    for name, value in params.items():
        if type(value) in PLAIN or name in model.params:
            continue
        try:
            json.dumps(value)
        except (TypeError, ValueError):
            yield Problem(name, "a value that JSON can hold", preview(value))


def _is_plain(value: Any) -> bool:
    """Tell a value that holds nothing and can be written, without walking through it."""
    return value.isascii() if type(value) is str else type(value) in PLAIN


def _legacy_only(model: Model, params: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield a remark for each parameter that the usual endpoint ignores."""
    for name in params:
        if (param := model.params.get(name)) and param.legacy:
            yield Problem(
                name, "a parameter of the legacy URL only, ignored elsewhere", hint="use --legacy", warning=True
            )


def model_of(job: VideoJob, catalog: Catalog, service: str | None = None) -> Model | Problem | None:
    """Return what a job's model takes at the endpoint that the job is for; a problem where none takes it.

    None where nobody knows the model at this service (at any, where none is named).
    """
    model = catalog.find(job.model)
    if model is None or (service and service not in model.services):
        model = catalog.find_unlisted(job.model, service)
    return None if model is None else choose_endpoint(model, job.params)


def _checked(job: VideoJob, params: dict[str, Any], problems: list[Problem]) -> Checked:
    if not problems:
        return Checked(params)
    named = [replace(problem, job=job.id) for problem in problems]
    return Checked(
        params,
        tuple(problem for problem in named if not problem.warning),
        tuple(problem for problem in named if problem.warning),
    )


def _about_model(job: VideoJob, catalog: Catalog, service: str) -> Iterator[Problem]:
    """Yield what is to be said of a model that is missing, unknown, or known to another service."""
    name: Any = job.model
    if name == "":
        near = next(
            (field for field in job.params if difflib.get_close_matches(field.lower(), ("model",), 1, 0.75)), ""
        )
        hint = f"did you mean {near!r}? Call it `model`" if near else "add `model`"
        yield Problem("model", "a model", "none", f"{hint}, or give --model MODEL")
    elif not isinstance(name, str):
        yield Problem("model", "the id of a model, as text", preview(name))
    elif catalog.find_unlisted(name, service):
        # A warning, not a problem: a gateway gets new models more often than this package is released.
        shared = f"not known here, checked by what all such models of service {service} share"
        yield Problem("model", shared, repr(name), warning=True)
    elif model := catalog.find(name):
        hint = f"it belongs to {' and '.join(model.services)}: use --service {model.service}"
        yield Problem("model", f"a model of service {service}", repr(name), hint)
    elif how := catalog.made_elsewhere(name, service):
        yield Problem("model", "a known model", repr(name), f"it is one of {how}, which this release does not know")
    else:
        nearest = ", ".join(near for near in catalog.nearest(name) if _serves(catalog, near, service))
        hint = (f"did you mean {nearest}? " if nearest else "") + "new models: aimlvideo models --refresh"
        yield Problem("model", "a known model", preview(name), hint)


def _serves(catalog: Catalog, name: str, service: str) -> bool:
    model = catalog.find(name)
    return model is not None and service in model.services


def _unified(params: Mapping[str, Any], model: Model, problems: list[Problem]) -> dict[str, Any]:
    """Return the parameters that were given (None is not given) under the model's own names."""
    given = ((name, value) for name, value in params.items() if value is not None)
    unified = {name: value if type(value) in PLAIN else python_number(value) for name, value in given}
    _from_service_names(unified, model)
    for name in unified.keys() - model.params.keys() - {NAMED}:
        if ours := canonical_name(name, model.params):
            problems.extend(_renamed(unified, name, ours))
    return unified


def _from_service_names(params: dict[str, Any], model: Model) -> None:
    """Put the service's own names, its objects around plain entries, and its words in this package's form."""
    for theirs, ours in model.service_names.items():
        if theirs in params and ours not in params:
            params[ours] = params.pop(theirs)
    for name, key in model.sending.entries.items():
        if isinstance(entries := params.get(name), list | tuple):
            params[name] = [_bare(entry, key) for entry in entries]
    for name, (yes, no) in _switches(model).items():
        if isinstance(value := params.get(name), bool):
            params[name] = yes if value else no


@lru_cache(maxsize=512)
def _switches(model: Model) -> dict[str, tuple[Any, ...]]:
    """Return the parameters that have two words for true and false, with these words."""
    words = (("on", "off"), ("yes", "no"))
    return {name: param.choices for name, param in model.params.items() if param.choices in words}


def _bare(entry: Any, key: str) -> Any:
    return entry[key] if isinstance(entry, Mapping) and entry.keys() == {key} else entry


def _renamed(params: dict[str, Any], name: str, ours: str) -> Iterator[Problem]:
    if ours in params and params[ours] != params[name]:
        yield Problem(name, f"one value: it conflicts with {ours} (same parameter)", "two", "leave out one of them")
    else:
        yield Problem(name, f"taken as {ours}", warning=True)
    value = params.pop(name)
    params.setdefault(ours, value)


@lru_cache(maxsize=1)
def _pydantic() -> tuple[type[ValidationError], Callable[[Model, Literal["allow", "forbid"]], SchemaValidator]]:
    """Load what validates when it is first used: 40 ms that not every command needs."""
    from pydantic_core import ValidationError  # noqa: PLC0415

    from aimlvideo.core.catalog.validators import validator_for  # noqa: PLC0415

    return ValidationError, validator_for


def _validated(model: Model, params: dict[str, Any], problems: list[Problem], *, strict: bool) -> dict[str, Any]:
    """Return the parameters as they are to be sent: checked strictly for problems, then leniently for unknown names."""
    ValidationError, validator_for = _pydantic()  # noqa: N806 - a class
    try:
        return dict(validator_for(model, "forbid").validate_python(params))
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False)
    problems.extend(_problems(model, params, details, strict=strict))
    try:
        return dict(validator_for(model, "allow").validate_python(params))
    except ValidationError:
        return params


def _problems(model: Model, params: Any, details: list[Any], *, strict: bool) -> Iterator[Problem]:
    """Yield one problem for each place that pydantic complains about."""
    # A value that fits none of several forms is complained about once for each form: people want to read one line.
    seen: set[Place] = set()
    for detail in details:
        spot = _spot(model, params, detail["loc"])
        if spot is None or spot.place in seen:
            continue
        seen.add(spot.place)
        if detail["type"] == "extra_forbidden":
            yield _unknown(spot, strict=strict, is_left_out=model.sending.model_in_path)
        elif detail["type"] == "missing":
            yield Problem(_path(spot.place), f"required: {spot.param.expected()}", "nothing")
        else:
            got = _got(spot.value, detail["type"])
            yield Problem(_path(spot.place), spot.param.expected(), got, _what_was_meant(spot))


class _Spot(NamedTuple):
    """A place in a job's parameters: what should be there, what is, and what may stand beside it."""

    place: Place
    param: Param
    value: Any
    siblings: Mapping[str, Param]


def _spot(model: Model, params: Any, location: Place) -> _Spot | None:
    """Follow pydantic's location; None where it speaks of another form than the one that the value has.

    For a parameter of several forms pydantic says of each why it does not fit, with the form's number in the location.
    """
    spot = _Spot((), Param("object", fields=model.params), params, {})
    for step in location:
        if not spot.param.any_of:
            spot = _inside(spot, step)
            continue
        form = spot.param.form_of(spot.value)
        if form is None:
            return spot
        # A person gave one form: complaints about the others would send them the wrong way.
        if str(spot.param.any_of.index(form)) != step:
            return None
        spot = spot._replace(param=form)
    return spot


def _inside(spot: _Spot, step: str | int) -> _Spot:
    place, there = (*spot.place, step), spot.value
    if isinstance(step, int):
        return _Spot(place, spot.param.item or Param("any"), there[step], {})
    siblings = spot.param.fields or {}
    return _Spot(place, siblings.get(step, Param("any")), there.get(step), siblings)


def _got(value: Any, kind: str) -> str:
    if kind in {"too_long", "too_short"}:
        return str(len(value))
    return f"{len(value):,} characters" if kind.startswith("string_too") else preview(value)


# The same unknown name stands in every row of a table, and comparing names costs more than the rest of a check.
@lru_cache(maxsize=1024)
def _nearest(name: str, names: tuple[str, ...]) -> str | None:
    """Return the name that one was probably meant to be."""
    return next(iter(difflib.get_close_matches(name, names, 1, 0.6)), None)


def _unknown(spot: _Spot, *, strict: bool, is_left_out: bool) -> Problem:
    """Return what to say of an unknown name. `is_left_out`: the service makes a clip without it, and bills that."""
    if len(spot.place) == 1 and spot.place[0] in SETTINGS:
        # Passed through, it would be ignored there, and what it was meant to hold back be bought.
        hint = "VideoClient(...), client.run(...) and the command line take it"
        return Problem(_path(spot.place), "a setting of the client or of a run, not a parameter of the model", "", hint)
    if isinstance(spot.value, Mapping) and (misplaced := spot.value.keys() & spot.siblings.keys()):
        # Sent unchanged it would be ignored, and a clip be bought without what is in it.
        hint = f"the parameters of a job stand beside its model: {', '.join(sorted(misplaced))}"
        return Problem(_path(spot.place), "no parameters inside another one", preview(spot.value), hint)
    nearest = _nearest(str(spot.place[-1]), tuple(spot.siblings))
    hint = f"did you mean {nearest}?" if nearest else "aimlvideo models MODEL lists what there is"
    if is_left_out and not nearest:
        hint += (
            ". The service bills a clip without what it does not know: where this one is new, update aimlvideo with pip"
        )
    if strict or is_left_out:
        return Problem(_path(spot.place), "no such parameter of this model", preview(spot.value), hint)
    return Problem(_path(spot.place), "unknown parameter for this model; sent unchanged", "", hint, warning=True)


def _what_was_meant(spot: _Spot) -> str:
    """Return what to do about a value that does not fit: the nearest choice, or a job for each value of a list."""
    forms = spot.param.any_of or (spot.param,)
    if len(spot.place) == 1 and isinstance(spot.value, list | tuple) and all(form.type != "array" for form in forms):
        return f'for a job each: "{MATRIX}": {{"{spot.place[0]}": [...]}} and --matrix'
    return _nearest_choice(spot.param, spot.value)


def _nearest_choice(param: Param, value: Any) -> str:
    words = {str(choice).lower(): str(choice) for choice in param.choices}
    nearest = difflib.get_close_matches(str(value)[:80].lower(), words, 1, 0.7) if isinstance(value, str) else []
    return f"did you mean {words[nearest[0]]}?" if nearest else ""


def _path(place: Place) -> str:
    """Write a place as people do: `elements[2].reference_image_urls`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)
    return text.removeprefix(".") or "params"
