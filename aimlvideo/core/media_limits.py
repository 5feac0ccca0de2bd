"""Which pictures, clips and sounds a service or a model takes, and in which form."""

from __future__ import annotations

from math import inf
from typing import NamedTuple

from aimlvideo.core.media_types import media_type_name


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
