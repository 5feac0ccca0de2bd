"""`aimlvideo wait`: generations by their ids, from anywhere."""

from __future__ import annotations

from typing import Annotated

import typer

from aimlvideo.cli.commands.adopt import adopt_generations
from aimlvideo.cli.commands.resume import carry_on
from aimlvideo.cli.exit_codes import exit_codes
from aimlvideo.cli.options import Json, OutputOrStore, Polls, Quiet, ServiceOptions, Timeout, folder_of
from aimlvideo.cli.run_folder import RunFolder
from aimlvideo.cli.run_options import SharedRunOptions
from aimlvideo.cli.typer_app import CommandApp
from aimlvideo.client import VideoClient

app = CommandApp()


@app.command(epilog="Example: aimlvideo wait GENERATION_ID -o clips")
def wait(
    output: OutputOrStore,
    access: ServiceOptions,
    generations: Annotated[
        list[str] | None, typer.Argument(metavar="GENERATION", help="Ids of generations, from anywhere.")
    ] = None,
    timeout: Timeout = 1800.0,
    poll: Polls = "learned",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Wait for generations by their ids, and save their clips; nothing is bought.

    Without ids: carry on with all that the folder has, as `resume` does; what was never sent is bought then.
    """
    shared = SharedRunOptions(
        base_url=access.base_url, api_key=access.api_key, timeout=timeout, poll=poll, json=json, quiet=quiet
    )
    with exit_codes(json=shared.json, quiet=shared.quiet) as terminal:
        run = None
        if generations:
            # Raises for what cannot be right, before anything is written down.
            VideoClient(**shared.client_options(access.service))
            run, _ = adopt_generations(output, generations, "", access.service)
        folder = RunFolder(folder_of(output))
        folder.service(access.service)  # raises where it is another one's
        options = shared.as_begun(folder)
        run_options = options.run_options(folder.path, store=folder.store(output))
        raise typer.Exit(carry_on(options.client_options(access.service), run_options, terminal, run))
