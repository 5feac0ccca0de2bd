"""Frames and sound into an H.264 MP4 file; and a real clip of a few KB, for runs where only the bytes matter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
from numpy.typing import NDArray

FPS = 24
SAMPLES_PER_SECOND = 44_100

_SAMPLES_PER_FRAME = 1024
_SHRINK = 5
_FPS = 6


def write_clip(
    place: Path,
    size: tuple[int, int],
    frames: Iterable[NDArray[np.uint8]],
    sound: NDArray[np.float32] | None,
    *,
    fps: int = FPS,
    quality: int = 26,
) -> None:
    """Write a file that starts playing before it is whole.

    `frames` are 4:2:0 planes below each other (height * 3/2 rows); `sound` is mono, from -1 to 1; `quality` is x264's
    constant rate factor.
    """
    with av.open(str(place), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        picture = container.add_stream("libx264", rate=fps, options=_x264(quality))
        picture.width, picture.height, picture.pix_fmt = *size, "yuv420p"
        speaker = None if sound is None else container.add_stream("aac", rate=SAMPLES_PER_SECOND, layout="mono")
        for number, planes in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(picture.encode(frame))
        container.mux(picture.encode(None))
        if speaker is not None and sound is not None:
            for part in _sound_frames(sound):
                container.mux(speaker.encode(part))
            container.mux(speaker.encode(None))


def _x264(quality: int) -> dict[str, str]:
    return {"preset": "superfast", "crf": str(quality), "threads": "1"}


def _sound_frames(sound: NDArray[np.float32]) -> Iterable[av.AudioFrame]:
    for start in range(0, len(sound), _SAMPLES_PER_FRAME):
        frame = av.AudioFrame.from_ndarray(
            sound[None, start : start + _SAMPLES_PER_FRAME], format="fltp", layout="mono"
        )
        frame.sample_rate, frame.pts, frame.time_base = SAMPLES_PER_SECOND, start, Fraction(1, SAMPLES_PER_SECOND)
        yield frame


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
