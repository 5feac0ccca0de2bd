"""The command `aimlvideo`: its commands by name, and the flags before them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Annotated, ClassVar

import typer

from aimlvideo import __version__
from aimlvideo.cli.typer_app import LazyGroup, Listed
from aimlvideo.core.formatting import printable

CLIPS, FOLDERS, REPAIR = "Make clips", "Look at a run", "Settle by hand"
SERVICE, SANDBOX, WORKERS = "Models and account", "Try it without a key", "Many machines"


class Commands(LazyGroup):
    """All commands, in the order of the help."""

    listed: ClassVar[Mapping[str, Listed]] = {
        "run": Listed(CLIPS, "Make every clip of a job file. The same command again carries on where it stopped."),
        "generate": Listed(CLIPS, "Make one clip."),
        "check": Listed(CLIPS, "Validate and price a job file; nothing is sent that costs anything."),
        "resume": Listed(CLIPS, "Carry on with all unfinished jobs of a folder."),
        "wait": Listed(CLIPS, "Wait for generations by their ids, and save their clips."),
        "status": Listed(FOLDERS, "Say where a run stands, from its journal alone; also while it is going on."),
        "report": Listed(FOLDERS, "Write report.html: every clip, its price and times, and the failures."),
        "join": Listed(FOLDERS, "Join a run's clips to one film."),
        "show": Listed(FOLDERS, "Print how a clip was made, as a line for a job file."),
        "uploads": Listed(FOLDERS, "Show the local files that were put behind links, and remove what nobody needs."),
        "reconcile": Listed(FOLDERS, "Say what a run really cost by the service's ledger, and what does not match."),
        "mcp": Listed(CLIPS, "Serve tools for agents on standard input and output, within a spending limit."),
        "models": Listed(SERVICE, "List the models, or show what one model accepts."),
        "init": Listed(SERVICE, "Write a commented sample job file for a model."),
        "schema": Listed(SERVICE, "Print a JSON Schema of the lines of a job file, for editors."),
        "doctor": Listed(SERVICE, "Ask every free endpoint of the service, and say what is understood."),
        "balance": Listed(SERVICE, "Show what the account has left."),
        "demo": Listed(SANDBOX, "Make a dozen real clips on the embedded sandbox: no key, no network, no bill."),
        "sandbox": Listed(SANDBOX, "Serve the embedded sandbox, for other programs' tests."),
        "resolve": Listed(REPAIR, "Settle by hand a job whose answer was lost."),
        "adopt": Listed(REPAIR, "Take generations from elsewhere into a folder."),
        "recover": Listed(REPAIR, "Rebuild a lost journal from results.jsonl and the service's log."),
        "db": Listed(WORKERS, "The database that workers share."),
        "enqueue": Listed(WORKERS, "Queue every job of a file for the workers."),
        "worker": Listed(WORKERS, "Work on the queue, beside any number of other workers."),
        "drain": Listed(WORKERS, "Tell all workers to buy nothing more, and to exit."),
    }


app = typer.Typer(
    cls=Commands,
    help="Hosted AI video generation: thousands of clips, nothing paid twice, nothing lost.",
    epilog="One command's options and an example: aimlvideo COMMAND -h",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _version(requested: bool) -> None:
    if requested:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _common(
    log: Annotated[
        str, typer.Option(metavar="LEVEL", help="Log to stderr: debug, info, warning or error. Also after a command.")
    ] = "",
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Hosted AI video generation: thousands of clips, nothing paid twice, nothing lost."""
    if log and log.upper() not in logging.getLevelNamesMapping():
        raise typer.BadParameter(f"expected debug, info, warning or error, got {log!r}", param_hint="--log")
    handler = logging.StreamHandler()
    handler.setFormatter(PrintableFormatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    logging.basicConfig(handlers=[handler])
    logging.getLogger("aimlvideo").setLevel(log.upper() if log else logging.ERROR)


class PrintableFormatter(logging.Formatter):
    """Log lines without control characters: what a service says never steers a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return printable(super().format(record))
