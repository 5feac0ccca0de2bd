"""The options that several commands share, how their texts are read, and how a command ends."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypedDict, Unpack

import typer

from aimlvideo.cli.exit_codes import exit_code_of
from aimlvideo.cli.terminal import Terminal
from aimlvideo.core.formatting import pluralize
from aimlvideo.core.jobs.file_names import JOURNAL
from aimlvideo.core.services import API_KEY_HELP, BASE_URL_HELP, LEGACY_HELP, SERVICE_HELP, service_of
from aimlvideo.errors import InvalidJobs, UsageError, VideoError, one_per_cause
from aimlvideo.shell.files.job_files import JobDefaults

Address = tuple[str, int]
"""A host and a port."""

MOST_CAUSES = 25
"""Causes that are shown of a file's problems: more than a person mends at a time."""
SERVICE, PACE, MONEY, SHOWN, CALLBACKS = "Service", "Pace", "Money", "What is shown", "Callbacks"
"""The headings under which the help of a command groups its options."""

JobFile = Annotated[
    str,
    typer.Argument(
        metavar="JOBS",
        help="A job file (.jsonl, .json, .csv, .xlsx), prompts (.txt, .md), a folder of pictures, or - for "
        "standard input.",
    ),
]
DefaultModel = Annotated[str, typer.Option("--model", help="The model of every job that names none itself.")]
SetParams = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUE", help="A parameter of every job that does not set it itself; may be repeated."
    ),
]
Output = Annotated[
    Path, typer.Option("-o", "--output", help="The folder of the clips, of results.jsonl and of the journal.")
]
OutputOrStore = Annotated[
    str, typer.Option("-o", "--output", help="The folder of the clips, or s3://bucket/run, gs://..., az://....")
]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The output folder of a run.")]
FolderOrNone = Annotated[Path | None, typer.Argument(metavar="DIR", help="The output folder of a run.")]
DSN_VARIABLE = "AIMLVIDEO_DSN"
EMBEDDED_DSN = "embedded"
Dsn = Annotated[
    str | None,
    typer.Option(
        envvar=DSN_VARIABLE,
        show_envvar=True,
        show_default=False,
        help="The database that workers share: postgresql://USER@HOST/NAME, or embedded. Keep a password out of it: "
        "put it into PGPASSFILE, or the whole DSN into the environment or --dsn-file.",
    ),
]
DsnFile = Annotated[
    Path | None, typer.Option(help="A file that has the DSN: as --dsn, but not shown by ps.", show_default=False)
]
Service = Annotated[str, typer.Option(help=SERVICE_HELP, rich_help_panel=SERVICE)]
BaseUrl = Annotated[
    str | None,
    typer.Option(help=BASE_URL_HELP, rich_help_panel=SERVICE),
]
ApiKey = Annotated[
    str | None,
    typer.Option(help=API_KEY_HELP, show_default=False, rich_help_panel=SERVICE),
]
Legacy = Annotated[bool, typer.Option("--legacy", help=LEGACY_HELP, rich_help_panel=SERVICE)]
UseSandbox = Annotated[
    bool,
    typer.Option("--sandbox", help="Use the embedded sandbox: no key, no network, no bill.", rich_help_panel=SERVICE),
]
MaxOutstanding = Annotated[str, typer.Option(help="Generations at a time: a number, or auto.", rich_help_panel=PACE)]
Rate = Annotated[float, typer.Option(help="Submissions per second.", rich_help_panel=PACE)]
Timeout = Annotated[
    float,
    typer.Option(
        help="Stop waiting for a generation after so many seconds; it keeps running at the service.",
        rich_help_panel=PACE,
    ),
]
Polls = Annotated[str, typer.Option("--poll", help="When to poll: learned, or every:SECONDS.", rich_help_panel=PACE)]
PollRate = Annotated[
    float, typer.Option(help="Status checks per second, across all generations.", rich_help_panel=PACE)
]
Downloads = Annotated[str, typer.Option(help="Clips saved at a time: a number, or auto.", rich_help_panel=PACE)]
Settle = Annotated[
    float | None,
    typer.Option(
        help="Seconds after which a submission missing from the service's log counts as never accepted.",
        rich_help_panel=PACE,
    ),
]
MaxSpend = Annotated[
    float | None, typer.Option(help="USD: stop submitting before this sum would be exceeded.", rich_help_panel=MONEY)
]
ConfirmAbove = Annotated[
    float | None,
    typer.Option(help="USD: on a terminal, ask before a run that costs more.", rich_help_panel=MONEY),
]
Anyway = Annotated[
    bool,
    typer.Option("--anyway", help="Start even if the balance cannot cover the estimated cost.", rich_help_panel=MONEY),
]
Strict = Annotated[bool, typer.Option("--strict", help="Treat unknown parameters as errors.")]
Matrix = Annotated[bool, typer.Option("--matrix", help="Lines are templates: the lists under `matrix` are combined.")]
Verify = Annotated[bool, typer.Option("--verify", help="Check saved clips by their SHA-256, not only their length.")]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Retry the jobs that failed in earlier runs.")]
Name = Annotated[
    str, typer.Option("--name", help="How clips are named: fields are id, model and parameters, as in '{id} {seed}'.")
]
Upload = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Where videos and large local files are put, for a link to them: s3://bucket/prefix, gs://..., az://....",
    ),
]
NoMetadata = Annotated[
    bool, typer.Option("--no-metadata", help="Save clips byte for byte, without their recipe in the file.")
]
Json = Annotated[
    bool,
    typer.Option(
        "--json", help="Print one line of JSON per ended job on stdout, and nothing else there.", rich_help_panel=SHOWN
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors.", rich_help_panel=SHOWN)]
Board = Annotated[
    str | None,
    typer.Option(
        metavar="[PORT]",
        help="Serve a live page of the run on this machine, or on HOST:PORT.",
        rich_help_panel=SHOWN,
    ),
]
Metrics = Annotated[
    int | None, typer.Option(help="Serve Prometheus metrics on this port of 127.0.0.1.", rich_help_panel=SHOWN)
]
Callback = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="Where to listen for a gateway's calls.", rich_help_panel=CALLBACKS),
]
CallbackUrl = Annotated[str | None, typer.Option(help="The public URL that leads there.", rich_help_panel=CALLBACKS)]
CallbackSecret = Annotated[
    str | None,
    typer.Option(help="whsec_...: calls with a wrong signature are refused.", rich_help_panel=CALLBACKS),
]


@contextmanager
def exit_codes(terminal: Terminal) -> Iterator[None]:
    """End the command with the right exit code, and never with a traceback for a user's mistake."""
    try:
        yield
    except InvalidJobs as error:
        # A slip in a column is in every row: one line for the cause, with the rows, instead of a thousand lines.
        causes = one_per_cause(error.problems)
        for problem in causes[:MOST_CAUSES]:
            terminal.problem(str(problem))
        if len(causes) > MOST_CAUSES:
            terminal.problem(f"and {pluralize(len(causes) - MOST_CAUSES, 'more cause')}")
        terminal.problem(f"{pluralize(len(error.problems), 'problem')}; nothing was sent")
        raise typer.Exit(2) from None
    except VideoError as error:
        terminal.problem(str(error))
        raise typer.Exit(exit_code_of(error)) from None


class FurtherOptions(TypedDict, total=False):
    """Settings of a client that a command passes on as they are."""

    journal: Path | None
    rate: float
    timeout: float
    poll: str
    poll_rate: float
    downloads: int | None
    settle: float | None
    strict: bool
    legacy: bool
    callback: Address | None
    callback_url: str | None
    callback_secret: str | None
    metadata: bool
    upload: str | None


class ClientOptions(FurtherOptions):
    """The settings of a client, as far as a command has them: `VideoClient(**options)`."""

    service: str
    base_url: str | None
    api_key: str | None
    max_outstanding: NotRequired[int | None]


def client_options(
    service: str,
    base_url: str | None,
    api_key: str | None,
    max_outstanding: str = "1",
    **others: Unpack[FurtherOptions],
) -> ClientOptions:
    """Return a client's settings from a command's options. Raises UsageError for what is not a number."""
    limit = count_or_auto("--max-outstanding", max_outstanding)
    return {"service": service, "base_url": base_url, "api_key": key_of(api_key), "max_outstanding": limit, **others}


def count_or_auto(option: str, text: str) -> int | None:
    """Return a number, or None for `auto`. Raises UsageError for anything else."""
    if text == "auto":
        return None
    if not text.isdecimal():
        raise UsageError(f"{option} is {text!r}: expected a number or auto")
    return int(text)


def key_of(text: str | None) -> str | None:
    """Return a key as it was given, or the content of a file: `@FILE`, which no list of processes shows."""
    if text is None or not text.startswith("@"):
        return text
    try:
        return Path(text[1:]).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise UsageError(f"--api-key {text} cannot be read: {reason}") from error


def job_defaults(model: str, assignments: Sequence[str] | None) -> JobDefaults:
    """Return what `--model` and `--set` say of every job. Raises UsageError where one of them cannot be read."""
    return JobDefaults(model, dict(assigned(text) for text in assignments or ()))


def assigned(text: str) -> tuple[str, Any]:
    """Read `NAME=VALUE`: the value is JSON where it can be, else text. Raises UsageError."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"--set is {text!r}: expected NAME=VALUE")
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError):
        return name, value


def has_service_settings(settings: Mapping[str, Any]) -> bool:
    """Tell whether somebody said where the service is, or with which key it is asked."""
    service = service_of(settings["service"])
    variables = (service.base_url_variable, *(name for names in service.key_variables for name in names))
    return bool(settings["base_url"] or settings["api_key"] or any(os.environ.get(name) for name in variables))


def board_address(text: str | None) -> Address | None:
    """Read `PORT` or `HOST:PORT` of `--board`; None where no board was asked for. Raises UsageError."""
    if text is None:
        return None
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise UsageError(f"--board is {text!r}: expected PORT or HOST:PORT")
    return host or "127.0.0.1", int(port)


def callback_address(text: str | None) -> Address | None:
    """Read `HOST:PORT` of `--callback`; None where no calls are expected. Raises UsageError."""
    if text is None:
        return None
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        raise UsageError(f"--callback is {text!r}: expected HOST:PORT")
    return host, int(port)


def dsn_of(dsn: str | None, dsn_file: Path | None, terminal: Terminal) -> str | None:
    """Return the DSN that was given, in whichever way; None for the embedded database. Raises UsageError."""
    database = _dsn_from_options(dsn, dsn_file, terminal)
    return None if database == EMBEDDED_DSN else database


def database_of_page(
    folder: Path, dsn: str | None, dsn_file: Path | None, terminal: Terminal
) -> tuple[bool, str | None]:
    """Tell whether a page is made from the database, and from which: not where the folder has a journal of its own."""
    database = _dsn_from_options(dsn, dsn_file, terminal)
    named = dsn_file is not None or _on_command_line(dsn)
    return database is not None and (
        named or not (folder / JOURNAL).exists()
    ), None if database == EMBEDDED_DSN else database


def _dsn_from_options(dsn: str | None, dsn_file: Path | None, terminal: Terminal) -> str | None:
    """Return the DSN of --dsn, --dsn-file or the environment, None where there is none. Raises UsageError."""
    on_command_line = _on_command_line(dsn)
    if dsn_file is not None:
        if on_command_line:
            raise UsageError("pass either --dsn or --dsn-file")
        try:
            return dsn_file.read_text(encoding="utf-8").strip() or None
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"--dsn-file {dsn_file} cannot be read: {error}") from None
    # Both spellings of libpq: a URL and "key=value".
    if dsn and on_command_line and re.search(r"//[^/@:]*:[^@/]+@|password\s*=", dsn):
        terminal.remark(
            f"the password in --dsn is shown to every user of this machine by ps: use {DSN_VARIABLE}, --dsn-file, or "
            "PGPASSFILE"
        )
    return dsn or None


def folder_or_dsn(
    folder: Path | None, dsn: str | None, dsn_file: Path | None, terminal: Terminal
) -> tuple[Path | None, str | None]:
    """Return the folder of a run, or else the DSN of the database that was named (None: the embedded one).

    A folder wins over the environment's DSN. Raises UsageError where both or nothing was given.
    """
    database = _dsn_from_options(dsn, dsn_file, terminal)
    named = dsn_file is not None or (database is not None and _on_command_line(dsn))
    if folder is not None and named:
        raise UsageError("pass either a folder or --dsn")
    if folder is None and database is None:
        raise UsageError(f"pass either a folder or --dsn (or {DSN_VARIABLE}; --dsn embedded for the embedded database)")
    return folder, None if database == EMBEDDED_DSN else database


def _on_command_line(dsn: str | None) -> bool:
    """Tell whether a DSN was typed: what is in the environment is not shown by ps, and names no place by itself."""
    return dsn is not None and dsn != os.environ.get(DSN_VARIABLE)
