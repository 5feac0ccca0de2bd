"""A soft chord that belongs to a text."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from aimlvideo.sandbox.film.encode import SAMPLES_PER_SECOND

_CHORDS = ((0, 7, 12, 16), (0, 7, 14, 15), (0, 5, 9, 16), (0, 7, 11, 16), (0, 3, 10, 14))
"""Semitones above the root: major, minor and suspended chords in open position."""

_FADE = (0.7, 1.2)


def chord(text: str, seconds: float) -> NDArray[np.float32]:
    """Return mono samples from -1 to 1: four notes that swell and beat slowly, faded in and out."""
    root, which, *beats = blake2b(text.encode("utf-8", "replace"), digest_size=6).digest()
    moments = np.arange(round(seconds * SAMPLES_PER_SECOND), dtype=np.float32) / SAMPLES_PER_SECOND
    sound = np.zeros_like(moments)
    for note, beat in zip(_CHORDS[which % len(_CHORDS)], beats, strict=True):
        pitch = 110 * 2 ** ((root % 12 + note) / 12)
        swell = 0.65 + 0.35 * np.sin(2 * np.pi * (0.08 + beat / 1500) * moments + beat)
        angle = np.float32(2 * np.pi * pitch) * moments
        sound += swell * (np.sin(angle) + 0.22 * np.sin(2 * angle) + 0.06 * np.sin(3.003 * angle))
    rising = np.clip(moments / _FADE[0], 0, 1)
    falling = np.clip((seconds - moments) / _FADE[1], 0, 1)
    return (0.11 * sound * rising**2 * falling**2).astype(np.float32)
