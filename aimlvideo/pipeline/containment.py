"""A wall round each job: what nobody foresaw ends that one job, with a traceback in the log; all others go on."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from aimlvideo.core.formatting import redact_for_display
from aimlvideo.errors import DiskFailed, JournalError, UnexpectedError
from aimlvideo.pipeline.run import Entry

log = logging.getLogger("aimlvideo")


@contextmanager
def contained(entry: Entry) -> Iterator[None]:
    """End this job, where it stands, on an exception that no stage expects; what was paid is fetched by a later run.

    Only a record that cannot be kept goes on: without it every job would be at risk.
    """
    try:
        yield
    except (DiskFailed, JournalError):
        raise
    except Exception as error:
        stage = entry.progress.stage
        log.exception("unexpected error: job %r ends at stage %s", entry.job.id, stage, extra={"job": entry.job.id})
        entry.run.end(entry, unexpected(error, f"job {entry.job.id!r} was left at stage {stage}; run again to go on"))


def unexpected(error: Exception, consequence: str) -> UnexpectedError:
    """Return our error for one that nobody foresaw."""
    description = redact_for_display(f"{type(error).__name__}: {error}")
    translated = UnexpectedError(
        f"unexpected error ({description}): {consequence}. The traceback is in the log: please report it"
    )
    translated.__cause__ = error
    return translated
