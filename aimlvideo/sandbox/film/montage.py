"""What is seen when: shots one after the other, pictures in them cross-fading, the camera always in slow motion."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from math import cos, pi

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from aimlvideo.sandbox.film.caption import Caption
from aimlvideo.sandbox.film.encode import FPS
from aimlvideo.sandbox.film.stills import Size, Still, View

FADE = 0.9
"""Seconds of a cross-fade at most; it takes two fifths of a picture's time at most."""

_MOVES = (
    (View(-0.7, 0.2, 1.12), View(0.7, -0.2, 1.2)),
    (View(0.0, 0.0, 1.0), View(0.1, -0.2, 1.22)),
    (View(0.8, 0.3, 1.16), View(-0.8, 0.0, 1.16)),
    (View(0.0, -0.2, 1.24), View(0.0, 0.1, 1.02)),
    (View(0.2, 0.9, 1.15), View(-0.1, -0.9, 1.18)),
)
_INTO = (View(0.0, 0.0, 1.0), View(0.0, -0.1, 1.18))
_OUT_OF = (View(0.0, -0.1, 1.18), View(0.0, 0.0, 1.0))


@dataclass(frozen=True, slots=True)
class Take:
    """A picture on the screen from one second to another, fading in over the one before."""

    still: Still
    start: float
    end: float
    fade: float
    move: tuple[View, View]

    def view(self, moment: float) -> View:
        """Return where the camera looks at a moment."""
        share = min(max((moment - self.start) / (self.end - self.start), 0), 1)
        share = 0.6 * share + 0.4 * (1 - cos(pi * share)) / 2
        begin, end = self.move
        return View(*(a + share * (b - a) for a, b in zip(_numbers(begin), _numbers(end), strict=True)))


def takes_of_shot(stills: list[Still], start: float, end: float, *, to_last: bool, seed: str) -> list[Take]:
    """Return the takes of one shot; with `to_last` it opens on the whole first picture and ends on the whole last."""
    slot = (end - start) / len(stills)
    fade = 0.5 * (end - start) if to_last and len(stills) == 2 else min(FADE, 0.4 * slot)
    first = blake2b(seed.encode("utf-8", "replace"), digest_size=1).digest()[0]
    takes = []
    for number, still in enumerate(stills):
        move = _MOVES[(first + 2 * number) % len(_MOVES)]
        if to_last:
            move = _OUT_OF if number == len(stills) - 1 else _INTO if number == 0 else move
        begins = start + number * slot - (fade / 2 if number else 0)
        ends = min(start + (number + 1) * slot + fade / 2, end)
        takes.append(Take(still, begins, ends, fade if number else 0.0, move))
    return takes


def frames(takes: list[Take], captions: list[tuple[float, Caption]], seconds: float, size: Size) -> Iterator[Frame]:
    """Yield every frame of a clip; a caption holds from its second on."""
    for number in range(round(seconds * FPS)):
        moment = number / FPS
        frame = _frame(takes, moment, size)
        caption = next(caption for start, caption in reversed(captions) if start <= moment + 1e-6)
        caption.write_on(frame)
        yield frame


Frame = NDArray[np.uint8]
"""Luma and, below it, both chroma planes as 4:2:0 has them: height * 3/2 rows."""


def _frame(takes: list[Take], moment: float, size: Size) -> Frame:
    visible = [take for take in takes if take.start <= moment < take.end] or takes[-1:]
    planes = visible[0].still.seen(visible[0].view(moment), size)
    for take in visible[1:]:
        share = _soft((moment - take.start) / take.fade) if take.fade else 1.0
        others = take.still.seen(take.view(moment), size)
        planes = tuple(Image.blend(one, other, share) for one, other in zip(planes, others, strict=True))  # type: ignore
    wide, high = size
    frame = np.empty((high * 3 // 2, wide), np.uint8)
    frame[:high] = np.asarray(planes[0])
    chroma = frame[high:].reshape(2, high // 2, wide // 2)
    chroma[0], chroma[1] = np.asarray(planes[1]), np.asarray(planes[2])
    return frame


def _soft(share: float) -> float:
    share = min(max(share, 0.0), 1.0)
    return share * share * (3 - 2 * share)


def _numbers(view: View) -> tuple[float, float, float]:
    return view.x, view.y, view.zoom
