"""`aimlvideo show`: the recipe that a clip carries, as a line for a job file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aimlvideo.cli.exit_codes import exit_codes
from aimlvideo.cli.typer_app import CommandApp
from aimlvideo.shell.files.clip_metadata import recipe_in

app = CommandApp()


@app.command(epilog="Example: aimlvideo show clip.mp4 | aimlvideo run - -o again")
def show(
    clip: Annotated[Path, typer.Argument(metavar="CLIP", help="A clip that aimlvideo saved.")],
    everything: Annotated[bool, typer.Option("--all", help="Also print its generation, cost and times.")] = False,
    _: Annotated[bool, typer.Option("--json", help="Changes nothing: what is printed is JSON.")] = False,
) -> None:
    """Print how a clip was made, as a line for a job file: `aimlvideo show clip.mp4 | aimlvideo run - -o again/`."""
    # What it prints is for programs anyway: in UTF-8, whatever the code page, as `run -` reads it.
    with exit_codes(json=True) as terminal:
        recipe = recipe_in(clip)
        terminal.value(recipe if everything else recipe["job"])
