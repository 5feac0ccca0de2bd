"""What is wrong with a job that cannot be kept: an id that stands for two contents, or text that no file can hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aimlvideo.core.jobs.job import PLAIN, VideoJob
from aimlvideo.errors import Problem

WRITABLE = "text that can be written, without halves of surrogate pairs"


def changed_content_problem(job_id: str, before: str, now: str) -> Problem:
    """Return what is wrong with a job whose id stood for another content before."""
    old, new = ({"model": json.loads(content)[0], **json.loads(content)[1]} for content in (before, now))
    names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    return Problem(
        names[0] if names else "id",
        f"what this id stood for before ({', '.join(names)} changed)",
        job=job_id,
        hint="give the changed job a new id",
    )


def unwritable_problem(job: VideoJob) -> Problem:
    """Return where a job that cannot be written down has text that is none: in its id, its model or a parameter."""
    for field, value in (("id", job.id), ("model", job.model), *job.params.items()):
        if (place := _unwritable_place(value, field)) is not None:
            return Problem(place, WRITABLE, "half a pair", job=job.id.encode(errors="replace").decode())
    return Problem("params", WRITABLE, job=job.id)


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
