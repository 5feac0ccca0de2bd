"""Ids for jobs of equal content in one run: `ID`, `ID-2`, `ID-3`."""

from __future__ import annotations

import itertools
from collections.abc import Callable


class CopyNumbers:
    """Numbers the copies of a job. The last number of each is remembered, so that n equal jobs cost n steps."""

    def __init__(self) -> None:
        self._last: dict[tuple[int, str], int] = {}

    def next_id(self, job_id: str, run: int, is_taken: Callable[[str], bool]) -> str:
        """Return the first id for one more copy of a job that is not taken in this run."""
        for number in itertools.count(self._last.get((run, job_id), 1) + 1):
            candidate = f"{job_id}-{number}"
            if not is_taken(candidate):
                self._last[run, job_id] = number
                return candidate
        raise AssertionError("unreachable")

    def forget(self) -> None:
        """Number from the start again: what was planned was taken back."""
        self._last.clear()
