"""A status check, the same on every wire: counted, failed by chance, or answered."""

from __future__ import annotations

from time import monotonic

from aimlvideo.sandbox.generation import Generation, Phase
from aimlvideo.sandbox.responses import Refusal
from aimlvideo.sandbox.seeded_random import Dice
from aimlvideo.sandbox.state import World

_ODD_WORDS: dict[Phase, str] = {
    "queued": "waiting", "generating": "active", "completed": "succeeded", "error": "failed",
}  # fmt: skip


def check_in(world: World, generation: Generation | None) -> tuple[Generation, Dice]:
    """Count a status check and return the generation with the chance of this check, or raise a `Refusal`."""
    behaviour, now = world.behaviour, monotonic()
    if generation is None:
        world.tally.polls_unknown += 1
        raise Refusal("not found")
    world.tally.poll(generation, now)
    dice = Dice(behaviour.seed, f"{generation.id}?{generation.polls}")
    if now - generation.accepted_at < behaviour.appears_after:
        raise Refusal("not found")
    if dice.happens("poll_rate_limited", behaviour.poll_rate_limited):
        raise Refusal("checked too often", retry_after=behaviour.retry_after)
    if dice.happens("poll_error", behaviour.poll_error):
        raise Refusal("check failed")
    return generation, dice


def is_dropped(world: World, dice: Dice) -> bool:
    """Tell whether the connection is to be cut instead of the answer to a status check, and count it."""
    dropped = dice.happens("poll_dropped", world.behaviour.poll_dropped)
    world.tally.polls_dropped += dropped
    return dropped


def status_word(world: World, dice: Dice, phase: Phase) -> str | None:
    """Return the undocumented word that this answer has for a state; None where it has the documented one."""
    is_odd = dice.happens("unknown_status_words", world.behaviour.unknown_status_words)
    return _ODD_WORDS[phase] if is_odd else None
