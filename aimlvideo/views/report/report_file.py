"""`report.html`: the page of a folder, made from its journal; also while a run is going on."""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

from aimlvideo.core.jobs.file_names import JOURNAL, REPORT
from aimlvideo.core.jobs.job import Record
from aimlvideo.core.jobs.templates import MATRIX
from aimlvideo.errors import DiskFailed
from aimlvideo.shell.files.private_files import new_file
from aimlvideo.shell.journal.sqlite import read_journal
from aimlvideo.views.report.cards import job_json
from aimlvideo.views.report.html import page
from aimlvideo.views.report.posters import PATIENCE, earlier_posters, posters


def write_report(folder: Path, *, patience: float = PATIENCE, records: Iterable[Record] | None = None) -> Path:
    """Write the page of a run into its folder, whole or not at all, and return its path.

    The jobs are those of the folder's journal, or the `records` given. At most `patience` seconds go into new posters;
    what has none shows the clip's own first picture.

    Raises JournalError where there is no run, DiskFailed where the page cannot be written.
    """
    cards = cards_of(folder) if records is None else [job_json(*record) for record in records]
    path = folder / REPORT
    clips = {f"{one['file']}:{one.get('bytes', 0)}": one["file"] for one in cards if "file" in one}
    matrix = records is None and is_matrix(folder)
    run = {"jobs": cards, "matrix": matrix, "made": round(time.time(), 2), "clips": "", "live": False}
    text = page(folder.resolve().name, run, posters(folder, clips, earlier_posters(path), patience))
    _write(path, text)
    return path


def cards_of(folder: Path) -> list[dict[str, Any]]:
    """Return the cards of all jobs of a folder. Raises JournalError where there is no run."""
    with read_journal(folder / JOURNAL) as journal:
        return [job_json(*record) for record in chain(journal.open_jobs(), journal.ended_jobs())]


def is_matrix(folder: Path) -> bool:
    """Tell whether a folder's jobs were made by combining lists: they are to be compared."""
    with read_journal(folder / JOURNAL) as journal:
        return journal.fact(MATRIX) is not None


def _write(path: Path, text: Any) -> None:
    part = path.with_name(path.name + ".part")
    try:
        with new_file(part, errors="replace") as file:
            file.write(text)
        part.replace(path)
    except OSError as error:
        raise DiskFailed(f"{path} cannot be written: {error.strerror}. Make space, then run again") from error
