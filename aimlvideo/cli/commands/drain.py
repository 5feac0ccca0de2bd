"""`aimlvideo drain`: let all workers end."""

from __future__ import annotations

from aimlvideo.cli.distributed_options import DatabaseOptions
from aimlvideo.cli.exit_codes import exit_codes
from aimlvideo.cli.typer_app import CommandApp

app = CommandApp()


@app.command(epilog="Example: aimlvideo drain")
def drain(database: DatabaseOptions) -> None:
    """Tell all workers to buy nothing more, and to exit when their outstanding generations have ended."""
    with exit_codes() as terminal:
        database.shared_jobs(terminal).drain()
