"""What is remembered of one waiting generation between two looks at it: three numbers, and what follows from them."""

from __future__ import annotations

from struct import pack, unpack
from typing import NamedTuple, Self

from aimlvideo.core.polling.policy import PollPolicy


class PollState(NamedTuple):
    """A generation as last seen unfinished. All moments are seconds on the caller's clock.

    The time in the service's queue says nothing about how long the work takes, so the age counts from the middle
    between the last look that found it queued and the first that did not; from acceptance if it never was seen queued.
    """

    running_since: float
    """The moment from which its age counts; while it is queued, that of the last look."""
    last_polled_at: float
    """The moment at which it was last seen (at first: accepted)."""
    queued: bool = False

    def due(self, policy: PollPolicy) -> float:
        """Return the moment of the next look. Ask again when the policy may have learned: it may be earlier."""
        if self.queued:
            return self.last_polled_at + policy.queued_gap()
        return self.running_since + policy.next_poll(self.last_polled_at - self.running_since)

    def still_running(self, now: float, queued: bool, policy: PollPolicy) -> Self:
        """Return the sight after a look that found it unfinished; the policy learns from it."""
        if queued and (self.queued or self.last_polled_at == self.running_since):  # it was never found at work
            return self._replace(running_since=now, last_polled_at=now, queued=True)
        running_since = (self.last_polled_at + now) / 2 if self.queued else self.running_since
        policy.observe(max(self.last_polled_at - running_since, 0.0), now - running_since, False)
        return self._replace(running_since=running_since, last_polled_at=now, queued=False)

    def ended(self, now: float, policy: PollPolicy) -> None:
        """Let the policy learn from a look, or any other news, that found it ended."""
        policy.observe(self.last_polled_at - self.running_since, now - self.running_since, True)


PACKED_POLLS = 64
"""Looks at one generation that are remembered, the first ones."""


def pack_poll_ages(looks: bytes, age: float, queued: bool) -> bytes:
    """Return the looks with one more, at an age in seconds: 4 bytes each, negative where it was found queued."""
    return looks + pack("<f", -age if queued else age) if len(looks) < 4 * PACKED_POLLS else looks


def unpack_poll_ages(looks: bytes) -> tuple[float, ...]:
    """Return the ages of the looks, in seconds; negative where the generation was found queued."""
    return unpack(f"<{len(looks) // 4}f", looks[: len(looks) // 4 * 4])
