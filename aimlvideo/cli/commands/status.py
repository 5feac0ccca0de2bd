"""`aimlvideo status`: where a run stands."""

from __future__ import annotations

import typer

from aimlvideo.cli.distributed_options import DatabaseOptions, distributed_extra
from aimlvideo.cli.exit_codes import exit_codes
from aimlvideo.cli.options import FolderOrNone, JsonObject
from aimlvideo.cli.run_summary import RunSummary
from aimlvideo.cli.terminal import Terminal
from aimlvideo.cli.typer_app import command_app, takes_groups
from aimlvideo.core.jobs.file_names import JOURNAL
from aimlvideo.shell.journal.sqlite_reader import read_journal

app = command_app()


@app.command(epilog="Example: aimlvideo status clips")
@takes_groups
def status(database: DatabaseOptions, folder: FolderOrNone = None, json: JsonObject = False) -> None:
    """Say where a run stands, from its journal alone; also while it is going on."""
    terminal = Terminal(json=json)
    with exit_codes(terminal):
        run_folder, dsn = database.or_folder(folder, terminal)
        if run_folder is None:
            with distributed_extra():
                from aimlvideo.cli.shared_jobs import SharedJobs
            raise typer.Exit(SharedJobs(dsn, terminal).show_status())
        with read_journal(run_folder / JOURNAL) as journal:
            RunSummary.of(journal, run_folder).show(terminal)
