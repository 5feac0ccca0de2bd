"""`aimlvideo resume`: carry on with everything that a folder has."""

from __future__ import annotations

from math import inf
from typing import Annotated

import typer

from aimlvideo.cli.carry_on import carry_on
from aimlvideo.cli.options import (
    Anyway,
    ApiKey,
    BaseUrl,
    Board,
    Callback,
    CallbackSecret,
    CallbackUrl,
    ConfirmAbove,
    Downloads,
    Folder,
    Json,
    Legacy,
    MaxOutstanding,
    MaxSpend,
    Metrics,
    Name,
    NoMetadata,
    PollRate,
    Polls,
    Quiet,
    Rate,
    RetryFailed,
    Settle,
    Timeout,
    Upload,
    Verify,
    board_address,
    callback_address,
    client_options,
    count_or_auto,
    exit_codes,
)
from aimlvideo.cli.session import (
    LEGACY_URLS,
    NAMING,
    PLAIN_CLIPS,
    RunOptions,
    fact_of_folder,
    service_of_folder,
)
from aimlvideo.cli.terminal import Terminal
from aimlvideo.cli.typer_app import command_app
from aimlvideo.shell.files.uploads import UPLOAD

ServiceOrNone = Annotated[
    str | None, typer.Option(help="The service. Without it: the one that the folder was started with.")
]

app = command_app()


@app.command(epilog="Example: aimlvideo resume clips --max-spend 20")
def resume(
    folder: Folder,
    service: ServiceOrNone = None,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
    max_outstanding: MaxOutstanding = "20",
    rate: Rate = 5.0,
    timeout: Timeout = 1800.0,
    max_spend: MaxSpend = None,
    poll: Polls = "learned",
    poll_rate: PollRate = 50.0,
    downloads: Downloads = "auto",
    settle: Settle = None,
    anyway: Anyway = False,
    confirm_above: ConfirmAbove = None,
    retry_failed: RetryFailed = False,
    verify: Verify = False,
    legacy: Legacy = False,
    callback: Callback = None,
    callback_url: CallbackUrl = None,
    callback_secret: CallbackSecret = None,
    name: Name = "",
    upload: Upload = None,
    no_metadata: NoMetadata = False,
    board: Board = None,
    metrics: Metrics = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Carry on with all unfinished jobs of a folder.

    The service, --name, --upload, --legacy and --no-metadata are those of its last run, where they are not given here.
    """
    terminal = Terminal(json=json, quiet=quiet)
    with exit_codes(terminal):
        service_name = service_of_folder(folder, service)
        legacy = legacy or bool(fact_of_folder(folder, LEGACY_URLS))
        plain_clips = no_metadata or bool(fact_of_folder(folder, PLAIN_CLIPS))
        settings = client_options(
            service_name, base_url, api_key, max_outstanding, rate=rate, timeout=timeout, poll=poll,
            poll_rate=poll_rate, settle=settle, legacy=legacy, callback=callback_address(callback),
            callback_url=callback_url, callback_secret=callback_secret,
            downloads=count_or_auto("--downloads", downloads), metadata=not plain_clips,
            upload=upload or fact_of_folder(folder, UPLOAD) or None,
        )  # fmt: skip
        options = RunOptions(
            output=folder, service=service_name, legacy=legacy, retry_failed=retry_failed, verify=verify,
            max_spend=max_spend, anyway=anyway, confirm_above=inf if confirm_above is None else confirm_above,
            name=name or fact_of_folder(folder, NAMING) or "", board=board_address(board), metrics=metrics,
        )  # fmt: skip
        raise typer.Exit(carry_on(settings, options, terminal))
