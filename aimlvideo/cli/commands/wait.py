"""`aimlvideo wait`: generations by their ids, from anywhere."""

from __future__ import annotations

from typing import Annotated

import typer

from aimlvideo.cli.carry_on import carry_on
from aimlvideo.cli.commands.adopt import adopt_generations
from aimlvideo.cli.options import (
    ApiKey,
    BaseUrl,
    Json,
    Output,
    Polls,
    Quiet,
    Service,
    Timeout,
    client_options,
    exit_codes,
)
from aimlvideo.cli.session import RunOptions
from aimlvideo.cli.terminal import Terminal
from aimlvideo.cli.typer_app import command_app
from aimlvideo.core.services import DEFAULT_SERVICE

app = command_app()


@app.command(epilog="Example: aimlvideo wait GENERATION_ID -o clips")
def wait(
    output: Output,
    generations: Annotated[
        list[str] | None, typer.Argument(metavar="[GENERATION...]", help="Ids of generations, from anywhere.")
    ] = None,
    service: Service = DEFAULT_SERVICE,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
    timeout: Timeout = 1800.0,
    poll: Polls = "learned",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Wait for generations by their ids, and save their clips; without ids, carry on with all that the folder has."""
    terminal = Terminal(json=json, quiet=quiet)
    with exit_codes(terminal):
        settings = client_options(service, base_url, api_key, "20", timeout=timeout, poll=poll)
        if generations:
            adopt_generations(output, generations, "", service)
        raise typer.Exit(carry_on(settings, RunOptions(output=output, service=service), terminal))
