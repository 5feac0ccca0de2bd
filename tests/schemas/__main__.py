"""Make `published.json` again from a folder of OpenAPI documents: `python -m tests.schemas FOLDER`.

FOLDER holds the service's documents as it publishes them, in any folders below it. What differs from the shapes that
are kept is said line by line; with `--check` nothing is written, and the exit code is 1 where anything differs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.schemas.published import PUBLISHED

KEPT = (
    *("type", "properties", "required", "items", "enum", "anyOf", "oneOf", "allOf", "nullable", "format", "default"),
    *("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems"),
)
"""What of a schema says what an answer may be."""
SERVICE_PATHS = ("/v1/models", "/models/metrics", "/model/", "/v1/key", "/v2/logs", "/v2/usage", "/v2/billing")
VIDEO_PATHS = ("/v2/video/generations", "/v2/generate/video/")
USUAL_MODEL = ""
"""The name under which a status check's answer is kept: it is about any model."""


def collect(folder: Path) -> dict[str, Any]:
    """Return the shapes in all documents of a folder."""
    endpoints: dict[str, Any] = {}
    generations: dict[str, list[str]] = {}
    for document in _documents(folder):
        for method, path, operation in _operations(document):
            answer = _reduced(_answer(document, operation), document)
            if path.startswith(SERVICE_PATHS) and method == "get":
                parameters = {
                    parameter["name"]: _reduced(parameter.get("schema", {}), document)
                    for parameter in operation.get("parameters", [])
                    if parameter.get("in") == "query"
                }
                endpoints[f"GET {path}"] = {"parameters": parameters, "answer": answer}
            elif path.startswith(VIDEO_PATHS) and answer:
                models = _models(operation, document) if method == "post" else [USUAL_MODEL]
                generations.setdefault(json.dumps(answer, sort_keys=True), []).extend(models)
    return shapes_of(endpoints, [(json.loads(answer), models) for answer, models in generations.items()])


def shapes_of(endpoints: dict[str, Any], generations: list[tuple[dict[str, Any], list[str]]]) -> dict[str, Any]:
    """Return shapes in the order in which they are kept."""
    rows = [{"models": sorted(set(models)), "answer": answer} for answer, models in generations]
    return {
        "endpoints": dict(sorted(endpoints.items())),
        "generations": sorted((row for row in rows if row["models"]), key=lambda row: list(row["models"])),
    }


def differences(kept: Any, new: Any, place: str = "") -> Iterator[str]:
    """Yield what two files of shapes do not have in common, a line each."""
    if isinstance(kept, dict) and isinstance(new, dict):
        for name in sorted(kept.keys() | new.keys()):
            yield from differences(kept.get(name), new.get(name), f"{place} {name}".strip())
    elif kept != new:
        yield f"{place}: {_short(kept)} -> {_short(new)}"


def by_model(shapes: dict[str, Any]) -> dict[str, Any]:
    """Return shapes with one generation a model, so that a difference names its model."""
    rows = {model: row["answer"] for row in shapes["generations"] for model in row["models"]}
    return {"endpoints": shapes["endpoints"], "generation of": rows}


def _documents(folder: Path) -> Iterator[dict[str, Any]]:
    for file in sorted(folder.rglob("*.json")):
        document = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(document, dict) and isinstance(document.get("paths"), dict):
            yield document


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method in ("get", "post"):
            if method in methods:
                yield method, path, methods[method]


def _answer(document: dict[str, Any], operation: dict[str, Any]) -> Any:
    responses = operation.get("responses", {})
    answer = _followed(responses.get("200") or responses.get("201") or {}, document)
    return answer.get("content", {}).get("application/json", {}).get("schema", {})


def _models(operation: dict[str, Any], document: dict[str, Any]) -> list[str]:
    body = _followed(operation.get("requestBody", {}), document)
    schema = _followed(body.get("content", {}).get("application/json", {}).get("schema", {}), document)
    model = _followed(schema.get("properties", {}).get("model", {}), document)
    return [*model.get("enum", [])]


def _followed(value: Any, document: dict[str, Any]) -> Any:
    while isinstance(value, dict) and str(value.get("$ref", "")).startswith("#/"):
        target: Any = document
        for part in value["$ref"][2:].split("/"):
            target = target[part.replace("~1", "/").replace("~0", "~")]
        value = target
    return value


def _reduced(schema: Any, document: dict[str, Any]) -> Any:
    """Return of a schema what says which answers are right."""
    schema = _followed(schema, document)
    if isinstance(schema, list):
        return [_reduced(one, document) for one in schema]
    if not isinstance(schema, dict):
        return schema
    reduced = {name: _reduced(value, document) for name, value in schema.items() if name in KEPT}
    if "properties" in schema:
        reduced["properties"] = {name: _reduced(value, document) for name, value in schema["properties"].items()}
    return reduced


def _short(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value, sort_keys=True)[:200]


def main(arguments: list[str]) -> int:
    """Write the shapes of a folder, and say what differs; return the exit code."""
    check = "--check" in arguments
    (folder,) = (Path(argument) for argument in arguments if argument != "--check")
    new = collect(folder)
    kept = json.loads(PUBLISHED.read_text(encoding="utf-8")) if PUBLISHED.exists() else shapes_of({}, [])
    lines = list(differences(by_model(kept), by_model(new)))
    sys.stdout.write(("\n".join(lines) or "nothing differs") + "\n")
    if not check:
        PUBLISHED.write_text(json.dumps(new, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 1 if check and lines else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
