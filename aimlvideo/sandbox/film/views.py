"""Where the camera looks, and what it sees of a picture's planes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, cast

from PIL import Image

Size = tuple[int, int]
Box = tuple[int, int, int, int]
PlanesT = TypeVar("PlanesT", bound=tuple[Image.Image, ...])


@dataclass(frozen=True, slots=True)
class View:
    """Where the camera looks: x and y from -1 to 1 as far as the picture allows, `zoom` from 1 to 1.25."""

    x: float
    y: float
    zoom: float


def _looked_at(size: Size, view: View) -> tuple[float, float, float, float]:
    """Return left, top, width and height of what a view shows of a picture of this size."""
    wide, high = size[0] / view.zoom, size[1] / view.zoom
    return (size[0] - wide) * (1 + view.x) / 2, (size[1] - high) * (1 + view.y) / 2, wide, high


def in_frame(region: Box, picture: Size, view: View, size: Size) -> Box | None:
    """Return where in the frame a region of the picture appears, at even pixels; None where it does not."""
    left, top, wide, high = _looked_at(picture, view)
    across, down = size[0] / wide, size[1] / high
    start = max(int((region[0] - left) * across) // 2 * 2 - 2, 0), max(int((region[1] - top) * down) // 2 * 2 - 2, 0)
    end = (
        min(int((region[2] - left) * across) // 2 * 2 + 4, size[0]),
        min(int((region[3] - top) * down) // 2 * 2 + 4, size[1]),
    )
    return (*start, *end) if start[0] < end[0] and start[1] < end[1] else None


def cut(planes: PlanesT, view: View, size: Size, part: Box | None = None) -> PlanesT:
    """Return planes as seen from a view, or a part of that; each with half the size where it has half the size."""
    left, top, right, foot = part or (0, 0, *size)
    frames = []
    for plane in planes:
        x, y, wide, high = _looked_at(plane.size, view)
        across, down = wide / size[0], high / size[1]
        share = 1 if plane.width == planes[0].width else 2
        box = (x + left * across, y + top * down, x + right * across, y + foot * down)
        target = ((right - left) // share, (foot - top) // share)
        frames.append(plane.resize(target, Image.Resampling.BILINEAR, box=box))
    return cast(PlanesT, tuple(frames))
