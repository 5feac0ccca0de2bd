"""A command whose subcommands are imported when they are used: `aimlvideo --help` loads none of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from importlib import import_module
from inspect import Parameter, Signature, signature
from typing import Any, ClassVar, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup

from aimlvideo.cli.signals import output_or_end

COMMANDS = "aimlvideo.cli.commands"
"""The package with one module for each command, named as it is typed; its `app` is the command."""


@dataclass(frozen=True, slots=True)
class Listed:
    """How the help lists a command: under which heading, and in one sentence."""

    heading: str
    summary: str


def command_app() -> typer.Typer:
    """Return what a command's module declares its command on."""
    return typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def takes_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command take dataclasses of options: on the command line each of their fields is an option of its own."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    parameters: list[Parameter] = []
    for name, parameter in signature(command).parameters.items():
        # Typer tells options from arguments by their annotations, so all may be keywords, in any order of defaults.
        alone = Parameter(name, Parameter.KEYWORD_ONLY, default=parameter.default, annotation=hints[name])
        parameters += _members(groups[name]) if name in groups else [alone]

    def spread(**values: Any) -> None:
        for name, group in groups.items():
            values[name] = group(**{member.name: values.pop(member.name) for member in fields(group)})
        command(**values)

    spread.__name__, spread.__doc__ = command.__name__, command.__doc__
    spread.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    spread.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return spread


def _members(group: Any) -> list[Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        Parameter(member.name, Parameter.KEYWORD_ONLY, default=member.default, annotation=hints[member.name])
        for member in fields(group)
    ]


class LazyGroup(TyperGroup):
    """Knows its commands by name and summary alone, and imports a command's module when it is given."""

    listed: ClassVar[Mapping[str, Listed]] = {}

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
            return super().invoke(ctx)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, log_first(allow_bare_board(args)))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] in self.listed:
            self.load(args[0])
        return super().resolve_command(ctx, args)


def allow_bare_board(words: Sequence[str]) -> list[str]:
    """Return a command's words in which a bare `--board` says that any free port will do."""
    spelled = [*words]
    for at, word in enumerate(words):
        after = words[at + 1] if at + 1 < len(words) else ""
        if word == "--board" and not after.rpartition(":")[2].isdecimal():
            spelled[at] = "--board=0"
    return spelled


def log_first(words: Sequence[str]) -> list[str]:
    """Return a command's words with `--log LEVEL` before the command, wherever it was put."""
    options = words[: words.index("--")] if "--" in words else words
    for at, word in enumerate(options):
        if word == "--log" or word.startswith("--log="):
            end = at + (2 if word == "--log" else 1)
            return [*words[at:end], *words[:at], *words[end:]]
    return [*words]
