"""`aimlvideo worker`: work on the queue, beside any number of other workers."""

from __future__ import annotations

from typing import Annotated

import typer

from aimlvideo.cli.distributed_options import AccountOptions, DatabaseOptions
from aimlvideo.cli.exit_codes import exit_codes
from aimlvideo.cli.options import (
    Json,
    Legacy,
    Metrics,
    NoLocalFiles,
    Polls,
    Quiet,
    ServiceOptions,
    Settle,
    Strict,
    Timeout,
    Upload,
)
from aimlvideo.cli.typer_app import CommandApp
from aimlvideo.core.store_schemes import OTHER_STORES

app = CommandApp()


@app.command(epilog="Example: aimlvideo worker -o s3://bucket/clips --until-empty")
def worker(
    output: Annotated[
        str,
        typer.Option(
            "-o", "--output", help=f"A folder that all workers share, or s3://bucket/run (or {OTHER_STORES})."
        ),
    ],
    database: DatabaseOptions,
    access: ServiceOptions,
    account: AccountOptions,
    timeout: Timeout = 1800.0,
    poll: Polls = "learned",
    settle: Settle = None,
    strict: Strict = False,
    legacy: Legacy = False,
    upload: Upload = None,
    no_local_files: NoLocalFiles = False,
    until_empty: Annotated[
        bool, typer.Option("--until-empty", help="Exit when the queue is empty, or what is left waits for a person.")
    ] = False,
    metrics: Metrics = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Work on the queue, beside any number of other workers. SIGTERM stops it in order; SIGKILL loses nothing.

    The limits are those of the account, for all workers together (`aimlvideo db limits`). Those that are given here set
    them where no other worker is running, and have to agree with them where one is.
    """
    with exit_codes(json=json, quiet=quiet) as terminal:
        settings = access.client_options(
            timeout=timeout, poll=poll, settle=settle, strict=strict, legacy=legacy, upload=upload,
            local_files=not no_local_files,
        )  # fmt: skip
        del settings["max_outstanding"]
        database.shared_jobs(terminal).work(
            output, settings, account.limits(), until_empty=until_empty, metrics=metrics
        )
