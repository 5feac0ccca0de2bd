"""The options that several commands share, how their texts are read, and how a command ends."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from aimlvideo.cli.terminal import Terminal
from aimlvideo.core.formatting import pluralize
from aimlvideo.errors import InvalidJobs, UsageError, VideoError, one_per_cause
from aimlvideo.shell.files.job_files import JobDefaults

Address = tuple[str, int]
"""A host and a port."""

MOST_CAUSES = 25
"""Causes that are shown of a file's problems: more than a person mends at a time."""

JobFile = Annotated[
    str,
    typer.Argument(
        help="A job file (.jsonl, .json, .csv, .xlsx), prompts one a line (.txt), a folder of pictures, or - for stdin."
    ),
]
DefaultModel = Annotated[str, typer.Option("--model", help="The model of every job that names none itself.")]
SetParams = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A parameter of every job that does not set it itself; repeat."),
]
Output = Annotated[Path, typer.Option("-o", "--output", help="The folder of the clips, results.jsonl and the journal.")]
OutputOrStore = Annotated[
    str, typer.Option("-o", "--output", help="The folder of the clips, or s3://bucket/run, gs://, az://.")
]
Folder = Annotated[Path, typer.Argument(help="The output folder of a run.")]
FolderOrNone = Annotated[Path | None, typer.Argument(help="The output folder of a run.")]
DsnOrNone = Annotated[str | None, typer.Option(help="The database of many workers, in place of a folder.")]
Dsn = Annotated[
    str | None,
    typer.Option(envvar="AIMLVIDEO_DSN", show_envvar=True, help="postgresql://...; without one, an embedded one."),
]
Service = Annotated[str, typer.Option(help="aimlapi, or kling for a Kling-style gateway.")]
BaseUrl = Annotated[str | None, typer.Option(help="Where the service is. Else AIMLAPI_BASE_URL.")]
ApiKey = Annotated[str | None, typer.Option(help="Else AIMLAPI_API_KEY or AIML_API_KEY.", show_default=False)]
MaxOutstanding = Annotated[str, typer.Option(help="Generations at a time, or auto.")]
Rate = Annotated[float, typer.Option(help="Submissions a second.")]
Timeout = Annotated[float, typer.Option(help="Seconds to wait for a generation; it goes on without us.")]
Polls = Annotated[str, typer.Option("--poll", help="learned, or every:SECONDS.")]
PollRate = Annotated[float, typer.Option(help="Status checks a second, over all generations.")]
Settle = Annotated[float | None, typer.Option(help="Seconds until a submission that is nowhere was never accepted.")]
MaxSpend = Annotated[float | None, typer.Option(help="USD: stop submitting before this would be passed.")]
Strict = Annotated[bool, typer.Option(help="Unknown parameters are errors.")]
Matrix = Annotated[bool, typer.Option("--matrix", help="Lines are templates: the lists under `matrix` are combined.")]
Legacy = Annotated[bool, typer.Option(help="Use AI/ML API's legacy URLs.")]
Json = Annotated[bool, typer.Option("--json", help="One line of JSON per ended job on stdout, and nothing else there.")]
NoMetadata = Annotated[
    bool, typer.Option("--no-metadata", help="Save clips byte for byte, without their recipe in the file.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say only what is wrong.")]
Board = Annotated[
    str | None, typer.Option(metavar="[PORT]", help="Serve a live page of the run on this machine, or on HOST:PORT.")
]
Metrics = Annotated[int | None, typer.Option(help="Serve Prometheus figures on this port of 127.0.0.1.")]
UseSandbox = Annotated[bool, typer.Option("--sandbox", help="Use the embedded sandbox: no key, no network, no bill.")]
Callback = Annotated[str | None, typer.Option(help="HOST:PORT on which a gateway may call back.")]
CallbackUrl = Annotated[str | None, typer.Option(help="The public URL that leads there.")]
CallbackSecret = Annotated[str | None, typer.Option(help="whsec_...: calls with a wrong signature are turned away.")]


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
        raise typer.Exit(3) from None


def settings_of(
    service: str, base_url: str | None, api_key: str | None, max_outstanding: str, **others: Any
) -> dict[str, Any]:
    """Return the client's settings; a number that is none is a user's mistake."""
    if max_outstanding != "auto" and not max_outstanding.isdecimal():
        raise UsageError(f"--max-outstanding is {max_outstanding!r}: expected a number or auto")
    most = None if max_outstanding == "auto" else int(max_outstanding)
    return {"service": service, "base_url": base_url, "api_key": api_key, "max_outstanding": most, **others}


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
