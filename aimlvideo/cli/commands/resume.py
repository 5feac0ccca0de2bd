"""`aimlvideo resume`: carry on with everything that a folder has."""

from __future__ import annotations

from typing import Annotated

import typer

from aimlvideo.cli.carry_on import carry_on
from aimlvideo.cli.exit_codes import exit_codes
from aimlvideo.cli.options import Folder
from aimlvideo.cli.run_options import SharedRunOptions, service_of_folder
from aimlvideo.cli.typer_app import command_app, takes_groups

app = command_app()


@app.command(epilog="Example: aimlvideo resume clips --max-spend 20")
@takes_groups
def resume(
    folder: Folder,
    *,
    service: Annotated[
        str | None, typer.Option(help="The service. Without it: the one that the folder was started with.")
    ] = None,
    shared: SharedRunOptions,
) -> None:
    """Carry on with all unfinished jobs of a folder.

    The service, --name, --upload, --legacy and --no-metadata are those of its last run, where they are not given here.
    """
    terminal = shared.terminal()
    with exit_codes(terminal):
        begun_with = service_of_folder(folder, service)
        options = shared.as_begun(folder)
        raise typer.Exit(carry_on(options.client(begun_with), options.run(folder, begun_with), terminal))
