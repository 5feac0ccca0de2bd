"""Outstanding generations between their polls, and who waits for which."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

from aimlvideo.core.formatting import format_seconds
from aimlvideo.core.jobs.request_ids import are_of_two_jobs, is_whole
from aimlvideo.core.polling.policy import PollPolicy, PollState
from aimlvideo.core.wires.answers import ENDED_STATES, State
from aimlvideo.core.wires.base import Generation
from aimlvideo.errors import OutOfPatience
from aimlvideo.pipeline.entry import Entry
from aimlvideo.shell import clock

MOST_OWNERS = 10_000
"""Ended generations, and ids that jobs chose themselves, whose job is remembered."""


@dataclass(slots=True, eq=False)
class Waiting:
    """One outstanding generation between its polls. Moments are on the event loop's clock."""

    entry: Entry
    policy: PollPolicy
    state: PollState
    deadline: float
    accepted_at: float
    due: float = 0.0
    not_before: float = 0.0
    """When it may be polled again; -inf where somebody has called and said that it has changed."""
    not_after: float = inf
    """When it is polled, whatever calls have said since its last poll."""
    misses: int = 0
    refusals: int = 0
    """Checks in a row that were refused as too many while others were answered."""
    refused_at: float = inf
    """When the last one was; later than any answer where none was."""
    last_error: str = ""
    """What was wrong with the last check; empty where it was answered."""
    is_being_polled: bool = False
    is_given_up: bool = False
    """Whether the generation turned out to be another job's."""
    ends_said: int = 0
    """Checks in a row that said in an error's words that it has ended."""
    most_together: int = 0
    """About how many generations one request may ask that asks about it; 0 where it is always asked about by itself."""
    failed_at: float = -inf
    """When a check of it and others failed last that said nothing about any of them."""

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for it here any more: its run may have been left, and its journal be closed."""
        return self.is_given_up or self.entry.ended

    def out_of_patience(self) -> OutOfPatience:
        """Return the error of a generation that was waited for long enough."""
        progress, patience = self.entry.progress, self.entry.run.spec.patience
        word, age = progress.status, format_seconds(max(0.0, clock.wall() - (progress.status_at or 0.0)))
        if word is None:
            heard = "No check of it was answered with its status"
        elif State.named(word) in ENDED_STATES:
            heard = f"The service said {word!r} {age} ago, and gave no link to a clip"
        elif State.named(word):
            heard = f"It keeps running at the service, which said {word!r} {age} ago"
        else:
            heard = f"The service's last word, {age} ago, was {word!r}, which is not a known status"
        is_completed = State.named(word or "") in ENDED_STATES
        what = "is completed without a clip" if is_completed else f"did not finish within {patience:g} s"
        trouble = f"; the last check failed: {self.last_error}" if self.last_error else ""
        return OutOfPatience(
            f"generation {progress.generation_id} {what}. {heard}{trouble}. "
            f"To fetch it: the same command again, or client.wait({progress.generation_id!r})",
            generation_id=progress.generation_id,
        )


class Watched:
    """Who waits for which generation: a run, and others beside it that were given its id. And who did a while ago."""

    def __init__(self) -> None:
        self._by_id: dict[str, tuple[Waiting, ...]] = {}
        self._owners: OrderedDict[str, str] = OrderedDict()
        """The jobs of generations that are not waited for any more."""
        self._own_ids: OrderedDict[str, str] = OrderedDict()
        """The jobs that chose the id of their submission themselves, by that id."""

    def __iter__(self) -> Iterator[str]:
        """Give the ids of all that is waited for."""
        return iter(self._by_id)

    def add(self, waiting: Waiting) -> None:
        """Wait for a generation from now on."""
        progress = waiting.entry.progress
        generation_id = progress.generation_id or ""
        self._by_id[generation_id] = (*self.waiting_for(generation_id), waiting)
        if progress.request_id and not is_whole(progress.request_id):
            _remember(self._own_ids, progress.request_id, waiting.entry.job.id)

    def postpone(self, seconds: float) -> None:
        """Wait for everything by so much longer."""
        for waiting in (one for some in self._by_id.values() for one in some):
            waiting.deadline += seconds

    def waiting_for(self, generation_id: str | None) -> list[Waiting]:
        """Return all who wait for a generation."""
        return [waiting for waiting in self._by_id.get(generation_id or "", ()) if not waiting.entry.ended]

    def owner_of(self, generation_id: str) -> str | None:
        """Return the id of the job whose generation of this id is waited for, or was a while ago."""
        waiting = self._by_id.get(generation_id)
        return self._owners.get(generation_id) if waiting is None else waiting[0].entry.job.id

    def is_bought_for_another(self, entry: Entry, generation: Generation) -> bool:
        """Tell whether a generation was bought for another job: under an id of ours, or one that a job here chose."""
        named, request_id = generation.request_id, entry.progress.request_id
        if named in (None, request_id) or request_id is None:
            return False
        # Any other id says nothing: a gateway may have one of its own for the service behind it.
        return are_of_two_jobs(named, request_id) or self._own_ids.get(named, entry.job.id) != entry.job.id

    def take_back(self, generation_id: str, owner: Entry) -> Entry | None:
        """Return the job that waits for a generation which is its `owner`'s instead: it waits for it no more."""
        for waiting in self._by_id.get(generation_id, ()):
            entry = waiting.entry
            if entry.job.id != owner.job.id and entry.progress.request_id is not None:
                self._drop(entry)
                waiting.is_given_up = True
                return None if entry.ended else entry
        return None

    def is_over(self, waiting: Waiting) -> bool:
        """Tell whether nobody waits for a generation any more that comes up: it is forgotten then.

        Not when it is left: to take it out of the middle of all others costs a search.
        """
        if waiting.entry.ended:
            self.forget(waiting.entry)
        return waiting.is_over

    def forget(self, entry: Entry) -> None:
        """Wait for a job's generation no more, and remember whose it was."""
        if self._drop(entry):
            _remember(self._owners, entry.progress.generation_id or "", entry.job.id)

    def _drop(self, entry: Entry) -> bool:
        """Wait for a generation no more on behalf of this job; tell whether nobody else waits for it."""
        generation_id = entry.progress.generation_id or ""
        if not (waiting := self._by_id.get(generation_id)):
            return False
        # A later run may wait for what an earlier one was left with.
        if others := tuple(one for one in waiting if one.entry is not entry):
            self._by_id[generation_id] = others
        else:
            del self._by_id[generation_id]
        return not others


def _remember(owners: OrderedDict[str, str], name: str, job_id: str) -> None:
    owners[name] = job_id
    if len(owners) > MOST_OWNERS:
        owners.popitem(last=False)
