"""How the shipped catalogue is brought up to date; every step is one command.

1. `python -m aimlvideo.codegen catalog FACTS.json [MORE.json...]`: write `core/catalog/catalog.json` from gathered
   facts; a later file adds models (`models` or `new_models`) to an earlier one.
2. `python -m aimlvideo.sandbox.build_models FACTS.json [MORE.json...]`: the same for the sandbox, which reads the facts
   in its own way.
3. `python -m aimlvideo.codegen models`: write the typed builders in `aimlvideo/models` from the catalogue.
4. `python -m tests.schemas FOLDER`: make the published shapes of answers again from a folder of OpenAPI documents.

What the documents say in prose only stands in `core/catalog/corrections.py`, each rule with its source. Between
releases `aimlvideo models --refresh` reads the service's own documents.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from aimlvideo.codegen.builders import modules
from aimlvideo.codegen.facts import convert, dump
from aimlvideo.core.catalog.catalog import catalog_source, load_catalog

PACKAGE = Path(__file__).parent.parent


def main(arguments: list[str]) -> int:
    """Write what was asked for into the package; return the exit code."""
    match arguments:
        case ["catalog", first, *more]:
            text = dump(convert(*(json.loads(Path(facts).read_text("utf-8")) for facts in (first, *more))))
            (PACKAGE / "core" / "catalog" / "catalog.json").write_text(text, "utf-8")
        case ["models"]:
            for name, text in modules(load_catalog(), catalog_source()).items():
                (PACKAGE / "models" / f"{name}.py").write_text(text, "utf-8")
        case _:
            sys.stderr.write(f"{__doc__}\n")
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
