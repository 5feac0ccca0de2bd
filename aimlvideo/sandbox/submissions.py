"""The way of a submission, the same on every wire: turned away, or accepted with its fate decided."""

from __future__ import annotations

import time
from collections.abc import Callable
from time import monotonic

from aimlvideo.sandbox.behaviour import Behaviour
from aimlvideo.sandbox.film.studio import Studio
from aimlvideo.sandbox.generation import Generation
from aimlvideo.sandbox.ledger import LogRow
from aimlvideo.sandbox.responses import Refusal
from aimlvideo.sandbox.seeded_random import Dice
from aimlvideo.sandbox.state import Accepted, World

SERVER_ERRORS = (500, 502, 504)
"""The statuses after which nobody knows whether a submission was accepted."""


def receive(world: World, studio: Studio, dice: Dice, judge: Callable[[Dice], Accepted]) -> Generation:
    """Accept a submission, or raise a `Refusal`; `judge` looks at the body once everything else allows it."""
    behaviour = world.behaviour
    # In the service's order: who is too fast is refused before anybody reads his body.
    _turn_away(world, behaviour, dice)
    accepted = judge(dice)
    _check_key_limits(world, accepted.key)
    if dice.happens("moderation", behaviour.moderation) and dice.roll("when") < 0.5:
        raise Refusal("moderated")
    if dice.happens("error_before", behaviour.error_before):
        _fail(world, dice, accepted)
    return world.accept(accepted, dice, studio.order(accepted.board, behaviour.video))


def lose_answer(world: World, generation: Generation, dice: Dice) -> bool:
    """Tell whether the connection is to be cut instead of an answer; raise where the answer is to be an error."""
    if generation.fate.answer == "error":
        world.tally.answers_lost["error"] += 1
        raise Refusal("error after", status=dice.pick("status", SERVER_ERRORS))
    if generation.fate.answer == "dropped":
        world.tally.answers_lost["dropped"] += 1
        return True
    return False


def _turn_away(world: World, behaviour: Behaviour, dice: Dice) -> None:
    if dice.happens("unavailable", behaviour.unavailable):
        raise Refusal("unavailable")
    if dice.happens("rate_limited", behaviour.rate_limited) or not _in_rate(world, behaviour):
        raise Refusal("rate limited", retry_after=behaviour.retry_after)
    if behaviour.max_concurrent is not None and world.tally.outstanding >= behaviour.max_concurrent:
        raise Refusal("too many at once", retry_after=behaviour.retry_after)
    if world.ledger.spent >= behaviour.balance:
        raise Refusal("out of credits")


def _check_key_limits(world: World, key: str) -> None:
    limit, scopes = world.behaviour.key_limit, world.behaviour.key_scopes
    if scopes is not None and "model:video" not in scopes:
        raise Refusal("out of scope")
    if limit is not None and world.ledger.spent_by_key[key] >= limit:
        raise Refusal("key limit")


def _in_rate(world: World, behaviour: Behaviour) -> bool:
    """Tell whether fewer than `max_rate` submissions (and at least one) were let in within the last second."""
    if behaviour.max_rate is None:
        return True
    # Of a rate below 1 a second, the window is as long as one submission takes.
    now, span = monotonic(), max(1.0, 1 / behaviour.max_rate)
    while world.submitted and world.submitted[0] <= now - span:
        world.submitted.popleft()
    if len(world.submitted) >= behaviour.max_rate * span:
        return False
    world.submitted.append(now)
    return True


def _fail(world: World, dice: Dice, accepted: Accepted) -> None:
    """Answer 5xx without accepting. Whether such a request is logged depends on how far it came."""
    if dice.roll("logged") < 0.5:
        now = time.time()
        row = LogRow(now, dice.letters("id", 21), accepted.client_request_id, accepted.model, False, 0.0, accepted.key)
        world.logbook.write(row, now + world.behaviour.log_delay)
    raise Refusal("error before", status=dice.pick("status", SERVER_ERRORS))
