"""A generation as AI/ML API shows it."""

from __future__ import annotations

from typing import Any

from aimlvideo.sandbox.generation import Generation
from aimlvideo.sandbox.links import file_link
from aimlvideo.sandbox.prices import CREDITS_PER_USD
from aimlvideo.sandbox.seeded_random import Dice
from aimlvideo.sandbox.state import World

_ODD_WORDS = {"queued": "waiting", "generating": "active", "completed": "succeeded", "error": "failed"}
_REASONS = {
    "completed": ("InternalError", "The video could not be made"),
    "error": ("InferenceError", "The model could not finish this generation"),
    "moderated": ("ContentPolicyViolation", "The result was withheld by the content policy (moderation)"),
    "overloaded": ("Overloaded", "Parallel task over resource pack limit"),
}


def as_generation(world: World, generation: Generation, dice: Dice, now: float, host: str) -> dict[str, Any]:
    """Return the JSON of a generation; `dice` are those of this answer, `host` is how the caller names the API."""
    phase = generation.phase(now)
    _odd = dice.happens("unknown_status_words", world.behaviour.unknown_status_words)
    done = phase == "completed"
    answer = {
        "id": generation.id,
        "status": _ODD_WORDS[phase] if _odd else phase,
        "video": _video(world, generation, host) if done else None,
        "error": _error(world, generation) if phase == "error" else None,
        "meta": {"usage": _usage(world, generation)} if done else None,
    }
    if world.behaviour.odd_fields:
        answer |= {"model": generation.model, "created_at": int(generation.created), "trace": {"region": "sandbox"}}
    return answer


def _video(world: World, generation: Generation, host: str) -> dict[str, Any]:
    url = file_link(host, world.behaviour.seed, generation)
    if not world.behaviour.odd_fields:
        return {"url": url}
    size = generation.clip.result().size
    more = {"content_type": "video/mp4", "file_name": "video.mp4", "file_size": size}
    return {"url": url, **more, "duration": generation.seconds_of_video, "cover_url": None}


def _usage(world: World, generation: Generation) -> dict[str, Any]:
    """Return what was used, in one of the three ways that the service has of saying it."""
    credits_used = round(generation.price * CREDITS_PER_USD)
    way = Dice(world.behaviour.seed, generation.id).roll("usage")
    if way < 0.6:
        return {"credits_used": credits_used, "usd_spent": generation.price}
    return {"credits_used": credits_used} if way < 0.9 else {"tokens_used": round(generation.seconds_of_video * 20_000)}


def _error(world: World, generation: Generation) -> Any:
    """Return the reason of a failure in one of its three shapes."""
    name, message = _REASONS[generation.fate.ending]
    shapes: list[Any] = [
        {"name": name, "message": message},
        {"detail": [{"loc": ["body", "prompt"], "msg": message, "type": name}]},
        f"{name}: {message}",
    ]
    return Dice(world.behaviour.seed, generation.id).pick("error", shapes)
