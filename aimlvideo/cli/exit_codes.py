"""What a command's exit code says: one table for all commands.

Supervisors rely on it: 3 passes by running the same command again, 2 never does.
"""

from __future__ import annotations

from aimlvideo.errors import Refused, UsageError, VideoError

ALL_SAVED = 0
SOME_FAILED = 1
WRONG_USAGE = 2  # command, job file, key, settings
UNFINISHED = 3  # interrupted, out of time or money, in doubt, service or database away

MOVED = (301, 302, 307, 308)


def exit_code_of(error: VideoError) -> int:
    """Return the exit code of a command that ended with this error."""
    wrong_settings = isinstance(error, Refused) and (error.wrong_key or error.status in MOVED)
    return WRONG_USAGE if isinstance(error, UsageError) or wrong_settings else UNFINISHED
