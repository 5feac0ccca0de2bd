"""Outlines: random ridges, what lies below them, silhouettes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from aimlvideo.sandbox.film.paint import Pixels


def wave(chance: Generator, wide: int, *, coarse: float = 2.0, octaves: int = 5, fall: float = 0.5) -> Pixels:
    """Return a random line from -1 to 1: `coarse` hills across, and finer ones on them that fall off by `fall`."""
    places = np.linspace(0, 1, wide, dtype=np.float32)
    line = np.zeros(wide, np.float32)
    for octave in range(octaves):
        knots = max(int(coarse * 2**octave) + 3, 4)
        heights = chance.uniform(-1, 1, knots + 3)
        line += np.float32(fall**octave) * _smooth(heights, places * knots)
    return line / max(float(np.abs(line).max()), 1e-6)


def _smooth(heights: NDArray[np.float64], places: Pixels) -> Pixels:
    whole = np.minimum(places.astype(int), len(heights) - 2)
    part = places - whole
    part = part * part * (3 - 2 * part)
    between: Pixels = heights[whole] * (1 - part) + heights[whole + 1] * part
    return between.astype(np.float32)


def below(size: tuple[int, int], line: Pixels) -> Pixels:
    """Return the mask of what lies under a line; its heights are shares from the top."""
    _, high = size
    return np.clip(np.arange(high, dtype=np.float32)[:, None] - line[None, :] * high + 0.5, 0, 1)


def silhouette(size: tuple[int, int], draw: Callable[[ImageDraw.ImageDraw, float], None], *, fine: int = 2) -> Pixels:
    """Return the smooth-edged mask of what `draw` draws in white; it is given the height in its own pixels."""
    wide, high = size
    image = Image.new("L", (wide * fine, high * fine))
    draw(ImageDraw.Draw(image), high * fine)
    return np.asarray(image.reduce(fine), np.float32) / 255
