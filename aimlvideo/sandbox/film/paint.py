"""A painter's tools on numpy arrays: gradients, glows, masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from aimlvideo.sandbox.film.colours import Colour

Pixels = NDArray[np.floating[Any]]
"""Rows and columns, for colours three of them (red, green, blue); all from 0 to 1."""
_GRAIN = np.random.default_rng(0).random((64, 64), dtype=np.float32)


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
