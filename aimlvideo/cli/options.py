"""The options that several commands share, and how their texts are read."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, TypedDict, Unpack

import typer

from aimlvideo.core.services import API_KEY_HELP, BASE_URL_HELP, DEFAULT_SERVICE, LEGACY_HELP, SERVICE_HELP
from aimlvideo.core.store_schemes import OTHER_STORES
from aimlvideo.errors import SettingsError, UsageError

if TYPE_CHECKING:
    from aimlvideo.cli.job_reader import ReaderOptions
    from aimlvideo.shell.files.job_files import JobDefaults

Address = tuple[str, int]
"""A host and a port."""
LOCALHOST = "127.0.0.1"

SERVICE, PACE, MONEY, SHOWN, CALLBACKS = "Service", "Pace", "Money", "What is shown", "Callbacks"
"""The headings under which the help of a command groups its options."""


def folder_of(place: str) -> Path:
    """Return the folder of a run: one on this machine also where its clips go to an object store."""
    if "://" not in place:
        return Path(place)
    from aimlvideo.shell.files.object_stores import journal_folder  # noqa: PLC0415 - few runs have a store

    try:
        return journal_folder(place)
    except SettingsError as error:
        raise typer.BadParameter(str(error)) from None


def file_of(place: str) -> Path:
    """Return the path of a file that is to be written."""
    # As a path it has no slash at its end: a clip would be bought into a file that is called as the folder was to be.
    if place.endswith(("/", os.sep)):
        raise typer.BadParameter(f"{place} names a folder: expected a file")
    return Path(place)


JobsArgument = Annotated[
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
    str, typer.Option("-o", "--output", help=f"The folder of the clips, or s3://bucket/run (or {OTHER_STORES}).")
]
RUN_PLACE_HELP = "The output folder of a run, or the URL that its clips go to."
RunPlace = Annotated[str, typer.Argument(metavar="DIR", help=RUN_PLACE_HELP)]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help=RUN_PLACE_HELP, parser=folder_of)]
FolderOrNone = Annotated[Path | None, typer.Argument(metavar="DIR", help=RUN_PLACE_HELP, parser=folder_of)]
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
Settle = Annotated[
    float | None,
    typer.Option(
        help="Seconds after which a submission missing from the service's log counts as never accepted.",
        rich_help_panel=PACE,
    ),
]
Anyway = Annotated[
    bool,
    typer.Option("--anyway", help="Start even if the balance cannot cover the estimated cost.", rich_help_panel=MONEY),
]
Strict = Annotated[bool, typer.Option("--strict", help="Treat unknown parameters as errors.")]
NoLocalFiles = Annotated[
    bool,
    typer.Option(
        "--no-local-files",
        help="Refuse jobs that name a file of this machine, as where others write them: pictures are links or content.",
    ),
]
Matrix = Annotated[
    bool,
    typer.Option(
        "--matrix",
        help="Lines are templates: the lists under `matrix` are combined, so that "
        '{"model": "alibaba/wan-2-6-t2v", "matrix": {"prompt": ["fox", "owl"], "duration": [5, 10]}} is four jobs.',
    ),
]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Retry the jobs that failed in earlier runs.")]
NoMetadata = Annotated[
    bool, typer.Option("--no-metadata", help="Save clips byte for byte, without their recipe in the file.")
]
Upload = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help=f"Where videos and large local files are put, for a link to them: s3://bucket/prefix (or {OTHER_STORES}).",
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json", help="Print one line of JSON per ended job on stdout, and nothing else there.", rich_help_panel=SHOWN
    ),
]
JsonObject = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON object on stdout, and nothing else there.", rich_help_panel=SHOWN),
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


class ClientOptions(TypedDict, total=False):
    """The settings of a client, as far as a command has them: `VideoClient(**options)`."""

    service: str
    base_url: str | None
    api_key: str | None
    max_outstanding: int | None
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
    local_files: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceOptions:
    """Which service a command asks, where, and with which key."""

    service: Service = DEFAULT_SERVICE
    base_url: BaseUrl = None
    api_key: ApiKey = None

    def client_options(self, **others: Unpack[ClientOptions]) -> ClientOptions:
        """Return a client's settings: for one generation at a time, where nothing else is said."""
        own: ClientOptions = {
            "service": self.service, "base_url": self.base_url, "api_key": _key_of(self.api_key), "max_outstanding": 1,
        }  # fmt: skip
        return {**own, **others}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFileOptions:
    """How a job file is read: what its jobs have in common, and how strictly they are checked."""

    model: DefaultModel = ""
    set_: SetParams = None
    strict: Strict = False
    matrix: Matrix = False
    no_local_files: NoLocalFiles = False

    def defaults(self) -> JobDefaults:
        """Return what `--model` and `--set` say of every job. Raises UsageError where one of them cannot be read."""
        from aimlvideo.shell.files.job_files import JobDefaults  # noqa: PLC0415 - not for commands without a job file

        return JobDefaults(self.model, dict(map(read_assignment, self.set_ or ())))

    def reader_options(self, settings: ClientOptions) -> ReaderOptions:
        """Return how the file's jobs are read and checked, for a client with these settings."""
        from aimlvideo.cli.job_reader import ReaderOptions  # noqa: PLC0415 - as above

        return ReaderOptions(
            service=settings["service"], strict=self.strict, matrix=self.matrix, legacy=settings.get("legacy", False),
            upload=settings.get("upload"), local_files=not self.no_local_files,
        )  # fmt: skip


LONGEST_NUMBER = 18
"""Digits of a number on the command line: Python itself refuses to read some thousands of them."""


def count_or_auto(option: str, text: str) -> int | None:
    """Return a number, or None for `auto`. Raises UsageError for anything else."""
    if text == "auto":
        return None
    if not text.isdecimal() or len(text) > LONGEST_NUMBER or not int(text):
        got = text if text.isdecimal() else repr(text)
        raise UsageError(f"{option} is {got:.60}: expected a number above 0, or auto")
    return int(text)


def _key_of(text: str | None) -> str | None:
    """Return a key as it was given, or the content of a file: `@FILE`, which no list of processes shows."""
    if text is None or not text.startswith("@"):
        return text
    return read_secret("--api-key @", text[1:], "the key")


LONGEST_SECRET = 1 << 16
"""Characters of a file with a key or an address: more is another file, or a device without an end."""


def read_secret(option: str, name: str, content: str) -> str:
    """Return what a file keeps out of the list of processes. Raises UsageError where it cannot be read."""
    expected = f"expected a file that has {content}, and nothing else"
    try:
        with Path(name).expanduser().open(encoding="utf-8") as file:
            secret = file.read(LONGEST_SECRET)
    except (OSError, ValueError, RuntimeError) as error:  # ValueError: no text, or a NUL
        no_home = "that home folder is not known" if isinstance(error, RuntimeError) else None
        reason = getattr(error, "strerror", None) or no_home or "it is not text"
        raise UsageError(f"{option}{name[:200]} cannot be read: {reason}; {expected}") from None
    if not secret.strip() or len(secret) == LONGEST_SECRET:
        raise UsageError(f"{option}{name[:200]} is {'too long' if secret.strip() else 'empty'}: {expected}")
    return secret.strip()


def read_assignment(text: str) -> tuple[str, Any]:
    """Read `NAME=VALUE`: the value is JSON where it can be, else text. Raises UsageError."""
    name, equals, value = text.partition("=")
    name = name.strip()
    if not equals or not name:
        raise UsageError(f"--set is {text!r}: expected NAME=VALUE")
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError):
        return name, value


def import_metrics() -> ModuleType:
    """Return the module of `--metrics`. Raises UsageError where its extra is not installed."""
    try:
        return import_module("aimlvideo.views.metrics")
    except ModuleNotFoundError as error:
        raise UsageError(f"--metrics: {error}: pip install 'aimlvideo[metrics]'") from error


def read_address(option: str, text: str, default_host: str = "") -> Address:
    """Read `HOST:PORT`, or, where there is a default host, `PORT` alone. Raises UsageError."""
    # An address such as ::1 has colons of its own: without its brackets its end would be taken for a port.
    match = re.fullmatch(r"(?:(?:\[([^][]+)\]|([^][:\s]*)):)?(\d{1,9})", text)
    host = (match[1] or match[2] or default_host) if match else ""
    if match is None or not host or int(match[3]) > 65535:
        expected = f"{'PORT or ' if default_host else ''}HOST:PORT, an IPv6 address in brackets: [::1]:8080"
        raise UsageError(f"{option} is {text!r:.60}: expected {expected}")
    return host, int(match[3])
