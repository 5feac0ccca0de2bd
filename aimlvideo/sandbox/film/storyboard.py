"""What a clip shall show, read from a request: its shape, its length, its shots, its sound."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

SHORT_SIDE = 360
"""Pixels of the shorter side of a preview."""

LONGEST = 60.0
"""Seconds of a clip at most; one model documents no limit."""

_FIRST = ("image_url", "first_frame_image", "image_list", "image_urls", "reference_image_urls", "reference_images")
_LATER = ("video_url", "video_urls", "reference_image_url", "character", "reference")
_TAIL = ("tail_image_url", "last_image_url")
_SHAPE = ("aspect_ratio", "ratio", "frame_size")
_SOUND = ("generate_audio", "generate_audio_switch")


@dataclass(frozen=True, slots=True)
class Shot:
    """One shot: the pictures that it shows in turn, the one that it ends on, and what is written below."""

    prompt: str
    pictures: tuple[str, ...] = ()
    tail: str | None = None
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Storyboard:
    """A whole clip. `shape` is width and height in pixels, None to take that of the first picture."""

    shape: tuple[int, int] | None
    seconds: float
    shots: tuple[Shot, ...]
    sound: bool


def plan(params: Mapping[str, Any], default: Callable[[str], Any], choices: Callable[[str], Any]) -> Storyboard:
    """Return the storyboard of a request; `default` and `choices` tell what the model has for a parameter."""

    def asked(name: str) -> Any:
        value = params.get(name)
        return default(name) if value is None else value

    shots = tuple(_shots(params))
    return Storyboard(
        shape=_shape(next(filter(None, map(asked, _SHAPE)), None), has_picture=bool(shots[0].pictures)),
        seconds=_seconds(asked("duration"), choices("duration"), params.get("multi_prompt")),
        shots=shots,
        sound=any(asked(name) is True for name in _SOUND),
    )


def preview_size(wide: float, high: float) -> tuple[int, int]:
    """Return even pixels of a preview in these proportions."""
    scale = SHORT_SIDE / min(wide, high)
    return round(wide * scale / 2) * 2, round(high * scale / 2) * 2


def _shape(asked: object, *, has_picture: bool) -> tuple[int, int] | None:
    try:
        wide, high = (float(side) for side in str(asked).split(":"))
        return preview_size(wide, high)
    except (ValueError, ZeroDivisionError):
        return None if has_picture else preview_size(16, 9)


def _seconds(asked: object, choices: Mapping[str, Any], shots: object) -> float:
    if asked is None and isinstance(shots, list):
        asked = sum(float(shot.get("duration", 5)) for shot in shots if isinstance(shot, dict)) or None
    if asked is None:
        asked = next(iter(choices.get("enum", ())), choices.get("minimum", 5))
    try:
        return min(max(float(str(asked)), 1.0), LONGEST)
    except ValueError:
        return 5.0


def _shots(params: Mapping[str, Any]) -> Iterator[Shot]:
    pictures = tuple(_pictures(params, _FIRST)) or tuple(_pictures(params.get("keyframes") or {}, ("frame0",)))
    pictures = pictures or tuple(_pictures(params, _LATER))
    tail = next(_pictures(params, _TAIL), None) or next(_pictures(params.get("keyframes") or {}, ("frame1",)), None)
    prompts = params.get("multi_prompt")
    if not isinstance(prompts, list) or not prompts:
        yield Shot(str(params.get("prompt") or ""), pictures, tail)
        return
    for number, entry in enumerate(prompts):
        text, weight = (entry.get("prompt"), entry.get("duration", 5)) if isinstance(entry, dict) else (entry, 1)
        last = tail if number == len(prompts) - 1 else None
        yield Shot(str(text), pictures if number == 0 else (), last, float(weight))


def _pictures(params: Mapping[str, Any], names: tuple[str, ...]) -> Iterator[str]:
    """Find the links and data URIs under these names, alone, in lists, or as the `url` of an object."""
    for name in names:
        value = params.get(name)
        for one in value if isinstance(value, list) else [value]:
            found = one.get("url") if isinstance(one, dict) else one
            if isinstance(found, str) and found:
                yield found
