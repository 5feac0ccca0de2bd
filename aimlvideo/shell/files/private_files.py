"""How a run's files are written: for their owner only, and never through a link that lies in a file's place."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from aimlvideo.core.jobs.file_names import LONGEST
from aimlvideo.errors import UsageError

OWNER_ONLY = 0o600
"""Prompts, links and prices stand in a run's files: they are as private as its journal."""

BESIDE = 55
"""Bytes of a name that are kept free for its ending, and for what is beside a clip while it is made."""


def no_follow(path: str, flags: int) -> int:
    """Open a file as `open` does, with a mode for its owner only, and never through a symbolic link."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), OWNER_ONLY)


def new_file(path: Path, *, errors: str = "strict") -> TextIO:
    """Open a new text file for writing; whatever has the name already, also a link, is taken away first."""
    path.unlink(missing_ok=True)
    return open(path, "x", encoding="utf-8", errors=errors, newline="\n", opener=no_follow)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give where a file is made that takes this one's place when it is whole; of a half one nothing stays."""
    part = path.with_name(f"{path.name}.part")
    try:
        yield part
        part.replace(path)
    except BaseException:  # not always: another process may make its own by now
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def longest_name(folder: Path) -> int:
    """Return how many bytes a clip's name may have there before its ending: some encrypted shares take few."""
    try:
        most = os.pathconf(folder, "PC_NAME_MAX")
    except (AttributeError, OSError, ValueError):
        return LONGEST
    return min(LONGEST, most - BESIDE) if most > BESIDE else LONGEST


def drop_link(path: Path) -> None:
    """Take a symbolic link away, so that a file can be written in its place; anything else stays."""
    with suppress(OSError):
        if path.is_symlink():
            path.unlink()


def is_special(path: Path) -> bool:
    """Tell whether a pipe, a socket or a device is in the place of a file: to open one may wait for ever."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # ValueError: a NUL in its name
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def refuse_special(path: Path) -> None:
    """Raise UsageError for a pipe, a socket or a device in the place of a run's file."""
    if is_special(path):
        raise UsageError(
            f"{path} is a pipe, a socket or a device: expected a file. Choose another name, or move it away"
        )
