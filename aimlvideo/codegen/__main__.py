"""`python -m aimlvideo.codegen catalog FACTS.json` and `python -m aimlvideo.codegen models`."""

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
        case ["catalog", facts]:
            text = dump(convert(json.loads(Path(facts).read_text("utf-8"))))
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
