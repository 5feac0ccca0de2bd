"""What a service is: all that the client has to know of one, as a value."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from aimlvideo.core.catalog.deprecations import Deprecation
from aimlvideo.core.eta import Durations
from aimlvideo.core.formatting import SecretText
from aimlvideo.core.media_types import MediaLimits
from aimlvideo.core.money.account import KeyLimits, ResourcePack
from aimlvideo.core.money.pricing import Prices
from aimlvideo.core.wires.base import (
    Callback,
    Helper,
    Ledger,
    LookupById,
    ModelList,
    PathOf,
    Question,
    RequestLog,
    TaskList,
    TimedQuestion,
    Wire,
)
from aimlvideo.core.wires.http import Request


class _MakeWire(Protocol):
    """Make a service's wire. `legacy` prefers its older URLs; `path_of` gives the catalogue's path of a model."""

    def __call__(self, *, legacy: bool, path_of: PathOf) -> Wire: ...


Authorize = Callable[[Request, str, float], Mapping[str, str]]
"""The headers that show who asks, from the request, the key, and the seconds since 1970 (a signature may expire)."""


def _bearer(request: Request, key: str, now: float) -> Mapping[str, str]:
    """Show the key itself, as most services want it."""
    return {"Authorization": SecretText(f"Bearer {key}")}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
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
    wire: _MakeWire
    base_url: str
    base_url_variable: str
    key_variables: tuple[tuple[str, ...], ...]
    key_url: str
    media: MediaLimits
    lookup: RequestLog | LookupById
    authorize: Authorize = _bearer
    settle: float | None = None
    balance: Question[float] | None = None
    packs: TimedQuestion[tuple[ResourcePack, ...]] | None = None
    ledgers: tuple[Ledger, ...] = ()
    prices: Question[Prices] | None = None
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
    def tasks(self) -> TaskList | None:
        """Its lists of tasks, where it has some."""
        return self.lookup.tasks if isinstance(self.lookup, LookupById) else None

    @property
    def signs(self) -> bool:
        """Whether each request is signed, with the time in it: a clock that is off then makes it refused."""
        return self.authorize is not _bearer

    @property
    def key_parts(self) -> int:
        """How many parts a key has at most."""
        return len(self.key_variables[0])

    def secrets(self, key: str) -> tuple[str, ...]:
        """Return what must never be shown: the key, and each of its parts."""
        return tuple(dict.fromkeys((key, *key.split(KEY_SEPARATOR, self.key_parts - 1))))


KEY_SEPARATOR = ":"
