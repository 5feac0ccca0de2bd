"""Everything that the service knows: its generations, its books, its counts."""

from __future__ import annotations

import time
from collections import Counter, deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from heapq import heappop, heappush
from time import monotonic
from typing import Any

from aimlvideo.sandbox.behaviour import Behaviour
from aimlvideo.sandbox.film.storyboard import Storyboard
from aimlvideo.sandbox.generation import Fate, Generation, Phase
from aimlvideo.sandbox.ledger import Ledger, Logbook, LogRow
from aimlvideo.sandbox.responses import Refusal
from aimlvideo.sandbox.seeded_random import Dice
from aimlvideo.sandbox.stats import Stats

_ODD_WORDS: dict[Phase, str] = {
    "queued": "waiting", "generating": "active", "completed": "succeeded", "error": "failed",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Accepted:
    """A submission that passed every check: whose it is, what it shows, what will become of it."""

    wire: str
    model: str
    fate: Fate
    price: float
    board: Storyboard
    client_request_id: str | None = None
    external_task_id: str | None = None
    callback_url: str | None = None
    key: str = ""


@dataclass(slots=True)
class World:
    """The state of the service. Nothing in it waits; what is due happens when `settle` is called."""

    behaviour: Behaviour
    tally: Stats = field(default_factory=Stats)
    logbook: Logbook = field(default_factory=Logbook)
    ledger: Ledger = field(default_factory=Ledger)
    generations: list[Generation] = field(default_factory=list)
    by_id: dict[str, Generation] = field(default_factory=dict)
    by_external_id: dict[str, Generation] = field(default_factory=dict)
    seconds_seen: dict[str, deque[float]] = field(default_factory=dict)
    log_reads: deque[float] = field(default_factory=deque)
    submitted: deque[float] = field(default_factory=deque)
    started: float = field(default_factory=time.time)
    _due: list[tuple[float, int]] = field(default_factory=list)
    _attempts: Counter[str] = field(default_factory=Counter)

    def dice(self, chosen_id: str | None) -> Dice:
        """Return the chance of one submission: of this id and how often it was tried, or of the next number."""
        key = chosen_id or ""
        # By the caller's own id: the same job has the same fate whatever was submitted before it, so that one seed
        # gives one run.
        self._attempts[key] += 1
        return Dice(self.behaviour.seed, f"{key}#{self._attempts[key]}")

    def accept(self, what: Accepted, dice: Dice, clip: Future[Any]) -> Generation:
        """Take a submission in; from here on it is found by its id."""
        now = monotonic()
        generation = Generation(
            number=len(self.generations),
            id=_new_id(dice, what),
            wire=what.wire,
            model=what.model,
            fate=what.fate,
            price=what.price if self.behaviour.price is None else self.behaviour.price,
            seconds_of_video=what.board.seconds,
            accepted_at=now,
            created=time.time(),
            queued_until=now + what.fate.seconds * self.behaviour.queued_share,
            due=now + what.fate.seconds,
            clip=clip,
            client_request_id=what.client_request_id,
            external_task_id=what.external_task_id,
            callback_url=what.callback_url,
            key=what.key,
        )
        self._keep(generation)
        return generation

    def _keep(self, generation: Generation) -> None:
        self.generations.append(generation)
        self.by_id[generation.id] = generation
        if generation.external_task_id:
            self.by_external_id[generation.external_task_id] = generation
        heappush(self._due, (generation.due, generation.number))
        self.tally.accept(generation.client_request_id or generation.external_task_id)

    def check_in(self, generation: Generation | None) -> tuple[Generation, Dice]:
        """Count a status check and return the generation with the chance of this check, or raise a `Refusal`."""
        behaviour, now = self.behaviour, monotonic()
        if generation is None:
            self.tally.polls_unknown += 1
            raise Refusal("not found")
        self.tally.poll(generation, now)
        dice = Dice(behaviour.seed, f"{generation.id}?{generation.polls}")
        if now - generation.accepted_at < behaviour.appears_after:
            raise Refusal("not found")
        if dice.happens("poll_rate_limited", behaviour.poll_rate_limited):
            raise Refusal("checked too often", retry_after=behaviour.retry_after)
        if dice.happens("poll_error", behaviour.poll_error):
            raise Refusal("check failed")
        return generation, dice

    def drops_check(self, dice: Dice) -> bool:
        """Tell whether the connection is to be cut instead of the answer to a status check, and count it."""
        dropped = dice.happens("poll_dropped", self.behaviour.poll_dropped)
        self.tally.polls_dropped += dropped
        return dropped

    def odd_status_word(self, dice: Dice, phase: Phase) -> str | None:
        """Return the undocumented word that this answer has for a state; None where it has the documented one."""
        is_odd = dice.happens("unknown_status_words", self.behaviour.unknown_status_words)
        return _ODD_WORDS[phase] if is_odd else None

    def settle(self, now: float) -> None:
        """Let happen what is due: generations end, clips are charged, rows are logged."""
        late = []
        while self._due and self._due[0][0] <= now:
            moment, number = heappop(self._due)
            generation = self.generations[number]
            # A clip that is still being drawn keeps its generation running: an end without a file would be a fault of
            # ours.
            if generation.clip.done():
                self._end(generation, moment, now)
            else:
                late.append(generation.number)
        for number in late:
            heappush(self._due, (now, number))

    def _end(self, generation: Generation, moment: float, now: float) -> None:
        generation.ended_at = moment
        ended = time.time() - (now - moment)
        usd = generation.price if generation.completed else 0.0
        if generation.completed:
            self.ledger.charge(ended, usd, generation.model, generation.id, generation.key)
            seen = self.seconds_seen.setdefault(generation.model, deque(maxlen=500))
            seen.append(moment - generation.accepted_at)
        row = LogRow(
            generation.created,
            generation.id,
            generation.client_request_id,
            generation.model,
            generation.completed,
            usd,
            generation.key,
        )
        self.logbook.write(row, ended + self.behaviour.log_delay)
        self.tally.end(generation)

    def report(self) -> dict[str, Any]:
        """Return what the sandbox has seen, as `/__sandbox/stats` shows it."""
        self.settle(monotonic())
        spent = round(self.ledger.spent, 6)
        models = dict(Counter(generation.model for generation in self.generations))
        return self.tally.report() | {
            "models": models,
            "spent": spent,
            "balance": round(self.behaviour.balance - spent, 6),
        }


def _new_id(dice: Dice, what: Accepted) -> str:
    """Return an id in one of the styles of the service: opaque, and some with `:` and `/`."""
    if what.wire.startswith("kling"):
        return str(int.from_bytes(dice.digest("id")) % 10**18 + 10**17)
    # All styles that the service was seen to use: a client that takes an id for a path segment fails here first.
    styles = (dice.letters("id", 21), dice.uuid("id"), f"{dice.uuid('id')}:{what.model}")
    return styles[min(int(dice.roll("style") * 4), 2)] if "/" in what.model else styles[0]
