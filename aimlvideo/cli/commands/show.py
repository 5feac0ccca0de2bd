"""`aimlvideo show`: the recipe that a clip carries, as a line for a job file."""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import Annotated

import typer

from aimlvideo.cli.exit_codes import exit_codes
from aimlvideo.cli.terminal import Terminal
from aimlvideo.cli.typer_app import command_app
from aimlvideo.shell.files.clip_metadata import recipe_in

app = command_app()


@app.command(epilog="Example: aimlvideo show clip.mp4 | aimlvideo run - -o again")
def show(
    clip: Annotated[Path, typer.Argument(help="A clip that aimlvideo saved.")],
    everything: Annotated[bool, typer.Option("--all", help="Also print its generation, cost and times.")] = False,
) -> None:
    """Print how a clip was made, as a line for a job file: `aimlvideo show clip.mp4 | aimlvideo run - -o again/`."""
    with exit_codes(Terminal()):
        recipe = recipe_in(clip)
        typer.echo(json_format.dumps(recipe if everything else recipe["job"], ensure_ascii=False))
