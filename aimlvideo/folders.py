"""The output folder of a run: that it can be written, and what has ended in it before."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from aimlvideo.core.job import Result, result_of
from aimlvideo.core.stages import Stage
from aimlvideo.errors import SettingsError
from aimlvideo.shell.downloads import whole
from aimlvideo.shell.journal import Journal

JOURNAL, RESULTS = "journal.sqlite3", "results.jsonl"
"""What a run leaves in its folder, beside the clips."""


def checked_folder(path: Path) -> Path:
    """Return an output folder that is there and can be written; make it where it is not. Raises SettingsError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"the output folder {path} cannot be made: {error.strerror}") from error
    if not path.is_dir() or not os.access(path, os.W_OK):
        raise SettingsError(f"the output folder {path} cannot be written")
    return path


def ended_jobs(journal: Journal, folder: Path, *, verify: bool = False, elsewhere: bool = False) -> Iterator[Result]:
    """Give what has ended before; a job whose file is gone, or no longer whole, is fetched again by the run.

    What is kept `elsewhere`, in an object store, is not looked for.
    """
    for job, known in journal.ended_jobs():
        saved = known.stage is Stage.SAVED and not elsewhere
        if saved and not whole(folder / (known.file or ""), known.bytes, known.sha256 if verify else None):
            journal.step(job, known.to(Stage.READY))
        else:
            yield result_of(job, known, folder)


