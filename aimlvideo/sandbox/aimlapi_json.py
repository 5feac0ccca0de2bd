"""A generation as AI/ML API shows it."""

from __future__ import annotations

from typing import Any

from aimlvideo.sandbox.generation import Generation, file_link
from aimlvideo.sandbox.prices import CREDITS_PER_USD
from aimlvideo.sandbox.seeded_random import Dice
from aimlvideo.sandbox.state import World

_LIST_MODELS = (
    "klingai/video-v3-omni-",
    "blackforestlabs/flux-3-video",
    "bytedance/seedance-2-5",
    "bytedance/dreamina-seedance-2-5",
    "alibaba/wan-3-0-video",
    "alibaba/wan3.0-video",
    "google/gemini-omni-1.1-flash",
    "minimax/h3-max",
)
"""The models whose `video` may be a list of clips."""
_USD_MODELS = (
    *("alibaba/happyhorse-1", "alibaba/wan-2-7", "beeble/", "bytedance/dreamina-seedance-2-0", "luma/ray-3", "x-ai/"),
    *("bytedance/seedance-1-5", "bytedance/seedance-2-0", "google/gemini-omni", "google/veo-3-1-lite", "minimax/h3"),
    *("klingai/video-v2-6-motion", "klingai/video-v3-motion", "veo-3.1-lite"),
)
"""The other models whose usage is told in USD as well as in credits."""
_TOKEN_MODELS = ("veo2",)
_REASONS = {
    "completed": ("InternalError", "The video could not be made"),
    "error": ("InferenceError", "The model could not finish this generation"),
    "moderated": ("ContentPolicyViolation", "The result was withheld by the content policy (moderation)"),
    "overloaded": ("Overloaded", "Parallel task over resource pack limit"),
}


def as_generation(world: World, generation: Generation, dice: Dice, now: float, host: str) -> dict[str, Any]:
    """Return the JSON of a generation; `dice` are those of this answer, `host` is how the caller names the API."""
    phase = generation.phase(now)
    done = phase == "completed"
    answer = {
        "id": generation.id,
        "status": world.odd_status_word(dice, phase) or phase,
        "video": _video(world, generation, host) if done else None,
        "error": _error(world, generation) if phase == "error" else None,
        "meta": {"usage": _usage(world, generation)} if done else None,
    }
    if world.behaviour.odd_fields:
        answer |= {"model": generation.model, "created_at": int(generation.created), "trace": {"region": "sandbox"}}
    return answer


def clip_count(world: World, generation: Generation) -> int:
    """Return how many clips a generation has: one, or two where its model's `video` may be a list."""
    dice = Dice(world.behaviour.seed, generation.id)
    return 2 if _lists_clips(generation) and dice.happens("clips", world.behaviour.several_clips) else 1


def _lists_clips(generation: Generation) -> bool:
    return generation.model.startswith(_LIST_MODELS)


def _video(world: World, generation: Generation, host: str) -> Any:
    clips = [_clip(world, generation, host, number) for number in range(1, clip_count(world, generation) + 1)]
    return clips if _lists_clips(generation) else clips[0]


def _clip(world: World, generation: Generation, host: str, number: int) -> dict[str, Any]:
    url = file_link(host, world.behaviour.seed, generation, number)
    if not world.behaviour.odd_fields:
        return {"url": url}
    size = generation.clip.result().size
    more = {"content_type": "video/mp4", "file_name": "video.mp4", "file_size": size}
    return {"url": url, **more, "duration": generation.seconds_of_video, "cover_url": None}


def _usage(world: World, generation: Generation) -> dict[str, Any]:
    """Return what was used, as the documents of the generation's model have it."""
    if generation.model in _TOKEN_MODELS:
        return {"tokens_used": round(generation.seconds_of_video * 20_000)}
    used = {"credits_used": round(generation.price * CREDITS_PER_USD)}
    in_usd = generation.model.startswith((*_LIST_MODELS, *_USD_MODELS))
    return {**used, "usd_spent": generation.price} if in_usd else used


def _error(world: World, generation: Generation) -> Any:
    """Return the reason of a failure, as documented or in one of the two shapes that examples show."""
    name, message = _REASONS[generation.fate.ending]
    dice = Dice(world.behaviour.seed, generation.id)
    if not dice.happens("odd error", world.behaviour.odd_errors):
        return {"name": name, "message": message}
    return dice.pick(
        "error", [{"detail": [{"loc": ["body", "prompt"], "msg": message, "type": name}]}, f"{name}: {message}"]
    )
