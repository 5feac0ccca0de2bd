"""`aimlvideo reconcile`: what a run really cost."""

from __future__ import annotations

import typer

from aimlvideo.cli.distributed_options import DatabaseOptions, distributed_extra
from aimlvideo.cli.exit_codes import exit_codes
from aimlvideo.cli.options import ApiKey, BaseUrl, FolderOrNone, JsonObject, ServiceOptions
from aimlvideo.cli.reconciliation import reconcile_jobs
from aimlvideo.cli.terminal import Terminal
from aimlvideo.cli.typer_app import command_app, takes_groups
from aimlvideo.core.jobs.file_names import JOURNAL
from aimlvideo.shell.journal.sqlite_reader import read_journal

app = command_app()


@app.command(epilog="Example: aimlvideo reconcile clips")
@takes_groups
def reconcile(
    database: DatabaseOptions,
    folder: FolderOrNone = None,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
    json: JsonObject = False,
) -> None:
    """Say what a run really cost by the service's ledger, and what does not match."""
    terminal = Terminal(json=json)
    with exit_codes(terminal):
        settings = ServiceOptions(base_url=base_url, api_key=api_key).client()
        run_folder, dsn = database.or_folder(folder, terminal)
        if run_folder is None:
            with distributed_extra():
                from aimlvideo.cli.shared_jobs import SharedJobs
            raise typer.Exit(SharedJobs(dsn, terminal).reconcile(settings))
        with read_journal(run_folder / JOURNAL) as journal:
            raise typer.Exit(reconcile_jobs(journal, settings, terminal))
