"""`aimlvideo reconcile`: what a run really cost."""

from __future__ import annotations

from pathlib import Path

import typer

from aimlvideo.cli.distributed_options import DatabaseOptions
from aimlvideo.cli.exit_codes import exit_codes
from aimlvideo.cli.options import ApiKey, BaseUrl, FolderOrNone, JsonObject, ServiceOptions
from aimlvideo.cli.reconciliation import reconcile_jobs
from aimlvideo.cli.typer_app import CommandApp
from aimlvideo.core.jobs.file_names import JOURNAL
from aimlvideo.shell.journal.sqlite_reader import read_journal

app = CommandApp()


@app.command(epilog="Example: aimlvideo reconcile clips")
def reconcile(
    database: DatabaseOptions,
    folder: FolderOrNone = None,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
    json: JsonObject = False,
) -> None:
    """Say what a run really cost by the service's ledger, and what does not match.

    Nothing is written: a cost that the journal lacks stays unknown in `status`, the report and results.jsonl.
    """
    with exit_codes(json=json) as terminal:
        settings = ServiceOptions(base_url=base_url, api_key=api_key).client_options()
        run = database.folder_or_shared_jobs(folder, terminal)
        with read_journal(run / JOURNAL) if isinstance(run, Path) else run.journal() as journal:
            raise typer.Exit(reconcile_jobs(journal, settings, terminal))
