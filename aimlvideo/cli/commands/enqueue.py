"""`aimlvideo enqueue`: a job file for the workers."""

from __future__ import annotations

from typing import Annotated

import typer

from aimlvideo.cli.distributed_extra import distributed_extra
from aimlvideo.cli.options import Dsn, Quiet, Service, Strict, exit_codes
from aimlvideo.cli.terminal import Terminal
from aimlvideo.cli.typer_app import command_app

app = command_app()


@app.command()
def enqueue(
    jobs: Annotated[str, typer.Argument(help="A job file (.jsonl, .json, .csv), or - for standard input.")],
    dsn: Dsn = None,
    service: Service = "aimlapi",
    strict: Strict = False,
    retry_failed: Annotated[bool, typer.Option(help="Queue the jobs again that have failed.")] = False,
    quiet: Quiet = False,
) -> None:
    """Queue every job of a file for the workers. The same command again adds what is new."""
    terminal = Terminal(quiet=quiet)
    with exit_codes(terminal):
        with distributed_extra():
            from aimlvideo.cli.worker_actions import queue_file
        reader_options = {"service": service, "strict": strict}
        raise typer.Exit(queue_file(jobs, dsn, reader_options, terminal, retry_failed=retry_failed))
