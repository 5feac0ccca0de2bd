"""How a run is made and shown: as `run` and `resume` are told, and as the folder's journal keeps it for `resume`."""

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
    Polls,
    Quiet,
    Rate,
    RetryFailed,
    ServiceOptions,
    Settle,
    Timeout,
    Upload,
    board_address,
    checked_threshold,
    count_or_auto,
    import_metrics,
    is_port,
)
from aimlvideo.cli.terminal import Terminal
from aimlvideo.core.jobs.file_names import JOURNAL, template_fields
from aimlvideo.core.jobs.job import Progress
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.money.budget import checked_limit
from aimlvideo.core.services import DEFAULT_SERVICE
from aimlvideo.errors import UsageError
from aimlvideo.shell.journal.base import UPLOAD, Journal
from aimlvideo.shell.journal.sqlite_reader import read_journal

NAMING = "naming"
"""The fact of a journal that has the template of its clips' names."""
PLAIN_CLIPS = "plain clips"
"""The fact of a journal whose clips carry no recipe."""
LEGACY_URLS = "legacy URLs"
"""The fact of a journal whose jobs are sent to the service's legacy URLs."""
SANDBOX = "sandbox"
"""The fact of a journal whose clips are an embedded sandbox's: test pictures that cost nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a run is made and shown, beside the client's settings."""

    output: Path
    service: str = DEFAULT_SERVICE
    strict: bool = False
    legacy: bool = False
    retry_failed: bool = False
    verify: bool = False
    max_spend: float | None = None
    matrix: bool = False
    anyway: bool = False
    confirm_above: float = inf
    board: Address | None = None
    metrics: int | None = None
    name: str = ""
    store: str | None = None
    """The URL of the object store that clips go to; `output` then is only where the run has its journal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedRunOptions:
    """What `run` and `resume` are told alike."""

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
        typer.Option("--name", help="How clips are named: fields are id, model and parameters, as in '{id} {seed}'."),
    ] = ""
    upload: Upload = None
    no_metadata: Annotated[
        bool, typer.Option("--no-metadata", help="Save clips byte for byte, without their recipe in the file.")
    ] = False
    board: Board = None
    metrics: Metrics = None
    json: Json = False
    quiet: Quiet = False

    def terminal(self) -> Terminal:
        """Return the terminal that shows the run."""
        return Terminal(json=self.json, quiet=self.quiet)

    def client(self, service: str, *, strict: bool = False) -> ClientOptions:
        """Return the settings of the run's client. Raises UsageError for what cannot be read."""
        options = ServiceOptions(service=service, base_url=self.base_url, api_key=self.api_key)
        return options.client(
            max_outstanding=count_or_auto("--max-outstanding", self.max_outstanding),
            downloads=count_or_auto("--downloads", self.downloads), rate=self.rate, timeout=self.timeout,
            poll=self.poll, poll_rate=self.poll_rate, settle=self.settle, strict=strict,
            legacy=self.legacy, callback=_callback_address(self.callback), callback_url=self.callback_url,
            callback_secret=self.callback_secret, metadata=not self.no_metadata, upload=self.upload,
        )  # fmt: skip

    def run(
        self, output: Path, service: str, *, store: str | None = None, strict: bool = False, matrix: bool = False
    ) -> RunOptions:
        """Return how the run is made and shown. Raises UsageError for what cannot be read.

        Here, because what is wrong only once the jobs are planned would leave them planned by a run that was refused.
        """
        checked_limit(self.max_spend, "--max-spend")
        checked_threshold(self.confirm_above)
        template_fields(self.name or "{id}")
        board = board_address(self.board)
        _refuse_taken("--board", board)
        if self.metrics is not None:
            import_metrics()
        _refuse_taken("--metrics", None if self.metrics is None else (LOCALHOST, self.metrics))
        return RunOptions(
            output=output, store=store, service=service, strict=strict, matrix=matrix, legacy=self.legacy,
            retry_failed=self.retry_failed, verify=self.verify, max_spend=self.max_spend, anyway=self.anyway,
            confirm_above=self.confirm_above, name=self.name, board=board, metrics=self.metrics,
        )  # fmt: skip

    def as_begun(self, folder: Path) -> SharedRunOptions:
        """Return these options, and those of the folder's last run where they are not given here."""
        return replace(
            self,
            legacy=self.legacy or bool(_fact_of_folder(folder, LEGACY_URLS)),
            no_metadata=self.no_metadata or bool(_fact_of_folder(folder, PLAIN_CLIPS)),
            upload=self.upload or _fact_of_folder(folder, UPLOAD) or None,
            name=self.name or _fact_of_folder(folder, NAMING) or "",
        )


def claim_folder(folder: Path, journal: Journal, *, sandbox: bool) -> None:
    """Keep whose clips a folder has. Raises UsageError where bought clips and an embedded sandbox's would be mixed."""
    _refuse_mixing(folder, journal, sandbox=sandbox)
    journal.note(SANDBOX, "yes" if sandbox else "")
    if sandbox:
        _plan_anew(journal)


def _refuse_mixing(folder: Path, journal: Journal, *, sandbox: bool) -> None:
    """Raise UsageError where a folder has clips of the other kind: a test picture would count as a saved clip."""
    begun_there = bool(journal.fact(SANDBOX))
    if journal.counts() and begun_there != sandbox:
        whose = "the embedded sandbox's" if begun_there else "not the embedded sandbox's"
        instead = "add --sandbox, or" if begun_there else "leave out --sandbox, or"
        raise UsageError(f"the clips in {folder} are {whose}: {instead} use another folder")


def _plan_anew(journal: Journal) -> None:
    """Plan again what an earlier embedded sandbox had begun."""
    # It ended with the process that it was in, and its generations with it: nobody can be asked for them.
    for job, progress in list(journal.open_jobs()):
        if progress.stage is not Stage.PLANNED:
            journal.step(job, Progress())


def is_sandbox_folder(folder: Path) -> bool:
    """Tell whether a folder's clips are an embedded sandbox's. Raises UsageError where there is no journal."""
    return bool(_fact_of_folder(folder, SANDBOX))


def service_of_folder(folder: Path, service: str | None) -> str:
    """Return the service that a folder was begun with. Raises UsageError where another one was named."""
    begun = _fact_of_folder(folder, "service")
    return same_service(folder, begun, service or begun or DEFAULT_SERVICE)


def same_service(folder: Path, begun: str | None, service: str) -> str:
    """Return the service. Raises UsageError where the folder has another one's ids: they mean nothing to this one."""
    if begun is not None and begun != service:
        raise UsageError(f"{folder} was started with --service {begun}: use that, or another folder")
    return service


def _fact_of_folder(folder: Path, name: str) -> str | None:
    """Return a fact of a folder's journal. Raises UsageError where there is none to read."""
    if not (folder / JOURNAL).exists():
        raise UsageError(f"there is no journal in {folder}: is this the output folder of a run?")
    with read_journal(folder / JOURNAL) as journal:
        return journal.fact(name)


def _callback_address(text: str | None) -> Address | None:
    """Read `HOST:PORT` of `--callback`; None where no calls are expected. Raises UsageError."""
    if text is None:
        return None
    host, _, port = text.rpartition(":")
    if not host or not is_port(port):
        raise UsageError(f"--callback is {text!r:.60}: expected HOST:PORT")
    return host, int(port)


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
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{option}: {host}:{port} cannot be opened: {reason}. Choose another port") from error
