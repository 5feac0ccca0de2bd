"""Figures: a portrait, a ballerina on a stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.random import Generator
from PIL import ImageDraw

from aimlvideo.sandbox.film.paint import (
    Layers,
    Pixels,
    colour,
    cover,
    distance,
    gradient,
    mixed,
    plain,
    shine,
    silhouette,
)

Size = tuple[int, int]
Point = tuple[float, float]

_HAIR = ("2d1b16", "5a2e1b", "1b1b26", "8a4b2a")
_CLOTHES = ("2a6f77", "a63d40", "3d348b", "e09f3e")


@dataclass(frozen=True, slots=True)
class Pen:
    """Draws in heights of the picture, from its middle across and its top down."""

    draw: ImageDraw.ImageDraw
    middle: float
    high: float

    def oval(self, x: float, y: float, wide: float, high: float) -> None:
        """Fill an ellipse of these radii."""
        left, top = self._at((x - wide, y - high))
        right, foot = self._at((x + wide, y + high))
        self.draw.ellipse([left, top, right, foot], 255)

    def shape(self, *points: Point) -> None:
        """Fill a polygon."""
        self.draw.polygon([self._at(point) for point in points], 255)

    def limb(self, *joints: tuple[float, float, float]) -> None:
        """Fill a limb through joints of x, y and thickness."""
        for (x, y, thick), (to_x, to_y, to_thick) in pairwise(joints):
            for step in np.linspace(0, 1, 24):
                radius = (thick + step * (to_thick - thick)) / 2
                self.oval(x + step * (to_x - x), y + step * (to_y - y), radius, radius)

    def _at(self, point: Point) -> Point:
        return self.middle + point[0] * self.high, point[1] * self.high


def portrait(size: Size, chance: Generator) -> Layers:
    """A figure from the shoulders up, before lights out of focus."""
    back = gradient(size, colour("273043"), colour("3f4f6b"), colour("5c5470"))
    for _ in range(12):
        apart = distance(size, chance.random(), chance.random())
        tint = mixed(colour("f4b266"), colour("7fb7be"), float(chance.random()))
        shine(back, 0.16 * np.clip((chance.uniform(0.03, 0.1) - apart) * 60, 0, 1), tint)
    hair, clothes = colour(str(chance.choice(_HAIR))), colour(str(chance.choice(_CLOTHES)))
    skin = mixed(colour("e8b796"), colour("8d5a3b"), float(chance.random()) * 0.7)
    front, mask = np.zeros_like(back), np.zeros(size[::-1], np.float32)
    for parts, tint in (
        (_hair_behind, hair),
        (_neck, mixed(skin, (0, 0, 0), 0.25)),
        (_shoulders, clothes),
        (_face, skin),
        (_fringe, hair),
        (_features, mixed(skin, (0.1, 0.03, 0.05), 0.75)),
    ):
        part = _figure(size, parts)
        cover(front, part, tint)
        mask = np.maximum(mask, part)
    shade = np.clip((np.arange(size[0], dtype=np.float32) - size[0] / 2) / size[1] * 1.6 + 0.5, 0, 1)
    front *= 1.12 - 0.5 * shade
    return Layers(back, front, mask)


def ballerina(size: Size, chance: Generator) -> Layers:
    """A dancer in the light of one lamp, on a dark stage."""
    back = gradient(size, colour("0b0714"), colour("1d1030"), colour("3a1c45"), colour("20122b"))
    rows = np.arange(size[1], dtype=np.float32)[:, None] / size[1]
    across = np.abs(np.arange(size[0], dtype=np.float32)[None, :] - size[0] / 2) / size[1]
    shine(back, 0.5 * np.exp(-((across / (0.06 + 0.26 * rows)) ** 4)) * (0.35 + 0.3 * rows), colour("f6d6c2"))
    pool = np.clip(1.3 - distance(size, 0.5, 0.9, flat=4.5) * 3, 0, 1)
    shine(back, 0.45 * pool, colour("ffe6cf"))
    _dust(back, chance)
    cover(back, _figure(size, _shadow) * 0.5, colour("12060f"))
    front = plain(size, colour("33152a"))
    skirt = _figure(size, _tutu)
    cover(front, skirt, gradient(size, colour("ffe3e8"), colour("ffc2d1"), colour("e5688f"), colour("6d1f44")))
    return Layers(back, front, np.maximum(_figure(size, _dancer), skirt * 0.95))


def _figure(size: Size, parts: Callable[[Pen], None]) -> Pixels:
    return silhouette(size, lambda draw, high: parts(Pen(draw, size[0] * high / size[1] / 2, high)))


def _hair_behind(pen: Pen) -> None:
    pen.oval(0, 0.4, 0.185, 0.225)
    pen.shape((-0.185, 0.4), (0.185, 0.4), (0.2, 0.74), (-0.2, 0.74))


def _neck(pen: Pen) -> None:
    pen.limb((0, 0.5, 0.13), (0, 0.78, 0.15))


def _shoulders(pen: Pen) -> None:
    pen.limb((-0.27, 0.9, 0.2), (-0.12, 0.8, 0.12))
    pen.limb((0.27, 0.9, 0.2), (0.12, 0.8, 0.12))
    pen.shape((-0.37, 0.9), (-0.15, 0.755), (0, 0.84), (0.15, 0.755), (0.37, 0.9), (0.39, 1.0), (-0.39, 1.0))


def _face(pen: Pen) -> None:
    pen.oval(0, 0.42, 0.132, 0.17)
    pen.oval(0, 0.49, 0.105, 0.125)


def _fringe(pen: Pen) -> None:
    pen.shape(
        (-0.14, 0.42),
        (-0.15, 0.28),
        (-0.06, 0.225),
        (0.08, 0.225),
        (0.15, 0.29),
        (0.14, 0.42),
        (0.11, 0.34),
        (0.02, 0.3),
        (-0.09, 0.345),
    )


def _features(pen: Pen) -> None:
    for side in (-1, 1):
        pen.oval(side * 0.052, 0.425, 0.017, 0.0085)
        pen.limb((side * 0.03, 0.393, 0.007), (side * 0.055, 0.386, 0.008), (side * 0.08, 0.395, 0.004))
    pen.limb((0.006, 0.45, 0.003), (0.014, 0.485, 0.008), (0.0, 0.492, 0.006))
    pen.limb((-0.036, 0.54, 0.005), (0, 0.547, 0.016), (0.036, 0.54, 0.005))


def _dancer(pen: Pen) -> None:
    pen.oval(0.012, 0.26, 0.03, 0.038)
    pen.oval(0.016, 0.218, 0.018, 0.016)
    pen.limb((0.01, 0.28, 0.02), (0.0, 0.33, 0.022))
    pen.limb((-0.035, 0.345, 0.035), (0.035, 0.345, 0.035))
    pen.limb((0, 0.35, 0.085), (0.0, 0.44, 0.055), (0.005, 0.5, 0.07))
    pen.limb((-0.045, 0.34, 0.024), (-0.105, 0.25, 0.02), (-0.05, 0.13, 0.014), (-0.02, 0.1, 0.01))
    pen.limb((0.045, 0.34, 0.024), (0.12, 0.27, 0.02), (0.09, 0.14, 0.014), (0.06, 0.105, 0.01))
    pen.limb((0.0, 0.5, 0.06), (0.005, 0.68, 0.036), (0.0, 0.83, 0.022), (0.004, 0.9, 0.012))
    pen.limb((0.02, 0.51, 0.058), (0.15, 0.575, 0.036), (0.045, 0.69, 0.022), (0.012, 0.72, 0.012))


def _tutu(pen: Pen) -> None:
    for side in np.linspace(-1, 1, 15):
        pen.shape(
            (-0.03, 0.455),
            (0.035, 0.455),
            (side * 0.23 + 0.035, 0.52 + 0.028 * (1 - side * side)),
            (side * 0.23 - 0.025, 0.535 + 0.028 * (1 - side * side)),
        )
    pen.shape((-0.036, 0.35), (0.036, 0.35), (0.032, 0.46), (-0.028, 0.46))


def _shadow(pen: Pen) -> None:
    pen.oval(0.03, 0.91, 0.17, 0.014)


def _dust(pixels: Pixels, chance: Generator) -> None:
    _, high, wide = pixels.shape
    count = 160
    rows = chance.integers(0, high, count)
    columns = np.clip(chance.normal(wide / 2, high * 0.18, count), 0, wide - 1).astype(int)
    pixels[:, rows, columns] += chance.uniform(0.05, 0.3, count).astype(np.float32)
