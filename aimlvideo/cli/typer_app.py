"""What a command is declared on: dataclasses of options may stand among its parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from inspect import Parameter, Signature, signature
from typing import Any, TypeVar, get_type_hints

import typer

Command = TypeVar("Command", bound=Callable[..., Any])


class CommandApp(typer.Typer):
    """What a command's module declares its command on; each field of a dataclass of options is an option of its own."""

    def __init__(self) -> None:
        super().__init__(add_completion=False, pretty_exceptions_enable=False)

    def command(self, *args: Any, **settings: Any) -> Callable[[Command], Command]:
        """Return a decorator that declares a command, as `typer.Typer.command` does."""
        declare = super().command(*args, **settings)

        def declared(command: Command) -> Command:
            declare(_with_groups_spread(command))
            return command

        return declared


def _with_groups_spread(command: Callable[..., Any]) -> Callable[..., Any]:
    """Return a command that takes the fields of its dataclasses of options one by one."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    if not groups:
        return command
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
