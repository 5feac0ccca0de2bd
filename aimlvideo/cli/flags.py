"""The flags that several commands share, and how a command ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from aimlvideo.cli.terminal import Terminal
from aimlvideo.core.formatting import pluralize
from aimlvideo.errors import InvalidJobs, UsageError, VideoError

Output = Annotated[Path, typer.Option("-o", "--output", help="The folder of the clips, results.jsonl and the journal.")]
OutputOrStore = Annotated[
    str, typer.Option("-o", "--output", help="The folder of the clips, or s3://bucket/run, gs://, az://.")
]
Folder = Annotated[Path, typer.Argument(help="The output folder of a run.")]
FolderOrNone = Annotated[Path | None, typer.Argument(help="The output folder of a run.")]
DsnOrNone = Annotated[str | None, typer.Option(help="The database of many workers, in place of a folder.")]
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
def guarded(terminal: Terminal) -> Iterator[None]:
    """End the command with the right exit code, and never with a traceback for a user's mistake."""
    try:
        yield
    except InvalidJobs as error:
        for problem in error.problems:
            terminal.problem(str(problem))
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
