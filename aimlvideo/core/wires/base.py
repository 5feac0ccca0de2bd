"""What every wire has: a generation in words that all share, what the pipeline asks, and free questions beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, ParamSpec, Protocol, TypeVar

from aimlvideo.core.catalog.refresh import ListedModel
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.money.account import Charge, LogRow
from aimlvideo.core.wires.answers import ENDED_STATES, State
from aimlvideo.core.wires.expected_fields import Fields
from aimlvideo.core.wires.http import Answer, Request

P = ParamSpec("P")
T_co = TypeVar("T_co", covariant=True)


class Generation(NamedTuple):
    """One generation, as seen at one moment.

    `status` is the service's own word, `state` what it means; `cost_usd` is None where the service did not say;
    `error` is the service's reason when `state` is `failed`. `video_urls` has all clips of the generation, `video_url`
    the first, `file_sizes` their bytes, as far as the answer says them. `cost_units` is what it cost in the service's
    own units, which are never USD. `never_ran`: it failed for want of a slot, was neither rendered nor billed, and may
    be submitted again. `request_id` is the id that we chose, where the answer says it. `content_refused`
    marks a failure by moderation, `refused_input` the input that it names. `created_at` is by the service's clock, in
    seconds since 1970; 0 where it does not say. `named_id` is the id in the answer itself, which a gateway may have
    from the service behind it.
    """

    id: str
    state: State = State.RENDERING
    status: str = ""
    video_url: str | None = None
    error: str | None = None
    cost_usd: float | None = None
    video_urls: tuple[str, ...] = ()
    cost_units: float | None = None
    never_ran: bool = False
    request_id: str | None = None
    file_sizes: tuple[int | None, ...] = ()
    content_refused: bool = False
    refused_input: str | None = None
    created_at: float = 0.0
    named_id: str | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more will come: completed or failed."""
        return self.state in ENDED_STATES


class Callback(NamedTuple):
    """What a service that calls back says: about which generation, by its id or by the id that we chose, and its state.

    `state` is None where it says none that is known.
    """

    generation_id: str | None
    request_id: str | None
    state: State | None


PathOf = Callable[[str], str | None]
"""The path that the catalogue names for a model's submissions; None where it does not know the model."""


class SharedChecks(NamedTuple):
    """Status checks of up to `most` generations in one request.

    `takes` tells of which, by the id and the job. `read` returns for each id the part of an answer that is about it, as
    an answer of its own; it raises what an answer amounts to that is about none of them.
    """

    most: int
    takes: Callable[[str, VideoJob], bool]
    request: Callable[[Sequence[str]], Request]
    read: Callable[[Answer, Sequence[str]], Mapping[str, Answer]]


class Wire(Protocol):
    """Requests out, answers in, for one service. Readers raise the `ServiceError` that an answer amounts to."""

    @property
    def shared_checks(self) -> SharedChecks | None:
        """How several generations are asked about in one request; None where each is asked about by itself."""

    def submission(self, job: VideoJob, request_id: str, callback_url: str | None = None) -> Request:
        """Return the POST that buys this job; its local pictures are encoded already."""

    def parse_submission(self, answer: Answer, request_id: str) -> Generation:
        """Return the generation that a submission's answer names."""

    def status(self, generation_id: str, job: VideoJob | None = None) -> tuple[Request, ...]:
        """Return the question about a generation; several where the job is not known: ask until one finds it."""

    def remember(self, generation_id: str, question: Request) -> None:
        """Note which of several questions about a generation found it."""

    def parse_status(self, answer: Answer, generation_id: str) -> Generation:
        """Return the generation as a status check's answer describes it."""


class Question(NamedTuple, Generic[T_co]):
    """A request that costs nothing, and what its answer means; `read` raises the error that the answer amounts to.

    `fields` are those of the answer that `read` relies on.
    """

    request: Request
    read: Callable[[Answer], T_co]
    fields: Fields = MappingProxyType({})


@dataclass(frozen=True)  # no slots: those of an alias such as `Ledger(...)` could not be made
class Query(Generic[P, T_co]):
    """A question whose request depends on what is asked for: the arguments of `request`. It costs nothing either."""

    request: Callable[P, Request]
    read: Callable[[Answer], T_co]
    fields: Fields = field(default_factory=dict)


TimedQuestion = Query[[float], T_co]
"""It names the moment at which it is asked, in seconds since 1970."""
Ledger = Query[[str | None, float, float], tuple[list[Charge], str | None]]
"""The account's charges: a page for each cursor (None: the first), and the cursor of the next.

It is asked for by the moments between which they were made, in seconds since 1970; one that takes none gives the newest
first.
"""
Helper = Query[[str, Mapping[str, Any]], dict[str, Any]]
"""Calls that prepare a job and answer at once: by name and parameters, and what one answers."""


class RequestLog(NamedTuple):
    """The service's list of past requests by the id that the client chose, newest first.

    `request` takes the first and the last moment in seconds since 1970, and how many rows to skip; at most
    `longest_window` seconds lie between them, and `per_second` pages may be read. `has_more` tells whether another page
    follows, None where a page does not say.
    """

    request: Callable[[float, float, int], Request]
    read: Callable[[Answer], list[LogRow]]
    has_more: Callable[[Answer], bool | None]
    per_second: float
    longest_window: float
    fields: Fields = MappingProxyType({})


class TaskList(NamedTuple):
    """The service's lists of its tasks, newest first, one at each place: a page for each cursor (None: the first).

    `read` takes the cursor that was asked with, and the answer; it returns a page and the cursor of the next, None
    where none follows. `place_of` says where a job's task is listed. `places` returns all of them, each with whether
    its tasks show the ids that we chose: at some the service is told none.
    """

    request: Callable[[str, str | None], Request]
    read: Callable[[str | None, Answer], tuple[list[Generation], str | None]]
    place_of: Callable[[VideoJob], str]
    places: Callable[[], Mapping[str, bool]]


class ModelList(NamedTuple):
    """The service's list of models; `request` takes the `etag` of the last answer, or an empty text.

    `usual_path` is where a model is submitted whose document names several places.
    """

    request: Callable[[str], Request]
    read: Callable[[Any], list[ListedModel]]
    usual_path: str


@dataclass(frozen=True, slots=True)
class LookupById:
    """One submission, looked up by the id that the client chose: None where the service knows of none.

    `takes_ids`: whether the service is told our id for such a job and finds it by that; else an absence proves nothing.
    `tasks`: its list, where it has one: a task may stand there that it does not find by our id.
    """

    request: Callable[[str, VideoJob], Request]
    read: Callable[[Answer, str], Generation | None]
    per_second: float
    takes_ids: Callable[[VideoJob], bool] = lambda job: True
    tasks: TaskList | None = None
