"""`aimlvideo worker`: work on the queue, beside any number of other workers."""

from __future__ import annotations

from typing import Annotated

import typer

from aimlvideo.cli.distributed_extra import distributed_extra
from aimlvideo.cli.options import (
    ApiKey,
    BaseUrl,
    Dsn,
    Legacy,
    Metrics,
    Polls,
    Quiet,
    Service,
    Settle,
    Strict,
    Timeout,
    exit_codes,
    settings_of,
)
from aimlvideo.cli.terminal import Terminal
from aimlvideo.cli.typer_app import command_app

app = command_app()


@app.command()
def worker(
    output: Annotated[str, typer.Option("-o", "--output", help="A folder that all share, or s3://, gs://, az://.")],
    dsn: Dsn = None,
    service: Service = "aimlapi",
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
    max_outstanding: Annotated[int, typer.Option(help="Generations at a time, across all workers.", min=1)] = 100,
    rate: Annotated[float, typer.Option(help="Submissions a second, across all workers.")] = 5.0,
    timeout: Timeout = 1800.0,
    poll: Polls = "learned",
    poll_rate: Annotated[float, typer.Option(help="Status checks a second, across all workers.")] = 50.0,
    settle: Settle = None,
    strict: Strict = False,
    legacy: Legacy = False,
    heartbeat: Annotated[float, typer.Option(help="Seconds of silence after which others take over.", min=1)] = 30.0,
    until_empty: Annotated[bool, typer.Option(help="End when the queue is empty.")] = False,
    metrics: Metrics = None,
    quiet: Quiet = False,
) -> None:
    """Work on the queue, beside any number of other workers. SIGTERM stops it in order; SIGKILL loses nothing."""
    terminal = Terminal(quiet=quiet)
    with exit_codes(terminal):
        settings = settings_of(
            service, base_url, api_key, "1", timeout=timeout, poll=poll, settle=settle, strict=strict, legacy=legacy
        )
        del settings["max_outstanding"]
        with distributed_extra():
            from aimlvideo.cli.worker_actions import WorkerOptions, work
        options = WorkerOptions(output, max_outstanding, rate, poll_rate, heartbeat, until_empty, metrics)
        raise typer.Exit(work(dsn, options, settings, terminal))
