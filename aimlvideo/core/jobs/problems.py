"""What is wrong with a job that cannot be kept, whatever its model: an id of two contents, text that no file can hold,
parameters that are secrets. No model takes one of those, and a journal, a recipe or a page would keep it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from math import isfinite
from typing import Any

from aimlvideo.core.jobs.job import PLAIN, VideoJob
from aimlvideo.errors import Problem

WRITABLE = "text that can be written, without halves of surrogate pairs"
NUMBER_TEXT = re.compile(r"-?(0|[1-9]\d{0,18})(\.\d{1,17})?")
NUMBER = "a finite number of at most 64 bits"
"""What every reader and every service can hold: a larger one is cut or refused somewhere on its way."""
WITHOUT_NUL = "text without NUL characters"
"""Many a database ends a text there, or refuses it; in a file it is damage, or another encoding."""
SECRET_NAME = re.compile(
    r"[a-z]{0,12}?(api|auth|access|secret|private|client|bearer)(key|token|secret)(id)?"
    r"|secret|token|bearer|(proxy)?authorization|password|passwd|credentials?"
)
DEEPEST_NAME = 4
"""Levels of objects in which names are looked at: `headers` and the like."""


def changed_content_problem(job_id: str, before: str, now: str) -> Problem:
    """Return what is wrong with a job whose id stood for another content before."""
    names = changed_fields(before, now)
    return Problem(
        names[0] if names else "id",
        f"what this id stood for before ({', '.join(names)} changed)",
        job=job_id,
        hint="give the changed job a new id",
    )


def changed_fields(before: str, now: str) -> list[str]:
    """Return what differs between two contents of a job: `model`, and parameters, by their names.

    5, 5.0 and the text of a table's cell `5` are sent as the same, and so are the same clip.
    """
    old, new = ({"model": json.loads(content)[0], **json.loads(content)[1]} for content in (before, now))
    return sorted(name for name in old.keys() | new.keys() if not _are_same(old.get(name), new.get(name)))


def _are_same(old: object, new: object) -> bool:
    if isinstance(old, str) is isinstance(new, str):
        return old == new
    return _number(old) == _number(new)


def _number(value: object) -> object:
    return json.loads(value) if isinstance(value, str) and NUMBER_TEXT.fullmatch(value) else value


def unwritable_problem(job: VideoJob) -> Problem:
    """Return where a job that cannot be written down has text that is none: in its id, its model or a parameter."""
    for field, value in (("id", job.id), ("model", job.model), *job.params.items()):
        if (place := _unwritable_place(value, field)) is not None:
            return Problem(place, WRITABLE, "half a pair", job=job.id.encode(errors="replace").decode())
    return Problem("params", WRITABLE, job=job.id)


def places_of_wrong_values(value: Any, place: str) -> Iterator[tuple[str, int | float | str]]:
    """Yield the path and the value of each number that is too large, infinite or none, and each text with a NUL."""
    if type(value) in PLAIN:
        if _is_wrong(value):
            yield place, value
    elif isinstance(value, Mapping):
        for name, part in value.items():
            # Nearly all parts: nothing is begun for each of them.
            if type(part) not in PLAIN or _is_wrong(part):
                yield from places_of_wrong_values(part, f"{place}.{name}" if place else str(name))
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            yield from places_of_wrong_values(part, f"{place}[{index}]")


def _is_wrong(value: str | int | float | None) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, float):
        return not isfinite(value)
    return value is not None and not -(2**63) <= value < 2**63


def is_writable(value: Any) -> bool:
    """Tell whether files and requests can hold all text in a value, at a fraction of what it takes to say where not."""
    if isinstance(value, str):
        return value.isascii() or value.encode(errors="replace").decode() == value
    if type(value) in PLAIN:
        return True
    if type(value) is dict or isinstance(value, Mapping):
        return all(map(is_writable, value)) and all(map(is_writable, value.values()))
    return all(map(is_writable, value)) if isinstance(value, list | tuple) else True


def _unwritable_place(value: Any, place: str) -> str | None:
    """Return the path of the first text in a value that no file and no request can hold, or None."""
    if is_writable(value):
        return None
    if isinstance(value, str):
        return place
    if isinstance(value, Mapping):
        parts = [(f"{place}.{ascii(name)[1:-1]}", part) for name, part in value.items()]
        parts += [(f"{place}.{ascii(name)[1:-1]}", name) for name in value if isinstance(name, str)]
    else:
        parts = [(f"{place}[{number}]", part) for number, part in enumerate(value)]
    return next((inner for name, part in parts if (inner := _unwritable_place(part, name)) is not None), None)


def duplicate_id_problem(job_id: str) -> Problem:
    """Return what is wrong with an id that somebody chose twice."""
    return Problem("id", "each id once", "the same id as a job before it", job=job_id)


def secret_problems(job: VideoJob) -> list[Problem]:
    """Return a problem for each parameter that is named like a secret; what it holds is not repeated."""
    return [
        Problem(
            name,
            "no secret: it is not a parameter of the model, and would be written down",
            hint="the key of the service: VideoClient(api_key=...), --api-key @FILE, or the environment",
            job=job.id,
        )
        for name in _secret_names(job.params)
    ]


def without_secrets(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters as they may be shown: a journal of an earlier release may hold what is refused today."""
    return {
        name: without_secrets(value) if isinstance(value, Mapping) else value
        for name, value in params.items()
        if not (isinstance(name, str) and _is_secret(name))
    }


def _secret_names(params: Mapping[str, Any], level: int = 0) -> Iterator[str]:
    for name, value in params.items():
        if isinstance(name, str) and _is_secret(name):
            yield name
        elif type(value) not in PLAIN and isinstance(value, Mapping) and level < DEEPEST_NAME:
            yield from (f"{name}.{inner}" for inner in _secret_names(value, level + 1))


# The same names stand in every job of a file.
@lru_cache(maxsize=1024)
def _is_secret(name: str) -> bool:
    return SECRET_NAME.fullmatch(re.sub(r"[^a-z]", "", name.lower())) is not None
