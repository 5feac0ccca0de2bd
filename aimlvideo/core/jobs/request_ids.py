"""The ids that we choose for our requests: `X-Client-Request-Id`, and a gateway's `external_task_id`.

An id says all that a later look into the service's log must know of its submission: whose job it was, with which key
it was sent to which base URL, when by the service's clock, and how often the job had been counted as never accepted.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from math import inf
from typing import NamedTuple, Self, TypeGuard

from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress, Record
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.errors import Problem

NAMESPACE = "av-"
"""What all of them begin with."""

PREFIX_LENGTH = 15
"""Characters of a request id that say whose it is: `av-` and 12 hex digits."""

MAX_DENIALS = 1
"""How often a job may be counted as never accepted, and sent again."""

CLOCKS_AGREE = 60.0
"""Seconds by which clocks may differ in what has passed: a `Date` is in whole seconds, and an answer may be late."""

UNKNOWN_CLOCK_MARGIN = 26 * 3600.0
"""Seconds by which a window reaches further while the service's clock is not known: a day, and every time zone."""

UNKNOWN_MOMENT = "00000000"
_WHOLE = re.compile(r"av-[0-9a-f]{12}-[0-9a-f]{8}-[0-9a-f]{8}-[0-9]-(?:u[0-9a-f]{1,12}-)?[0-9a-f]{10}")
_OURS = re.compile(r"av-[0-9a-f]{12}-")
_FIRST_FORM = re.compile(r"av-[0-9a-f]{12}-[0-9a-f]{10}")
_INTENT = re.compile(r"av-[0-9a-f]{12}-([0-9a-f]{8})-([0-9a-f]{8})-([0-9])-(?:u([0-9a-f]{1,12})-)?.+")


def is_whole(request_id: str | None) -> TypeGuard[str]:
    """Tell whether an id is one of ours, and as we chose it: a log that cuts them finds none by the whole id."""
    return _WHOLE.fullmatch(request_id or "") is not None


def are_of_two_jobs(request_id: str | None, other_id: str | None) -> bool:
    """Tell whether two ids are ones of ours, and of different jobs; any other id says nothing about whose it is."""
    return is_whole(request_id) and is_whole(other_id) and request_id[:PREFIX_LENGTH] != other_id[:PREFIX_LENGTH]


class Intent(NamedTuple):
    """What a request id says of its submission. The ids of the first release say nothing of this kind."""

    account: str | None = None
    """The fingerprint of the key and the base URL; None where the id says none."""
    sent_at: float | None = None
    """Seconds since 1970 by the service's clock; None where that clock was not known."""
    denials: int = 0
    """How often the job had been counted as never accepted before."""
    uptime: float | None = None
    """Seconds for which the machine that sent it had been running, by the clock that nobody can set; None where the id
    does not say."""

    @classmethod
    def of(cls, request_id: str | None) -> Self:
        """Return what a request id says of its submission."""
        match = _INTENT.fullmatch(request_id or "")
        if match is None:
            return cls()
        account, moment, denials, uptime = match.groups()
        sent_at = None if moment == UNKNOWN_MOMENT else float(int(moment, 16))
        return cls(account, sent_at, int(denials), None if uptime is None else float(int(uptime, 16)))

    def request_id(self, job: VideoJob, token: str) -> str:
        """Return the id of one POST for a job; `token` is different for each. At most 128 of `A-Za-z0-9._:-`."""
        if self.account is None:
            return f"{id_prefix(job)}-{token}"
        # In the id, because the id is the one thing that survives a lost journal: the service's log has it.
        moment = UNKNOWN_MOMENT if self.sent_at is None else f"{int(self.sent_at):08x}"[-8:]
        uptime = "" if self.uptime is None else f"u{int(self.uptime):x}-"
        return f"{id_prefix(job)}-{self.account}-{moment}-{min(self.denials, 9)}-{uptime}{token}"

    def earliest_moment(self, submitted_at: float) -> float:
        """Return the earliest moment at which the request may have been sent, by the service's clock.

        `submitted_at` is by this machine's clock, which may be off by a day and every time zone: it counts where the
        id says nothing.
        """
        return submitted_at - UNKNOWN_CLOCK_MARGIN if self.sent_at is None else self.sent_at

    def other_account(self, account: str) -> str | None:
        """Return why this key can never find a submission; None where it was sent with this key to this base URL."""
        if self.account is None or self.account == account:
            return None
        return (
            "it was sent with another API key or to another base URL, and the service lists a request only to the key "
            "that sent it: run again with that key and base URL"
        )

    @property
    def denied_before(self) -> str | None:
        """Why the job may not be sent a third time; None where it was not counted as never accepted before."""
        if self.denials < MAX_DENIALS:
            return None
        return "its answer was lost twice, and twice the service did not list it: look into its dashboard"

    def seconds_since(
        self, watched: float, service_now: float | None, passed_here: float = inf, uptime: float | None = None
    ) -> float:
        """Return how long ago a submission of an earlier process surely was, in seconds.

        That is as long as this process has `watched`, or what has passed on the service's own clock and, since it may
        have been told by whoever stands in between, on this machine's (`passed_here`; infinite where nothing is known
        of that), and no more than this machine has run since, by its `uptime`. What shows more than the service's clock
        was set forward, or is another machine's, and is no witness that the service's was not.
        """
        # The wall clock of this machine is not asked alone: setting it forward would make a minute-old submission look
        # old enough to send again.
        if service_now is None or self.sent_at is None:
            return watched
        passed, has_run = service_now - self.sent_at, self._has_run(uptime)
        if any(passed + CLOCKS_AGREE < witness < inf for witness in (passed_here, has_run)):
            return watched
        return max(watched, min(passed, passed_here, has_run))

    def age(self, by_wall: float, service_now: float | None, uptime: float) -> float:
        """Return how many seconds ago the submission was: no more than any clock says that is known to tell.

        A wall clock that was set forward in between would make a minute-old generation look stuck, and ask it rarely.
        One that was set back, so far that it shows, tells nothing.
        """
        ages = [by_wall] if by_wall >= 0 else []
        if service_now is not None and self.sent_at is not None:
            ages.append(service_now - self.sent_at)
        # Less than it was: the machine was started again, and its uptime says nothing of before.
        if self.uptime is not None and uptime >= self.uptime:
            ages.append(uptime - self.uptime)
        return max(0.0, min(ages, default=0.0))

    def _has_run(self, uptime: float | None) -> float:
        """Return for how long this machine has run since the submission; infinite where its `uptime` does not tell."""
        # The two other clocks can be wrong together: a proxy on this machine tells the service's time by its clock, and
        # one that stood still, as a machine does that is moved or sleeps, goes on with both behind.
        if uptime is None or self.uptime is None:
            return inf
        # Less than it was: the machine was started again since.
        return uptime - self.uptime if uptime >= self.uptime else uptime


def job_mark(request_id: str, *, own_ids: bool = False) -> str:
    """Return by what a request id's job is known: how one of ours begins; empty where it is another program's.

    With `own_ids` an id that a job may have named itself is its mark, too.
    """
    return request_id[:PREFIX_LENGTH] if request_id.startswith(NAMESPACE) else request_id if own_ids else ""


def id_prefix(job: VideoJob) -> str:
    """Return what all request ids of this job begin with, so that a service's log leads back to it."""
    # Not of the parameters: a job whose prompt was corrected after a doubt must still find its first submission.
    return _prefix_of(f"{job.id}\0{job.model}")


def is_for(job: VideoJob, request_id: str) -> bool:
    """Tell whether a request id is one that we chose for this job."""
    # Before the first release they were made of the job's id alone, and journals of that time are still about.
    is_first_form = _FIRST_FORM.fullmatch(request_id) is not None
    return request_id.startswith(id_prefix(job)) or (is_first_form and request_id.startswith(_prefix_of(job.id)))


def _prefix_of(text: str) -> str:
    return f"{NAMESPACE}{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()[: PREFIX_LENGTH - 3]}"


def is_of_another_job(job: VideoJob, progress: Progress) -> bool:
    """Tell whether what is on its way was submitted for another job or model: then this one would be bought anew."""
    request_id = progress.request_id
    # Before it is sent, and once it has failed, a job may stand for another model than it was submitted for.
    is_fixed = progress.stage not in (Stage.PLANNED, Stage.FAILED)
    return bool(request_id and is_fixed and _OURS.match(request_id) and not is_for(job, request_id))


def account_fingerprint(api_key: str, base_url: str) -> str:
    """Return 8 hex digits that change with the key and with the base URL, and lead back to neither."""
    # 32 bits: enough to tell a few keys apart, too few to test guesses of a key against.
    return hashlib.sha256(f"aimlvideo account\0{base_url}\0{api_key}".encode()).hexdigest()[:8]


PRUNE_AT = 1000
"""Own ids from which on those of jobs that are forgotten are dropped."""


class OwnIds:
    """The request ids that jobs name themselves, in the parameter `id_field`: no two jobs may be sent under one."""

    def __init__(self, id_field: str) -> None:
        self._id_field = id_field
        self._jobs: dict[str, str] = {}
        self._prune_at = PRUNE_AT
        self.is_read = False
        """Whether what was sent before is known."""

    def names_one(self, job: VideoJob) -> bool:
        """Tell whether a job names an id of its own."""
        return bool(self._id_field and job.params.get(self._id_field))

    def read(self, records: Iterable[Record]) -> None:
        """Note the jobs that were sent under an id of their own before."""
        sent = (job for job, progress in records if progress.has_attempt)
        earlier = {str(own_id): job.id for job in sent if (own_id := job.params.get(self._id_field))}
        self._jobs, self.is_read = earlier | self._jobs, True

    def claim(self, job: VideoJob, is_taken: Callable[[str], bool] = lambda job_id: True) -> Problem | None:
        """Note a job's own id; return what is wrong where another job has named it before, else None.

        `is_taken` tells of a job that has named one whether it was sent, or may be.
        """
        if not self.names_one(job):
            return None
        own_id = str(job.params[self._id_field])
        other = self._jobs.setdefault(own_id, job.id)
        if other != job.id and is_taken(other):
            return Problem(self._id_field, "an id that no other job has", f"that of job {other!r}", job=job.id)
        self._jobs[own_id] = job.id
        # A program that runs for months names one for each of its jobs, and most of them are forgotten by then.
        if len(self._jobs) >= self._prune_at:
            self._jobs = {name: job_id for name, job_id in self._jobs.items() if job_id == job.id or is_taken(job_id)}
            self._prune_at = PRUNE_AT + 2 * len(self._jobs)
        return None
