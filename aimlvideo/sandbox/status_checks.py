"""A status check, the same on every wire: counted, failed by chance, or answered."""

from __future__ import annotations

from time import monotonic

from aimlvideo.sandbox.generation import Generation
from aimlvideo.sandbox.refusals import Refusal
from aimlvideo.sandbox.seeded_random import Dice
from aimlvideo.sandbox.state import World


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
