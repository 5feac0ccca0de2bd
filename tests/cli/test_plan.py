"""Lines of a file turned into checked jobs, before anything is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from aimlvideo.cli.plan import JobReader
from aimlvideo.core.catalog.catalog import load_catalog


def test_two_lines_that_name_one_id_are_a_problem_of_the_second() -> None:
    reader = JobReader(load_catalog(), "kling", Path())
    line = {"model": "kling-v2-6", "prompt": "waves", "external_task_id": "order-17"}
    right = list(reader.jobs(iter([("jobs:1", {**line, "id": "one"}), ("jobs:2", {**line, "id": "two"})])))
    assert [job.id for _, job, _ in right] == ["one"]
    (problem,) = reader.problems
    assert (problem.where, problem.field) == ("jobs:2", "external_task_id")
    assert "'one'" in str(problem)


@pytest.mark.parametrize("legacy", [False, True])
def test_the_rules_of_the_legacy_url_hold_where_it_is_used(legacy: bool) -> None:
    reader = JobReader(load_catalog(), "aimlapi", Path(), legacy=legacy)
    line = {"model": "kling-video/v1.6/pro/image-to-video", "image_url": "https://example.com/a.png"}
    assert len(list(reader.jobs(iter([("jobs:1", line)])))) == (0 if legacy else 1)
    assert [problem.field for problem in reader.problems] == (["prompt"] if legacy else [])
