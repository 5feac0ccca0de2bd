"""`aimlvideo report`: the page of a run."""

from __future__ import annotations

from typing import Annotated

import typer

from aimlvideo.cli.distributed_options import DatabaseOptions
from aimlvideo.cli.exit_codes import exit_codes
from aimlvideo.cli.options import LOCALHOST, Folder, JsonObject, read_address
from aimlvideo.cli.typer_app import CommandApp
from aimlvideo.core.jobs.file_names import JOURNAL
from aimlvideo.errors import UsageError
from aimlvideo.shell.journal.sqlite_reader import read_journal
from aimlvideo.views.report.contact_sheet import write_sheet
from aimlvideo.views.report.report_file import write_report

app = CommandApp()


@app.command(epilog="Example: aimlvideo report clips")
def report(
    folder: Folder,
    database: DatabaseOptions,
    sheet: Annotated[
        bool, typer.Option("--sheet", help="Also write sheet.jpg: one picture with a frame of every clip.")
    ] = False,
    board: Annotated[
        str | None,
        typer.Option(
            metavar="[PORT]", help="Serve a live page of the jobs of many workers on this machine, or on HOST:PORT."
        ),
    ] = None,
    json: JsonObject = False,
) -> None:
    """Write report.html: a page with every clip, its price and its times, and the failures with what to do.

    With --dsn (or AIMLVIDEO_DSN) it shows the jobs of many workers; the folder is where their clips are. With --board
    it is not written but served, and updates itself until Ctrl-C.
    """
    with exit_codes(json=json) as terminal:
        if (shared_jobs := database.shared_jobs_of_page(folder, terminal)) is not None:
            if board is not None:
                shared_jobs.serve_board(folder, read_address("--board", board, LOCALHOST))
            else:
                shared_jobs.write_page(folder, sheet=sheet)
            return
        if board is not None:
            raise UsageError("--board shows the jobs of many workers: pass --dsn too, or use `aimlvideo run --board`")
        written = {"page": str(write_report(folder))}
        terminal.say(f"the page is {written['page']}: open it in a browser")
        if sheet:
            with read_journal(folder / JOURNAL) as journal:
                written["sheet"] = str(write_sheet(folder, list(journal.ended_jobs())))
            terminal.say(f"the sheet is {written['sheet']}")
        if json:
            terminal.value(written)
