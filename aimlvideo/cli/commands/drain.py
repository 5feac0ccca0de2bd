"""`aimlvideo drain`: let all workers end."""

from __future__ import annotations

import typer

from aimlvideo.cli.distributed_extra import distributed_extra
from aimlvideo.cli.options import Dsn, DsnFile, dsn_of, exit_codes
from aimlvideo.cli.terminal import Terminal
from aimlvideo.cli.typer_app import command_app

app = command_app()


@app.command(epilog="Example: aimlvideo drain")
def drain(dsn: Dsn = None, dsn_file: DsnFile = None) -> None:
    """Tell all workers to buy nothing more, and to exit when their outstanding generations have ended."""
    terminal = Terminal()
    with exit_codes(terminal):
        with distributed_extra():
            from aimlvideo.cli.worker_actions import start_draining
        raise typer.Exit(start_draining(dsn_of(dsn, dsn_file, terminal), terminal))
