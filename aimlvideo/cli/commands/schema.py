"""`aimlvideo schema`: what editors need to complete and check job files."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from aimlvideo.cli.exit_codes import exit_codes
from aimlvideo.cli.model_tables import unknown_model
from aimlvideo.cli.terminal import Terminal
from aimlvideo.cli.typer_app import command_app
from aimlvideo.core.catalog.json_schema import schema_of_jobs
from aimlvideo.errors import UsageError
from aimlvideo.shell.state.catalog_cache import known_catalog

app = command_app()


@app.command(epilog="Example: aimlvideo schema > jobs.schema.json")
def schema(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Only this model. Without it: all models.")] = "",
) -> None:
    """Print a JSON Schema of the lines of a job file, for editors."""
    # For programs: in UTF-8, whatever the code page.
    with exit_codes(Terminal(json=True)):
        catalog = known_catalog()
        chosen = catalog.find(model) if model else None
        if model and chosen is None:
            raise UsageError(unknown_model(catalog, model))
        sys.stdout.write(
            json.dumps(schema_of_jobs([chosen] if chosen else catalog), ensure_ascii=False, indent=2) + "\n"
        )
