"""`aimlvideo schema`: what editors need to complete and check job files."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import typer

from aimlvideo.cli.exit_codes import exit_codes
from aimlvideo.cli.model_tables import known_model
from aimlvideo.cli.typer_app import CommandApp
from aimlvideo.core.catalog.model import Model, Param
from aimlvideo.core.catalog.param_help import PARAM_HELP
from aimlvideo.shell.state.catalog_cache import known_catalog

app = CommandApp()


@app.command(epilog="Example: aimlvideo schema > jobs.schema.json")
def schema(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Only this model. Without it: all models.")] = "",
) -> None:
    """Print a JSON Schema of the lines of a job file, for editors."""
    # For programs: in UTF-8, whatever the code page.
    with exit_codes(json=True):
        catalog = known_catalog()
        chosen = known_model(catalog, model) if model else None
        sys.stdout.write(
            json.dumps(_schema_of_jobs([chosen] if chosen else catalog), ensure_ascii=False, indent=2) + "\n"
        )


DRAFT = "https://json-schema.org/draft/2020-12/schema"
LIMITS = {
    "minimum": "minimum", "maximum": "maximum", "min_items": "minItems", "max_items": "maxItems",
    "min_length": "minLength", "max_length": "maxLength",
}  # fmt: skip


def _schema_of_jobs(models: Iterable[Model]) -> dict[str, Any]:
    """Return a JSON Schema of one line of a job file that uses any of these models."""
    models = [*models]
    return {
        "$schema": DRAFT,
        "title": "A job of aimlvideo",
        "type": "object",
        "required": ["model"],
        "properties": {
            "id": {"type": "string", "description": "The clip's name. Without it, one is derived from the content."},
            "model": {"enum": [name for model in models for name in (model.id, *model.aliases)]},
        },
        "allOf": [_when(model) for model in models],
    }


def _when(model: Model) -> dict[str, Any]:
    """Return what a line must look like if it names this model."""
    names = {"properties": {"model": {"enum": [model.id, *model.aliases]}}, "required": ["model"]}
    return {"if": names, "then": _object(model.params)}


def _object(params: Mapping[str, Param]) -> dict[str, Any]:
    required = [name for name, param in params.items() if param.required]
    properties = {name: _param(name, param) for name, param in params.items()}
    return {"properties": properties} | ({"required": required} if required else {})


def _param(name: str, param: Param) -> dict[str, Any]:
    about = " ".join(part for part in (PARAM_HELP.get(name, ""), f"Expected: {param.expected()}.") if part)
    default = {} if param.default is None else {"default": param.default}
    return {**_value(name, param), **default, "description": about}


def _value(name: str, param: Param) -> dict[str, Any]:
    """Return which values there may be."""
    if param.any_of:
        return {"anyOf": [_value(name, part) for part in param.any_of] + ([{"type": "null"}] if param.nullable else [])}
    schema: dict[str, Any] = {} if param.type == "any" else {"type": param.type}
    if param.choices:
        schema["enum"] = [*param.choices, *([None] if param.nullable else [])]
    if param.nullable and "type" in schema:
        schema["type"] = [param.type, "null"]
    schema |= {word: limit for field, word in LIMITS.items() if (limit := getattr(param, field)) is not None}
    if param.item:
        schema["items"] = _param(name, param.item)
    return schema | (_object(param.fields) if param.fields else {})
