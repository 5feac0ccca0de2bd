"""Every exception of this package, one root.

VideoError
├── UsageError              what you gave is wrong: nothing was sent
│   ├── SettingsError       key, URL, folder, flag
│   ├── InvalidJobs         jobs that the catalogue refuses, every problem named
│   └── JournalError        the record of a run cannot be used as it is
├── DatabaseAway            the database that workers share cannot be reached now: run again
├── ServiceError            what a service answered, or did not
│   ├── Rejected            this request is wrong, and stays wrong
│   │   └── ContentRefused  the prompt, a picture or the clip was refused by moderation (also a GenerationFailed)
│   ├── Refused             key, credits or account: no request will pass until that is mended
│   ├── NotAccepted         surely not accepted, and safe to send again
│   │   ├── Busy             too many requests, or too many at once: the same request passes later
│   │   └── Unavailable      no connection, or a service that is away
│   └── Unclear             nobody knows whether it was accepted
├── GenerationFailed        accepted, then failed at the service
├── ParentFailed            the job whose clip this one takes has failed
├── ParentUnfinished        the job whose clip this one takes is not saved, and no part of this run
├── InDoubt                 the answer to a submission was lost
├── OutOfPatience           waited long enough; the generation keeps running
├── OverBudget              one more would pass the spending limit
├── UploadFailed            a local file could not be put where its link would lead: nothing was sent for its job
├── UnexpectedError         a fault that nobody foresaw; it ended one job, and its traceback is in the log
└── DownloadFailed          the clip is ready, and could not be fetched
    ├── LinkDead            the link has expired or is refused
    └── DiskFailed          the clip could not be written
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypedDict, Unpack


class VideoError(Exception):
    """Root of all errors that this package raises on purpose. They travel between processes with all they carry."""

    def __reduce__(self) -> tuple[object, ...]:
        return _restored, (type(self), self.args, self.__dict__.copy())


def _restored(kind: type[VideoError], args: tuple[object, ...], attributes: dict[str, object]) -> VideoError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(attributes)
    return error


class UsageError(VideoError):
    """What was given is wrong. Nothing was sent."""


class SettingsError(UsageError):
    """A key, URL, folder or flag is missing or wrong; the message says which, and what to do."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with one job.

    `field` is a path (`elements[2].reference_image_urls`), `expected` and `got` are for people, `hint` is the nearest
    right name or what to do, or empty. `where` is set by whoever read the job: `jobs.jsonl:17`. `warning` marks a
    remark that does not refuse the job.
    """

    field: str
    expected: str
    got: str = ""
    hint: str = ""
    job: str = ""
    where: str = ""
    warning: bool = False

    def __str__(self) -> str:
        place = ": ".join(part for part in (self.where, self.job and f"job {self.job!r}", self.field) if part)
        sentence = self.expected + (f", got {self.got}" if self.got else "")
        return (f"{place}: {sentence}" if place else sentence) + (f" ({self.hint})" if self.hint else "")


def _ranges(places: Iterable[str]) -> str:
    """Join places that end in a number: `a:2`, `a:3`, `a:4`, `a:7` are `a:2-4, 7`."""
    numbers: dict[str, list[int]] = {}
    for place in places:
        name, number = re.fullmatch(r"(.*?)(\d*)", place, re.DOTALL).groups()  # type: ignore[union-attr]  # always fits
        numbers.setdefault(name, []).extend([int(number)] if number else [])
    return "; ".join(name + ", ".join(_runs(sorted(set(listed)))) for name, listed in numbers.items())


def _jobs(problems: Iterable[Problem]) -> str:
    """Name the jobs of problems of which nobody said where they stand: `jobs 'a', 'b' and 3 more`."""
    names = list(dict.fromkeys(repr(problem.job) for problem in problems if problem.job))
    more = f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
    return f"job{'s' * (len(names) > 1)} {', '.join(names[:MOST_NAMED])}{more}" if names else ""


def _runs(numbers: Sequence[int]) -> Iterator[str]:
    first = last = None
    for number in (*numbers, None):
        if last is not None and number == last + 1:
            last = number
            continue
        if first is not None:
            yield str(first) if first == last else f"{first}-{last}"
        first = last = number


MOST_NAMED = 5
"""Jobs that a message names of those that share one cause."""


class InvalidJobs(UsageError):
    """Jobs that cannot be sent. `problems` has all of them; the message has each cause once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.causes())))

    def causes(self) -> list[Problem]:
        """Return each cause once, with all the places where it is: `jobs.csv:2-41, 57`."""
        causes: dict[Problem, list[Problem]] = {}
        for problem in self.problems:
            causes.setdefault(replace(problem, where="", job=""), []).append(problem)
        return [
            same[0]
            if len(same) == 1
            else replace(cause, where=_ranges(problem.where for problem in same) or _jobs(same))
            for cause, same in causes.items()
        ]


class JournalError(UsageError):
    """The journal is locked by another process, damaged, from a newer version, or at odds with the jobs given."""


class DatabaseAway(VideoError):
    """The database that workers share is away, restarting or read-only: the same command passes later."""


class ServiceError(VideoError):
    """A service answered with an error, or not at all.

    `status` is the HTTP status (None without an answer), `code` the gateway's business code, `request_id` the
    `X-Client-Request-Id` under which the service's log lists the request.
    """

    def __init__(
        self, message: str, *, status: int | None = None, code: int | None = None, request_id: str | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.request_id = status, code, request_id


class _Answered(TypedDict, total=False):
    """What a `ServiceError` says of the answer that it is about."""

    status: int | None
    code: int | None
    request_id: str | None


class Rejected(ServiceError):
    """This request is wrong and stays wrong: 400, 404, 422, content policy."""


MOVED = (301, 302, 307, 308)
"""The statuses by which a service says that it is elsewhere."""


class Refused(ServiceError):
    """No request will pass until a person mends it: 401, out of credits, arrears, address not allowed.

    `wrong_key` says that it is the API key that is not accepted, and not the account.
    """

    def __init__(self, message: str, *, wrong_key: bool = False, **answered: Unpack[_Answered]) -> None:
        super().__init__(message, **answered)
        self.wrong_key = wrong_key


class NotAccepted(ServiceError):
    """The service surely did not accept this request: it is safe to send it again, later.

    `retry_after` is in seconds, None where the service did not say.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, **answered: Unpack[_Answered]) -> None:
        super().__init__(message, **answered)
        self.retry_after = retry_after


class Busy(NotAccepted):
    """429 and its kin.

    `limit` is what was passed: `rate` (requests a second), `outstanding` (generations at once), None where unsaid.
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        limit: str | None = None,
        **answered: Unpack[_Answered],
    ) -> None:
        super().__init__(message, retry_after=retry_after, **answered)
        self.limit = limit


class Unavailable(NotAccepted):
    """The service could not be reached, or is away (connection refused, DNS, TLS, connect timeout, 503)."""


class Unclear(ServiceError):
    """500, 502, 504, a lost answer, a read timeout: a submission may have been accepted."""


class GenerationFailed(VideoError):
    """The service accepted the job and later reported that it failed. `generation_id` says which."""

    def __init__(self, message: str, *, generation_id: str | None = None) -> None:
        super().__init__(message)
        self.generation_id = generation_id


class ContentRefused(Rejected, GenerationFailed):
    """Moderation refused the content, at submission or after rendering: the same content will be refused again.

    `field` is the input that was refused (`prompt`, `image_list`, or a kind: `image`), None where the service did not
    say. `generation_id` is None where the job was refused at submission. It is a Rejected and a GenerationFailed, so
    that whoever catches either of them catches it too.
    """

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        status: int | None = None,
        code: int | None = None,
        request_id: str | None = None,
        generation_id: str | None = None,
    ) -> None:
        ServiceError.__init__(self, message, status=status, code=code, request_id=request_id)
        self.field, self.generation_id = field, generation_id


class ParentFailed(VideoError):
    """The job that this one takes a frame or a clip from failed; nothing was sent for this one."""


class ParentUnfinished(VideoError):
    """The job that this one takes a frame or a clip from is not saved, and this run does not make it."""


class InDoubt(VideoError):
    """The answer to a submission was lost; it may have been accepted and is not sent again on a guess.

    `request_id` is the `X-Client-Request-Id` to look for in the service's log.
    """

    def __init__(self, message: str, *, request_id: str | None = None) -> None:
        super().__init__(message)
        self.request_id = request_id


class OutOfPatience(VideoError):
    """Waited as long as was allowed. The generation goes on; its id is kept, and a later run picks it up."""

    def __init__(self, message: str, *, generation_id: str | None = None) -> None:
        super().__init__(message)
        self.generation_id = generation_id


class OverBudget(VideoError):
    """Sending one more job would pass the spending limit."""


class UploadFailed(VideoError):
    """A local file could not be put into the object store where its link would lead. Nothing was sent for its job."""


class UnexpectedError(VideoError):
    """A fault that nobody foresaw ended this one job where it stood. Its traceback is in the log."""


class DownloadFailed(VideoError):
    """The clip is ready at the service and could not be brought here whole.

    `retry_after` is in seconds, None where nobody said.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class LinkDead(DownloadFailed):
    """The link has expired or is refused (403, 404, 410): the generation must be asked for a fresh one."""


class DiskFailed(DownloadFailed):
    """The clip could not be written: disk full, folder gone, no permission."""
