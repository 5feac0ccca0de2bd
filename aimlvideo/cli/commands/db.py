"""`aimlvideo db`: the database that workers share, and the limits of the account."""

from __future__ import annotations

import typer

from aimlvideo.cli.distributed_extra import distributed_extra
from aimlvideo.cli.distributed_options import (
    AccountMaxOutstanding,
    AccountMaxSpend,
    AccountPollRate,
    AccountRate,
    Heartbeat,
    account_limits,
)
from aimlvideo.cli.options import Dsn, DsnFile, dsn_of, exit_codes
from aimlvideo.cli.terminal import Terminal
from aimlvideo.cli.typer_app import command_app

app = command_app()


@app.callback(epilog="Example: aimlvideo db init --dsn postgresql://...")
def db() -> None:
    """The database that workers share."""


@app.command()
def init(
    dsn: Dsn = None,
    dsn_file: DsnFile = None,
    max_outstanding: AccountMaxOutstanding = None,
    rate: AccountRate = None,
    poll_rate: AccountPollRate = None,
    heartbeat: Heartbeat = None,
    max_spend: AccountMaxSpend = None,
) -> None:
    """Make the tables, or bring them up to date, and set the limits of the account that are given."""
    terminal = Terminal()
    with exit_codes(terminal):
        with distributed_extra():
            from aimlvideo.cli.worker_actions import init_database
        limits = account_limits(max_outstanding, rate, poll_rate, heartbeat, max_spend)
        raise typer.Exit(init_database(dsn_of(dsn, dsn_file, terminal), terminal, limits))


@app.command()
def limits(
    dsn: Dsn = None,
    dsn_file: DsnFile = None,
    max_outstanding: AccountMaxOutstanding = None,
    rate: AccountRate = None,
    poll_rate: AccountPollRate = None,
    heartbeat: Heartbeat = None,
    max_spend: AccountMaxSpend = None,
) -> None:
    """Show the limits of the account; those that are given are changed first, for all workers at once."""
    terminal = Terminal()
    with exit_codes(terminal):
        with distributed_extra():
            from aimlvideo.cli.worker_actions import show_limits
        chosen = account_limits(max_outstanding, rate, poll_rate, heartbeat, max_spend)
        raise typer.Exit(show_limits(dsn_of(dsn, dsn_file, terminal), chosen, terminal))
