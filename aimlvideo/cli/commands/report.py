"""`aimlvideo report`: the page of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aimlvideo.cli.distributed_options import DatabaseOptions
from aimlvideo.cli.exit_codes import exit_codes
from aimlvideo.cli.options import LOCALHOST, Folder, JsonObject, read_address
from aimlvideo.cli.typer_app import CommandApp
from aimlvideo.core.jobs.file_names import JOURNAL, RESULTS
from aimlvideo.core.jobs.result import Result
from aimlvideo.errors import UsageError
from aimlvideo.shell.files.output_folders import checked_folder
from aimlvideo.shell.files.results_file import ResultsFile
from aimlvideo.shell.journal.base import JournalReader
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
        shared_jobs = database.shared_jobs_of_page(folder, terminal)
        if board is not None:
            if shared_jobs is None:
                raise UsageError(
                    "--board shows the jobs of many workers: pass --dsn too, or use `aimlvideo run --board`"
                )
            shared_jobs.serve_board(folder, read_address("--board", board, LOCALHOST))
            return
        if shared_jobs is not None:
            checked_folder(folder)
        with shared_jobs.journal() if shared_jobs else read_journal(folder / JOURNAL) as journal:
            written = {"page": str(write_report(folder, journal=journal))}
            found_in = ""
            if shared_jobs is not None:  # a run has written its results itself
                written["results"] = str(_write_results(folder, journal))
                found_in = f"; what became of each job is in {written['results']}"
            terminal.say(f"the page is {written['page']}: open it in a browser{found_in}")
            if sheet:
                written["sheet"] = str(write_sheet(folder, list(journal.ended_jobs())))
                terminal.say(f"the sheet is {written['sheet']}")
        if json:
            terminal.value(written)


def _write_results(folder: Path, journal: JournalReader) -> Path:
    """Write `results.jsonl` of all jobs into the folder of the clips; return its path."""
    path = folder / RESULTS
    ResultsFile.rewrite(path, (Result.of(job, progress, folder) for job, progress in journal.ended_jobs()))
    return path
