"""The shipped catalogue is brought up to date from published documents: one command, an address or a folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aimlvideo.codegen.documents import updated
from aimlvideo.core.catalog.openapi import Document


def document(*models: str, **properties: Any) -> dict[str, Any]:
    schema = {
        "type": "object",
        "required": ["model", "prompt"],
        "properties": {"model": {"type": "string", "enum": list(models)}, "prompt": {"type": "string"}, **properties},
    }
    body = {"content": {"application/json": {"schema": schema}}}
    return {"openapi": "3.0.0", "paths": {"/v2/video/generations": {"post": {"requestBody": body}}}}


CONTENT = {
    "source": "here",
    "service": "aimlapi",
    "models": {
        "old": {"developer": "x", "path": "/old", "documented_seconds": 50.0, "params": {"prompt": {"type": "string"}}},
        "untouched": {"developer": "y", "path": "/y", "params": {"prompt": {"type": "string"}}},
    },
}


def test_a_folder_of_documents_adds_models_and_changes_those_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "a.json").write_text(json.dumps(document("new/one", "new/two", seed={"type": "integer"})))
    (tmp_path / "below" / "b.json").write_text(json.dumps(document("old", duration={"type": "integer"})))
    content, refused = updated(CONTENT, str(tmp_path))
    assert refused == []
    assert list(content["models"]) == ["new/one", "new/two", "old", "untouched"]
    assert content["models"]["old"]["documented_seconds"] == 50.0, "no document says it"
    assert set(content["models"]["old"]["params"]) == {"prompt", "duration"}
    assert content["models"]["untouched"] == CONTENT["models"]["untouched"]  # type: ignore[index]


def test_a_broken_document_refuses_itself_alone(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    (tmp_path / "b.json").write_text(json.dumps({"paths": {}}))
    (tmp_path / "c.json").write_text(json.dumps(document("new")))
    content, refused = updated(CONTENT, str(tmp_path))
    assert "new" in content["models"]
    assert [line.split("/")[-1].split(":")[0] for line in refused] == ["a.json", "b.json"]


@pytest.mark.parametrize("place", ["nowhere", "."])
def test_a_place_without_documents_is_named(place: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a document's address, a JSON file, or a folder of them"):
        updated(CONTENT, str(tmp_path / place))


def test_every_model_that_a_document_names_is_found_once() -> None:
    assert Document(document("a", "b", "a")).models() == ["a", "b"]
    with pytest.raises(ValueError, match="not an object"):
        Document({"paths": {"/x": {"post": {"requestBody": 7}}}}).models()


def test_a_command_that_is_not_understood_prints_all_steps() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "aimlvideo.codegen", "?"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "codegen documents PLACE" in done.stderr
