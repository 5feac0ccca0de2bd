"""`aimlvideo init`: a sample job file to start from."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from aimlvideo.cli.exit_codes import exit_codes
from aimlvideo.cli.model_tables import ParamRow, example_line, known_model, model_page
from aimlvideo.cli.typer_app import CommandApp
from aimlvideo.core.catalog.model import Model
from aimlvideo.core.formatting import command_line
from aimlvideo.errors import DiskFailed, UsageError
from aimlvideo.shell.descriptors import write_failure_advice
from aimlvideo.shell.files.workbooks import xlsx_of
from aimlvideo.shell.state.catalog_cache import known_catalog

FIRST_MODEL = "alibaba/wan-2-6-t2v"
"""The model of a sample where none was named: it takes a text alone."""

app = CommandApp()


@app.command(epilog="Example: aimlvideo init jobs.csv --model alibaba/wan-2-6-t2v")
def init(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write: .jsonl, .csv or .xlsx.")] = Path(
        "jobs.jsonl"
    ),
    model: Annotated[str, typer.Option(help="The model of the sample: see `aimlvideo models`.")] = FIRST_MODEL,
) -> None:
    """Write a commented sample job file for a model."""
    with exit_codes() as terminal:
        chosen = known_model(known_catalog(), model)
        sample_of = {".jsonl": _sample_lines, ".csv": _sample_csv, ".xlsx": _sample_workbook}.get(file.suffix.lower())
        if sample_of is None:
            raise UsageError(f"{file}: expected a file that ends in .jsonl, .csv or .xlsx")
        sample = sample_of(chosen)
        try:
            # "x": a job file is a person's work, and is never written over, not even between a check and the writing.
            opened = file.open("xb")
        except FileExistsError:
            raise UsageError(f"{file} already exists: pick another name, or remove it first") from None
        except OSError as error:
            expected = "expected the name of a new file, in a folder that is there"
            raise UsageError(f"{str(file)[:200]} cannot be written: {error.strerror}; {expected}") from error
        try:
            with opened:
                opened.write(sample)
        except OSError as error:
            file.unlink(missing_ok=True)  # half of it would be in the way of the next try
            raise DiskFailed(f"{file} cannot be written: {error.strerror}. {write_failure_advice(error)}") from error
        terminal.say(f"wrote {file}. Edit it, then: {command_line('check', file)}")


def _sample_lines(model: Model) -> bytes:
    """Return a sample job file as JSON lines; lines that begin with # are comments."""
    comments = [
        f"One job per line, for {model.id}. Lines that begin with # are comments.",
        "A relative path of a picture starts at the folder of this file. Parameters of the model:",
        *(f"  {_about(row)}" for row in model_page(model).params),
    ]
    return ("".join(f"# {line}\n" for line in comments) + example_line(model) + "\n").encode()


def _sample_csv(model: Model) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(_sample_table(model))
    return text.getvalue().encode()


def _sample_workbook(model: Model) -> bytes:
    return xlsx_of(_sample_table(model))


def _sample_table(model: Model) -> list[list[Any]]:
    """Return the rows of a sample table; its column `notes` is for people, and is never sent."""
    job = json.loads(example_line(model))
    rows = {row.name: row for row in model_page(model).params}
    notes = "; ".join(_about(rows[name]) for name in job if name in rows)
    cells = [json.dumps(value) if isinstance(value, list | dict | bool) else value for value in job.values()]
    return [[*job, "notes"], [*cells, notes]]


def _about(row: ParamRow) -> str:
    required = " (required)" if row.required else ""
    return " ".join(part for part in (f"{row.name}{required}: {row.takes}.", row.meaning) if part)
