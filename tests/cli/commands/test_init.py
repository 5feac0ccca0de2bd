"""A sample job file to start from."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from aimlvideo.cli.job_reader import JobReader, ReaderOptions
from aimlvideo.cli.model_tables import example_line
from aimlvideo.core.catalog.catalog import load_catalog
from aimlvideo.core.catalog.model import Model
from tests.cases import for_each
from tests.cli.conftest import Command


def test_a_sample_passes_the_check_as_it_is(command: Command, tmp_path: Path) -> None:
    wrote = command("init")
    assert wrote.exit_code == 0, wrote.output
    assert "aimlvideo check jobs.jsonl" in wrote.output
    lines = (tmp_path / "jobs.jsonl").read_text().splitlines()
    assert [line[0] for line in lines] == ["#"] * (len(lines) - 1) + ["{"]
    assert any("duration" in line and "expected" not in line for line in lines)
    checked = command("check", "jobs.jsonl")
    assert checked.exit_code == 0, checked.output
    assert "1 job," in checked.output


@pytest.mark.parametrize(
    "model", [f"kling-video/v1.6/{kind}" for kind in ("pro/image-to-video", "standard/multi-image-to-video")]
)
@pytest.mark.parametrize("name", ["pictures.jsonl", "pictures.csv", "pictures.xlsx"])
def test_a_sample_with_pictures_passes_the_check_as_it_is(command: Command, name: str, model: str) -> None:
    wrote = command("init", name, "--model", model)
    assert wrote.exit_code == 0, wrote.output
    checked = command("check", name)
    assert checked.exit_code == 0, checked.output
    assert "1 job," in checked.output


@for_each("model", load_catalog(), ids=lambda model: model.id)
def test_no_sample_names_a_file_that_is_not_there(model: Model) -> None:
    reader = JobReader(load_catalog(), Path("/nowhere"), ReaderOptions(service=model.service))
    jobs = list(reader.jobs(iter([("sample", json.loads(example_line(model)))])))
    assert (len(jobs), reader.problems) == (1, [])


def test_a_table_says_in_its_notes_what_each_column_may_be(command: Command, tmp_path: Path) -> None:
    assert command("init", "my jobs.csv", "--model", "kling-video/v1.6/pro/image-to-video").exit_code == 0
    with (tmp_path / "my jobs.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["model"] == "kling-video/v1.6/pro/image-to-video"
    assert "image_url (required)" in row["notes"]
    assert "duration: 5 or 10" in row["notes"] or "duration: one of 5, 10" in row["notes"], row["notes"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["jobs.xls"], "expected a file that ends in .jsonl, .csv or .xlsx"),
        (["there.jsonl"], "already exists"),
        (["jobs.csv", "--model", "alibaba/wan-2-6-t2w"], "did you mean alibaba/wan-2-6-t2v"),
        (["nowhere/jobs.csv"], "cannot be written"),
    ],
)
def test_what_cannot_be_written_is_said_and_nothing_is_overwritten(
    command: Command, tmp_path: Path, words: list[str], message: str
) -> None:
    (tmp_path / "there.jsonl").write_text("mine")
    refused = command("init", *words)
    assert refused.exit_code == 2
    assert message in refused.output
    assert (tmp_path / "there.jsonl").read_text() == "mine"
