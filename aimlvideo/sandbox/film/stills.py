"""Pictures as the camera films them: 4:2:0 planes a little larger than the frame, cut out at any place and zoom."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass
from io import BytesIO
from pathlib import PurePosixPath
from typing import Protocol, TypeVar, cast
from urllib.parse import unquote

import numpy as np
from PIL import Image, ImageOps

from aimlvideo.sandbox.film.paint import as_image
from aimlvideo.sandbox.film.scenes import draw_scene

Size = tuple[int, int]
Box = tuple[int, int, int, int]
PlanesT = TypeVar("PlanesT", bound=tuple[Image.Image, ...])
Planes = tuple[Image.Image, Image.Image, Image.Image]

MARGIN = 1.25
"""How much larger than the frame a still is kept: the camera may come this close without loss."""


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


def _in_frame(region: Box, picture: Size, view: View, size: Size) -> Box | None:
    """Return where in the frame a region of the picture appears, at even pixels; None where it does not."""
    left, top, wide, high = _looked_at(picture, view)
    across, down = size[0] / wide, size[1] / high
    start = max(int((region[0] - left) * across) // 2 * 2 - 2, 0), max(int((region[1] - top) * down) // 2 * 2 - 2, 0)
    end = (
        min(int((region[2] - left) * across) // 2 * 2 + 4, size[0]),
        min(int((region[3] - top) * down) // 2 * 2 + 4, size[1]),
    )
    return (*start, *end) if start[0] < end[0] and start[1] < end[1] else None


def _cut(planes: PlanesT, view: View, size: Size, part: Box | None = None) -> PlanesT:
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


class Still(Protocol):
    """Something to film."""

    def seen(self, view: View, size: Size) -> Planes:
        """Return the frame's three planes at a view."""
        ...


@dataclass(frozen=True, slots=True)
class Flat(Still):
    """One picture."""

    planes: Planes

    def seen(self, view: View, size: Size) -> Planes:
        return _cut(self.planes, view, size)


@dataclass(frozen=True, slots=True)
class Deep(Still):
    """A scene with a foreground that moves faster than what is behind it.

    `masks` are for luma and for chroma, and `region` is the box in which they are not empty. A foreground of one
    colour needs no planes: `tint` are its three levels.
    """

    back: Planes
    front: Planes
    tint: tuple[int, int, int] | None
    masks: tuple[Image.Image, Image.Image]
    region: Box

    def seen(self, view: View, size: Size) -> Planes:
        far = _cut(self.back, View(view.x * 0.45, view.y * 0.45, 1 + (view.zoom - 1) * 0.5), size)
        part = _in_frame(self.region, self.masks[0].size, view, size)
        if part is None:
            return far
        luma_mask, chroma_mask = _cut(self.masks, view, size, part)
        near: tuple[Image.Image | int, ...] = self.tint or _cut(self.front, view, size, part)
        left, top, right, foot = (side // 2 for side in part)
        places = (part, (left, top, right, foot), (left, top, right, foot))
        for back, front, place, mask in zip(far, near, places, (luma_mask, chroma_mask, chroma_mask), strict=True):
            back.paste(front, place, mask)
        return far


def open_still(picture: str, size: Size, *, closer: float = 0.0) -> Still:
    """Return a picture that a request carries; a link is never followed, but drawn by its name.

    `closer` is the share that is left out on each side.
    """
    image = _decoded(picture)
    if image is None and not closer:
        return scene_still(_name_of(picture), size)
    image = image or draw_scene(_name_of(picture), _larger(size)).flat()
    return Flat(_planes(ImageOps.fit(image, _larger(size), Image.Resampling.BICUBIC, closer, (0.5, 0.35))))


def scene_still(text: str, size: Size) -> Still:
    """Return the scene that a text asks for."""
    layers = draw_scene(text, _larger(size))
    mask = Image.fromarray((layers.mask * 255).astype(np.uint8))
    region = mask.getbbox()
    if region is None:
        return Flat(_planes(layers.flat()))
    back, front = (_planes(as_image(part)) for part in (layers.back, layers.front))
    return Deep(back, front, _tint(front), (mask, mask.reduce(2)), region)


def picture_size(picture: str) -> Size | None:
    """Return a picture's width and height, None where the request does not carry it."""
    image = _decoded(picture)
    return image.size if image else None


def _name_of(link: str) -> str:
    """Return what to draw for a link: the name of a sample picture, else the whole link without its query."""
    place = link.partition("?")[0]
    return unquote(PurePosixPath(place).stem) if "/pictures/" in place else place


def _decoded(picture: str) -> Image.Image | None:
    if picture.startswith(("http://", "https://")):
        return None
    try:
        content = b64decode(picture.partition(",")[2] if picture.startswith("data:") else picture)
        return ImageOps.exif_transpose(Image.open(BytesIO(content))).convert("RGB")
    except (ValueError, OSError, Image.DecompressionBombError):
        return None


def _larger(size: Size) -> Size:
    wide, high = (int(side * MARGIN / 2) * 2 for side in size)
    return wide, high


def _planes(image: Image.Image) -> Planes:
    luma, blue, red = image.convert("YCbCr").split()
    # What JPEG calls YCbCr fills all of 0 to 255; video keeps to 16 to 235, colours to 16 to 240.
    luma = luma.point([16 + level * 219 // 255 for level in range(256)])
    narrower = [round(128 + (level - 128) * 224 / 255) for level in range(256)]
    return luma, blue.reduce(2).point(narrower), red.reduce(2).point(narrower)


def _tint(planes: Planes) -> tuple[int, int, int] | None:
    """Return the levels of planes that are all but even."""
    lows, highs = zip(*(cast(tuple[int, int], plane.getextrema()) for plane in planes), strict=True)
    even = all(high - low <= 3 for low, high in zip(lows, highs, strict=True))
    return (lows[0], lows[1], lows[2]) if even else None
