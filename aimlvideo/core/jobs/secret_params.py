"""Parameters that are secrets: no model takes one, and a journal, a recipe or a page would keep it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.errors import Problem

SECRET_NAME = re.compile(
    r"[a-z]{0,12}?(api|auth|access|secret|private|client|bearer)(key|token|secret)(id)?"
    r"|secret|token|bearer|(proxy)?authorization|password|passwd|credentials?"
)
DEEPEST_NAME = 4
"""Levels of objects in which names are looked at: `headers` and the like."""


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
        elif isinstance(value, Mapping) and level < DEEPEST_NAME:
            yield from (f"{name}.{inner}" for inner in _secret_names(value, level + 1))


# The same names stand in every job of a file.
@lru_cache(maxsize=1024)
def _is_secret(name: str) -> bool:
    return SECRET_NAME.fullmatch(re.sub(r"[^a-z]", "", name.lower())) is not None
