"""A JSON Schema of job lines, for editors."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from aimlvideo.cli.commands.schema import _schema_of_jobs
from aimlvideo.cli.model_tables import example_line
from aimlvideo.core.catalog.catalog import load_catalog
from aimlvideo.core.catalog.model import Param
from tests.cases import for_each
from tests.cli.conftest import Command

MODEL = "kling-video/v1.6/pro/image-to-video"
JOB = {"id": "a", "model": MODEL, "prompt": "waves", "image_url": "a.png", "duration": 5}


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    return Draft202012Validator(_schema_of_jobs(load_catalog()))


def test_it_is_a_json_schema() -> None:
    rules = _schema_of_jobs(load_catalog())["allOf"]
    # Each form once, and each list of what is required: with many models they are the same.
    forms = {_without_words(form): form for rule in rules for form in rule["then"]["properties"].values()}
    bare = {str(rule["then"].get("required")): {**rule, "then": {**rule["then"], "properties": {}}} for rule in rules}
    every = {"properties": {str(number): form for number, form in enumerate(forms.values())}}
    Draft202012Validator.check_schema(_schema_of_jobs(load_catalog()) | {"allOf": [*bare.values(), every]})


def _without_words(form: dict[str, Any]) -> str:
    return json.dumps({name: value for name, value in form.items() if name not in ("description", "default")})


def test_every_model_s_example_is_right_by_the_schema(validator: Draft202012Validator) -> None:
    models = list(load_catalog())
    wrong = {}
    for number, model in enumerate(models):
        # All rules together take a hundred times as long as the model's own, and are kept apart by what they ask first.
        rules = validator if number % 49 == 0 else Draft202012Validator(_schema_of_jobs([model]))
        if errors := [error.message for error in rules.iter_errors(json.loads(example_line(model)))]:
            wrong[model.id] = errors
    assert wrong == {}


def test_each_rule_is_for_the_names_of_one_model(validator: Draft202012Validator) -> None:
    models = list(load_catalog())
    names = [name for model in models for name in (model.id, *model.aliases)]
    assert len(names) == len(set(names))
    assert sorted(validator.schema["properties"]["model"]["enum"]) == sorted(names)
    for model, rule in zip(models, validator.schema["allOf"], strict=True):
        asked = {"properties": {"model": {"enum": [model.id, *model.aliases]}}, "required": ["model"]}
        assert rule == {"if": asked, "then": _schema_of_jobs([model])["allOf"][0]["then"]}


def test_a_right_line_passes(validator: Draft202012Validator) -> None:
    assert validator.is_valid(JOB)


def test_a_line_without_what_its_model_requires_is_seen(validator: Draft202012Validator) -> None:
    assert not validator.is_valid({name: value for name, value in JOB.items() if name != "image_url"})


@for_each(
    "slip", [{"duration": 7}, {"image_url": None}, {"model": "no-such"}, {"prompt": 5}, {"id": 7}, {"model": None}]
)
def test_a_slip_is_seen(validator: Draft202012Validator, slip: dict[str, Any]) -> None:
    assert not validator.is_valid(JOB | slip)


def test_the_command_prints_it_for_all_models_or_one(command: Command) -> None:
    every = json.loads(command("schema").stdout)
    one = json.loads(command("schema", MODEL).stdout)
    assert len(every["allOf"]) == len(load_catalog())
    assert Draft202012Validator(one).is_valid(JOB)
    unknown = command("schema", "kling-video/v1.6/pro/image-to-vidoe")
    assert unknown.exit_code == 2
    assert MODEL in unknown.output


def test_a_choice_may_be_null_where_the_parameter_may() -> None:
    for nullable in (True, False):
        for param in (
            Param("string", choices=("a", "b"), nullable=nullable),
            Param("any", any_of=(Param("string", choices=("a", "b")), Param("integer")), nullable=nullable),
        ):
            (case,) = _schema_of_jobs([replace(next(iter(load_catalog())), params={"mode": param})])["allOf"]
            schema = Draft202012Validator(case["then"])
            assert schema.is_valid({"mode": "a"})
            assert not schema.is_valid({"mode": "c"})
            assert schema.is_valid({"mode": None}) == nullable


def test_null_is_right_where_the_model_takes_it_and_nowhere_else() -> None:
    may_be_null = 0
    for model in load_catalog():
        (case,) = _schema_of_jobs([model])["allOf"]
        for name, param in model.params.items():
            forms = (param, *param.any_of)
            takes_null = any(form.nullable or (form.type == "any" and not form.any_of) for form in forms)
            may_be_null += takes_null
            schema = Draft202012Validator(case["then"]["properties"][name])
            assert schema.is_valid(None) == takes_null, (model.id, name)
    assert may_be_null
