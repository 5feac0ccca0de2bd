"""`report.html`: the page of a folder, made from its journal; also while a run is going on.

The one place that knows `jinja2`. What comes from jobs is escaped or data, never markup.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from functools import cache
from itertools import chain, islice
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, select_autoescape
from markupsafe import Markup

from aimlvideo import __version__
from aimlvideo.core.jobs.file_names import JOURNAL, REPORT
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.jobs.templates import MATRIX
from aimlvideo.errors import DiskFailed
from aimlvideo.shell.descriptors import write_failure_advice
from aimlvideo.shell.files.private_files import new_file
from aimlvideo.shell.journal.base import JournalReader
from aimlvideo.shell.journal.sqlite import read_journal
from aimlvideo.views.report.cards import job_json
from aimlvideo.views.report.posters import MOST_POSTERS, PATIENCE, earlier_posters, posters

HERE = Path(__file__).parent
SCRIPTS = ("base", "totals", "gallery", "viewer", "charts", "comparison", "start", "live")
TABS = (
    ("clips", "Clips"), ("comparison", "Comparison"), ("failures", "Failures"), ("timeline", "Timeline"),
    ("times", "Times"), ("prices", "Prices"),
)  # fmt: skip


def page(
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
        loader=FileSystemLoader(HERE / "assets"), autoescape=select_autoescape(default=True, default_for_string=True)
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
    return (HERE / name).read_text(encoding="utf-8")


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
        run = {"matrix": matrix, "made": round(time.time(), 2), "clips": "", "live": False}
        cards = (job_json(*record) for record in chain(reader.open_jobs(), reader.ended_jobs()))
        _write(path, page(folder.resolve().name, run, cards, posters(folder, clips, earlier_posters(path), patience)))
    return path


def _clips(journal: JournalReader) -> Iterator[tuple[str, str]]:
    """Yield the key and the file of each saved clip."""
    for _, progress in journal.ended_jobs():
        if progress.stage is Stage.SAVED and progress.file is not None:
            yield f"{progress.file}:{progress.bytes or 0}", progress.file


def _write(path: Path, text: Iterable[str]) -> None:
    part = path.with_name(path.name + ".part")
    try:
        with new_file(part, errors="replace") as file:
            file.writelines(text)
        part.replace(path)
    except OSError as error:
        raise DiskFailed(f"{path} cannot be written: {error.strerror}. {write_failure_advice(error)}") from error
