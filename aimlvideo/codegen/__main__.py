"""How the shipped catalogue is brought up to date; every step is one command.

1. `python -m aimlvideo.codegen documents PLACE`: take the models of published OpenAPI documents into
   `core/catalog/catalog.json`. PLACE is a document's address, a file, or a folder of them; what changes is said line
   by line. Or, from facts that were gathered by hand: `python -m aimlvideo.codegen catalog FACTS.json [MORE.json...]`,
   where a later file adds models (`models` or `new_models`) to an earlier one.
2. `python -m aimlvideo.sandbox.build_models documents PLACE` (or `facts FACTS.json [MORE.json...]`): the same for the
   sandbox, which reads them in its own way.
3. `python -m aimlvideo.codegen models`: write the typed builders in `aimlvideo/models` from the catalogue, for the
   developers that `codegen/builders.py` lists; the models of others are named in `generate` and `VideoJob`.
4. `python -m tests.schemas FOLDER`: make the published shapes of answers again from a folder of OpenAPI documents.

What the documents say in prose only stands in `core/catalog/corrections.py`, each rule with its source; a new one is
taken into the catalogue by `python -m aimlvideo.codegen catalog aimlvideo/core/catalog/catalog.json`. Between
releases `aimlvideo models --refresh` reads the service's own documents.
"""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

from aimlvideo.codegen.builders import modules
from aimlvideo.codegen.documents import convert, dump, updated
from aimlvideo.core.catalog.catalog import Catalog, load_catalog
from aimlvideo.core.catalog.refresh import compare

PACKAGE = Path(__file__).parent.parent
CATALOG = PACKAGE / "core" / "catalog" / "catalog.json"


def generate_files(arguments: list[str]) -> int:
    """Write what was asked for into the package; return the exit code."""
    match arguments:
        case ["documents", place]:
            return _take_documents(place)
        case ["catalog", first, *more]:
            text = dump(convert(*(json.loads(Path(facts).read_text("utf-8")) for facts in (first, *more))))
            CATALOG.write_text(text, "utf-8")
        case ["models"]:
            for name, text in modules(load_catalog(), Catalog.source()).items():
                (PACKAGE / "models" / f"{name}.py").write_text(text, "utf-8")
        case _:
            sys.stderr.write(f"{__doc__}\n")
            return 2
    return 0


def _take_documents(place: str) -> int:
    """Write the models of published documents into the catalogue; say what changes, and what was refused."""
    content = json.loads(CATALOG.read_text("utf-8"))
    try:
        new, refused = updated(content, place)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    changed = {name: entry for name, entry in new["models"].items() if entry != content["models"].get(name)}
    for change in compare(Catalog(content["models"]), changed, only_these=True):
        sys.stdout.write(" ".join(filter(None, (change.what, change.model, change.field, change.after))) + "\n")
    for line in refused:
        sys.stderr.write(f"refused: {line}\n")
    # The typed builders name the day on which their source was read.
    new["source"] = re.sub(r"\d{4}-\d\d-\d\d", f"{datetime.now(UTC):%Y-%m-%d}", new["source"])
    CATALOG.write_text(dump(new), "utf-8")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(generate_files(sys.argv[1:]))
