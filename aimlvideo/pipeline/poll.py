"""From rendering to ready: status checks, and what each answer means for the job whose generation it is about."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from math import ceil, inf
from typing import Any

import anyio

from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress
from aimlvideo.core.jobs.request_ids import CLOCKS_AGREE, Intent
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.limits import PollBudget
from aimlvideo.core.polling.policy import PollPolicy, PollState
from aimlvideo.core.wires.answers import ENDED_STATES, State
from aimlvideo.core.wires.base import Generation, SharedChecks, Wire
from aimlvideo.errors import (
    Busy,
    Refused,
    Rejected,
    ServiceError,
    Unavailable,
    Unclear,
    VideoError,
)
from aimlvideo.pipeline.entry import Entry, contained
from aimlvideo.pipeline.limiters import SlotLimiter
from aimlvideo.pipeline.poll_scheduler import REVIEW_INTERVAL, PollScheduler
from aimlvideo.pipeline.request_log import TimedSender
from aimlvideo.pipeline.status_checks import (
    GONE,
    checks_until_end,
    ended_in_words,
    failure_of,
    fetch_status,
    fetch_statuses,
)
from aimlvideo.pipeline.waiting import Waiting, Watched
from aimlvideo.shell import clock

MAX_MISSES = 10
"""Failed checks in a row that put a generation on the slow lane."""
REFUSALS_BEFORE_HALT = 3
"""Refused checks of one generation in a row, after which it is said and nothing new is bought: a key was revoked."""
WITHOUT_CLIP = 600.0
"""Seconds that a clip is waited for whose generation is said to be completed; some never come."""
SILENCE = 45.0
"""Seconds without any answer after which a free question is asked: is the key still good, while clips render?"""
KEY_REFUSED = (401, 403)
"""Statuses of an answer to a key that is good no more."""
FIRST_MINUTE = 60.0
"""Seconds in which a service may not know yet what it has accepted."""
MISSES_TOGETHER = 2
"""Checks of a generation that fail in a row, whatever the reason, after which those asked along may be the reason."""
SPLIT_PAUSE = 1.0
"""Seconds after which the two halves of a question are asked that one of its generations spoils."""
SLOW_LANE = 300.0
"""Seconds between checks there."""
AFTER_OTHERS = 1.5
"""Seconds after a pause until those are asked again whose check began it, at first: more than others are asked along
early."""
REFUSED_ALONE = 5
"""Checks of one generation that are refused as too many in a row, while others are answered, after which it is the
reason."""


log = logging.getLogger("aimlvideo.poll")


@dataclass(eq=False)
class Poll:
    """Asks about each outstanding generation when the scheduler says so; completed ones go on to `on_ready`."""

    send: TimedSender
    wire: Wire
    slots: SlotLimiter
    budget: PollBudget
    policy_for: Callable[[VideoJob], PollPolicy]
    on_ready: Callable[[Entry], None]
    submit_again: Callable[[Entry], bool] = lambda entry: False
    """Takes back a generation that never ran, where it may be submitted again."""
    on_doubt: Callable[[Entry, str], None] = lambda entry, why: None
    """Takes a job whose generation turned out to be another one's, and in words how that is known."""
    has_callbacks: bool = False
    watched: Watched = field(default_factory=Watched)
    _asked_at: float = -inf
    _heard_at: float = -inf
    """When a status check was answered last with what had become of a generation."""
    _unknown_words: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.scheduler = PollScheduler(
            self.wire, self.budget, self.watched, self._check, self._give_up, has_callbacks=self.has_callbacks
        )
        self._has_any = asyncio.Event()

    def watch(self, entry: Entry) -> None:
        """Watch a generation from now on."""
        if entry.ended:
            return
        entry.take_slot(self.slots)
        now = clock.loop()
        accepted_at, deadline = now - self._age(entry.progress, now), now + entry.run.spec.patience
        policy = self.policy_for(entry.job)
        waiting = Waiting(entry, policy, PollState(accepted_at, accepted_at), deadline, accepted_at)
        if (shared := self.wire.shared_checks) is not None:
            is_shared = shared.takes(entry.progress.generation_id or "", entry.job)
            waiting.most_together = shared.most if is_shared else 0
        self.watched.add(waiting)
        self._has_any.set()
        self.scheduler.add(waiting, now)

    def _age(self, progress: Progress, now: float) -> float:
        """Return for how long a generation has been accepted, in seconds."""
        # By the wall clock, because that alone survives every restart; it may have been set.
        age = clock.wall() - progress.submitted_at if progress.submitted_at else 0.0
        # One that was accepted a moment ago, as most are, needs no other witness.
        is_new = 0 <= age < CLOCKS_AGREE
        return age if is_new else Intent.of(progress.request_id).age(age, self.send.clock.at(now), now)

    async def watch_key(self) -> None:
        """Ask a free question where generations render for long and nothing else is asked: was the key revoked?"""
        question = self.send.free_question
        while question is not None:
            self._has_any.clear()
            if next(iter(self.watched), None) is None:
                await self._has_any.wait()
            due = max(self.send.answered_at, self._asked_at) + SILENCE
            if due > clock.loop():
                await anyio.sleep_until(due)
                continue
            self._asked_at = clock.loop()
            with suppress(ServiceError):
                answer = await self.send(question)
                # Checks of one generation say what the refusal means, in the words of its wire.
                if answer.status in KEY_REFUSED:
                    self.scheduler.hint(next(iter(self.watched), None))

    async def _check(self, together: list[Waiting]) -> None:
        """Ask once. One failed check fails nothing."""
        for waiting in together:
            waiting.not_before = 0.0
        shared = self.wire.shared_checks
        if shared is None or len(together) == 1:
            waiting = together[0]
            with contained(waiting.entry):
                self._hear(waiting, await self._ask(waiting.entry))
            return
        with contained(*(waiting.entry for waiting in together)):
            heard = await self._ask_about_all(shared, [waiting.entry for waiting in together])
            for number, waiting in enumerate(together):
                with contained(waiting.entry):
                    if isinstance(heard, ServiceError):
                        self._hear_of_all(waiting, heard, ceil(len(together) / 2))
                        continue
                    if isinstance(heard[number], ServiceError):
                        waiting.most_together = ceil(len(together) / 2)  # a list may be cut short
                    self._hear(waiting, heard[number])

    def _hear_of_all(self, waiting: Waiting, error: ServiceError, half: int) -> None:
        """Take what a question about several amounts to; where one of them may be the reason, it is asked by halves."""
        now = clock.loop()
        if waiting.is_over or not self._may_be_spoiled(waiting, error):
            is_about_all = _is_about_all(error)
            if not is_about_all:
                waiting.failed_at = now
            if waiting.refusals >= REFUSED_ALONE:
                waiting.most_together = half
            self._hear(waiting, error, is_for_itself=is_about_all)
            return
        # No miss of this one's, nor its end: it may be another one's.
        waiting.most_together, waiting.failed_at = half, -inf
        waiting.last_error, waiting.not_before = str(error), now + SPLIT_PAUSE
        self.scheduler.keep_waiting(waiting, now)

    def _may_be_spoiled(self, waiting: Waiting, error: ServiceError) -> bool:
        """Tell whether one of several generations may be the reason why a question about all of them failed."""
        if isinstance(error, Rejected):
            return True
        if _is_about_all(error):
            return False
        # An outage fails every question; this one failed again while others were answered.
        return waiting.failed_at <= self.scheduler.answered_at and waiting.misses >= MISSES_TOGETHER

    async def _ask(self, entry: Entry) -> Generation | ServiceError:
        try:
            generation = await fetch_status(self.send, self.wire, entry.progress.generation_id or "", entry.job)
        except ServiceError as error:
            return error
        self._on_answer()
        return generation

    def _on_answer(self) -> None:
        self.scheduler.answered_at = self._heard_at = clock.loop()
        self.budget.rate.on_accepted(self.scheduler.answered_at)

    async def _ask_about_all(
        self, shared: SharedChecks, entries: list[Entry]
    ) -> list[Generation | ServiceError] | ServiceError:
        names = [entry.progress.generation_id or "" for entry in entries]
        jobs = {name: entry.job for name, entry in zip(names, entries, strict=True)}
        try:
            heard = await fetch_statuses(self.send, self.wire, shared, jobs)
        except ServiceError as error:
            return error
        self._on_answer()
        return [heard[name] for name in names]

    def _hear(self, waiting: Waiting, heard: Generation | ServiceError, *, is_for_itself: bool = True) -> None:
        entry, generation_id = waiting.entry, waiting.entry.progress.generation_id or ""
        if self.watched.is_over(waiting):  # its journal may be closed by now
            return
        if not isinstance(heard, ServiceError):
            try:
                self.refuse_mixed_up(entry, heard)
            except Unclear as error:
                heard = error
        if isinstance(heard, ServiceError):
            checks = checks_until_end(heard)
            waiting.ends_said = waiting.ends_said + 1 if checks else 0
            if not checks or waiting.ends_said < checks:
                self._on_failed_check(waiting, heard, is_for_itself=is_for_itself)
                return
            heard = ended_in_words(generation_id, heard)
        if self.watched.is_bought_for_another(entry, heard):
            self.watched.forget(entry)
            waiting.is_given_up = True
            why = f"its answer named generation {generation_id}, which was bought under {heard.request_id}"
            self.on_doubt(entry, why)
            return
        self._on_status(waiting, heard)

    def refuse_mixed_up(self, entry: Entry, generation: Generation) -> None:
        """Raise Unclear where an answer is about another job's generation: a cache that takes no notice of the query.

        An id that nobody here has may be that of the service behind a gateway.
        """
        named = generation.named_id
        if named is None or named == generation.id:
            return
        owner = self.watched.owner_of(named) or entry.run.earlier_owner(named)
        if owner not in (None, entry.job.id):
            raise Unclear(f"the answer is about generation {named}, which is that of job {owner!r}")

    def refuse_another_s(self, entry: Entry, generation: Generation) -> None:
        """Raise Unclear where an answer is about what was bought for another job, by either of its ids."""
        self.refuse_mixed_up(entry, generation)
        if self.watched.is_bought_for_another(entry, generation):
            raise Unclear(f"the answer is about the generation that was bought under {generation.request_id}")

    def _on_status(self, waiting: Waiting, generation: Generation) -> None:
        entry, policy, now = waiting.entry, waiting.policy, clock.loop()
        entry.run.stats.polls += 1
        waiting.misses, waiting.refusals, waiting.ends_said = 0, 0, 0
        waiting.last_error, waiting.failed_at, waiting.refused_at = "", -inf, inf
        if waiting.not_before != -inf:  # else it was called while this was under way
            waiting.not_after = inf
        if (shared := self.wire.shared_checks) is not None:
            waiting.most_together = min(2 * waiting.most_together, shared.most)
        heard = {"status": generation.status or None, "status_at": clock.wall()}
        polls = entry.progress.polls + 1
        if not generation.ended:
            queued = generation.state is State.QUEUED
            waiting.state = waiting.state.still_running(now, queued, policy)
            # By the loop's clock: a wall clock that was set would make it negative, which is how a queued one is noted.
            age = now - waiting.accepted_at
            noted = {"polls": polls, "poll_ages": entry.progress.poll_ages_with(age, queued=queued), **heard}
            if heard["status"] == entry.progress.status:
                entry.note(**noted)
            else:  # a new word is written down at once: whoever comes after a crash learns what was heard last
                entry.step(Stage.RENDERING, **noted)
            self._note_unknown_status(entry, generation.status)
            if State.named(generation.status) in ENDED_STATES:
                # "Completed" without a clip may stay so, and takes no slot at the service.
                entry.release_slot()
                waiting.deadline = min(waiting.deadline, now + WITHOUT_CLIP)
            self.scheduler.keep_waiting(waiting, now)
            return
        entry.run.stats.unknown_statuses.pop(entry.job.id, None)
        waiting.state.ended(now, policy)
        self._on_ended(entry, generation, {"polls": polls, **heard})

    def _on_ended(self, entry: Entry, generation: Generation, noted: Mapping[str, Any]) -> None:
        self.watched.forget(entry)
        now = clock.wall()
        # What it was charged when it failed, or before its link died, stays where this answer does not say it again.
        charged = {"cost_usd": generation.cost_usd, "cost_units": generation.cost_units}
        cost = {name: amount for name, amount in charged.items() if amount is not None}
        if generation.state is State.COMPLETED:
            # Named now, not when it is saved: the name that a download began with is the one that it goes on with.
            name = entry.progress.file or entry.run.names.name_of(entry.job)
            links = generation.video_urls if len(generation.video_urls) > 1 else ()
            ready = {"video_url": generation.video_url, "video_urls": links, "file": name}
            entry.step(Stage.READY, completed_at=now, file_sizes=generation.file_sizes, **ready, **cost, **noted)
            entry.release_slot()
            self.on_ready(entry)
            return
        entry.note(**noted)
        if not (generation.never_ran and self.submit_again(entry)):
            entry.step(Stage.FAILED, error=failure_of(generation), completed_at=now, **cost)
            entry.end()

    def _on_failed_check(self, waiting: Waiting, error: ServiceError, *, is_for_itself: bool) -> None:
        now = clock.loop()
        waiting.last_error = str(error)
        # "Too many checks" says nothing about this generation: the budget of all slows down, and no miss is counted.
        if isinstance(error, Busy):
            self.scheduler.answered_at = now
            self.budget.rate.on_rejected(now, error.retry_after)
            waiting.entry.run.stats.refused["polls"] += 1
            # After the pause the others come first: one that is always refused would keep them from being asked at all.
            # Where they are answered, it is rarely asked: each time makes checks rarer for all.
            waiting.refusals += waiting.refused_at <= self._heard_at
            waiting.refused_at = now
            own_pause = AFTER_OTHERS if waiting.refusals < REFUSED_ALONE else REVIEW_INTERVAL
            waiting.not_before = self.budget.rate.paused_until + own_pause
        else:
            waiting.misses += 1
            pause = SLOW_LANE if waiting.misses >= MAX_MISSES else min(2.0**waiting.misses / 2, 60.0)
            if isinstance(error, Unavailable):
                pause = max(pause, error.retry_after or pause)
            waiting.not_before = now + pause
        if waiting.misses >= MAX_MISSES and _is_final(error) and now - waiting.state.running_since > FIRST_MINUTE:
            self._give_up(waiting.entry, error)
            return
        # One that was asked along with others may be refused for another one's sake.
        is_refused = isinstance(error, Refused) and is_for_itself
        if is_refused and waiting.misses >= REFUSALS_BEFORE_HALT and waiting.entry.run.halted is None:
            log.error(
                "status checks are refused: %s. Running generations continue at the service; their ids are kept", error
            )
            waiting.entry.run.halt(error)
        if waiting.misses == MAX_MISSES:
            log.warning("%d checks in a row failed: %s", MAX_MISSES, error, extra={"job": waiting.entry.job.id})
        self.scheduler.keep_waiting(waiting, now)

    def _give_up(self, entry: Entry, error: VideoError) -> None:
        self.watched.forget(entry)
        entry.end(error)

    def _note_unknown_status(self, entry: Entry, word: str) -> None:
        """Keep the word of a generation in a state that nobody knows, for whoever watches; say a new word once."""
        statuses = entry.run.stats.unknown_statuses
        if State.named(word):
            statuses.pop(entry.job.id, None)
            return
        statuses[entry.job.id] = (word, clock.wall())
        if word not in self._unknown_words:
            self._unknown_words.add(word)
            log.warning("unknown status %r from the service: treated as unfinished", word)


def _is_about_all(error: ServiceError) -> bool:
    """Tell an answer that says by itself that it is about no generation: too many questions, or a wrong key."""
    return isinstance(error, Busy) or (isinstance(error, Refused) and error.wrong_key)


def _is_final(error: ServiceError) -> bool:
    """Tell an answer that asking again will not change: no such generation, or no such key."""
    return isinstance(error, Refused) or (isinstance(error, Rejected) and error.status in GONE)
