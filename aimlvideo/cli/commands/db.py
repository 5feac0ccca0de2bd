"""`aimlvideo db`: the database that workers share."""

from __future__ import annotations

import typer

from aimlvideo.cli.distributed_extra import distributed_extra
from aimlvideo.cli.options import Dsn, exit_codes
from aimlvideo.cli.terminal import Terminal
from aimlvideo.cli.typer_app import command_app

app = command_app()


@app.callback(epilog="Example: aimlvideo db init --dsn postgresql://...")
def db() -> None:
    """The database that workers share."""


@app.command()
def init(dsn: Dsn = None) -> None:
    """Make the tables, or bring them up to date."""
    terminal = Terminal()
    with exit_codes(terminal):
        with distributed_extra():
            from aimlvideo.cli.worker_actions import init_database
        raise typer.Exit(init_database(dsn, terminal))
