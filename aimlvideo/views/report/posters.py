"""A small picture of each clip, made where the extra `video` is installed."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from math import sqrt
from pathlib import Path

from aimlvideo.shell.files.video import frame_jpeg

LARGEST, SMALLEST = 480, 128
"""Pixels of a poster's longer side."""
BUDGET = 5_000_000
"""Characters of all posters of a page together: beyond, a browser shows the clip's own first picture."""
MOST_POSTERS = 6000
"""Clips of which a poster is made at most: at that number they are as small as they get, and fill the budget."""
FULL = 0.02
"""The share of the budget that may be left over: a page that full is not worth opening more clips for."""
PATIENCE = 10.0
"""Seconds of making posters for one page; the next page goes on from there."""

_KEPT = re.compile(r'<script type="application/json" id="posters">(.*?)</script>', re.DOTALL)


def posters(
    folder: Path, files: Mapping[str, str], earlier: Mapping[str, str], patience: float = PATIENCE
) -> dict[str, str]:
    """Return posters as Base64 JPEG by file and size (`name:bytes`), within a budget of size and of time.

    `files` maps the keys to file names; `earlier` has those of an earlier page.
    """
    pictures = {key: earlier[key] for key in files if key in earlier}
    missing = [(key, folder / name) for key, name in files.items() if key not in pictures]
    # Smaller where there are many: the budget is for the page, and thumbnails of a thousand clips are small on any
    # screen.
    side = max(SMALLEST, min(LARGEST, int(LARGEST * sqrt(400 / max(len(files), 1)))))
    room = BUDGET - sum(map(len, pictures.values()))
    for some in _make_posters(missing if room > BUDGET * FULL else [], side, patience):
        pictures |= some
        room -= sum(map(len, some.values()))
        if room < BUDGET * FULL:
            break
    return pictures


def earlier_posters(page: Path) -> dict[str, str]:
    """Return the posters of an earlier page, none where there is no such page."""
    try:
        match = _KEPT.search(page.read_text(encoding="utf-8"))
        pictures = json.loads(match[1]) if match else {}
    except (OSError, ValueError):
        return {}
    return {str(key): str(value) for key, value in pictures.items()} if isinstance(pictures, dict) else {}


def _make_posters(clips: Sequence[tuple[str, Path]], side: int, patience: float) -> Iterator[dict[str, str]]:
    """Give posters, a handful at a time; nothing where PyAV is not installed."""
    if find_spec("av") is None:
        return
    until = time.monotonic() + patience
    # Two: decoding releases the interpreter, and more would take the cores from downloads that go on.
    with ThreadPoolExecutor(2) as makers:
        for some in _batched(clips, 16):
            if time.monotonic() > until:
                return
            pictures = makers.map(lambda one: _poster(one[1], side), some)
            yield {key: picture for (key, _), picture in zip(some, pictures, strict=True) if picture}


def _batched(things: Sequence[tuple[str, Path]], size: int) -> Iterator[Sequence[tuple[str, Path]]]:
    return (things[start : start + size] for start in range(0, len(things), size))


def _poster(clip: Path, side: int = LARGEST) -> str:
    """Return one clip's poster as Base64 JPEG, ``""`` where none can be made of it: a picture from its first second."""
    return base64.b64encode(frame_jpeg(clip, side)).decode()
