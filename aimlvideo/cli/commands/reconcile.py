"""`aimlvideo reconcile`: what a run really cost."""

from __future__ import annotations

import typer

from aimlvideo.cli.distributed_extra import distributed_extra
from aimlvideo.cli.options import ApiKey, BaseUrl, Dsn, DsnFile, FolderOrNone, client_options, exit_codes, folder_or_dsn
from aimlvideo.cli.reconciliation import reconcile_jobs
from aimlvideo.cli.terminal import Terminal
from aimlvideo.cli.typer_app import command_app
from aimlvideo.core.jobs.file_names import JOURNAL
from aimlvideo.core.services import DEFAULT_SERVICE
from aimlvideo.shell.journal.sqlite import read_journal

app = command_app()


@app.command(epilog="Example: aimlvideo reconcile clips")
def reconcile(
    folder: FolderOrNone = None,
    dsn: Dsn = None,
    dsn_file: DsnFile = None,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Say what a run really cost by the service's ledger, and what does not match."""
    terminal = Terminal()
    with exit_codes(terminal):
        settings = client_options(DEFAULT_SERVICE, base_url, api_key)
        run_folder, database = folder_or_dsn(folder, dsn, dsn_file, terminal)
        if run_folder is None:
            with distributed_extra():
                from aimlvideo.cli.worker_actions import reconcile_all
            raise typer.Exit(reconcile_all(database, settings, terminal))
        with read_journal(run_folder / JOURNAL) as journal:
            raise typer.Exit(reconcile_jobs(journal, settings, terminal))
