"""The flags of `run` and `resume`, and what they say of how a run is made and shown."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Annotated

import typer

from aimlvideo.cli.options import (
    CALLBACKS,
    LOCALHOST,
    MONEY,
    PACE,
    Address,
    Anyway,
    ApiKey,
    BaseUrl,
    Board,
    ClientOptions,
    Json,
    Legacy,
    MaxOutstanding,
    Metrics,
    NoMetadata,
    Polls,
    Quiet,
    Rate,
    RetryFailed,
    ServiceOptions,
    Settle,
    Timeout,
    Upload,
    count_or_auto,
    import_metrics,
    read_address,
)
from aimlvideo.cli.run_folder import LEGACY_URLS, NAMING, PLAIN_CLIPS, RunFolder
from aimlvideo.cli.terminal import Terminal
from aimlvideo.core.jobs.file_names import NameTemplate
from aimlvideo.core.money.budget import checked_limit
from aimlvideo.core.services import service_of
from aimlvideo.errors import UsageError
from aimlvideo.shell.journal.base import UPLOAD

NO_CALLBACK_URL = (
    "--callback is given without --callback-url, so the service is told no address: it calls only where a job's own "
    "callback_url leads to this machine"
)
NO_CALLBACK = (
    "--callback-url is given without --callback: nothing here hears the calls, and status checks are as rare as "
    "if something did"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a run is made and shown, beside the client's settings."""

    output: Path
    retry_failed: bool = False
    verify: bool = False
    max_spend: float | None = None
    anyway: bool = False
    confirm_above: float = inf
    board: Address | None = None
    metrics: int | None = None
    name: str = ""
    store: str | None = None
    """The URL of the object store that clips go to; `output` then is only where the run has its journal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedRunOptions:
    """The flags that `run` and `resume` have in common."""

    base_url: BaseUrl = None
    api_key: ApiKey = None
    max_outstanding: MaxOutstanding = "20"
    rate: Rate = 5.0
    timeout: Timeout = 1800.0
    max_spend: Annotated[
        float | None,
        typer.Option(help="USD: stop submitting before this sum would be exceeded.", rich_help_panel=MONEY),
    ] = None
    poll: Polls = "learned"
    poll_rate: Annotated[
        float, typer.Option(help="Status checks per second, across all generations.", rich_help_panel=PACE)
    ] = 50.0
    downloads: Annotated[str, typer.Option(help="Clips saved at a time: a number, or auto.", rich_help_panel=PACE)] = (
        "auto"
    )
    settle: Settle = None
    retry_failed: RetryFailed = False
    verify: Annotated[
        bool, typer.Option("--verify", help="Check saved clips by their SHA-256, not only their length.")
    ] = False
    anyway: Anyway = False
    confirm_above: Annotated[
        float,
        typer.Option(
            help="USD: on a terminal, ask before a run that costs more.", show_default=False, rich_help_panel=MONEY
        ),
    ] = inf
    legacy: Legacy = False
    callback: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Where to listen for a gateway's calls.", rich_help_panel=CALLBACKS),
    ] = None
    callback_url: Annotated[
        str | None, typer.Option(help="The public URL that leads there.", rich_help_panel=CALLBACKS)
    ] = None
    callback_secret: Annotated[
        str | None,
        typer.Option(help="whsec_...: calls with a wrong signature are refused.", rich_help_panel=CALLBACKS),
    ] = None
    name: Annotated[
        str,
        typer.Option(
            "--name",
            help=f"How clips are named: fields are {', '.join(NameTemplate.OWN_FIELDS)} and parameters, "
            "as in '{id} {seed}'.",
        ),
    ] = ""
    upload: Upload = None
    no_metadata: NoMetadata = False
    board: Board = None
    metrics: Metrics = None
    json: Json = False
    quiet: Quiet = False

    def client_options(self, service: str, terminal: Terminal | None = None, *, strict: bool = False) -> ClientOptions:
        """Return the settings of the run's client; what of them is half said, the `terminal` remarks.

        Raises UsageError for a text that cannot be read.
        """
        callback = None if self.callback is None else read_address("--callback", self.callback)
        if self.callback_secret is not None and callback is None:
            raise UsageError("--callback-secret is given without --callback: expected HOST:PORT, where calls are heard")
        is_half_said = (callback is None) != (self.callback_url is None)
        if terminal is not None and is_half_said and service_of(service).read_callback:
            terminal.remark(NO_CALLBACK_URL if self.callback_url is None else NO_CALLBACK)
        options = ServiceOptions(service=service, base_url=self.base_url, api_key=self.api_key)
        return options.client_options(
            max_outstanding=count_or_auto("--max-outstanding", self.max_outstanding),
            downloads=count_or_auto("--downloads", self.downloads), rate=self.rate, timeout=self.timeout,
            poll=self.poll, poll_rate=self.poll_rate, settle=self.settle, strict=strict,
            legacy=self.legacy, callback=callback, callback_url=self.callback_url,
            callback_secret=self.callback_secret, metadata=not self.no_metadata, upload=self.upload,
        )  # fmt: skip

    def run_options(self, output: Path, *, store: str | None) -> RunOptions:
        """Return how the run is made and shown. Raises UsageError for what cannot be right, or cannot be opened."""
        # Now, before anything is planned: a run that was refused later would leave its jobs planned.
        checked_limit(self.max_spend, "--max-spend")
        checked_limit(None if self.confirm_above == inf else self.confirm_above, "--confirm-above")
        NameTemplate(self.name or "{id}")
        board = None if self.board is None else read_address("--board", self.board, LOCALHOST)
        _refuse_taken("--board", board)
        if self.metrics is not None:
            import_metrics()
        _refuse_taken("--metrics", None if self.metrics is None else (LOCALHOST, self.metrics))
        return RunOptions(
            output=output, store=store, retry_failed=self.retry_failed, verify=self.verify,
            max_spend=self.max_spend, anyway=self.anyway, confirm_above=self.confirm_above, name=self.name,
            board=board, metrics=self.metrics,
        )  # fmt: skip

    def as_begun(self, folder: RunFolder) -> SharedRunOptions:
        """Return these options, and those of the folder's last run where they are not given here."""
        return replace(
            self,
            legacy=self.legacy or bool(folder.fact(LEGACY_URLS)),
            no_metadata=self.no_metadata or bool(folder.fact(PLAIN_CLIPS)),
            upload=self.upload or folder.fact(UPLOAD) or None,
            name=self.name or folder.fact(NAMING) or "",
        )


def _refuse_taken(option: str, address: Address | None) -> None:
    """Raise UsageError where nothing can listen at an address: before jobs are planned for a run that it would end."""
    if address is None:
        return
    import socket  # noqa: PLC0415 - only few runs listen

    host, port = address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        # As the server does it: a port that was let go of a moment ago is free. In a block, as a port beyond 65535 is
        # an error that `create_server` does not close its socket for.
        with socket.socket(family) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, os.name == "posix")
            listener.bind(address)
    except (OSError, OverflowError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).rstrip(".")
        raise UsageError(f"{option}: {host}:{port} cannot be opened: {reason}. Choose another port") from error
