"""One lost answer: which submission it was of, how long ago that was sent, and what cannot be its generation."""

from __future__ import annotations

from dataclasses import dataclass, field

from aimlvideo.core.jobs.request_ids import Intent, is_whole
from aimlvideo.core.lost_submissions import WINDOW_MARGIN
from aimlvideo.core.wires.base import Generation
from aimlvideo.errors import InDoubt
from aimlvideo.pipeline.entry import Entry
from aimlvideo.shell import clock


@dataclass(eq=False, slots=True)
class Doubt:
    """One lost answer, and since when this process has watched it, on the event loop's clock."""

    entry: Entry
    watched_since: float
    answer: str
    """What came instead of a readable answer, in words; empty where an earlier process lost it."""
    sent_here: bool
    """Whether this process sent it, and so has watched it from its beginning."""
    intent: Intent = field(init=False)
    """What is known of the submission: by the id that we made, or, where the job has its own, beside it."""

    def __post_init__(self) -> None:
        progress = self.entry.progress
        self.intent = Intent.of(progress.request_id)
        if self.intent.account is None:
            denials = self.entry.run.spec.journal.fact(self._denials)
            self.intent = Intent(progress.account, progress.service_time, int(denials or 0))

    @property
    def request_id(self) -> str | None:
        """The id under which it was sent."""
        return self.entry.progress.request_id

    @property
    def _denials(self) -> str:
        """The name under which a journal has how often a submission was counted as never accepted."""
        return f"denials of {self.request_id}"

    def deny(self) -> None:
        """Count it as never accepted, where its id is the job's own and sent again as it is: that cannot count."""
        if Intent.of(self.request_id).account is None:
            self.entry.run.spec.journal.note(self._denials, str(self.intent.denials + 1))

    @property
    def watched(self) -> float:
        """For how many seconds this process has watched it."""
        return clock.loop() - self.watched_since

    def sent_at(self, service_now: float | None) -> float:
        """Return when it was sent, by the service's clock where that is known, else the earliest possible."""
        submitted_at = self.entry.progress.submitted_at or clock.wall()
        earliest = self.intent.earliest_moment(submitted_at)
        if self.intent.sent_at is not None or not self.sent_here or service_now is None:
            return earliest
        # The service's clock was learned since: this machine's own may be years ahead of it.
        return min(earliest, service_now - max(self.watched, clock.wall() - submitted_at))

    def age(self, service_now: float | None) -> float:
        """Return how many seconds ago it was sent, at least."""
        if self.sent_here:
            return self.watched
        sent_at = self.entry.progress.submitted_at
        passed_here = 0.0 if sent_at is None else clock.wall() - sent_at
        return self.intent.seconds_since(self.watched, service_now, passed_here, clock.loop())

    def why_not(self, generation: Generation, service_now: float | None) -> str | None:
        """Return why a generation under the id that the job chose is another one's; None where it may be its own.

        An id of our own making is never used twice; one that a person chose may have been, by an earlier run.
        """
        entry, journal = self.entry, self.entry.run.spec.journal
        if is_whole(generation.request_id) and generation.request_id == self.request_id:
            return None
        shown = f"the service shows generation {generation.id} for its id, which is"
        if any(generation.id == attempt.generation_id for attempt in journal.attempts(entry.job.id)):
            return f"{shown} of an earlier attempt of this job"
        owner = journal.by_generation(generation.id)
        if owner is not None and owner.job.id != entry.job.id:
            return f"{shown} that of job {owner.job.id!r}"
        if 0 < generation.created_at < self.sent_at(service_now) - WINDOW_MARGIN:
            return f"{shown} older than this submission: an earlier run has used the id"
        return None

    def unresolved(self, why: str) -> InDoubt:
        """Return the error that tells a person why the job is left in doubt, and what to look for."""
        lost = f"was lost ({self.answer})" if self.answer else "was lost"
        return InDoubt(
            f"the response to job {self.entry.job.id!r} {lost}; the service may have accepted it, so it will not be "
            f"resubmitted automatically: {why}. Its client request id is {self.request_id}",
            request_id=self.request_id,
        )
