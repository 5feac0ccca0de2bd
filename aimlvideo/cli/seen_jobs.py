"""Where the jobs of a file stand and how long their clips are: a million of them in 130 MB."""

from __future__ import annotations

from array import array
from math import nan

MOST_DIGITS = 18
"""Digits of a line's number; longer ones belong to a name."""


class SeenJobs:
    """Remembers jobs by the hash of their ids, in plain arrays: texts and objects for each would take three times that.

    A job that is only `placed` was read; one that is `accepted` can be sent, and other jobs may refer to it.
    """

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self._beginnings: dict[str, int] = {}
        self._beginning, self._line = array("L"), array("q")
        self._seconds = array("d")

    def place(self, job_id: str, where: str) -> str | None:
        """Note where a job stands; return where one of this id stood before, None for the first."""
        known = self._numbers.get(hash(job_id))
        if known is not None:
            return self._where(known)
        self._add(job_id, where)
        return None

    def accept(self, job_id: str, where: str, seconds: float | None) -> None:
        """Note that a job can be sent, and how long its clip will be, None where its parameters do not say."""
        known = self._numbers.get(hash(job_id))
        number = self._add(job_id, where) if known is None else known
        self._seconds[number] = nan if seconds is None else seconds

    def __contains__(self, job_id: str) -> bool:
        number = self._numbers.get(hash(job_id))
        return number is not None and not self._seconds[number] < 0

    def seconds(self, job_id: str) -> float | None:
        """Return how long a job's clip will be; None where nobody knows, or nothing is known of the job."""
        number = self._numbers.get(hash(job_id))
        known = -1.0 if number is None else self._seconds[number]
        return known if known >= 0 else None

    def _add(self, job_id: str, where: str) -> int:
        number = self._numbers[hash(job_id)] = len(self._line)
        # `jobs.csv:17` and its like: the same beginning in every line of a file.
        beginning = where.rstrip("0123456789")
        if len(where) - len(beginning) > MOST_DIGITS:
            beginning = where
        self._beginning.append(self._beginnings.setdefault(beginning, len(self._beginnings)))
        self._line.append(int(where[len(beginning) :] or -1))
        self._seconds.append(-1.0)
        return number

    def _where(self, number: int) -> str:
        beginning, line = [*self._beginnings][self._beginning[number]], self._line[number]
        return beginning if line < 0 else f"{beginning}{line}"
