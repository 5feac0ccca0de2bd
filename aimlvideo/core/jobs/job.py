"""A job: what is wanted, and the id that follows from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import PurePath
from types import NoneType
from typing import Any

from aimlvideo.core.formatting import preview
from aimlvideo.errors import InvalidJobs, Problem

_setattr = object.__setattr__
DEEPEST = 32
"""Levels of lists and objects in one job or one answer: no parameter of any model needs more than 6."""
LARGEST = 2**63
"""No service and no journal holds a number beyond it."""
TOO_DEEP = Problem("params", f"at most {DEEPEST} levels of lists and objects", "more")
"""What is wrong with lists or objects that stand inside each other without end."""


@dataclass(frozen=True, slots=True, init=False)
class VideoJob:
    """One clip that is wanted: `VideoJob("kling-video/v1.6/pro/image-to-video", prompt="...", image_url="a.png")`.

    `params` are the model's own parameters, as its documentation names them. Pictures may be links, paths, `bytes`
    or PIL images. `id` names the job in results and files; without one it is derived from the content, so the same
    job has the same id tomorrow.
    """

    model: str
    params: Mapping[str, Any]
    id: str
    folder: PurePath | None = field(default=None, compare=False, repr=False)
    """Where relative paths of pictures start: the job file's folder. No part of what is asked."""

    def __init__(self, /, model: str, *, id: str | None = None, **params: Any) -> None:  # noqa: A002 - the field's name
        _setattr(self, "model", model)
        _setattr(self, "params", params)
        _setattr(self, "folder", None)
        _setattr(self, "id", self._id_of_content() if id is None or id == "" else _text_of_id(id))

    @classmethod
    def of_content(cls, job_id: str, content: str, folder: str | None = None) -> VideoJob:
        """Return the job whose `content` was written down. Raises ValueError or TypeError for what is none."""
        model, params = json.loads(content)
        return cls(model, id=job_id, **(params or {})).with_base_folder(folder or None)

    @property
    def derived(self) -> bool:
        """Whether nobody chose this job's id: it follows from the content."""
        return self.id.startswith("job-") and (self.id == self._id_of_content() or self.id == self.earlier_id)

    @property
    def earlier_id(self) -> str | None:
        """The id that 0.1.0 derived from this content, where it is another one: clips were bought under it."""
        earlier = self.earlier_content if self.id.startswith("job-") else None
        return None if earlier is None else f"job-{_digest(earlier)[:12]}"

    @property
    def earlier_content(self) -> str | None:
        """What `content` was in 0.1.0, where it is another text: journals have it."""
        if _is_spelt_one_way(self.params.values()):
            return None
        content = self.content()
        written = _CONTENT.encode([self.model, self.params])
        return None if written == content else written

    def with_id(self, job_id: str) -> VideoJob:
        """Return the same job under another id."""
        return self._with(self.params, job_id, self.folder)

    def with_base_folder(self, folder: PurePath | str | None) -> VideoJob:
        """Return the same job whose relative paths start at `folder`."""
        return self._with(self.params, self.id, None if folder is None else PurePath(folder))

    def with_params(self, params: Mapping[str, Any]) -> VideoJob:
        """Return the same job, under the same id, with other parameters."""
        return self._with(params, self.id, self.folder)

    def _with(self, params: Mapping[str, Any], job_id: str, folder: PurePath | None) -> VideoJob:
        # Past `__init__`: it would hash the content again, which costs more than all else for a job with inline
        # pictures.
        job = object.__new__(VideoJob)
        _setattr(job, "model", self.model)
        _setattr(job, "params", params)
        _setattr(job, "id", job_id)
        _setattr(job, "folder", folder)
        return job

    def _id_of_content(self) -> str:
        return f"job-{self.digest()[:12]}"

    def digest(self) -> str:
        """Return 64 hex digits that change when what is asked changes, and with nothing else."""
        return _digest(self.content())

    def content(self) -> str:
        """Return what is asked as JSON: `[model, params]`, keys sorted; `bytes` and pictures by their hash.

        A number has one spelling: in a DataFrame 5 becomes 5.0 as soon as a cell below it is empty, or numpy's own 5.
        """
        if is_too_deep(self.params):
            raise InvalidJobs([TOO_DEEP])
        try:
            params = self.params if _is_spelt_one_way(self.params.values()) else _in_one_spelling(self.params)
            return _CONTENT.encode([self.model, params])
        except (TypeError, ValueError) as error:
            raise InvalidJobs([Problem("params", "values that JSON can hold", str(error)[:200])]) from error


def _text_of_id(job_id: object) -> str:
    """Return an id as text. Raises InvalidJobs where it may be another one in each process, and be bought again."""
    is_plain = isinstance(job_id, str | int | float) and not isinstance(job_id, bool)
    # A UUID, a date or another library's number has a text of its own; of what has none, Python writes the address.
    if is_plain or (type(job_id).__str__ is not object.__str__ and not isinstance(job_id, bytes)):
        with suppress(ValueError):  # a number of more digits than Python writes out
            return str(job_id)
    raise InvalidJobs([Problem("id", "text or a number", preview(job_id))])


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode(errors="surrogatepass")).hexdigest()


_SPELT_ONE_WAY = frozenset((str, int, bool, NoneType))


def _is_spelt_one_way(values: Collection[Any]) -> bool:
    """Tell values, as nearly all are, of which none is a number that has several spellings, or may hold one."""
    return _SPELT_ONE_WAY.issuperset(map(type, values)) or all(
        type(value) in _SPELT_ONE_WAY or (type(value) is list and _SPELT_ONE_WAY.issuperset(map(type, value)))
        for value in values
    )


def _in_one_spelling(value: Any) -> Any:
    """Return a value in which each whole number is an `int`, and other libraries' numbers are Python's."""
    if type(value) in _SPELT_ONE_WAY:
        return value
    value = python_number(value)
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, Mapping):
        return {name: _in_one_spelling(part) for name, part in value.items()}
    return [_in_one_spelling(part) for part in value] if isinstance(value, list | tuple) else value


def python_number(value: Any) -> Any:
    """Return a number of another library as one of Python; anything else as it is."""
    if getattr(value, "shape", None) == () and hasattr(value, "item"):  # of numpy, torch and their like
        value = value.item()
    if isinstance(value, Decimal) and value.is_finite():
        return int(value) if -LARGEST < value < LARGEST and value == int(value) else float(value)
    return value


def _json_default(value: object) -> object:
    """Stand in for what JSON does not know: paths by their text, bytes and PIL images by their content."""
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, bytes | bytearray):
        return f"sha256:{hashlib.sha256(value).hexdigest()}"
    pixels = getattr(value, "tobytes", None)
    if pixels is None:
        return repr(value)
    shape = f"{getattr(value, 'mode', '')} {getattr(value, 'size', '')} ".encode()
    return f"sha256:{hashlib.sha256(shape + pixels()).hexdigest()}"


_CONTENT = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_json_default)


PLAIN = (str, int, float, bool, type(None))
"""Types that hold nothing. They are asked for first: a look whether something is a Mapping costs ten times as much."""


def is_too_deep(value: Any) -> bool:
    """Tell whether a value has more than `DEEPEST` levels; it may be of any depth, or hold itself."""
    level = [value] if _has_parts(value) else []
    for _ in range(DEEPEST):
        # Each list once in a level: one that holds itself twice would double with every level.
        inner = {
            id(part): part for outer in level for part in _parts(outer) if type(part) not in PLAIN and _has_parts(part)
        }
        if not inner:
            return False
        level = list(inner.values())
    return True


def texts_in(value: Any) -> Iterator[str]:
    """Yield each text in a value, at whatever level."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for part in _parts(value):
            yield from texts_in(part)


def _has_parts(value: Any) -> bool:
    return type(value) is dict or (not isinstance(value, PLAIN) and isinstance(value, Mapping | list | tuple))


def _parts(value: Any) -> Any:
    return value.values() if type(value) is dict or isinstance(value, Mapping) else value
