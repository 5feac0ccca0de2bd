"""The JSON Schema of job lines says of each parameter what the catalogue says."""

from __future__ import annotations

from dataclasses import replace

from jsonschema import Draft202012Validator

from aimlvideo.core.catalog.catalog import Param, load_catalog
from aimlvideo.core.catalog.json_schema import schema_of_jobs


def test_a_choice_may_be_null_where_the_parameter_may() -> None:
    for nullable in (True, False):
        for param in (
            Param("string", choices=("a", "b"), nullable=nullable),
            Param("any", any_of=(Param("string", choices=("a", "b")), Param("integer")), nullable=nullable),
        ):
            (case,) = schema_of_jobs([replace(next(iter(load_catalog())), params={"mode": param})])["allOf"]
            schema = Draft202012Validator(case["then"])
            assert schema.is_valid({"mode": "a"})
            assert not schema.is_valid({"mode": "c"})
            assert schema.is_valid({"mode": None}) == nullable


def test_null_is_right_where_the_model_takes_it_and_nowhere_else() -> None:
    may_be_null = 0
    for model in load_catalog():
        (case,) = schema_of_jobs([model])["allOf"]
        for name, param in model.params.items():
            forms = (param, *param.any_of)
            takes_null = any(form.nullable or (form.type == "any" and not form.any_of) for form in forms)
            may_be_null += takes_null
            schema = Draft202012Validator(case["then"]["properties"][name])
            assert schema.is_valid(None) == takes_null, (model.id, name)
    assert may_be_null
