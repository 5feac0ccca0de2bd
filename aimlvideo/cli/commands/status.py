"""`aimlvideo status`: where a run stands."""

from __future__ import annotations

from pathlib import Path

import typer

from aimlvideo.cli.distributed_options import DatabaseOptions
from aimlvideo.cli.exit_codes import exit_codes
from aimlvideo.cli.options import FolderOrNone, JsonObject
from aimlvideo.cli.run_summary import RunSummary
from aimlvideo.cli.typer_app import CommandApp
from aimlvideo.core.jobs.file_names import JOURNAL
from aimlvideo.shell.journal.sqlite_reader import read_journal

app = CommandApp()


@app.command(epilog="Example: aimlvideo status clips")
def status(database: DatabaseOptions, folder: FolderOrNone = None, json: JsonObject = False) -> None:
    """Say where a run stands, from its journal alone; also while it is going on."""
    with exit_codes(json=json) as terminal:
        run = database.folder_or_shared_jobs(folder, terminal)
        if not isinstance(run, Path):
            raise typer.Exit(run.show_status())
        with read_journal(run / JOURNAL) as journal:
            RunSummary.of(journal, run).show(terminal)
