"""A wall round each job: what nobody foresaw ends that one job, with a traceback in the log; all others go on."""

from __future__ import annotations

import logging

from aimlvideo.core.formatting import redact_for_display
from aimlvideo.errors import DiskFailed, JournalError, UnexpectedError
from aimlvideo.pipeline.run import Entry

log = logging.getLogger("aimlvideo")


class contained:  # noqa: N801 - reads as what it does: `with contained(entry):`
    """End this job, where it stands, on an exception that no stage expects; what was paid is fetched by a later run.

    Only a record that cannot be kept goes on: without it every job would be at risk.
    """

    def __init__(self, entry: Entry) -> None:
        self._entry = entry

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        if not isinstance(error, Exception) or isinstance(error, DiskFailed | JournalError):
            return False
        job, stage = self._entry.job, self._entry.progress.stage
        log.error("unexpected error: job %r ends at stage %s", job.id, stage, extra={"job": job.id}, exc_info=error)
        self._entry.run.end(
            self._entry, unexpected(error, f"job {job.id!r} was left at stage {stage}; run again to go on")
        )
        return True


def unexpected(error: Exception, consequence: str) -> UnexpectedError:
    """Return our error for one that nobody foresaw."""
    description = redact_for_display(f"{type(error).__name__}: {error}")
    translated = UnexpectedError(
        f"unexpected error ({description}): {consequence}. The traceback is in the log: please report it"
    )
    translated.__cause__ = error
    return translated
