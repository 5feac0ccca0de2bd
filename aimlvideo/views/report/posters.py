"""A small picture of each clip, made by PyAV where it is installed (the one place of the report that knows it)."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from importlib.util import find_spec
from math import sqrt
from pathlib import Path
from typing import Any

LARGEST, SMALLEST = 480, 128
"""Pixels of a poster's longer side."""
BUDGET = 5_000_000
"""Characters of all posters of a page together: beyond, a browser shows the clip's own first picture."""
FULL = 0.02
"""The share of the budget that may be left over: a page that full is not worth opening more clips for."""
PATIENCE = 10.0
"""Seconds of making posters for one page; the next page goes on from there."""
QUALITY = 5
"""Of JPEG, as FFmpeg counts: 2 is best, 31 worst."""

_KEPT = re.compile(r'<script type="application/json" id="posters">(.*?)</script>', re.DOTALL)


def posters(
    folder: Path, files: Mapping[str, str], kept: Mapping[str, str], patience: float = PATIENCE
) -> dict[str, str]:
    """Return posters as Base64 JPEG by file and size (`name:bytes`), within a budget of size and of time.

    `files` maps the keys to file names; `kept` has those of an earlier page.
    """
    found = {key: kept[key] for key in files if key in kept}
    wanted = [(key, folder / name) for key, name in files.items() if key not in found]
    side = max(SMALLEST, min(LARGEST, int(LARGEST * sqrt(400 / max(len(files), 1)))))
    left = BUDGET - sum(map(len, found.values()))
    for some in _made(wanted if left > BUDGET * FULL else [], side, patience):
        found |= some
        left -= sum(map(len, some.values()))
        if left < BUDGET * FULL:
            break
    return found


def kept_posters(page: Path) -> dict[str, str]:
    """Return the posters of an earlier page, none where there is no such page."""
    try:
        found = _KEPT.search(page.read_text(encoding="utf-8"))
        kept = json.loads(found[1]) if found else {}
    except (OSError, ValueError):
        return {}
    return {str(key): str(value) for key, value in kept.items()} if isinstance(kept, dict) else {}


def _made(wanted: Sequence[tuple[str, Path]], side: int, patience: float) -> Iterator[dict[str, str]]:
    """Give posters, a handful at a time; nothing where PyAV is not installed."""
    if find_spec("av") is None:
        return
    until = time.monotonic() + patience
    with ThreadPoolExecutor(2) as makers:
        for some in _batched(wanted, 16):
            if time.monotonic() > until:
                return
            pictures = makers.map(lambda one: poster(one[1], side), some)
            yield {key: picture for (key, _), picture in zip(some, pictures, strict=True) if picture}


def _batched(things: Sequence[tuple[str, Path]], size: int) -> Iterator[Sequence[tuple[str, Path]]]:
    return (things[start : start + size] for start in range(0, len(things), size))


def poster(clip: Path, side: int = LARGEST) -> str:
    """Return one clip's poster, ``""`` where none can be made of it: a picture from its first second."""
    import av  # noqa: PLC0415 - an extra

    try:
        with av.open(str(clip)) as film:
            stream = film.streams.video[0]
            stream.thread_type = "NONE"
            frame = next(film.decode(stream))
            return base64.b64encode(_jpeg(frame, side)).decode()
    except (av.FFmpegError, OSError, IndexError, StopIteration, ValueError):
        return ""


def _jpeg(frame: Any, side: int) -> bytes:
    import av  # noqa: PLC0415 - an extra

    scale = min(1.0, side / max(frame.width, frame.height))
    width, height = (max(2, round(length * scale) // 2 * 2) for length in (frame.width, frame.height))
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuvj420p"
    encoder.time_base = Fraction(1)
    encoder.qmin = encoder.qmax = QUALITY
    small = frame.reformat(width, height, "yuvj420p")
    small.pts = 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(small), *encoder.encode(None)])
