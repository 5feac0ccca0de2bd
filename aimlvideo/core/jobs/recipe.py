"""The recipe of a clip: what was asked, what it cost and when, as text that stands in the clip's own file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any

from aimlvideo.core.formatting import strip_signatures
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.problems import without_secrets
from aimlvideo.core.jobs.progress import Progress

LONGEST_TEXT = 20_000
"""Characters of one value: the longest prompt that a model takes has 50,000, most clips' have fewer than 1,000."""


def recipe_of(job: VideoJob, progress: Progress) -> str:
    """Return a clip's recipe as JSON: `job` is a line for a job file, beside it the generation, its cost and times.

    Links lose their signatures, and pictures that were sent inline are named by their hash: no secret and no picture
    is copied into a file that people pass on.
    """
    params = without_secrets(job.params)
    line = {"id": job.id, "model": job.model, **{name: _public(value) for name, value in sorted(params.items())}}
    facts = {
        "generation_id": progress.generation_id,
        "cost_usd": progress.cost_usd,
        "submitted_at": _iso(progress.submitted_at),
        "completed_at": _iso(progress.completed_at),
    }
    recipe = {"job": line, **{name: value for name, value in facts.items() if value is not None}}
    # Half a surrogate pair can stand in JSON, but not in a file's UTF-8.
    return json.dumps(recipe, ensure_ascii=False).encode(errors="replace").decode()


def read_recipe(text: str) -> Mapping[str, Any] | None:
    """Return the recipe that a text is; None where it is another text."""
    try:
        recipe = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(recipe, dict) or not isinstance(recipe.get("job"), dict):
        return None
    return recipe if isinstance(recipe["job"].get("model"), str) else None


def _public(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _public(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_public(inner) for inner in value]
    if isinstance(value, str):
        return _named_by_hash(value) if value.startswith("data:") else strip_signatures(value)[:LONGEST_TEXT]
    if isinstance(value, bool | int | float) or value is None:
        return value
    return str(value) if isinstance(value, PurePath) else _named_by_hash(repr(value))


def _named_by_hash(inline: str) -> str:
    digest = hashlib.sha256(inline.encode(errors="replace")).hexdigest()
    kind = inline[5:].partition(";")[0] if inline.startswith("data:") else "value"
    return f"sha256:{digest[:16]} ({kind})"


def _iso(moment: float | None) -> str | None:
    return None if moment is None else datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")
