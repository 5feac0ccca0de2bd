"""The command `aimlvideo`: its commands by name, and the flags before them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from typing import Annotated, Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup

from aimlvideo import __version__
from aimlvideo.cli.signals import output_or_end
from aimlvideo.core.formatting import preview, printable, without_passwords

COMMANDS = "aimlvideo.cli.commands"
"""The package with one module for each command, named as it is typed; its `app` is the command."""


_UsageError: type[Exception] = typer.BadParameter.__mro__[1]
"""What is raised for words that a command does not take; Typer has no public name for it."""


@dataclass(frozen=True, slots=True)
class _Listed:
    """How the help lists a command: under which heading, and in one sentence."""

    heading: str
    summary: str


CLIPS, FOLDERS, REPAIR = "Make clips", "Look at a run", "Settle by hand"
SERVICE, SANDBOX, WORKERS = "Models and account", "Try it without a key", "Many machines"


class _Commands(TyperGroup):
    """All commands, in the order of the help: known by name and summary alone, and imported when one is given."""

    listed: ClassVar[Mapping[str, _Listed]] = {
        "run": _Listed(CLIPS, "Make every clip of a job file. The same command again carries on where it stopped."),
        "generate": _Listed(CLIPS, "Make one clip."),
        "check": _Listed(CLIPS, "Validate and price a job file; nothing is sent that costs anything."),
        "resume": _Listed(CLIPS, "Carry on with all unfinished jobs of a folder."),
        "wait": _Listed(CLIPS, "Wait for generations by their ids, and save their clips."),
        "status": _Listed(FOLDERS, "Say where a run stands, from its journal alone; also while it is going on."),
        "report": _Listed(FOLDERS, "Write report.html: every clip, its price and times, and the failures."),
        "join": _Listed(FOLDERS, "Join a run's clips to one film."),
        "show": _Listed(FOLDERS, "Print how a clip was made, as a line for a job file."),
        "uploads": _Listed(FOLDERS, "Show the local files that were put behind links, and remove what nobody needs."),
        "reconcile": _Listed(FOLDERS, "Say what a run really cost by the service's ledger, and what does not match."),
        "mcp": _Listed(CLIPS, "Serve tools for agents on standard input and output, within a spending limit."),
        "models": _Listed(SERVICE, "List the models, or show what one model accepts."),
        "init": _Listed(SERVICE, "Write a commented sample job file for a model."),
        "schema": _Listed(SERVICE, "Print a JSON Schema of the lines of a job file, for editors."),
        "doctor": _Listed(SERVICE, "Ask each free question that a run relies on, and say what is understood."),
        "balance": _Listed(SERVICE, "Show what the account has left."),
        "demo": _Listed(SANDBOX, "Make a dozen real clips on the embedded sandbox: no key, no network, no bill."),
        "sandbox": _Listed(SANDBOX, "Serve the embedded sandbox, for other programs' tests."),
        "resolve": _Listed(REPAIR, "Settle by hand a job whose answer was lost."),
        "adopt": _Listed(REPAIR, "Take generations from elsewhere into a folder."),
        "recover": _Listed(REPAIR, "Rebuild a lost journal from results.jsonl and the service's log."),
        "db": _Listed(WORKERS, "The database that workers share."),
        "enqueue": _Listed(WORKERS, "Queue every job of a file for the workers."),
        "worker": _Listed(WORKERS, "Work on the queue, beside any number of other workers."),
        "drain": _Listed(WORKERS, "Tell all workers to buy nothing more, and to exit."),
    }

    def __init__(self, **attrs: Any) -> None:
        super().__init__(**attrs)
        for name, entry in self.listed.items():
            self.add_command(TyperCommand(name, help=entry.summary, rich_help_panel=entry.heading))

    def load(self, name: str) -> Any:
        """Import one command, and have it in the place of what the help lists."""
        command = typer.main.get_command(import_module(f"{COMMANDS}.{name}").app)
        command.name = name
        self.add_command(command, name)
        return command

    def make_context(self, *args: Any, **extra: Any) -> Any:
        # Here and not around all: Typer has an exit code of its own for what comes further up.
        with output_or_end():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: Any) -> Any:
        with output_or_end():
            try:
                return super().invoke(ctx)
            except _UsageError as error:
                _say_what_was_found(error)
                _explain_dashes(error)
                _say_which_arguments_there_are(error)
                raise

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _refuse_empty_words(args)
        return super().parse_args(ctx, _normalized(args))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] in self.listed:
            self.load(args[0])
        return super().resolve_command(ctx, args)


def _refuse_empty_words(words: Sequence[str]) -> None:
    """Raise an error about usage for an option or an argument that is an empty text: it would count as left out.

    A folder would be the one that one stands in, and a base URL the usual service, where clips cost money.
    """
    for before, word in pairwise(("", *words)):
        option, equals, value = word.partition("=")
        has_empty_value = word.startswith("-") and bool(equals) and not value.strip()
        if has_empty_value or not word.strip():
            named = option if has_empty_value else before
            reason = "expected a value, got an empty text (is a variable of the shell not set?)"
            raise typer.BadParameter(reason, param_hint=named if named.startswith("-") else None)


def _say_what_was_found(error: Any) -> None:
    """Say in an error about a value, of which Typer says only what it should be, what was found."""
    read_errors = getattr(error.__cause__, "errors", None)  # an older Typer has no such cause, and says it itself
    for found in read_errors()[:1] if read_errors else ():
        reason = found["msg"].partition(",")[0].replace("Input should be", "expected")
        error.message = f"{reason}, got {preview(without_passwords(str(found['input'])))}"


def _explain_dashes(error: Any) -> None:
    """Say in an error about an unknown option how an id that begins with a dash is passed."""
    params = error.ctx.command.params if error.ctx else ()
    takes_ids = any(param.param_type_name == "argument" and param.nargs == -1 for param in params)
    if takes_ids and hasattr(error, "option_name") and not error.possibilities:
        error.message += f". If an id begins with it, put -- before the ids: {error.ctx.info_name} [OPTIONS] -- -ID"


def _say_which_arguments_there_are(error: Any) -> None:
    """Say in an error about an argument too many what was expected; in `--board abc`, too, it is one."""
    if error.ctx and error.message.startswith("Got unexpected extra argument"):
        arguments = [param.metavar for param in error.ctx.command.params if param.param_type_name == "argument"]
        error.message += f": expected {' '.join(filter(None, arguments)) + ' only' if arguments else 'no argument'}"
        if error.ctx.params.get("board") is not None:
            error.message += ", and as the value of --board PORT or HOST:PORT"


def _normalized(words: Sequence[str]) -> list[str]:
    """Return a command's words with `--log LEVEL` before the command; a bare `--board` says that any port will do."""
    return _log_first(_any_port(words))


def _any_port(words: Sequence[str]) -> list[str]:
    """Return a command's words in which a bare `--board` says that any free port will do."""
    spelled = [*words]
    for at, word in enumerate(words):
        after = words[at + 1] if at + 1 < len(words) else ""
        if word == "--board" and not after.rpartition(":")[2].isdecimal():
            spelled[at] = "--board=0"
    return spelled


def _log_first(words: Sequence[str]) -> list[str]:
    """Return a command's words with `--log LEVEL` before the command, wherever it was put."""
    options = words[: words.index("--")] if "--" in words else words
    for at, word in enumerate(options):
        if word == "--log" or word.startswith("--log="):
            end = at + (2 if word == "--log" else 1)
            return [*words[at:end], *words[:at], *words[end:]]
    return [*words]


app = typer.Typer(
    cls=_Commands,
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
    handler.setFormatter(_PrintableFormatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    logging.basicConfig(handlers=[handler])
    for name in ("aimlvideo", "psycopg"):
        logging.getLogger(name).setLevel(log.upper() if log else logging.ERROR)


class _PrintableFormatter(logging.Formatter):
    """Log lines without control characters: what a service says never steers a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return printable(super().format(record))
