"""Landscapes: mountains, dunes, a harbour, a forest, a city at night, a planet."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from PIL import ImageDraw

from aimlvideo.sandbox.film.paint import (
    Colour,
    Layers,
    Pixels,
    below,
    colour,
    cover,
    distance,
    gradient,
    mixed,
    plain,
    shine,
    silhouette,
    wave,
)

Size = tuple[int, int]

_SKIES = (
    ("2b3a67", "b56576", "eaac8b", "ffd6a5"),
    ("1d4e89", "7fb7e3", "cfe8f3", "fdf3d8"),
    ("22223b", "4a4e69", "9a8c98", "f2b5a7"),
    ("0b3954", "3f7cac", "95bec2", "f4e9cd"),
)


def mountains(size: Size, chance: Generator) -> Layers:
    """Ridge behind ridge in the haze, firs in front."""
    sky = [colour(stop) for stop in _SKIES[chance.integers(len(_SKIES))]]
    back = gradient(size, *sky)
    _sun(back, size, chance.uniform(0.25, 0.75), chance.uniform(0.28, 0.42), mixed(sky[-1], (1, 1, 1), 0.5))
    dark = mixed(sky[0], (0.02, 0.04, 0.08), 0.55)
    for depth in range(4):
        line = 0.5 + 0.1 * depth + (0.14 - 0.02 * depth) * wave(chance, size[0], coarse=1.5 + depth, octaves=6)
        tint = mixed(sky[2], dark, 0.2 + 0.2 * depth)
        ridge = below(size, line)
        cover(back, ridge, _hazy(size, line, tint, mixed(tint, sky[3], 0.35)))
    hill = 0.9 + 0.05 * wave(chance, size[0], coarse=1.2, octaves=2)
    mask = np.maximum(below(size, hill), _firs(size, chance, hill))
    return Layers(back, plain(size, mixed(dark, (0, 0, 0), 0.5)), mask)


def dunes(size: Size, chance: Generator) -> Layers:
    """Sand in evening light, every crest lit on one side."""
    back = gradient(size, colour("31465f"), colour("c98b6b"), colour("f6c28b"), colour("ffe3b3"))
    _sun(back, size, 0.72, 0.36, colour("fff1c9"))
    front, mask = back, np.zeros(size[::-1], np.float32)
    for depth in range(4):
        line = 0.5 + 0.13 * depth + 0.09 * wave(chance, size[0], coarse=0.8 + 0.3 * depth, octaves=2, fall=0.3)
        ground = _sand(size, chance, line, depth)
        if depth < 3:
            cover(back, below(size, line), ground)
        else:
            front, mask = ground, below(size, line)
    return Layers(back, front, mask)


def harbour(size: Size, chance: Generator) -> Layers:
    """A calm sea under a low sun, sailing boats, a pier."""
    sky = [colour(stop) for stop in ("27476e", "8d6b94", "f08a5d", "ffd9a0")]
    back = gradient(size, *sky, colour("5b6c8f"), colour("1c3453"))
    where = float(chance.uniform(0.35, 0.65))
    _sun(back, size, where, 0.5, colour("fff0c2"))
    sea = below(size, np.full(size[0], 0.6, np.float32))
    cover(back, sea, gradient(size, sky[0], sky[1], sky[2], sky[2], colour("3a5a80"), colour("12263f")))
    hills = 0.585 - 0.035 * np.abs(wave(chance, size[0], coarse=2, octaves=4))
    cover(back, below(size, hills) * (1 - sea), colour("50496b"))
    _glitter(back, size, chance, where)
    for x, y, big in ((0.2, 0.66, 0.6), (0.83, 0.63, 0.4), (0.62, 0.72, 0.9)):
        cover(back, _boat(size, x, y, big), colour("1b2036"))
        cover(back, _boat(size, x, y, -0.8 * big) * 0.35, colour("1b2036"))
    return Layers(back, plain(size, colour("0d1422")), silhouette(size, _pier))


def forest(size: Size, chance: Generator) -> Layers:
    """Trunks in the morning mist, light from above."""
    back = gradient(size, colour("cfe3c4"), colour("9fc3a1"), colour("5e8d72"), colour("24443c"))
    shine(back, 0.55 * np.exp(-3 * distance(size, 0.62, 0.12)), colour("fff6cf"))
    for depth in range(4):
        tint = mixed(colour("93b79b"), colour("16302b"), 0.12 + 0.25 * depth)
        ground = 0.72 + 0.06 * depth + 0.02 * wave(chance, size[0], coarse=3, octaves=5)
        cover(back, np.maximum(_trunks(size, chance, 16 - 3 * depth, 0.006 + 0.006 * depth), below(size, ground)), tint)
        shine(back, _rays(size, chance), colour("f7f2c4"))
    fern = 0.93 + 0.05 * wave(chance, size[0], coarse=14, octaves=4, fall=0.8)
    mask = np.maximum(_trunks(size, chance, 3, 0.035), below(size, fern))
    return Layers(back, plain(size, colour("0a1a17")), mask)


def city(size: Size, chance: Generator) -> Layers:
    """Towers at night, lit windows, a moon."""
    back = gradient(size, colour("070b1f"), colour("1a1f4b"), colour("5a2a6b"), colour("d0567a"))
    _stars(back, chance, 120)
    _sun(back, size, 0.22, 0.2, colour("f4f1de"))
    front, mask = back, np.zeros(size[::-1], np.float32)
    for depth in range(3):
        line = _skyline(size, chance, depth)
        tint = mixed(colour("6b3a73"), colour("080a18"), 0.35 + 0.3 * depth)
        towers = plain(size, tint)
        _windows(towers, chance, 5 + 2 * depth, 0.16 + 0.08 * depth)
        if depth < 2:
            cover(back, below(size, line), towers)
        else:
            front, mask = towers, below(size, line)
    return Layers(back, front, mask)


def planet(size: Size, chance: Generator) -> Layers:
    """A ringed planet among the stars."""
    back = gradient(size, colour("04050f"), colour("0b1030"), colour("1b1240"))
    shine(back, 0.35 * np.exp(-4 * distance(size, 0.25, 0.7)), colour("7a3fa0"))
    _stars(back, chance, 500)
    apart = distance(size, 0.58, 0.46)
    ball = np.clip((0.26 - apart) * size[1], 0, 1)
    bands = gradient(size, *(mixed(colour("c98f5a"), colour("f3dfb8"), share) for share in chance.random(24)))
    lit = np.clip(1.15 - 2.6 * distance(size, 0.5, 0.36), 0.03, 1)
    tilted = _tilted(size, 0.58, 0.46)
    ring = np.clip(1 - np.abs(tilted - 0.42) / 0.07, 0, 1) * (0.6 + 0.4 * np.sin(tilted * 240))
    cover(back, np.clip(ring, 0, 1) * 0.75, colour("e8d5b0"))
    front = bands * lit
    below_middle = np.arange(size[1])[:, None] / size[1] > 0.46 + 0.2 * (np.arange(size[0]) / size[0] - 0.58)
    return Layers(back, front, ball * (1 - np.clip(ring, 0, 1) * 0.75 * below_middle))


def _sun(pixels: Pixels, size: Size, x: float, y: float, tint: Colour) -> None:
    apart = distance(size, x, y)
    shine(pixels, 0.5 * np.exp(-5 * apart), tint)
    cover(pixels, np.clip((0.055 - apart) * size[1] * 0.6, 0, 1), tint)


def _hazy(size: Size, line: Pixels, tint: Colour, haze: Colour) -> Pixels:
    """Return a slope that pales downwards, as valleys fill with mist."""
    depth = np.clip((np.arange(size[1], dtype=np.float32)[:, None] / size[1] - line[None, :]) * 3.5, 0, 1)
    slope = plain(size, tint)
    cover(slope, depth, haze)
    return slope


def _firs(size: Size, chance: Generator, ground: Pixels) -> Pixels:
    wide, _ = size
    places = chance.random(26)
    heights = chance.uniform(0.06, 0.2, 26)

    def draw(pen: ImageDraw.ImageDraw, high: float) -> None:
        for place, height in zip(places, heights, strict=True):
            foot = (float(ground[int(place * (wide - 1))]) + 0.03) * high
            x = place * wide * high / size[1]
            for tier in range(4):
                top = foot - height * high * (1 - tier / 5)
                half = height * high * 0.07 * (tier + 1.4)
                pen.polygon(
                    [(x, top), (x - half, top + height * high * 0.42), (x + half, top + height * high * 0.42)], 255
                )

    return silhouette(size, draw)


def _sand(size: Size, chance: Generator, line: Pixels, depth: int) -> Pixels:
    light, shade = colour("f2b880"), colour("7a4b3a")
    lit = 0.5 + 0.5 * np.clip(np.gradient(line) * size[0] * 1.6, -1, 1)
    rows = np.arange(size[1], dtype=np.float32)[:, None] / size[1]
    under = np.clip((rows - line[None, :]) * 2.2, 0, 1)
    ripples = np.sin(
        (rows * (50 + 25 * depth) + 9 * line[None, :] + 0.8 * wave(chance, size[0], coarse=5)[None, :]) * 6
    )
    shares = np.clip(lit[None, :] * (1 - 0.6 * under) + 0.025 * ripples * (1 + depth), 0, 1)
    sand = plain(size, mixed(shade, colour("3b2530"), depth / 4))
    cover(sand, shares.astype(np.float32), mixed(light, colour("d98f5c"), depth / 4))
    return sand


def _glitter(pixels: Pixels, size: Size, chance: Generator, where: float) -> None:
    wide, high = size
    rows = np.arange(high, dtype=np.float32)[:, None] / high
    across = np.abs(np.arange(wide, dtype=np.float32)[None, :] / wide - where)
    noise = chance.random((high // 2 + 1, wide // 24 + 2), dtype=np.float32)
    streaks = np.repeat(np.repeat(noise, 2, axis=0)[:high], 24, axis=1)[:, :wide] ** 3
    path = np.exp(-across / (0.03 + 0.35 * np.clip(rows - 0.6, 0, 1)))
    shine(pixels, 0.75 * streaks * path * (rows > 0.6), colour("ffdca8"))


def _boat(size: Size, x: float, y: float, big: float) -> Pixels:
    """Return a sailing boat; a negative size is its reflection."""

    def draw(pen: ImageDraw.ImageDraw, high: float) -> None:
        unit, wide = 0.1 * big * high, size[0] * high / size[1]
        half = abs(unit)
        left, foot = x * wide, y * high
        pen.polygon(
            [
                (left - half, foot),
                (left + half, foot),
                (left + half * 0.7, foot + unit * 0.3),
                (left - half * 0.7, foot + unit * 0.3),
            ],
            255,
        )
        pen.polygon(
            [
                (left - half * 0.05, foot - unit * 2.2),
                (left - half * 0.05, foot - unit * 0.15),
                (left - half * 0.85, foot - unit * 0.15),
            ],
            255,
        )
        pen.polygon(
            [
                (left + half * 0.05, foot - unit * 1.9),
                (left + half * 0.05, foot - unit * 0.15),
                (left + half * 0.75, foot - unit * 0.15),
            ],
            255,
        )

    return silhouette(size, draw)


def _pier(pen: ImageDraw.ImageDraw, high: float) -> None:
    pen.polygon([(0, 0.86 * high), (0.62 * high, 0.885 * high), (0.62 * high, 0.905 * high), (0, 0.91 * high)], 255)
    for post in range(7):
        x = (0.03 + 0.095 * post) * high
        pen.rectangle([x, (0.815 + 0.004 * post) * high, x + 0.014 * high, high], 255)


def _trunks(size: Size, chance: Generator, count: int, thick: float) -> Pixels:
    places, leans, widths = (
        chance.random(count),
        chance.normal(0, 0.025, count),
        chance.uniform(0.6, 1.3, count) * thick,
    )

    def draw(pen: ImageDraw.ImageDraw, high: float) -> None:
        wide = size[0] * high / size[1]
        for place, lean, width in zip(places, leans, widths, strict=True):
            foot, top, half = place * wide, (place + lean) * wide, width * high / 2
            pen.polygon([(top - half * 0.6, 0), (top + half * 0.6, 0), (foot + half, high), (foot - half, high)], 255)

    return silhouette(size, draw)


def _rays(size: Size, chance: Generator) -> Pixels:
    rows = np.arange(size[1], dtype=np.float32)[:, None] / size[1]
    across = np.arange(size[0], dtype=np.float32)[None, :] / size[0]
    angle = (across - 0.62) / (rows + 0.25)
    beams = wave(chance, 256, coarse=9, octaves=2)[np.clip((angle * 48 + 128).astype(int), 0, 255)]
    rays: Pixels = 0.07 * np.clip(beams, 0, 1) * (1 - rows)
    return rays


def _skyline(size: Size, chance: Generator, depth: int) -> Pixels:
    line = np.empty(size[0], np.float32)
    x = 0
    while x < size[0]:
        width = int(size[1] * chance.uniform(0.06, 0.13) * (1 + 0.3 * depth))
        line[x : x + width] = 0.42 + 0.14 * depth + chance.uniform(-0.16, 0.14)
        x += width
    return line


def _windows(pixels: Pixels, chance: Generator, pitch: int, share: float) -> None:
    _, high, wide = pixels.shape
    lit = chance.random((high // pitch + 1, wide // pitch + 1)) < share
    warm = chance.uniform(0.35, 1.0, lit.shape).astype(np.float32) * lit
    grid = np.repeat(np.repeat(warm, pitch, axis=0), pitch, axis=1)[:high, :wide]
    grid *= (np.arange(high)[:, None] % pitch < pitch - 2) & (np.arange(wide)[None, :] % pitch < pitch - 2)
    cover(pixels, grid * 0.9, colour("ffd58a"))


def _stars(pixels: Pixels, chance: Generator, count: int) -> None:
    _, high, wide = pixels.shape
    rows, columns = chance.integers(0, int(high * 0.9), count), chance.integers(0, wide, count)
    pixels[:, rows, columns] += chance.uniform(0.2, 0.9, count).astype(np.float32)


def _tilted(size: Size, x: float, y: float) -> Pixels:
    """Return distances for a flat ring that is seen from the side, tilted a little."""
    across = (np.arange(size[0], dtype=np.float32)[None, :] - x * size[0]) / size[1]
    down = (np.arange(size[1], dtype=np.float32)[:, None] - y * size[1]) / size[1]
    apart: Pixels = np.sqrt((across + 0.36 * down) ** 2 + ((down - 0.36 * across) * 3.6) ** 2)
    return apart
