"""One job on its way through the pipeline: what it holds, and a wall round it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aimlvideo.core.formatting import redact_for_display
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.errors import DiskFailed, JournalError, UnexpectedError, VideoError
from aimlvideo.pipeline.limiters import SlotLimiter

if TYPE_CHECKING:
    from aimlvideo.pipeline.run import Run

log = logging.getLogger("aimlvideo")


@dataclass(slots=True, eq=False)
class Entry:
    """One job on its way through the pipeline, with what it holds. What a stage needs beside it is that stage's own."""

    job: VideoJob
    progress: Progress
    run: Run
    slot: SlotLimiter | None = None
    claimed: set[str] | None = None
    """The ids under way, while this job's is among them."""
    moved: bool = False
    """Whether this process has written anything of it down."""
    holds_promise: bool = False
    """Whether its price was promised to it; what is promised to another entry of the same id is not its to settle."""
    ended: bool = False
    late_refusals: int = 0
    """How often the service took this job and later said that it had no slot for it."""
    failed: Progress | None = None
    """What a job that is tried again has come to, where its generation is asked about first."""
    is_asked_about: bool = False
    """Whether its price is promised to it while its failed generation is asked about, and for no longer."""
    bought: bool = False
    """Whether it counts among those that are bought and not yet taken by the reader."""

    def step(self, stage: Stage, **fields: Any) -> None:
        """Note a step of this job: in the journal, before anything else is awaited."""
        before = self.progress
        self.progress, self.moved = before.to(stage, **fields), True
        self.run.stepped(self, before)

    def note(self, **fields: Any) -> None:
        """Remember something that is worth no step of its own: it is written down with the next one."""
        self.progress = self.progress._replace(**fields)

    def keep_reason(self, error: VideoError) -> None:
        """Write down why this job is left where it is; the step with which it goes on forgets it."""
        self.progress, self.moved = self.progress._replace(error=error), True
        self.run.spec.journal.step(self.job, self.progress)

    def end(self, error: VideoError | None = None) -> None:
        """Hand out what came of this job. An `error` here is why an unfinished one was left where it is."""
        self.run.end(self, error)

    def stop_run(self, error: VideoError) -> None:
        """Leave this job where it is, and buy nothing more in its run: the same would happen to every other job."""
        self.run.halt(error)
        self.run.end(self, error)

    def take_slot(self, slots: SlotLimiter) -> None:
        """Count this job, which is outstanding already, whatever the limit."""
        if self.slot is None:
            slots.take_over_limit()
            self.slot = slots

    def claim_id(self, ids_under_way: set[str]) -> None:
        """Keep this job's id from others while it is under way."""
        ids_under_way.add(self.job.id)
        self.claimed = ids_under_way

    def release_slot(self) -> None:
        """Give this job's slot back, if it has one."""
        if self.slot is not None:
            self.slot.release()
            self.slot = None

    def release_all(self) -> None:
        """Give back all that this job holds: it is under way no more."""
        self.release_slot()
        if self.claimed is not None:
            self.claimed.discard(self.job.id)
            self.claimed = None


class contained:  # noqa: N801 - reads as what it does: `with contained(entry):`
    """End these jobs, where they stand, on an exception that no stage expects; what was paid a later run fetches.

    Only a record that cannot be kept goes on: without it every job would be at risk.
    """

    def __init__(self, *entries: Entry) -> None:
        self._entries = entries

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        if not isinstance(error, Exception) or isinstance(error, DiskFailed | JournalError):
            return False
        for entry in self._entries:
            job, stage = entry.job, entry.progress.stage
            log.error("unexpected error: job %r ends at stage %s", job.id, stage, extra={"job": job.id}, exc_info=error)
            entry.end(_unexpected(error, f"job {job.id!r} was left at stage {stage}; run again to go on"))
        return True


def _unexpected(error: Exception, consequence: str) -> UnexpectedError:
    """Return our error for one that nobody foresaw."""
    description = redact_for_display(f"{type(error).__name__}: {error}")
    translated = UnexpectedError(
        f"unexpected error ({description}): {consequence}. The traceback is in the log: please report it"
    )
    translated.__cause__ = error
    return translated
