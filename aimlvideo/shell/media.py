"""A local picture to what a wire wants: a `data:` URI, or bare Base64 for a gateway. Its content tells its type."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import imagesize

from aimlvideo.errors import UsageError

GATEWAY_BYTES = 10 * 2**20
GATEWAY_SIDE = 300
GATEWAY_RATIO = 2.5
GATEWAY_TYPES = ("image/jpeg", "image/png")
"""What Kling gateways take: at most 10 MB, at least 300 pixels a side, between 1:2.5 and 2.5:1, JPEG or PNG."""

HEAD = 2**18
"""Bytes that are enough to tell a picture's type and size."""

LONGEST_PATH = 4096


@dataclass(frozen=True, slots=True)
class Media:
    """The local pictures of jobs whose relative paths start at `folder`, for a gateway or for AI/ML API."""

    folder: PurePath | None
    gateway: bool

    def check(self, value: Any) -> None:
        """Raise UsageError where a local picture cannot be sent; reads no more than its head."""
        if not _is_local(value):
            return
        if isinstance(value, str | PurePath):
            path = self._path(value)
            size, head = _head(path)
        else:
            path, raw = None, _raw(value)
            size, head = len(raw), raw[:HEAD]
        _checked(head, size, str(value) if path else "this picture", gateway=self.gateway)

    def changes(self, value: Any) -> bool:
        """Tell whether `encoded` has anything to do."""
        return _is_local(value) or (self.gateway and isinstance(value, str) and value.startswith("data:"))

    def encoded(self, value: Any) -> Any:
        """Return what is sent for `value`; a link is sent as it is. Reads the whole file: not for the event loop."""
        if not _is_local(value):
            return _bare(value) if self.gateway else value
        raw = _read(self._path(value)) if isinstance(value, str | PurePath) else _raw(value)
        kind = _checked(raw[:HEAD], len(raw), str(value)[:80], gateway=self.gateway)
        text = base64.b64encode(raw).decode()
        return text if self.gateway else f"data:{kind};base64,{text}"

    def _path(self, value: str | PurePath) -> Path:
        return Path(self.folder or "", Path(value).expanduser())


def _is_local(value: Any) -> bool:
    if isinstance(value, str):
        linked = value.startswith(("http://", "https://", "data:", "asset://"))
        return not linked and len(value) < LONGEST_PATH and not _is_base64(value)
    return isinstance(value, bytes | PurePath) or hasattr(value, "save")


def _is_base64(text: str) -> bool:
    """Tell raw Base64 of a picture from a path: it is long, and its first bytes decode to a known type."""
    if len(text) < 64:
        return False
    try:
        return _kind(base64.b64decode(text[:64])) is not None
    except ValueError:
        return False


def _bare(value: Any) -> Any:
    """Return a `data:` URI's Base64 without its prefix; anything else as it is."""
    if isinstance(value, str) and value.startswith("data:"):
        return value.partition(",")[2]
    return value


def _raw(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    held = io.BytesIO()
    value.save(held, format="PNG")
    return held.getvalue()


def _head(path: Path) -> tuple[int, bytes]:
    try:
        with path.open("rb") as file:
            return path.stat().st_size, file.read(HEAD)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error


def _checked(head: bytes, size: int, name: str, *, gateway: bool) -> str:
    kind = _kind(head)
    if kind is None:
        raise UsageError(f"{name} is no picture, video or sound that is known here")
    if gateway:
        _check_for_gateway(kind, head, size, name)
    return kind


def _check_for_gateway(kind: str, head: bytes, size: int, name: str) -> None:
    if kind not in GATEWAY_TYPES:
        raise UsageError(f"{name} is {kind}; this gateway takes JPEG and PNG")
    if size > GATEWAY_BYTES:
        raise UsageError(f"{name} has {size / 2**20:.1f} MB; this gateway takes 10 MB at most")
    width, height = imagesize.get(io.BytesIO(head))
    if min(width, height) < GATEWAY_SIDE:
        raise UsageError(f"{name} is {width}x{height} pixels; this gateway wants at least {GATEWAY_SIDE} a side")
    if max(width, height) > GATEWAY_RATIO * min(width, height):
        raise UsageError(f"{name} is {width}x{height}; this gateway takes shapes between 1:2.5 and 2.5:1")


_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
    (b"\x1a\x45\xdf\xa3", "video/webm"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"\xff\xf3", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_BRANDS = {
    b"avif": "image/avif",
    b"heic": "image/heic",
    b"mif1": "image/heif",
    b"qt  ": "video/quicktime",
    b"M4A ": "audio/mp4",
}


def _kind(head: bytes) -> str | None:
    """Return the media type that the first bytes show, or None."""
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12])
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "video/mp4")
    return next((kind for magic, kind in _MAGIC if head.startswith(magic)), None)
