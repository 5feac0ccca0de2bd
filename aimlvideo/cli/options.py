"""The options that several commands share, how their texts are read, and how a command ends."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypedDict, Unpack

import typer

from aimlvideo.cli.terminal import Terminal
from aimlvideo.core.formatting import pluralize
from aimlvideo.errors import InvalidJobs, Refused, UsageError, VideoError, one_per_cause
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
        help="A job file (.jsonl, .json, .csv, .xlsx), prompts one per line (.txt), a folder of pictures, or - for "
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
DsnOrNone = Annotated[str | None, typer.Option(help="The database of many workers, in place of a folder.")]
Dsn = Annotated[
    str | None,
    typer.Option(
        envvar="AIMLVIDEO_DSN", show_envvar=True, help="The database: postgresql://...; without it, an embedded one."
    ),
]
Service = Annotated[
    str, typer.Option(help="The service: aimlapi, or kling for a Kling-style gateway.", rich_help_panel=SERVICE)
]
BaseUrl = Annotated[
    str | None,
    typer.Option(help="The service's address. Without it: AIMLAPI_BASE_URL.", rich_help_panel=SERVICE),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        help="The API key. Without it: AIMLAPI_API_KEY or AIML_API_KEY.", show_default=False, rich_help_panel=SERVICE
    ),
]
Legacy = Annotated[bool, typer.Option("--legacy", help="Use AI/ML API's legacy URLs.", rich_help_panel=SERVICE)]
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
        causes = one_per_cause(error.problems)
        for problem in causes[:MOST_CAUSES]:
            terminal.problem(str(problem))
        if len(causes) > MOST_CAUSES:
            terminal.problem(f"and {pluralize(len(causes) - MOST_CAUSES, 'more cause')}")
        terminal.problem(f"{pluralize(len(error.problems), 'problem')}; nothing was sent")
        raise typer.Exit(2) from None
    except UsageError as error:
        terminal.problem(str(error))
        raise typer.Exit(2) from None
    except VideoError as error:
        terminal.problem(str(error))
        wrong_key = isinstance(error, Refused) and error.status == 401
        raise typer.Exit(2 if wrong_key else 3) from None


class FurtherOptions(TypedDict, total=False):
    """Settings of a client that a command passes on as they are."""

    journal: Path | None
    rate: float
    timeout: float
    poll: str
    poll_rate: float
    settle: float | None
    strict: bool
    legacy: bool
    callback: Address | None
    callback_url: str | None
    callback_secret: str | None
    metadata: bool


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
    if max_outstanding != "auto" and not max_outstanding.isdecimal():
        raise UsageError(f"--max-outstanding is {max_outstanding!r}: expected a number or auto")
    limit = None if max_outstanding == "auto" else int(max_outstanding)
    return {"service": service, "base_url": base_url, "api_key": api_key, "max_outstanding": limit, **others}


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


def folder_or_dsn(folder: Path | None, dsn: str | None) -> Path | None:
    """Return the folder, None where the database was named. Raises UsageError unless just one of both was."""
    if (folder is None) == (dsn is None):
        raise UsageError("pass either a folder or --dsn")
    return folder
