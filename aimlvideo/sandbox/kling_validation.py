"""Whether the Kling gateway takes a request: fields, lengths as strings, pictures as bare Base64 or links."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any

from PIL import Image, UnidentifiedImageError

from aimlvideo.sandbox.validation import Fault, shorten

LONGEST_PROMPT = 2_500
LARGEST_PICTURE = 10 * 1024 * 1024
SMALLEST_SIDE = 300
WIDEST = 2.5

_CHOICES = {"mode": ("std", "pro"), "duration": ("5", "10"), "aspect_ratio": ("16:9", "9:16", "1:1")}
_PROMPT_NEEDED = ("multi-image2video", "text2video")


def find_gateway_faults(kind: str, body: Mapping[str, Any]) -> list[Fault]:
    """Return all that is wrong with the body of a task; `kind` is the last part of the path."""
    return [*_fields(kind, body), *_pictures(kind, body)]


def _fields(kind: str, body: Mapping[str, Any]) -> Iterator[Fault]:
    model = body.get("model", body.get("model_name"))
    if not isinstance(model, str) or not model.startswith("kling-"):
        yield Fault(("model",), "a model of the gateway such as kling-v1-6", shorten(model))
    if kind in _PROMPT_NEEDED and not body.get("prompt"):
        yield Fault(("prompt",), "a prompt", "nothing")
    for name in ("prompt", "negative_prompt"):
        if len(str(body.get(name) or "")) > LONGEST_PROMPT:
            yield Fault((name,), f"at most {LONGEST_PROMPT} characters", f"{len(str(body[name]))}")
    for name in ("prompt", "negative_prompt", "callback_url", "external_task_id"):
        if not isinstance(body.get(name) or "", str):
            yield Fault((name,), "text", shorten(body[name]))
    for name, choices in _CHOICES.items():
        if name in body and body[name] not in choices:
            yield Fault((name,), "one of " + ", ".join(f'"{choice}"' for choice in choices), shorten(body[name]))
    scale = body.get("cfg_scale", 0)
    if isinstance(scale, bool) or not isinstance(scale, int | float) or not 0 <= scale <= 1:
        yield Fault(("cfg_scale",), "a number from 0 to 1", shorten(scale))


def _pictures(kind: str, body: Mapping[str, Any]) -> Iterator[Fault]:
    if kind == "multi-image2video":
        listed = body.get("image_list")
        if not isinstance(listed, list) or not 1 <= len(listed) <= 4:
            yield Fault(("image_list",), "1 to 4 pictures", shorten(listed))
            return
        for number, entry in enumerate(listed):
            image = entry.get("image") if isinstance(entry, dict) else None
            yield from _picture(("image_list", number, "image"), image)
    if kind == "image2video":
        if not body.get("image") and not body.get("image_tail"):
            yield Fault(("image",), "a picture", "nothing")
        for name in ("image", "image_tail"):
            if body.get(name):
                yield from _picture((name,), body[name])


def _picture(path: tuple[str | int, ...], value: object) -> Iterator[Fault]:
    if not isinstance(value, str) or not value:
        yield Fault(path, "a link or Base64", shorten(value))
    elif value.startswith("data:"):
        yield Fault(path, "Base64 without a data: prefix", shorten(value[:30]))
    elif not value.startswith(("https://", "http://")):
        yield from _base64_picture(path, value)


def _base64_picture(path: tuple[str | int, ...], text: str) -> Iterator[Fault]:
    try:
        content = b64decode(text, validate=True)
        with Image.open(BytesIO(content)) as image:
            kind, (wide, high) = image.format, image.size
    except (binascii.Error, UnidentifiedImageError, OSError, ValueError):
        yield Fault(path, "a link or the Base64 of a picture", shorten(text[:30]))
        return
    if kind not in ("JPEG", "PNG"):
        yield Fault(path, "jpg, jpeg or png", str(kind))
    if len(content) > LARGEST_PICTURE:
        yield Fault(path, "at most 10 MB", f"{len(content)} bytes")
    if min(wide, high) < SMALLEST_SIDE:
        yield Fault(path, f"at least {SMALLEST_SIDE} pixels a side", f"{wide}x{high}")
    if not 1 / WIDEST <= wide / high <= WIDEST:
        yield Fault(path, "proportions between 1:2.5 and 2.5:1", f"{wide}x{high}")
