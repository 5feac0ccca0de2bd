"""`aimlvideo db`: the database that workers share, and the limits of the account."""

from __future__ import annotations

import typer

from aimlvideo.cli.distributed_options import AccountOptions, DatabaseOptions, distributed_extra
from aimlvideo.cli.exit_codes import exit_codes
from aimlvideo.cli.terminal import Terminal
from aimlvideo.cli.typer_app import command_app, takes_groups

app = command_app()


@app.callback(epilog="Example: aimlvideo db init --dsn postgresql://...")
def db() -> None:
    """The database that workers share."""


@app.command()
@takes_groups
def init(database: DatabaseOptions, account: AccountOptions) -> None:
    """Make the tables, or bring them up to date, and set the limits of the account that are given."""
    terminal = Terminal()
    with exit_codes(terminal):
        with distributed_extra():
            from aimlvideo.cli.shared_jobs import SharedJobs
        raise typer.Exit(SharedJobs(database.address(terminal), terminal).init(account.limits()))


@app.command()
@takes_groups
def limits(database: DatabaseOptions, account: AccountOptions) -> None:
    """Show the limits of the account; those that are given are changed first, for all workers at once."""
    terminal = Terminal()
    with exit_codes(terminal):
        with distributed_extra():
            from aimlvideo.cli.shared_jobs import SharedJobs
        raise typer.Exit(SharedJobs(database.address(terminal), terminal).show_limits(account.limits()))
