"""`aimlvideo wait`: generations by their ids, from anywhere."""

from __future__ import annotations

from typing import Annotated

import typer

from aimlvideo.cli.commands.adopt import adopt_generations
from aimlvideo.cli.commands.resume import carry_on
from aimlvideo.cli.exit_codes import exit_codes
from aimlvideo.cli.options import Json, Output, Polls, Quiet, ServiceOptions, Timeout
from aimlvideo.cli.run_folder import RunFolder
from aimlvideo.cli.run_options import RunOptions
from aimlvideo.cli.terminal import Terminal
from aimlvideo.cli.typer_app import CommandApp

app = CommandApp()


@app.command(epilog="Example: aimlvideo wait GENERATION_ID -o clips")
def wait(
    output: Output,
    access: ServiceOptions,
    generations: Annotated[
        list[str] | None, typer.Argument(metavar="GENERATION", help="Ids of generations, from anywhere.")
    ] = None,
    timeout: Timeout = 1800.0,
    poll: Polls = "learned",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Wait for generations by their ids, and save their clips.

    Without ids: carry on with all that the folder has, as `resume` does; what was never sent is bought then.
    """
    terminal = Terminal(json=json, quiet=quiet)
    with exit_codes(terminal):
        settings = access.client_options(max_outstanding=20, timeout=timeout, poll=poll)
        if generations:
            adopt_generations(output, generations, "", access.service)
        RunFolder(output).service(access.service)  # raises where it is another one's
        raise typer.Exit(carry_on(settings, RunOptions(output=output, service=access.service), terminal))
