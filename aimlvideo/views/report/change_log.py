"""What has changed in a run, for any number of readers, each of whom may come late or come back."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile

REMEMBERED = 20_000
"""Changed jobs that are remembered; who was away for longer has to read the page again."""


class ChangeLog:
    """The jobs that changed, each once, in the order of their last change. Its cost per change is constant."""

    def __init__(self) -> None:
        self.number = 0
        """The number of the last change."""
        self._forgotten = 0
        self._last: dict[str, int] = {}

    def changed(self, job_id: str) -> None:
        """Note that a job has changed."""
        self.number += 1
        # Taken out and put in again: a dict remembers its order, and the newest is the last.
        self._last.pop(job_id, None)
        self._last[job_id] = self.number
        if len(self._last) > REMEMBERED:
            oldest = next(iter(self._last))
            self._forgotten = self._last.pop(oldest)

    def __len__(self) -> int:
        """How many changed jobs are remembered."""
        return len(self._last)

    def forget(self) -> None:
        """Have every reader read the page again: something changed, and nobody knows what."""
        self.number += 1
        self._forgotten = self.number
        self._last.clear()

    def since(self, number: int) -> list[str] | None:
        """Return the jobs that changed after this number, oldest first; None where too much came in between."""
        if number < self._forgotten or number > self.number:
            return None
        # From the end, and only as far as needed: what a reader costs is what he missed, not how long the run is.
        newest_first: Iterator[tuple[str, int]] = reversed(self._last.items())
        changed = [job_id for job_id, _ in takewhile(lambda one: one[1] > number, newest_first)]
        return changed[::-1]
