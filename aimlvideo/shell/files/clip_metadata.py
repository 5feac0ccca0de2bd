"""What media files say of themselves: a clip's recipe, in MP4's title and comment; how long a sound or clip lasts."""

from __future__ import annotations

import logging
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from mutagen import File, MutagenError
from mutagen.mp4 import MP4

from aimlvideo.core.jobs.recipe import read_recipe
from aimlvideo.errors import UsageError

TITLE, COMMENT = "\xa9nam", "\xa9cmt"

UNREADABLE = (
    MutagenError, ArithmeticError, LookupError, ValueError, TypeError, AttributeError, EOFError, MemoryError,
    struct.error,
)  # fmt: skip
"""What the library raises over boxes whose numbers contradict each other: it names a few of these itself."""

log = logging.getLogger("aimlvideo.download")


def write_metadata(file: BinaryIO, title: str, recipe: str) -> bool:
    """Write a clip's title and recipe into it, in place; return False where it is no MP4 that takes them.

    A clip is worth more than what is said about it: where its boxes cannot be edited it stays as it came.
    """
    try:
        clip = MP4(file)  # type: ignore[no-untyped-call]
        clip[TITLE], clip[COMMENT] = title, recipe
        clip.save(file)  # type: ignore[no-untyped-call]
    except UNREADABLE as error:
        log.info("the clip of %s has no metadata: %s", title, error)
        return False
    return True


def recipe_in(path: Path) -> Mapping[str, Any]:
    """Return the recipe that a clip carries. Raises UsageError where there is no such file, or no recipe in it."""
    if not path.is_file():
        raise UsageError(f"there is no file {path}: expected a clip that aimlvideo saved")
    try:
        tags: Mapping[str, Any] = MP4(path).tags or {}  # type: ignore[no-untyped-call]
    except UNREADABLE as error:
        raise UsageError(f"{path}: expected an MP4 file of aimlvideo, got one that cannot be read: {error}") from error
    texts = tags.get(COMMENT) or [""]
    recipe = read_recipe(str(texts[0]))
    if recipe is None:
        raise UsageError(f"{path} carries no recipe: it was not saved by aimlvideo, or with --no-metadata")
    return recipe


def media_seconds(file: BinaryIO) -> float | None:
    """Return how long a sound or a clip lasts; None where its file does not tell."""
    file.seek(0)
    try:
        media = File(file)
    except UNREADABLE:
        return None
    length = getattr(getattr(media, "info", None), "length", None)
    return float(length) if isinstance(length, int | float) and length > 0 else None
