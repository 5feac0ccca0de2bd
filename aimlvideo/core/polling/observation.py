"""Poll state of one generation: from when its age counts, when it was last polled, whether it was queued then."""

from __future__ import annotations

from typing import NamedTuple, Self

from aimlvideo.core.polling.policy import PollPolicy


class PollState(NamedTuple):
    """An unfinished generation as its last poll found it. All moments are seconds on the caller's clock.

    The time in the service's queue says nothing about how long the work takes, so the age counts from the middle
    between the last poll that found it queued and the first that did not; from acceptance if no poll found it queued.
    """

    running_since: float
    """The moment from which its age counts; while it is queued, that of the last poll."""
    last_polled_at: float
    """The moment of the last poll (at first: of acceptance)."""
    queued: bool = False

    def due(self, policy: PollPolicy) -> float:
        """Return the moment of the next poll. Call it again when the policy may have learned: it may be earlier."""
        if self.queued:
            return self.last_polled_at + policy.queued_gap()
        return self.running_since + policy.next_poll(self.last_polled_at - self.running_since)

    def still_running(self, now: float, queued: bool, policy: PollPolicy) -> Self:
        """Return the state after a poll that found it unfinished; the policy learns from it."""
        # "Queued" after "running" is a slip of the service's: an age that began must not begin again.
        if queued and (self.queued or self.last_polled_at == self.running_since):
            return self._replace(running_since=now, last_polled_at=now, queued=True)
        running_since = (self.last_polled_at + now) / 2 if self.queued else self.running_since
        policy.observe(max(self.last_polled_at - running_since, 0.0), now - running_since, False)
        return self._replace(running_since=running_since, last_polled_at=now, queued=False)

    def ended(self, now: float, policy: PollPolicy) -> None:
        """Let the policy learn from a poll, or a callback, that found it ended."""
        policy.observe(self.last_polled_at - self.running_since, now - self.running_since, True)
