"""Whether Kling's endpoints take a request: fields, lengths as strings, pictures as bare Base64 or links.

One table of endpoints, made from the published pages and nothing of the client's.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from PIL import Image, UnidentifiedImageError

from aimlvideo.sandbox.validation import Fault, shorten

LONGEST_PROMPT = 2_500
LONGEST_SHOT = 512
LARGEST_PICTURE = 10 * 1024 * 1024
SMALLEST_SIDE = 300
WIDEST = 2.5

FORMER_MODEL = "kling-v1"
"""What a request counts as that names no `model_name`, whatever its `model` says."""

_SHAPES = ("16:9", "9:16", "1:1")
_SECONDS = ("5", "10")


@dataclass(frozen=True)
class Kind:
    """One endpoint: its models (none: it takes no model), what it needs, and which words a field may have."""

    models: tuple[str, ...] = ()
    needed: tuple[str, ...] = ()
    one_of: tuple[tuple[str, ...], ...] = ()
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pictures: tuple[str, ...] = ()
    inside: str = ""
    """The object in which the fields stand."""


_TWO = ("kling-v1", "kling-v1-5", "kling-v1-6", "kling-v2-master", "kling-v2-1", "kling-v2-1-master")
_GENERAL = (*_TWO, "kling-v2-5-turbo", "kling-v2-6", "kling-v3")
_SOUND = {"sound": ("on", "off")}

KINDS: Mapping[str, Kind] = {
    "text2video": Kind(_GENERAL, choices={"aspect_ratio": _SHAPES, **_SOUND}),
    "image2video": Kind(_GENERAL, pictures=("image", "image_tail", "static_mask"), choices=_SOUND),
    "multi-image2video": Kind(("kling-v1-6",), ("prompt",), choices={"aspect_ratio": _SHAPES, "duration": _SECONDS}),
    "omni-video": Kind(("kling-video-o1", "kling-v3-omni"), choices={"aspect_ratio": _SHAPES, **_SOUND}),
    "motion-control": Kind(
        ("kling-v2-6", "kling-v3"),
        ("image_url", "video_url", "character_orientation", "mode"),
        choices={
            "character_orientation": ("image", "video"),
            "keep_original_sound": ("yes", "no"),
            "mode": ("std", "pro"),
        },
        pictures=("image_url",),
    ),
    "video-extend": Kind(needed=("video_id",)),
    "avatar/image2video": Kind(needed=("image",), one_of=(("audio_id", "sound_file"),), pictures=("image",)),
    "lip-sync": Kind(
        needed=("mode",),
        one_of=(("video_id", "video_url"),),
        choices={"mode": ("text2video", "audio2video"), "voice_language": ("zh", "en"), "audio_type": ("file", "url")},
        inside="input",
    ),
    "advanced-lip-sync": Kind(needed=("session_id", "face_choose")),
    "effects": Kind(one_of=(("image", "images"),), choices={"duration": _SECONDS}, pictures=("image",), inside="input"),
    "multi-elements": Kind(
        ("kling-v1-6",),
        ("session_id", "edit_mode", "prompt"),
        choices={"edit_mode": ("addition", "swap", "removal"), "duration": _SECONDS},
    ),
}


def model_of(body: Mapping[str, Any]) -> str:
    """Return the model that a request is billed as: `model` alone is accepted, and counts as none."""
    name = body.get("model_name")
    return name if isinstance(name, str) and name else FORMER_MODEL


def find_gateway_faults(kind: str, body: Mapping[str, Any]) -> list[Fault]:
    """Return all that is wrong with the body of a task; `kind` is the path below the root."""
    return [*_fields(KINDS[kind], body, kind), *_pictures(kind, body)]


def _fields(kind: Kind, body: Mapping[str, Any], name: str) -> Iterator[Fault]:
    if kind.models:
        yield from _model(kind, body)
    inner = body.get(kind.inside) if kind.inside else body
    if not isinstance(inner, dict):
        yield Fault((kind.inside,), "an object", shorten(inner))
        return
    yield from _needed(kind, inner)
    yield from _texts(body)
    for field_name, choices in kind.choices.items():
        if field_name in inner and inner[field_name] not in choices:
            words = "one of " + ", ".join(f'"{choice}"' for choice in choices)
            yield Fault((field_name,), words, shorten(inner[field_name]))
    scale = inner.get("cfg_scale", 0)
    if isinstance(scale, bool) or not isinstance(scale, int | float) or not 0 <= scale <= 1:
        yield Fault(("cfg_scale",), "a number from 0 to 1", shorten(scale))
    if name in _RULES:
        yield from _RULES[name](inner)
    if name == "effects":
        yield from _effect(body.get("effect_scene"), inner.get("images"))


def _effect(scene: object, images: object) -> Iterator[Fault]:
    """Yield what is wrong with an effect: some are for two persons, some for one."""
    if not scene:
        yield Fault(("effect_scene",), "the name of an effect", "nothing")
    if scene in ("hug", "kiss", "heart_gesture") and (not isinstance(images, list) or len(images) != 2):
        yield Fault(("input", "images"), "two pictures with this effect", shorten(images))
    if scene in ("squish", "expansion") and images:
        yield Fault(("input", "images"), "one picture with this effect", shorten(images))


def _model(kind: Kind, body: Mapping[str, Any]) -> Iterator[Fault]:
    named = body.get("model_name", body.get("model"))
    if named is not None and (not isinstance(named, str) or not named.startswith("kling-")):
        yield Fault(("model",), "a model such as kling-v1-6", shorten(named))
    elif isinstance(named, str) and named not in kind.models and named in _ALL_MODELS:
        yield Fault(("model",), "one of " + ", ".join(kind.models), shorten(named))
    model = model_of(body)
    if "mode" in body and body["mode"] not in (("std", "pro", "4k") if model in _IN_4K else ("std", "pro")):
        yield Fault(("mode",), '"std" or "pro"', shorten(body["mode"]))
    if "duration" in body and body["duration"] not in _seconds_of(model):
        yield Fault(("duration",), "one of " + ", ".join(_seconds_of(model)) + ", as text", shorten(body["duration"]))


_IN_4K = ("kling-v3", "kling-v3-omni")
_ALL_MODELS = {model for kind in KINDS.values() for model in kind.models}


def _seconds_of(model: str) -> tuple[str, ...]:
    # Lengths are texts here, as the service documents them: a number is refused as any other wrong type.
    longest = {"kling-v3": 15, "kling-v3-omni": 15, "kling-video-o1": 10}.get(model)
    return tuple(str(number) for number in range(3, longest + 1)) if longest else _SECONDS


def _needed(kind: Kind, inner: Mapping[str, Any]) -> Iterator[Fault]:
    for name in kind.needed:
        if not inner.get(name):
            yield Fault((name,), "a prompt" if name == "prompt" else "a value", "nothing")
    for names in kind.one_of:
        if sum(bool(inner.get(name)) for name in names) != 1:
            yield Fault((names[0],), "exactly one of " + " and ".join(names), "none, or several")


def _texts(body: Mapping[str, Any]) -> Iterator[Fault]:
    for name in ("prompt", "negative_prompt"):
        if len(str(body.get(name) or "")) > LONGEST_PROMPT:
            yield Fault((name,), f"at most {LONGEST_PROMPT} characters", f"{len(str(body[name]))}")
    for name in ("prompt", "negative_prompt", "callback_url", "external_task_id"):
        if not isinstance(body.get(name) or "", str):
            yield Fault((name,), "text", shorten(body[name]))


def _shots(body: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield what is wrong with a clip of several shots, or with the prompt of one that has none."""
    if not body.get("multi_shot"):
        if not body.get("prompt") and not body.get("image") and not body.get("image_tail"):
            yield Fault(("prompt",), "a prompt", "nothing")
        return
    if body.get("shot_type") not in ("customize", "intelligence"):
        yield Fault(("shot_type",), '"customize" or "intelligence"', shorten(body.get("shot_type")))
    shots = body.get("multi_prompt")
    if body.get("shot_type") != "customize":
        return
    if not isinstance(shots, list) or not 1 <= len(shots) <= 6:
        yield Fault(("multi_prompt",), "1 to 6 shots", shorten(shots))
        return
    for number, shot in enumerate(shots):
        yield from _shot(number, shot)
    lengths = [
        int(shot["duration"]) for shot in shots if isinstance(shot, dict) and str(shot.get("duration")).isdecimal()
    ]
    if sum(lengths) != int(body.get("duration", "5")):
        yield Fault(("multi_prompt",), "shots as long as the clip", str(sum(lengths)))


def _shot(number: int, shot: Any) -> Iterator[Fault]:
    place = ("multi_prompt", number)
    if not isinstance(shot, dict) or shot.get("index") != number + 1 or not isinstance(shot.get("prompt"), str):
        yield Fault(place, 'an object with "index", "prompt" and "duration"', shorten(shot))
    elif len(shot["prompt"]) > LONGEST_SHOT or not isinstance(shot.get("duration"), str):
        yield Fault(place, f"at most {LONGEST_SHOT} characters, and a duration as text", shorten(shot))


def _sounding(body: Mapping[str, Any]) -> Iterator[Fault]:
    yield from _shots(body)
    voices = body.get("voice_list")
    if voices is not None and body.get("sound") != "on":
        yield Fault(("voice_list",), 'voices with "sound": "on" only', shorten(voices))
    if voices is not None and not _objects(voices, "voice_id"):
        yield Fault(("voice_list",), 'a list of {"voice_id"}', shorten(voices))
    if sum(bool(body.get(name)) for name in ("image_tail", "static_mask", "camera_control")) > 1:
        yield Fault(("image_tail",), "only one of image_tail, masks and camera_control", "several")


def _omni(body: Mapping[str, Any]) -> Iterator[Fault]:
    yield from _shots(body)
    pictures, clips = body.get("image_list") or [], body.get("video_list") or []
    if not _objects(pictures, "image_url"):
        yield Fault(("image_list",), 'a list of {"image_url", "type"}', shorten(pictures))
        return
    if not _objects(clips, "video_url") or len(clips) > 1:
        yield Fault(("video_list",), 'at most one {"video_url"}', shorten(clips))
        return
    kinds = [picture.get("type") for picture in pictures]
    if "end_frame" in kinds and "first_frame" not in kinds:
        yield Fault(("image_list",), "no end frame without a first one", "an end frame")
    base = any(clip.get("refer_type", "base") == "base" for clip in clips)
    if base and {"first_frame", "end_frame"} & set(kinds):
        yield Fault(("image_list",), "no first or end frame with a clip to edit", "both")
    if clips and body.get("sound") == "on":
        yield Fault(("sound",), '"off" with a clip', "on")
    if "first_frame" not in kinds and not base and "aspect_ratio" not in body:
        yield Fault(("aspect_ratio",), "one of 16:9, 9:16, 1:1", "nothing")
    if len(pictures) + len(body.get("element_list") or []) > (4 if clips else 7):
        yield Fault(("image_list",), f"at most {4 if clips else 7} pictures and elements", str(len(pictures)))


def _lips(inner: Mapping[str, Any]) -> Iterator[Fault]:
    needed = ("text", "voice_id") if inner.get("mode") == "text2video" else ("audio_type",)
    for name in needed:
        if not inner.get(name):
            yield Fault((name,), "a value", "nothing")
    if len(str(inner.get("text") or "")) > 120:
        yield Fault(("text",), "at most 120 characters", str(len(inner["text"])))


def _faces(body: Mapping[str, Any]) -> Iterator[Fault]:
    faces = body.get("face_choose")
    if not _objects(faces, "face_id") or len(faces or []) != 1:
        yield Fault(("face_choose",), "one face", shorten(faces))
    elif bool(faces[0].get("audio_id")) == bool(faces[0].get("sound_file")):  # type: ignore[index]
        yield Fault(("face_choose", 0), "exactly one of audio_id and sound_file", "none, or both")


def _elements(body: Mapping[str, Any]) -> Iterator[Fault]:
    removal, pictures = body.get("edit_mode") == "removal", body.get("image_list")
    if removal == bool(pictures):
        yield Fault(("image_list",), "no pictures with removal, else some", shorten(pictures))


_RULES = {
    "text2video": _sounding,
    "image2video": _sounding,
    "omni-video": _omni,
    "lip-sync": _lips,
    "advanced-lip-sync": _faces,
    "multi-elements": _elements,
}


def _objects(entries: Any, key: str) -> bool:
    return isinstance(entries, list) and all(isinstance(entry, dict) and entry.get(key) for entry in entries)


def _pictures(kind: str, body: Mapping[str, Any]) -> Iterator[Fault]:
    inner = body.get(KINDS[kind].inside) if KINDS[kind].inside else body
    inner = inner if isinstance(inner, dict) else {}
    if kind == "multi-image2video":
        listed = body.get("image_list")
        if not isinstance(listed, list) or not 1 <= len(listed) <= 4:
            yield Fault(("image_list",), "1 to 4 pictures", shorten(listed))
            return
        for number, entry in enumerate(listed):
            image = entry.get("image") if isinstance(entry, dict) else None
            yield from picture_faults(("image_list", number, "image"), image)
    if kind == "image2video" and not body.get("image") and not body.get("image_tail"):
        yield Fault(("image",), "a picture", "nothing")
    for name in KINDS[kind].pictures:
        if inner.get(name):
            yield from picture_faults((name,), inner[name])


def picture_faults(path: tuple[str | int, ...], value: object, largest: int = LARGEST_PICTURE) -> Iterator[Fault]:
    """Yield what is wrong with a picture: a link, or the Base64 of one."""
    if not isinstance(value, str) or not value:
        yield Fault(path, "a link or Base64", shorten(value))
    elif value.startswith("data:"):
        yield Fault(path, "Base64 without a data: prefix", shorten(value[:30]))
    elif not value.startswith(("https://", "http://")):
        yield from _base64_picture(path, value, largest)


def _base64_picture(path: tuple[str | int, ...], text: str, largest: int) -> Iterator[Fault]:
    try:
        content = b64decode(text, validate=True)
        # Opened for real: a client that sends something else than a picture under a picture's name is what this is to
        # find.
        with Image.open(BytesIO(content)) as image:
            kind, (wide, high) = image.format, image.size
    except (binascii.Error, UnidentifiedImageError, OSError, ValueError):
        yield Fault(path, "a link or the Base64 of a picture", shorten(text[:30]))
        return
    if kind not in ("JPEG", "PNG"):
        yield Fault(path, "jpg, jpeg or png", str(kind))
    if len(content) > largest:
        yield Fault(path, f"at most {largest // 2**20} MB", f"{len(content)} bytes")
    if min(wide, high) < SMALLEST_SIDE:
        yield Fault(path, f"at least {SMALLEST_SIDE} pixels a side", f"{wide}x{high}")
    if not 1 / WIDEST <= wide / high <= WIDEST:
        yield Fault(path, "proportions between 1:2.5 and 2.5:1", f"{wide}x{high}")
