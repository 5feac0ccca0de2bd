"""What media files say of themselves: a clip's recipe, in MP4's title and comment; how long a sound or clip lasts."""

from __future__ import annotations

import logging
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from mutagen import File, MutagenError
from mutagen.mp4 import MP4

from aimlvideo.core.jobs.recipe import read_recipe
from aimlvideo.core.mp4_tags import COMMENT, TITLE, with_texts
from aimlvideo.errors import UsageError

PIECE = 2**20
"""Bytes that are moved at once, to make room in the middle of a clip."""

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
    length = file.seek(0, os.SEEK_END)
    index = with_texts(file, length, {TITLE: title, COMMENT: recipe})
    if index is None:
        log.info("the clip of %s has no metadata: it is no MP4, is signed, or counts from its start otherwise", title)
        return False
    grown = len(index.content) - (index.end - index.start)
    # From the end, so that nothing is written over that is still to be read.
    for start in reversed(range(index.end, length, PIECE)) if grown else ():
        file.seek(start)
        piece = file.read(PIECE)
        file.seek(start + grown)
        file.write(piece)
    for place, content in ((index.start, index.content), *index.further):
        file.seek(place)
        file.write(content)
    return True


def recipe_in(path: Path) -> Mapping[str, Any]:
    """Return the recipe that a clip carries. Raises UsageError where there is no such file, or no recipe in it."""
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "is no file" if path.exists() else "does not exist"
        raise UsageError(f"{path} {found}: expected a clip that aimlvideo saved")
    try:
        tags: Mapping[str, Any] = MP4(path).tags or {}  # type: ignore[no-untyped-call]
    except UNREADABLE as error:
        raise UsageError(f"{path}: expected an MP4 file of aimlvideo, got one that cannot be read: {error}") from error
    texts = tags.get(COMMENT.decode("latin-1")) or [""]
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
