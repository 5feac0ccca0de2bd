"""`aimlvideo enqueue`: a job file for the workers."""

from __future__ import annotations

import typer

from aimlvideo.cli.distributed_extra import distributed_extra
from aimlvideo.cli.options import Dsn, JobFile, Quiet, RetryFailed, Service, Strict, exit_codes
from aimlvideo.cli.terminal import Terminal
from aimlvideo.cli.typer_app import command_app

app = command_app()


@app.command(epilog="Example: aimlvideo enqueue jobs.jsonl --dsn postgresql://...")
def enqueue(
    jobs: JobFile,
    dsn: Dsn = None,
    service: Service = "aimlapi",
    strict: Strict = False,
    retry_failed: RetryFailed = False,
    quiet: Quiet = False,
) -> None:
    """Queue every job of a file for the workers. The same command again adds what is new."""
    terminal = Terminal(quiet=quiet)
    with exit_codes(terminal):
        with distributed_extra():
            from aimlvideo.cli.worker_actions import queue_file
        reader_options = {"service": service, "strict": strict}
        raise typer.Exit(queue_file(jobs, dsn, reader_options, terminal, retry_failed=retry_failed))
