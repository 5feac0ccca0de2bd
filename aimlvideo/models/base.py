"""What the typed builders share."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any, ClassVar, Protocol, TypeAlias

from aimlvideo.core.jobs.job import VideoJob


class Image(Protocol):
    """A PIL image, known by what it can do, so that PIL need not be there."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""

    def save(self, fp: Any, format: str | None = None) -> None:  # noqa: A002 - PIL's name
        """Write the picture."""


File: TypeAlias = str | PathLike[str] | bytes
"""A clip or sound: a link, a `data:` URI, a path, or the bytes themselves."""

Picture: TypeAlias = File | Image
"""A picture: a link, a `data:` URI, a path, the bytes themselves, or a PIL image."""


class TypedJob(VideoJob):
    """A job whose parameters an editor knows; everything that takes a `VideoJob` takes it."""

    __slots__ = ()

    MODEL: ClassVar[str]

    def _ask(self, given: Mapping[str, Any]) -> None:
        """Take the arguments of `__init__`; what is None was not given."""
        params = {name: value for name, value in given.items() if value is not None and name not in {"self", "id"}}
        VideoJob.__init__(self, self.MODEL, id=given["id"], **params)
