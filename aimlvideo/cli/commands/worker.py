"""`aimlvideo worker`: work on the queue, beside any number of other workers."""

from __future__ import annotations

from typing import Annotated

import typer

from aimlvideo.cli.distributed_extra import distributed_extra
from aimlvideo.cli.options import (
    PACE,
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
    client_options,
    exit_codes,
)
from aimlvideo.cli.terminal import Terminal
from aimlvideo.cli.typer_app import command_app

app = command_app()


Place = Annotated[
    str, typer.Option("-o", "--output", help="A folder that all workers share, or s3://..., gs://..., az://....")
]
SharedOutstanding = Annotated[
    int, typer.Option(help="Generations at a time, across all workers.", min=1, rich_help_panel=PACE)
]
SharedRate = Annotated[float, typer.Option(help="Submissions per second, across all workers.", rich_help_panel=PACE)]
SharedPollRate = Annotated[
    float, typer.Option(help="Status checks per second, across all workers.", rich_help_panel=PACE)
]
Heartbeat = Annotated[
    float, typer.Option(help="Seconds of silence after which other workers take over.", min=1, rich_help_panel=PACE)
]
UntilEmpty = Annotated[bool, typer.Option("--until-empty", help="Exit when the queue is empty.")]


@app.command(epilog="Example: aimlvideo worker -o s3://bucket/clips --until-empty")
def worker(
    output: Place,
    dsn: Dsn = None,
    service: Service = "aimlapi",
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
    max_outstanding: SharedOutstanding = 100,
    rate: SharedRate = 5.0,
    timeout: Timeout = 1800.0,
    poll: Polls = "learned",
    poll_rate: SharedPollRate = 50.0,
    settle: Settle = None,
    strict: Strict = False,
    legacy: Legacy = False,
    heartbeat: Heartbeat = 30.0,
    until_empty: UntilEmpty = False,
    metrics: Metrics = None,
    quiet: Quiet = False,
) -> None:
    """Work on the queue, beside any number of other workers. SIGTERM stops it in order; SIGKILL loses nothing."""
    terminal = Terminal(quiet=quiet)
    with exit_codes(terminal):
        settings = client_options(
            service, base_url, api_key, "1", timeout=timeout, poll=poll, settle=settle, strict=strict, legacy=legacy
        )
        del settings["max_outstanding"]
        with distributed_extra():
            from aimlvideo.cli.worker_actions import WorkerOptions, work
        options = WorkerOptions(output, max_outstanding, rate, poll_rate, heartbeat, until_empty, metrics)
        raise typer.Exit(work(dsn, options, settings, terminal))
