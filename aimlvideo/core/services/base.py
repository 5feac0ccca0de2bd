"""What a service is: all that the client has to know of one, as a value."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from aimlvideo.core.catalog.deprecations import Deprecation
from aimlvideo.core.eta import Durations
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.media_types import MediaLimits
from aimlvideo.core.money.account import Charge, KeyLimits, LogRow
from aimlvideo.core.money.pricing import Pricing
from aimlvideo.core.wires.aimlapi_models import ListedModel
from aimlvideo.core.wires.base import Callback, Generation, PathOf, Wire
from aimlvideo.core.wires.http import Answer, Request
from aimlvideo.core.wires.kling_official import ResourcePack
from aimlvideo.core.wires.shapes import Fields

T_co = TypeVar("T_co", covariant=True)


class MakeWire(Protocol):
    """Make a service's wire. `legacy` prefers its older URLs; `path_of` gives the catalogue's path of a model."""

    def __call__(self, *, legacy: bool, path_of: PathOf) -> Wire: ...


Authorize = Callable[[Request, str, float], Mapping[str, str]]
"""The headers that show who asks, from the request, the key, and the seconds since 1970 (a signature may expire)."""


def bearer(request: Request, key: str, now: float) -> Mapping[str, str]:
    """Show the key itself, as most services want it."""
    return {"Authorization": f"Bearer {key}"}


@dataclass(frozen=True, slots=True)
class Question(Generic[T_co]):
    """A request that costs nothing, and what its answer means; `read` raises the error that the answer amounts to.

    `fields` are those of the answer that `read` relies on.
    """

    request: Request
    read: Callable[[Answer], T_co]
    fields: Fields = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TimedQuestion(Generic[T_co]):
    """A question that costs nothing and names the moment at which it is asked, in seconds since 1970."""

    request: Callable[[float], Request]
    read: Callable[[Answer], T_co]
    fields: Fields = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RequestLog:
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
    fields: Fields = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ledger:
    """The account's charges, newest first: a page for each cursor (None: the first), and the cursor of the next."""

    request: Callable[[str | None], Request]
    read: Callable[[Answer], tuple[list[Charge], str | None]]
    fields: Fields = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelList:
    """The service's list of models; `request` takes the `etag` of the last answer, or an empty text.

    `usual_path` is where a model is submitted whose document names several places.
    """

    request: Callable[[str], Request]
    read: Callable[[Any], list[ListedModel]]
    usual_path: str


@dataclass(frozen=True, slots=True)
class TaskList:
    """The service's list of the tasks at a job's endpoint, newest first: a page for each number from 1 on."""

    request: Callable[[int, VideoJob], Request]
    read: Callable[[Answer], list[Generation]]


@dataclass(frozen=True, slots=True)
class Helper:
    """Calls that prepare a job, cost nothing and answer at once: by name and parameters, and what one answers."""

    request: Callable[[str, Mapping[str, Any]], Request]
    read: Callable[[Answer], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class LookupById:
    """One submission, looked up by the id that the client chose: None where the service knows of none.

    `takes_ids`: whether the service is told our id at all for such a job; where it is not, an absence proves nothing.
    `tasks`: its list, where it has one: a task may stand there that it does not find by our id.
    """

    request: Callable[[str, VideoJob], Request]
    read: Callable[[Answer, str], Generation | None]
    per_second: float
    takes_ids: Callable[[VideoJob], bool] = lambda job: True
    tasks: TaskList | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service. What it does not have is None, and nobody asks for it.

    - `base_url_tails` is what the wire itself puts after a base URL; people copy it along with one;
    - `title` is its name in a sentence; `key_url` says where a person gets a key;
    - `key_variables`: the environment variables that may hold the key, the first that is set wins; an entry of several
      variables is a key of several parts, all of which must be set, joined by `KEY_SEPARATOR`;
    - `authorize`: the headers of one request; they go to the service's own address only;
    - `media`: which pictures it takes, and in which form;
    - `settle`: seconds after which a submission that it does not list was never accepted; None: by how long its
      generations take, because they are listed when they end;
    - `lookup`: how a submission is found whose answer was lost: in its `RequestLog`, or one by one;
    - `balance` is in USD; `packs` are the units that an account has, where it does not pay in USD;
    - `path_below`: a request's path below a base URL that has a path of its own, from both; None: simply below it;
    - `read_callback`: what a callback's body says; None: it calls nobody back;
    - `helper`: the calls that some of its jobs need before them;
    - `id_field`: the parameter in which a job may name the id that is sent, unique in the account; empty: none.
    """

    name: str
    title: str
    wire: MakeWire
    base_url: str
    base_url_variable: str
    key_variables: tuple[tuple[str, ...], ...]
    key_url: str
    media: MediaLimits
    lookup: RequestLog | LookupById
    authorize: Authorize = bearer
    settle: float | None = None
    balance: Question[float] | None = None
    packs: TimedQuestion[tuple[ResourcePack, ...]] | None = None
    ledger: Ledger | None = None
    prices: Question[dict[str, Pricing]] | None = None
    durations: Question[dict[str, Durations]] | None = None
    models: ModelList | None = None
    deprecations: Question[dict[str, Deprecation]] | None = None
    key: Question[KeyLimits] | None = None
    read_callback: Callable[[Any], Callback | None] | None = None
    id_field: str = ""
    helper: Helper | None = None
    path_below: Callable[[str, str], str] | None = None
    base_url_tails: re.Pattern[str] | None = None

    @property
    def log(self) -> RequestLog | None:
        """Its list of past requests, where it has one."""
        return self.lookup if isinstance(self.lookup, RequestLog) else None

    @property
    def signs(self) -> bool:
        """Whether each request is signed, with the time in it: a clock that is off then makes it refused."""
        return self.authorize is not bearer

    @property
    def key_parts(self) -> int:
        """How many parts a key has."""
        return len(self.key_variables[0])

    def secrets(self, key: str) -> tuple[str, ...]:
        """Return what must never be shown: the key, and each of its parts."""
        return (key, *key.split(KEY_SEPARATOR, self.key_parts - 1)) if self.key_parts > 1 else (key,)


KEY_SEPARATOR = ":"
