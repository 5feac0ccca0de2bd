"""`aimlvideo worker`: work on the queue, beside any number of other workers."""

from __future__ import annotations

from typing import Annotated

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
from aimlvideo.cli.options import (
    ApiKey,
    BaseUrl,
    Dsn,
    DsnFile,
    Json,
    Legacy,
    Metrics,
    Polls,
    Quiet,
    Service,
    Settle,
    Strict,
    Timeout,
    Upload,
    client_options,
    dsn_of,
    exit_codes,
)
from aimlvideo.cli.terminal import Terminal
from aimlvideo.cli.typer_app import command_app
from aimlvideo.core.services import DEFAULT_SERVICE

app = command_app()


Place = Annotated[
    str, typer.Option("-o", "--output", help="A folder that all workers share, or s3://..., gs://..., az://....")
]
UntilEmpty = Annotated[bool, typer.Option("--until-empty", help="Exit when the queue is empty.")]


@app.command(epilog="Example: aimlvideo worker -o s3://bucket/clips --until-empty")
def worker(
    output: Place,
    dsn: Dsn = None,
    dsn_file: DsnFile = None,
    service: Service = DEFAULT_SERVICE,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
    max_outstanding: AccountMaxOutstanding = None,
    rate: AccountRate = None,
    max_spend: AccountMaxSpend = None,
    timeout: Timeout = 1800.0,
    poll: Polls = "learned",
    poll_rate: AccountPollRate = None,
    settle: Settle = None,
    strict: Strict = False,
    legacy: Legacy = False,
    upload: Upload = None,
    heartbeat: Heartbeat = None,
    until_empty: UntilEmpty = False,
    metrics: Metrics = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Work on the queue, beside any number of other workers. SIGTERM stops it in order; SIGKILL loses nothing.

    The limits are those of the account, for all workers together (`aimlvideo db limits`). Those that are given here set
    them where no other worker is running, and have to agree with them where one is.
    """
    terminal = Terminal(json=json, quiet=quiet)
    with exit_codes(terminal):
        settings = client_options(
            service,
            base_url,
            api_key,
            "1",
            timeout=timeout,
            poll=poll,
            settle=settle,
            strict=strict,
            legacy=legacy,
            upload=upload,
        )
        del settings["max_outstanding"]
        with distributed_extra():
            from aimlvideo.cli.worker_actions import work
        limits = account_limits(max_outstanding, rate, poll_rate, heartbeat, max_spend)
        database = dsn_of(dsn, dsn_file, terminal)
        code = work(database, output, settings, limits, terminal, until_empty=until_empty, metrics=metrics)
        raise typer.Exit(code)
