"""The prompt, in small type at the bottom of the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

POINTS = 13
"""Height of the type."""

_MARGIN = 10
_LINES = 2
_STEP = POINTS + 4
_NARROW = 4
"""Pixels of a narrow letter."""


@dataclass(frozen=True, slots=True)
class Caption:
    """A strip to lay over the foot of every frame: how much of the picture stays, and the light that is added."""

    keep: NDArray[np.uint16]
    light: NDArray[np.uint16]
    high: int

    def write_on(self, frame: NDArray[np.uint8]) -> None:
        """Lay the strip over a frame of 4:2:0 planes, in place."""
        rows = frame[self.high - len(self.keep) : self.high]
        rows[:] = ((rows * self.keep) >> 8) + self.light


def caption(text: str, size: tuple[int, int]) -> Caption:
    """Return the strip for a text: two lines at most, white on a soft shade."""
    wide, high = size
    font = ImageFont.load_default(size=POINTS)
    lines = _wrapped(text, font, wide - 2 * _MARGIN)
    deep = _MARGIN * 3 + _STEP * len(lines) if lines else 2
    strip = Image.new("L", (wide, deep))
    pen = ImageDraw.Draw(strip)
    for number, line in enumerate(lines):
        pen.text((_MARGIN, deep - _MARGIN - _STEP * (len(lines) - number)), line, 255, font)
    letters = np.asarray(strip, np.float32) / 255
    shade = np.linspace(0, 0.75, deep, dtype=np.float32)[:, None] if lines else np.zeros((deep, 1), np.float32)
    keep = (1 - shade) * (1 - letters)
    light = 16 * shade * (1 - letters) + 232 * letters
    return Caption((keep * 256).astype(np.uint16), light.astype(np.uint16), high)


def _wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, wide: int) -> list[str]:
    lines: list[str] = []
    most = _LINES * wide // _NARROW  # each try measures all of it: of a whole book they would take hours
    words = text[:most].split()
    while words and len(lines) < _LINES:
        count = len(words)
        while count > 1 and font.getlength(" ".join(words[:count])) > wide:
            count -= 1
        lines.append(" ".join(words[:count]))
        words = words[count:]
    if lines:
        cut = bool(words) or len(text) > most
        while font.getlength(lines[-1] + ("…" if cut else "")) > wide:
            lines[-1], cut = lines[-1][:-1], True
        lines[-1] += "…" if cut else ""
    return lines
