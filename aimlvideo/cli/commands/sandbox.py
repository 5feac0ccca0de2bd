"""`aimlvideo sandbox`: the embedded service on its own."""

from __future__ import annotations

import ast
import asyncio
import dataclasses
import inspect
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Annotated, Any

import typer

from aimlvideo.cli.embedded_sandbox import import_sandbox, sandbox_here
from aimlvideo.cli.exit_codes import exit_codes
from aimlvideo.cli.options import read_assignment
from aimlvideo.cli.signals import in_loop
from aimlvideo.cli.terminal import Terminal
from aimlvideo.cli.typer_app import CommandApp
from aimlvideo.core.services import DEFAULT_SERVICE, service_of
from aimlvideo.errors import SettingsError, UsageError

app = CommandApp()


HOSTILE_HELP = (
    "Hostile answers, each a share of all answers, and they add up: endless_body, slow_body, gzip_bomb, "
    "cut_without_length, odd_headers, large_headers, odd_links, odd_redirects, odd_types, surrogates, "
    "control_characters, deep_json, huge_enums; hostile_at says at which stations."
)


@app.command(epilog=f"Example: aimlvideo sandbox --port 8765 --set rate_limited=0.1\n\n{HOSTILE_HELP}")
def sandbox(
    port: Annotated[int, typer.Option(help="The port on 127.0.0.1; 0 picks a free one.")] = 8765,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="A setting (--settings lists them), a list as JSON; may be repeated."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="The seed of all chance: one seed always gives one behaviour.")] = 0,
    seconds: Annotated[str, typer.Option(help="Processing time: 2, lognormal:127,0.35 or uniform:1,9.")] = "2",
    time_scale: Annotated[float, typer.Option(help="Multiplies all processing times.")] = 1.0,
    settings: Annotated[bool, typer.Option("--settings", help="List every setting with its default.")] = False,
) -> None:
    """Serve the embedded sandbox, for other programs' tests."""
    with exit_codes() as terminal:
        if settings:
            terminal.table(("setting", "default", "meaning"), _setting_rows())
            return
        behaviour = {"seed": seed, "seconds": seconds, "time_scale": time_scale}
        _serve(port, behaviour, set_ or [], terminal)


def _serve(port: int, behaviour: dict[str, Any], knobs: Sequence[str], terminal: Terminal) -> None:
    """Serve the sandbox until it is interrupted."""
    chosen = behaviour | dict(_knob(text) for text in knobs)
    if "port" in chosen:
        raise UsageError(f"--set port={chosen['port']}: expected a setting of --settings; the port is given by --port")

    async def work() -> None:
        try:
            async with sandbox_here(port=port, **chosen) as url:
                variable = service_of(DEFAULT_SERVICE).base_url_variable
                keys = "its keys are those of api_keys" if chosen.get("api_keys") else "any key will do"
                terminal.say(f"the sandbox is at {url} ({variable}); {keys}. Ctrl-C ends it")
                await asyncio.get_running_loop().create_future()
        except* (OSError, OverflowError) as group:
            raise SettingsError(
                f"the sandbox cannot be served on port {port}: {group.exceptions[0]}; expected a free port, as "
                "--port 0 picks one"
            ) from None

    with suppress(KeyboardInterrupt):
        in_loop(work())


def _knob(text: str) -> tuple[str, Any]:
    name, value = read_assignment(text)
    return name.replace("-", "_"), tuple(value) if isinstance(value, list) else value


def _setting_rows() -> list[tuple[str, str, str]]:
    """Return the name, the default and the meaning of every setting of the sandbox."""
    kind = import_sandbox().Behaviour
    meanings = dict(_documented(inspect.getsource(kind)))
    return [(field.name, str(field.default), meanings.get(field.name, "")) for field in dataclasses.fields(kind)]


def _documented(source: str) -> Iterator[tuple[str, str]]:
    """Give the fields of a dataclass with the string that stands under each: nothing else keeps it."""
    body = ast.parse(source).body[0]
    statements = body.body if isinstance(body, ast.ClassDef) else []
    for field, meaning in pairwise(statements):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            text = meaning.value if isinstance(meaning, ast.Expr) else None
            if isinstance(text, ast.Constant) and isinstance(text.value, str):
                yield field.target.id, text.value.split("\n")[0]
