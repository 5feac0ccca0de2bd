"""The commands of many machines, and their flags."""

from __future__ import annotations

from types import ModuleType
from typing import Annotated

import typer

from aimlvideo.cli.flags import (
    ApiKey,
    BaseUrl,
    Legacy,
    Metrics,
    Polls,
    Quiet,
    Service,
    Settle,
    Strict,
    Timeout,
    guarded,
    settings_of,
)
from aimlvideo.cli.terminal import Terminal
from aimlvideo.errors import UsageError

app = typer.Typer()
db = typer.Typer(help="The database that workers share.", no_args_is_help=True)
app.add_typer(db, name="db")

Dsn = Annotated[
    str | None,
    typer.Option(envvar="AIMLVIDEO_DSN", show_envvar=True, help="postgresql://...; without one, an embedded one."),
]


@db.command()
def init(dsn: Dsn = None) -> None:
    """Make the tables, or bring them up to date."""
    terminal = Terminal()
    with guarded(terminal):
        raise typer.Exit(commands().init(dsn, terminal))


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
    with guarded(terminal):
        told = {"service": service, "strict": strict}
        raise typer.Exit(commands().enqueue(jobs, dsn, told, terminal, retry_failed=retry_failed))


@app.command()
def worker(
    output: Annotated[str, typer.Option("-o", "--output", help="A folder that all share, or s3://, gs://, az://.")],
    dsn: Dsn = None,
    service: Service = "aimlapi",
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
    max_outstanding: Annotated[int, typer.Option(help="Generations at a time, over all commands().", min=1)] = 100,
    rate: Annotated[float, typer.Option(help="Submissions a second, over all commands().")] = 5.0,
    timeout: Timeout = 1800.0,
    poll: Polls = "learned",
    poll_rate: Annotated[float, typer.Option(help="Status checks a second, over all commands().")] = 50.0,
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
    with guarded(terminal):
        settings = settings_of(
            service, base_url, api_key, "1", timeout=timeout, poll=poll, settle=settle, strict=strict, legacy=legacy
        )
        del settings["max_outstanding"]
        options = commands().WorkerOptions(output, max_outstanding, rate, poll_rate, heartbeat, until_empty, metrics)
        raise typer.Exit(commands().work(dsn, options, settings, terminal))


@app.command()
def drain(dsn: Dsn = None) -> None:
    """Tell all workers to take nothing more, and to end when what they have in hand has ended."""
    terminal = Terminal()
    with guarded(terminal):
        raise typer.Exit(commands().drain(dsn, terminal))


def commands() -> ModuleType:
    """Return what the commands do. Raises UsageError where the extra is not installed."""
    try:
        from aimlvideo.cli import workers
    except ModuleNotFoundError as error:
        raise UsageError(f"{error}: pip install 'aimlvideo[distributed]'") from error
    return workers
