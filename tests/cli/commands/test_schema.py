"""A JSON Schema of job lines, for editors."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from aimlvideo.cli.model_tables import example_line
from aimlvideo.core.catalog.catalog import load_catalog
from aimlvideo.core.catalog.json_schema import schema_of_jobs
from tests.cli.conftest import Command

MODEL = "kling-video/v1.6/pro/image-to-video"
JOB = {"id": "a", "model": MODEL, "prompt": "waves", "image_url": "a.png", "duration": 5}


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema = schema_of_jobs(load_catalog())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_every_model_s_example_is_right_by_the_schema(validator: Draft202012Validator) -> None:
    wrong = {
        model.id: [error.message for error in validator.iter_errors(json.loads(example_line(model)))]
        for model in load_catalog()
    }
    assert {name: errors for name, errors in wrong.items() if errors} == {}


@pytest.mark.parametrize(
    "slip", [{"duration": 7}, {"image_url": None}, {"model": "no-such"}, {"prompt": 5}, {"id": 7}, {"model": None}]
)
def test_a_slip_is_seen(validator: Draft202012Validator, slip: dict[str, Any]) -> None:
    assert validator.is_valid(JOB)
    assert not validator.is_valid(JOB | slip)


def test_the_command_prints_it_for_all_models_or_one(command: Command) -> None:
    every = json.loads(command("schema").stdout)
    one = json.loads(command("schema", MODEL).stdout)
    assert len(every["allOf"]) == len(load_catalog())
    assert Draft202012Validator(one).is_valid(JOB)
    unknown = command("schema", "kling-video/v1.6/pro/image-to-vidoe")
    assert unknown.exit_code == 2
    assert MODEL in unknown.output
