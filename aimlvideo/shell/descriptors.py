"""What the system refuses: too many open files and sockets, a full disk, a place that is not ours; and what to do."""

from __future__ import annotations

import errno
import os

TOO_MANY = (errno.EMFILE, errno.ENFILE)
IN_THE_WAY = (errno.EISDIR, errno.ENOTDIR, errno.EEXIST)
"""How the system says that something else has a file's name."""
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""How the system says that nothing more can be written: a full disk, a quota, a limit of a file's size."""
UNSUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
"""How a file system says that it has no such call."""
REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)
BREATH = 5.0
"""Seconds in which others may be closed."""
BREATHS = 12
"""How often that is waited for, where nothing can be done without another file."""
KEPT_FREE = 32
"""Files that a process has beside its connections: its journal, its clips, its libraries."""

FILES_OF_A_JOURNAL = 4
"""The database, its log, the index of that, and the folder, which is synced."""


def connections_that_fit(most: int) -> int:
    """Return how many connections may be open at a time: `most`, or fewer where the system allows fewer files."""
    try:
        import resource  # noqa: PLC0415 - POSIX only
    except ImportError:
        return most
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return most if allowed == resource.RLIM_INFINITY else max(2, min(most, (allowed - KEPT_FREE) // 2))


def are_exhausted(error: BaseException | None) -> bool:
    """Tell whether an error, or what caused it, is that too many files are open; it passes when some are closed."""
    import sqlite3  # noqa: PLC0415 - a client without a journal has none

    while error is not None:
        if isinstance(error, OSError) and error.errno in TOO_MANY:
            return True
        if isinstance(error, sqlite3.OperationalError) and not _are_some_left():
            return True
        error = error.__cause__
    return False


def write_failure_advice(error: Exception) -> str:
    """Return what to do about a file that could not be written."""
    if are_exhausted(error):
        return "Close some files, or allow more (ulimit -n), then run again"
    if getattr(error, "errno", None) in REFUSED:
        return "Allow writing there, then run again"  # elsewhere a run would buy all of it anew
    if isinstance(error, FileNotFoundError):
        return "Expected a folder that is there: make it, then run again"
    if getattr(error, "errno", None) == errno.ENAMETOOLONG:
        return "Expected a shorter name: give --name, then run again"
    if getattr(error, "errno", None) in IN_THE_WAY:
        return "Move away what has its name, then run again"
    return "Make space, then run again"


def _are_some_left() -> bool:
    """Tell whether a journal's files can be opened: SQLite does not say why it could not open one."""
    opened: list[int] = []
    try:
        opened.extend(os.open(os.devnull, os.O_RDONLY) for _ in range(FILES_OF_A_JOURNAL))
    except OSError:
        return False
    finally:
        for descriptor in opened:
            os.close(descriptor)
    return True
