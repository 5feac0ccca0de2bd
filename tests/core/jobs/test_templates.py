"""One template for many jobs."""

from __future__ import annotations

from typing import Any

import pytest

from aimlvideo.core.jobs.templates import _count, expand
from aimlvideo.errors import UsageError
from tests.cases import for_each


def test_every_combination_is_a_job_with_a_number_the_last_list_fastest() -> None:
    template = {"id": "dance", "matrix": {"model": ["a", "b"], "seed": [1, 2]}, "prompt": "p"}
    assert list(expand(template)) == [
        {"id": "dance-1", "model": "a", "seed": 1, "prompt": "p"},
        {"id": "dance-2", "model": "a", "seed": 2, "prompt": "p"},
        {"id": "dance-3", "model": "b", "seed": 1, "prompt": "p"},
        {"id": "dance-4", "model": "b", "seed": 2, "prompt": "p"},
    ]


def test_numbers_sort_as_they_count() -> None:
    ids = [job["id"] for job in expand({"id": "x", "matrix": {"seed": list(range(11))}})]
    assert ids == sorted(ids)
    assert ids[0] == "x-01"


def test_a_parameter_that_is_a_list_stands_in_one_more_list() -> None:
    jobs = list(expand({"matrix": {"image_list": [["a", "b"], ["c", "d"]]}}))
    assert jobs == [{"image_list": ["a", "b"]}, {"image_list": ["c", "d"]}]


def test_a_line_without_a_matrix_is_its_own_only_job() -> None:
    assert list(expand({"id": "x", "model": "m"})) == [{"id": "x", "model": "m"}]
    assert _count({"id": "x"}) == 1


def test_a_million_jobs_are_counted_without_being_made() -> None:
    template = {"matrix": {name: list(range(100)) for name in ("prompt", "model", "seed")}}
    assert _count(template) == 1_000_000
    assert next(expand(template)) == {"prompt": 0, "model": 0, "seed": 0}


@for_each(
    ("template", "field"),
    [
        ({"matrix": [1]}, "matrix"),
        ({"matrix": {"seed": 5}}, "matrix.seed"),
        ({"matrix": {"prompt": "p"}}, "matrix.prompt"),
        ({"matrix": {"seed": []}}, "matrix.seed"),
        ({"matrix": {"id": ["a"]}}, "matrix.id"),
        ({"matrix": {"seed": [1]}, "seed": 2}, "matrix.seed"),
    ],
)
def test_a_wrong_matrix_is_refused_by_the_name_of_its_list(template: dict[str, Any], field: str) -> None:
    with pytest.raises(UsageError, match=rf"^{field.replace('.', r'[.]')}: expected "):
        list(expand(template))
