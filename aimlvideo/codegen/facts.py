"""Gathered facts about models in, the text of `catalog.json` out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aimlvideo.core.catalog.corrections import correct


def convert(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the whole content of catalog.json; `facts` has a model's path, params and documented_seconds by id."""
    models = {
        name: correct(name, model["path"], model["params"], model.get("documented_seconds"))
        for name, model in sorted(facts["models"].items())
    }
    return {"source": facts["source"], "service": "aimlapi", "models": models}


def dump(catalog: Mapping[str, Any]) -> str:
    """Return the text of catalog.json: one line per parameter, so that a change reads well."""
    parts = [f'"{key}": {json.dumps(catalog[key])}' for key in ("source", "service")]
    parts.append(f'"models": {{\n{_dump_models(catalog["models"])}\n}}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _dump_models(models: Mapping[str, Any]) -> str:
    return ",\n".join(f"{json.dumps(name)}: {_dump_model(model)}" for name, model in models.items())


def _dump_model(model: Mapping[str, Any]) -> str:
    head = "".join(f"{json.dumps(key)}: {json.dumps(model[key])}, " for key in model if key != "params")
    params = ",\n".join(f"  {json.dumps(key)}: {json.dumps(param)}" for key, param in model["params"].items())
    return f'{{{head}"params": {{\n{params}}}}}'
