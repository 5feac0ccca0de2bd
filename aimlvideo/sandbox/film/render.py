"""A storyboard into a file: its pictures, and a soft chord that belongs to its first words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import blake2b
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aimlvideo.sandbox.film.caption import caption
from aimlvideo.sandbox.film.encode import SAMPLES_PER_SECOND, write_clip
from aimlvideo.sandbox.film.montage import Frame, Take, frames, takes_of_shot
from aimlvideo.sandbox.film.stills import Size, Still, open_still, picture_size, scene_still
from aimlvideo.sandbox.film.storyboard import Shot, Storyboard, preview_size

_NARROWEST, _WIDEST = 9 / 21, 21 / 9


def render(place: Path, board: Storyboard, go_on: Callable[[], None]) -> None:
    """Write the clip; `go_on` is called before every frame, and may raise to give up."""
    size = board.shape or _shape_of_picture(board)
    lengths = [board.seconds * shot.weight / sum(shot.weight for shot in board.shots) for shot in board.shots]
    ends = list(accumulate(lengths))
    starts = [0.0, *ends[:-1]]
    takes = [
        take
        for shot, start, end in zip(board.shots, starts, ends, strict=True)
        for take in _takes(board, shot, start, end, size)
    ]
    captions = [(start, caption(shot.prompt, size)) for start, shot in zip(starts, board.shots, strict=True)]
    sound = _chord(board.shots[0].prompt, board.seconds) if board.sound else None
    write_clip(place, size, _watched(frames(takes, captions, board.seconds, size), go_on), sound)


def _shape_of_picture(board: Storyboard) -> Size:
    """Return the shape of the first picture, within what a film may have."""
    wide, high = picture_size(board.shots[0].pictures[0]) or (16, 9)
    ratio = min(max(wide / high, _NARROWEST), _WIDEST)
    return preview_size(ratio, 1.0)


def _takes(board: Storyboard, shot: Shot, start: float, end: float, size: Size) -> list[Take]:
    stills = _stills(board, shot, size)
    if shot.tail:
        stills.append(open_still(shot.tail, size))
    seed = f"{shot.prompt}{start}"
    return takes_of_shot(stills, start, end, to_last=shot.tail is not None and len(stills) > 1, seed=seed)


def _stills(board: Storyboard, shot: Shot, size: Size) -> list[Still]:
    """Return what a shot shows: its pictures, else the film's, else the scene that its prompt asks for."""
    if shot.pictures:
        return [open_still(picture, size) for picture in shot.pictures]
    closer = (0.1, 0.25, 0.16)[board.shots.index(shot) % 3]
    shared = [open_still(picture, size, closer=closer) for picture in board.shots[0].pictures[:1]]
    return shared or [scene_still(shot.prompt, size)]


def _watched(pictures: Iterator[Frame], go_on: Callable[[], None]) -> Iterator[Frame]:
    for picture in pictures:
        go_on()
        yield picture


_CHORDS = ((0, 7, 12, 16), (0, 7, 14, 15), (0, 5, 9, 16), (0, 7, 11, 16), (0, 3, 10, 14))
"""Semitones above the root: major, minor and suspended chords in open position."""

_FADE = (0.7, 1.2)


def _chord(text: str, seconds: float) -> NDArray[np.float32]:
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
