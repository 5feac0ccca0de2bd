"""How a command ends: what its exit code says, one table for all commands.

Supervisors rely on it: 3 passes by running the same command again, 2 never does.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

import typer

from aimlvideo.cli.signals import INTERRUPTED
from aimlvideo.cli.terminal import Terminal
from aimlvideo.core.formatting import pluralize, printable
from aimlvideo.errors import MOVED, InvalidJobs, Refused, UsageError, VideoError
from aimlvideo.shell.descriptors import are_exhausted, write_failure_advice

ALL_SAVED = 0
SOME_FAILED = 1
WRONG_USAGE = 2  # command, job file, key, settings
UNFINISHED = INTERRUPTED  # 3: interrupted, out of time or money, in doubt, service or database away

NO_SUCH_PATH = (errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ELOOP, errno.EINVAL)
"""How the system refuses a path, on every try."""
MOST_CAUSES = 25
"""Causes that are shown of a file's problems: more than a person mends at a time."""


def _exit_code_of(error: VideoError) -> int:
    """Return the exit code of a command that ended with this error."""
    wrong_settings = isinstance(error, Refused) and (error.wrong_key or error.status in MOVED)
    return WRONG_USAGE if isinstance(error, UsageError) or wrong_settings else UNFINISHED


@contextmanager
def exit_codes(*, json: bool = False, quiet: bool = False) -> Iterator[Terminal]:
    """Give a command its terminal; end it with the right exit code, never with a traceback for a user's mistake."""
    terminal = Terminal(json=json, quiet=quiet)
    try:
        yield terminal
    except InvalidJobs as error:
        # A slip in a column is in every row: one line for the cause, with the rows, instead of a thousand lines.
        causes = error.causes()
        for problem in causes[:MOST_CAUSES]:
            terminal.problem(str(problem))
        if len(causes) > MOST_CAUSES:
            terminal.problem(f"and {pluralize(len(causes) - MOST_CAUSES, 'more cause')}")
        terminal.problem(f"{pluralize(len(error.problems), 'problem')}; nothing was sent")
        raise typer.Exit(WRONG_USAGE) from None
    except VideoError as error:
        terminal.problem(str(error))
        raise typer.Exit(_exit_code_of(error)) from None
    except UnicodeEncodeError as error:
        # The system gives arguments as bytes: what is no UTF-8 may name a file, and stands in no database or request.
        terminal.problem(f"{printable(error.object)[:200]} cannot be written down or sent: expected text in UTF-8")
        raise typer.Exit(WRONG_USAGE) from None
    except OSError as error:
        if are_exhausted(error):
            # Python may find none left for a module that it loads late.
            terminal.problem(f"{error.strerror}: {error.filename}. {write_failure_advice(error)}")
            raise typer.Exit(UNFINISHED) from None
        if _is_nowhere():
            terminal.problem(
                "this shell's current folder was deleted, or replaced by another one of its name: `cd` to one that is "
                "there, then run again"
            )
            raise typer.Exit(WRONG_USAGE) from None
        # A stream that nobody takes has no name; what has one is a path that the system does not take, or refuses.
        if error.filename is None or not isinstance(error.filename, str | bytes | PathLike):
            raise
        refused = error.errno in NO_SUCH_PATH
        expected = "; expected a path that this system takes, and allows you to use" if refused else ""
        terminal.problem(f"{os.fsdecode(error.filename)[:200]}: {error.strerror}{expected}")
        raise typer.Exit(WRONG_USAGE if refused else UNFINISHED) from None


def _is_nowhere() -> bool:
    """Tell whether the current folder, where relative paths begin, is there no more."""
    try:
        return not Path.cwd().exists()
    except FileNotFoundError:
        return True
