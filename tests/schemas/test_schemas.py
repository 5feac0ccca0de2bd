"""The command that makes the published shapes again from a folder of documents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.schemas import __main__ as command
from tests.schemas.published import json_schema

GENERATION = {"type": "object", "required": ["id"], "properties": {"id": {"type": "string", "example": "x"}}}
DOCUMENT: dict[str, Any] = {
    "paths": {
        "/v2/video/generations": {
            "post": {
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Body"}}}},
                "responses": {"201": {"content": {"application/json": {"schema": GENERATION}}}},
            },
        },
        "/v2/billing": {
            "get": {
                "parameters": [{"name": "limit", "in": "query", "schema": {"type": "integer", "example": 5}}],
                "responses": {"200": {"content": {"application/json": {"schema": {"type": "object"}}}}},
            }
        },
        "/v2/chat": {"get": {"responses": {}}},
    },
    "components": {"schemas": {"Body": {"properties": {"model": {"type": "string", "enum": ["maker/new"]}}}}},
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(command, "PUBLISHED", tmp_path / "published.json")
    documents = tmp_path / "documents" / "maker"
    documents.mkdir(parents=True)
    (documents / "new.json").write_text(json.dumps(DOCUMENT))
    (documents / "not a document.json").write_text("[]")
    return tmp_path


def test_shapes_are_collected_and_reduced_to_what_an_answer_may_be(folder: Path) -> None:
    assert command.main([str(folder / "documents")]) == 0
    kept = json.loads((folder / "published.json").read_text())
    reduced = {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}}
    assert kept["generations"] == [{"models": ["maker/new"], "answer": reduced}]
    assert kept["endpoints"] == {
        "GET /v2/billing": {"parameters": {"limit": {"type": "integer"}}, "answer": {"type": "object"}}
    }


def test_a_newer_set_shows_what_differs_and_a_check_writes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    documents = [str(folder / "documents")]
    command.main(documents)
    assert command.main([*documents, "--check"]) == 0
    newer = json.loads(json.dumps(DOCUMENT).replace('"string", "example"', '"integer", "example"'))
    (folder / "documents" / "maker" / "new.json").write_text(json.dumps(newer))
    capsys.readouterr()
    assert command.main([*documents, "--check"]) == 1
    assert 'generation of maker/new properties id type: "string" -> "integer"' in capsys.readouterr().out
    assert "integer" not in json.dumps(json.loads((folder / "published.json").read_text())["generations"])


def test_nullable_becomes_a_type_and_stands_for_null_on_its_own() -> None:
    both = json_schema({"anyOf": [{"type": "string", "nullable": True}, {"nullable": True}]})
    assert both == {"anyOf": [{"anyOf": [{"type": "string"}, {"type": "null"}]}, {"type": "null"}]}
