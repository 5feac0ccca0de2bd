"""A painter's tools on numpy arrays: colours, gradients, glows, masks, outlines of ridges and silhouettes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Colour = tuple[float, float, float]
"""Red, green and blue from 0 to 1."""
Pixels = NDArray[np.floating[Any]]
"""Rows and columns, for colours three of them (red, green, blue); all from 0 to 1."""
_GRAIN = np.random.default_rng(0).random((64, 64), dtype=np.float32)


def colour(text: str) -> Colour:
    """Return the colour that six hex digits name."""
    red, green, blue = bytes.fromhex(text)
    return red / 255, green / 255, blue / 255


def mixed(one: Colour, other: Colour, share: float) -> Colour:
    """Return the colour between two, at `share` of the way to the other."""
    red, green, blue = (a + share * (b - a) for a, b in zip(one, other, strict=True))
    return red, green, blue


@dataclass(frozen=True, slots=True)
class Layers:
    """A picture with depth: what is far, and what stands before it where `mask` is 1."""

    back: Pixels
    front: Pixels
    mask: Pixels

    def flat(self) -> Image.Image:
        """Return both as one picture."""
        return as_image(self.back + self.mask * (self.front - self.back))


def gradient(size: tuple[int, int], *stops: Colour) -> Pixels:
    """Return a picture whose colour changes from top to bottom."""
    wide, high = size
    places = np.linspace(0, 1, len(stops))
    rows = np.linspace(0, 1, high)
    columns = np.stack([np.interp(rows, places, channel) for channel in zip(*stops, strict=True)])
    return np.repeat(columns[:, :, None].astype(np.float32), wide, axis=2)


def plain(size: tuple[int, int], tint: Colour) -> Pixels:
    """Return a picture of one colour."""
    return gradient(size, tint, tint)


def distance(size: tuple[int, int], x: float, y: float, *, flat: float = 1.0) -> Pixels:
    """Return how far each pixel is from a point, in heights; x and y are shares, `flat` squeezes the circles."""
    wide, high = size
    across = (np.arange(wide, dtype=np.float32) - x * wide) / high
    down = (np.arange(high, dtype=np.float32) - y * high) / high * flat
    return np.sqrt(across[None, :] ** 2 + down[:, None] ** 2)


def shine(pixels: Pixels, light: Pixels, tint: Colour) -> None:
    """Add light of a colour, in place."""
    for channel, amount in enumerate(tint):
        pixels[channel] += light * np.float32(amount)


def cover(pixels: Pixels, mask: Pixels, tint: Colour | Pixels) -> None:
    """Paint a colour, or another picture, where the mask is 1, in place."""
    for channel in range(3):
        pixels[channel] += mask * (tint[channel] - pixels[channel])


def as_image(pixels: Pixels) -> Image.Image:
    """Return pixels as a picture, with a grain so fine that it only hides the steps of smooth gradients."""
    _, high, wide = pixels.shape
    grain = np.tile(_GRAIN, (high // _GRAIN.shape[0] + 1, wide // _GRAIN.shape[1] + 1))[:high, :wide]
    return Image.fromarray(
        np.ascontiguousarray((np.clip(pixels, 0, 1) * 254 + grain).astype(np.uint8).transpose(1, 2, 0))
    )


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
