"""`aimlvideo db`: the database that workers share, and the limits of the account."""

from __future__ import annotations

from aimlvideo.cli.distributed_options import AccountOptions, DatabaseOptions
from aimlvideo.cli.exit_codes import exit_codes
from aimlvideo.cli.typer_app import CommandApp

app = CommandApp()


@app.callback(epilog="Example: aimlvideo db init --dsn postgresql://...")
def db() -> None:
    """The database that workers share."""


@app.command(epilog="Example: aimlvideo db init --max-outstanding 50 --max-spend 500")
def init(database: DatabaseOptions, account: AccountOptions) -> None:
    """Make the tables, or bring them up to date, and set the limits of the account that are given."""
    with exit_codes() as terminal:
        database.shared_jobs(terminal).init(account.limits())


@app.command(epilog="Example: aimlvideo db limits --rate 2")
def limits(database: DatabaseOptions, account: AccountOptions) -> None:
    """Show the limits of the account; those that are given are changed first, for all workers at once."""
    with exit_codes() as terminal:
        database.shared_jobs(terminal).show_limits(account.limits())
