"""A real clip of a few KB, for runs where only the bytes matter."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from aimlvideo.sandbox.film.encode import write_clip

_SHRINK = 5
_FPS = 6


def write_tiny(place: Path, shape: tuple[int, int], seconds: float) -> None:
    """Write a clip of this length, a fifth of the preview's size, six pictures a second, without sound."""
    place.write_bytes(_tiny_clip(shape, seconds))


@lru_cache(maxsize=64)
def _tiny_clip(shape: tuple[int, int], seconds: float) -> bytes:
    # Kept beyond its sandbox: a suite starts hundreds of them, and to encode a clip takes longer than most tests.
    wide, high = (side // (2 * _SHRINK) * 2 for side in shape)
    with TemporaryDirectory() as folder:
        place = Path(folder, "tiny.mp4")
        write_clip(place, (wide, high), _sunrise(wide, high, round(seconds * _FPS)), None, fps=_FPS, quality=34)
        return place.read_bytes()


def _sunrise(wide: int, high: int, count: int) -> Iterator[NDArray[np.uint8]]:
    sky = np.linspace(60, 170, high)[:, None] + np.zeros((1, wide))
    colours = np.vstack([np.full((high // 2, wide // 2), 118), np.full((high // 2, wide // 2), 146)])
    rows, columns = np.mgrid[:high, :wide]
    for number in range(count):
        height = high * (0.9 - 0.5 * number / count)
        sun = np.hypot(rows - height, columns - wide / 2) < high / 6
        yield np.vstack([np.where(sun, 225, sky), colours.reshape(high // 2, wide)]).astype(np.uint8)
