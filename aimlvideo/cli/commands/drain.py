"""`aimlvideo drain`: let all workers end."""

from __future__ import annotations

import typer

from aimlvideo.cli.distributed_options import DatabaseOptions, distributed_extra
from aimlvideo.cli.exit_codes import exit_codes
from aimlvideo.cli.terminal import Terminal
from aimlvideo.cli.typer_app import command_app, takes_groups

app = command_app()


@app.command(epilog="Example: aimlvideo drain")
@takes_groups
def drain(database: DatabaseOptions) -> None:
    """Tell all workers to buy nothing more, and to exit when their outstanding generations have ended."""
    terminal = Terminal()
    with exit_codes(terminal):
        with distributed_extra():
            from aimlvideo.cli.shared_jobs import SharedJobs
        raise typer.Exit(SharedJobs(database.address(terminal), terminal).drain())
