"""What is inside a file that a request carries: a model may take pictures of some sizes, sounds of some lengths."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any

import av
from PIL import Image, UnidentifiedImageError

Found = tuple[str, str]
"""What was expected, and what was received."""


def media_faults(value: object, rule: Mapping[str, Any]) -> Iterator[Found]:
    """Yield what is wrong with a file that is sent along by what a rule says of it. Links are not looked into."""
    if not isinstance(value, str) or not value.startswith("data:"):
        return
    head, _, text = value.partition(",")
    try:
        content = b64decode(text, validate=True) if head.endswith(";base64") else b""
    except binascii.Error:
        content = b""
    if not content:
        yield "a data: URI with the Base64 of a file", f"{head[:40]},..."
        return
    most = rule.get("megabytes")
    if most is not None and len(content) > most * 2**20:
        yield f"at most {most} MB", f"{len(content)} bytes"
    if head.startswith("data:image/"):
        yield from _picture(content, rule)
    else:
        yield from _recording(content, rule)


def _picture(content: bytes, rule: Mapping[str, Any]) -> Iterator[Found]:
    try:
        with Image.open(BytesIO(content)) as image:
            kind, (wide, high) = image.format, image.size
    except (UnidentifiedImageError, OSError, ValueError):
        yield "a picture", "what is none"
        return
    if kind not in rule.get("formats", [kind]):
        yield " or ".join(rule["formats"]), str(kind)
    if [wide, high] != rule.get("size", [wide, high]):
        yield "{}x{} pixels".format(*rule["size"]), f"{wide}x{high}"
    if min(wide, high) < rule.get("smallest", 0):
        yield f"at least {rule['smallest']} pixels a side", f"{wide}x{high}"
    if max(wide, high) > rule.get("widest", wide + high) * min(wide, high):
        yield f"proportions up to {rule['widest']}:1", f"{wide}x{high}"


def _recording(content: bytes, rule: Mapping[str, Any]) -> Iterator[Found]:
    try:
        with av.open(BytesIO(content), "r") as film:
            kinds, length = film.format.name.split(","), film.duration
    except (av.FFmpegError, ValueError):
        # What cannot be read has no length that could be wrong.
        return
    if not set(kinds) & set(rule.get("formats", kinds)):
        yield " or ".join(rule["formats"]), "/".join(kinds)
    if length is None:
        return
    seconds = length / 1_000_000
    if seconds >= rule.get("shorter", seconds + 1):
        yield f"less than {rule['shorter']} s", f"{seconds:.1f} s"
    if not rule.get("shortest", 0) <= seconds <= rule.get("longest", seconds):
        yield f"{rule.get('shortest', 0)} to {rule['longest']} s", f"{seconds:.1f} s"
