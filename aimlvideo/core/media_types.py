"""Pictures, clips and sounds: what a file is, by its first bytes, and which of them a service or a model takes."""

from __future__ import annotations

from math import inf
from typing import NamedTuple


def media_type_name(media_type: str) -> str:
    """Return what people call a media type: PNG, MP3."""
    return {"audio/mpeg": "MP3", "audio/mp4": "M4A"}.get(media_type) or media_type.partition("/")[2].upper()


_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"\x1a\x45\xdf\xa3", "video/webm"),
    (b"FLV\1", "video/x-flv"),
    (b"\0\0\1\xba", "video/mpeg"),
    (b"\0\0\1\xb3", "video/mpeg"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video/x-ms-wmv"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xf1", "audio/aac"),
    (b"\xff\xf9", "audio/aac"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"\xff\xf3", "audio/mpeg"),
    (b"\xff\xf2", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_BRANDS = {
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"mif1": "image/heif",
    b"qt  ": "video/quicktime",
    b"M4A ": "audio/mp4",
}
_BOXES = (b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"styp", b"sidx", b"uuid", b"pnot")
PICTURE_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic"})
_PICTURES_THAT_MOVE = ("image/gif", "image/webp")


def media_type(head: bytes) -> str | None:
    """Return the media type that the first bytes of a picture, video or sound show; None for anything else."""
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12])
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "video/mp4")
    return next((kind for magic, kind in _MAGIC if head.startswith(magic)), None)


def is_video(head: bytes) -> bool:
    """Tell whether the first bytes (200 of them are enough) are those of a clip, in any of the usual forms."""
    kind = media_type(head) or ""
    if kind.startswith("video/") or kind in _PICTURES_THAT_MOVE or head[4:8] in _BOXES:
        return True
    # An MPEG transport stream has a sync byte every 188 bytes.
    return head[:1] == b"G" and head[188:189] == b"G"


class FileLimits(NamedTuple):
    """Which files are taken. `types` empty: all that are known here; `min_side` is in pixels, `pixels` an exact size,
    `max_ratio` the longer side over the shorter one; seconds are those of a sound or a clip, `below_seconds` excluded.
    """

    types: tuple[str, ...] = ()
    max_bytes: float = inf
    min_side: int = 0
    max_ratio: float = inf
    pixels: tuple[int, ...] = ()
    min_seconds: float = 0.0
    max_seconds: float = inf
    below_seconds: float = inf
    taken_by: str = "this model"
    upload_helps: bool = False
    """Whether a file that is beyond them may still be sent by its link."""

    @property
    def limits_pictures(self) -> bool:
        """Whether the size of a picture matters."""
        return bool(self.min_side or self.pixels) or self.max_ratio < inf

    @property
    def limits_seconds(self) -> bool:
        """Whether it matters how long a sound or a clip lasts."""
        return self.min_seconds > 0 or min(self.max_seconds, self.below_seconds) < inf

    def __str__(self) -> str:
        parts = [" or ".join(map(media_type_name, self.types))]
        parts.append(f"at most {self.max_bytes / 2**20:g} MB" if self.max_bytes < inf else "")
        parts.append("x".join(map(str, self.pixels)) + " pixels" if self.pixels else "")
        parts.append(f"at least {self.min_side} pixels a side" if self.min_side else "")
        parts.append(f"between 1:{self.max_ratio:g} and {self.max_ratio:g}:1" if self.max_ratio < inf else "")
        parts.append(f"at least {self.min_seconds:g} s" if self.min_seconds else "")
        parts.append(f"at most {self.max_seconds:g} s" if self.max_seconds < inf else "")
        parts.append(f"less than {self.below_seconds:g} s" if self.below_seconds < inf else "")
        return ", ".join(filter(None, parts))


class MediaLimits(NamedTuple):
    """In which form a service takes a file that is no link, and which ones.

    `data_uri`: as a `data:` URI, which is then taken as it is; else as bare Base64. `inline` holds for what is sent
    along, `inline_in_path` in its place where a path names the model, `files` for a link, too. `local_files`: whether
    a text may name a file of this machine.
    """

    data_uri: bool
    inline: FileLimits = FileLimits()
    inline_in_path: FileLimits | None = None
    files: tuple[FileLimits, ...] = ()
    local_files: bool = True

    @property
    def looks_inside(self) -> bool:
        """Whether a file has to be looked at before it is sent."""
        return bool(self.files) or self.inline != FileLimits()
