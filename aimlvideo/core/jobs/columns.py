"""A job's progress as the columns of a table, and back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import compress
from operator import itemgetter
from typing import Any, Literal

from aimlvideo import errors
from aimlvideo.core.jobs.file_names import is_plain_name
from aimlvideo.core.jobs.progress import Attempt, ClipFile, Progress
from aimlvideo.core.jobs.stages import WITHOUT_GENERATION, Stage
from aimlvideo.errors import (
    ContentRefused,
    GenerationFailed,
    InDoubt,
    InvalidJobs,
    OutOfPatience,
    Problem,
    ServiceError,
    VideoError,
)

Kind = Literal["text", "integer", "count", "number", "bytes"]

COLUMN_KINDS: Mapping[str, Kind] = {
    "stage": "text", "request_id": "text", "generation_id": "text", "video_url": "text", "error": "text",
    "cost_usd": "number", "polls": "count", "submitted_at": "number", "completed_at": "number", "saved_at": "number",
    "file": "text", "bytes": "integer", "sha256": "bytes", "poll_ages": "bytes", "video_urls": "text", "files": "text",
    "account": "text", "service_time": "number", "cost_units": "number", "status": "text", "status_at": "number",
    "file_sizes": "text", "retry_of": "text",
}  # fmt: skip
"""The columns, named after the fields of `Progress`, in its order; a journal has a type of its own for each kind."""
PROGRESS_COLUMNS = tuple(COLUMN_KINDS)
MOMENTS = ("submitted_at", "completed_at", "saved_at", "service_time", "status_at")
MOST_COST = 1e9
"""USD or credits: a service that says more says nothing."""
MOST: Mapping[str, float] = {
    **dict.fromkeys(MOMENTS, 1e11), "cost_usd": MOST_COST, "cost_units": MOST_COST, "polls": 1e9, "bytes": 1e15,
}  # fmt: skip
"""The largest number that any run writes into a column, where there is one; the least is 0."""


def _error_text(error: VideoError) -> str:
    field = f"[{error.field}]" if isinstance(error, ContentRefused) and error.field else ""
    return f"{type(error).__name__}{field}: {error}".encode(errors="replace").decode()


_AS_PLAIN_VALUE: Mapping[str, Callable[[Any], Any]] = {
    "stage": str,
    "error": _error_text,
    "sha256": bytes.fromhex,
    "poll_ages": bytes,
    "video_urls": json.dumps,
    "files": json.dumps,
    "file_sizes": json.dumps,
}
"""How a field that holds something becomes a plain value; an empty one is None, every other field is one already."""
_CONVERSIONS = tuple((PROGRESS_COLUMNS.index(name), convert) for name, convert in _AS_PLAIN_VALUE.items())
_values_to_convert = itemgetter(*(place for place, _ in _CONVERSIONS))
_NEVER_NONE = tuple(map(PROGRESS_COLUMNS.index, ("poll_ages", "video_urls", "files", "file_sizes")))


def columns_of(progress: Progress) -> tuple[Any, ...]:
    """Return the values of the columns: plain numbers, text and bytes."""
    values = list(progress)
    # Most steps have nothing in most of them.
    for place, convert in compress(_CONVERSIONS, _values_to_convert(progress)):
        values[place] = convert(values[place])
    for place in _NEVER_NONE:
        values[place] = values[place] or None
    return tuple(values)


def progress_of(columns: Sequence[Any]) -> Progress:
    """Return the progress that was kept. Its error has its class, its words and its ids; other attributes are gone."""
    values = dict(zip(PROGRESS_COLUMNS, columns, strict=True))
    error, sha256, video_urls, files = values["error"], values["sha256"], values["video_urls"], values["files"]
    values |= {
        "stage": Stage(values["stage"]),
        "error": _error_from_text(error, values["generation_id"], values["request_id"]),
        "sha256": sha256.hex() if sha256 else None,
        "poll_ages": values["poll_ages"] or b"",
        "video_urls": tuple(map(_text, json.loads(video_urls))) if video_urls else (),
        "files": tuple(map(_clip_file, json.loads(files))) if files else (),
        "file_sizes": tuple(map(_size, json.loads(values["file_sizes"]))) if values["file_sizes"] else (),
    }
    if values["file"] is not None:
        # A name that leads out of the folder was written by another hand: the journal is refused before anything is
        # read or replaced there.
        _clip_file([values["file"]])
    return Progress(**values)


def damaged_column(progress: Progress) -> str | None:
    """Return the first column that has what no run writes, or None."""
    for name, most in MOST.items():
        if (number := getattr(progress, name)) is not None and not 0 <= number <= most:
            return name
    wrong = (Stage.RENDERING,) if progress.generation_id is None else WITHOUT_GENERATION
    return "generation_id" if progress.stage in wrong else None


def attempt_of(columns: Sequence[Any]) -> tuple[str, Attempt]:
    """Return the submission that was kept: its job's id stands first, then the fields of `Attempt` in their order."""
    job_id, *values = columns
    attempt = Attempt._make(values)
    return job_id, attempt._replace(stage=Stage(attempt.stage))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected text, got {value!r:.40}")
    return value


def _size(value: Any) -> int | None:
    if value is not None and type(value) is not int:
        raise ValueError(f"a number of bytes was expected, not {value!r:.40}")
    return value


def _clip_file(row: Any) -> ClipFile:
    """Return a saved file; one that lies outside of the folder was written by nobody who means well."""
    clip = ClipFile(*row)
    if not is_plain_name(_text(clip.file)):
        raise ValueError(f"{clip.file!r:.60} is not the name of a file in this folder")
    return clip


def _error_from_text(text: str | None, generation_id: str | None, request_id: str | None) -> VideoError | None:
    """Return the error that was written down as `Name: message` or `Name[field]: message`, with its ids.

    Other attributes are gone.
    """
    if text is None:
        return None
    heading, _, message = text.partition(": ")
    name, _, field = heading.removesuffix("]").partition("[")
    # A journal may come from a newer release with errors that this one lacks: their text is kept all the same.
    kind = getattr(errors, name, None)
    if not (isinstance(kind, type) and issubclass(kind, VideoError)):
        return VideoError(message)
    if issubclass(kind, InvalidJobs):
        return InvalidJobs([Problem("", message)])
    if issubclass(kind, ContentRefused):
        return kind(message, field=field or None, request_id=request_id, generation_id=generation_id)
    if issubclass(kind, GenerationFailed | OutOfPatience):
        return kind(message, generation_id=generation_id)
    return kind(message, request_id=request_id) if issubclass(kind, ServiceError | InDoubt) else kind(message)
