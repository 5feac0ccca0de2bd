"""`report.html`: the page of a folder, made from its journal; also while a run is going on.

The one place that knows `jinja2`. What comes from jobs is escaped or data, never markup.
"""

from __future__ import annotations

import base64
import json
import pkgutil
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import cache
from importlib.util import find_spec
from itertools import islice
from math import sqrt
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, select_autoescape
from markupsafe import Markup

from aimlvideo import __version__
from aimlvideo.core.jobs.file_names import JOURNAL, REPORT
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.jobs.templates import MATRIX
from aimlvideo.errors import DiskFailed
from aimlvideo.shell import clock
from aimlvideo.shell.descriptors import write_failure_advice
from aimlvideo.shell.files.private_files import new_file, replacing
from aimlvideo.shell.files.video import frame_jpeg
from aimlvideo.shell.journal.base import JournalReader
from aimlvideo.shell.journal.sqlite_reader import read_journal
from aimlvideo.views.report.job_json import job_cards

SCRIPTS = ("base", "totals", "gallery", "viewer", "charts", "comparison", "start", "live")
TABS = (
    ("clips", "Clips"), ("comparison", "Comparison"), ("failures", "Failures"), ("timeline", "Timeline"),
    ("times", "Times"), ("prices", "Prices"),
)  # fmt: skip
LARGEST, SMALLEST = 480, 128
"""Pixels of a poster's longer side."""
BUDGET = 5_000_000
"""Characters of all posters of a page together: beyond, a browser shows the clip's own first picture."""
MOST_POSTERS = 6000
"""Clips of which a poster is made at most: at that number they are as small as they get, and fill the budget."""
FULL = 0.02
"""The share of the budget that may be left over: a page that full is not worth opening more clips for."""
HANDFUL = 16
"""Clips of which posters are made at a time, between two looks at the clock and at the budget."""
PATIENCE = 10.0
"""Seconds of making posters for one page; the next page goes on from there."""

_KEPT = re.compile(r'<script type="application/json" id="posters">(.*?)</script>', re.DOTALL)


def page_text(
    title: str, run: Mapping[str, Any], cards: Iterable[Mapping[str, Any]], posters: Mapping[str, str]
) -> Iterator[str]:
    """Yield the text of the whole page, one file that needs nothing but the clips.

    The cards of the jobs are read as the text is: there may be any number of them.
    """
    template = _environment().get_template("page.html.j2")
    live = bool(run.get("live"))
    text = template.stream(
        title=title, run=run, cards=iter(cards), posters=posters, live=live, tabs=TABS, version=__version__, **_assets()
    )
    text.enable_buffering(500)
    yield from text


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(lambda name: _read(f"assets/{name}")),
        autoescape=select_autoescape(default=True, default_for_string=True),
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":")}
    return environment


@cache
def _assets() -> dict[str, Markup]:
    """Return our own and the vendored style and scripts: the only markup that is trusted."""
    return {
        "style": Markup(_read("vendor/uplot.css") + _read("assets/page.css")),
        "charts": Markup(_read("vendor/uplot.js")),
        "script": Markup("\n".join(_read(f"assets/{name}.js") for name in SCRIPTS)),
    }


def _read(name: str) -> str:
    # Not as a file: the package may be imported from an archive.
    return (pkgutil.get_data("aimlvideo.views.report", name) or b"").decode()


def write_report(folder: Path, *, patience: float = PATIENCE, journal: JournalReader | None = None) -> Path:
    """Write the page of a run into its folder, whole or not at all, and return its path.

    The jobs are those of the folder's journal, or of the one given. They are never all in memory. At most `patience`
    seconds go into new posters; what has none shows the clip's own first picture.

    Raises JournalError where there is no run, DiskFailed where the page cannot be written.
    """
    path = folder / REPORT
    with read_journal(folder / JOURNAL) if journal is None else nullcontext(journal) as reader:
        clips = dict(islice(_clips(reader), MOST_POSTERS))
        matrix = reader.fact(MATRIX) is not None
        run = {"matrix": matrix, "made": round(clock.wall(), 2), "clips": "", "live": False}
        posters = _posters(folder, clips, _earlier_posters(path), patience)
        _write(path, page_text(folder.resolve().name, run, job_cards(reader), posters))
    return path


def _clips(journal: JournalReader) -> Iterator[tuple[str, str]]:
    """Yield the key and the file of each saved clip."""
    for _, progress in journal.ended_jobs():
        if progress.stage is Stage.SAVED and progress.file is not None:
            yield f"{progress.file}:{progress.bytes_of_all or 0}", progress.file


def _write(path: Path, text: Iterable[str]) -> None:
    try:
        with replacing(path) as part, new_file(part, errors="replace") as file:
            file.writelines(text)
    except OSError as error:
        raise DiskFailed(f"{path} cannot be written: {error.strerror}. {write_failure_advice(error)}") from error


def _posters(
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


def _earlier_posters(page: Path) -> dict[str, str]:
    """Return the posters of an earlier page, none where there is no such page."""
    if not page.is_file():  # a pipe would be waited for, and a device read without end
        return {}
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
        for start in range(0, len(clips), HANDFUL):
            if time.monotonic() > until:
                return
            some = clips[start : start + HANDFUL]
            pictures = makers.map(lambda one: _poster(one[1], side), some)
            yield {key: picture for (key, _), picture in zip(some, pictures, strict=True) if picture}


def _poster(clip: Path, side: int = LARGEST) -> str:
    """Return one clip's poster as Base64 JPEG, ``""`` where none can be made of it: a picture from its first second."""
    return base64.b64encode(frame_jpeg(clip, side)).decode()
