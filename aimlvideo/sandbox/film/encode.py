"""Frames and sound into an H.264 MP4 file."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

FPS = 24
SAMPLES_PER_SECOND = 44_100

_SAMPLES_PER_FRAME = 1024


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
