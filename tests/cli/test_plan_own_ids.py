"""Ids that jobs of a file name themselves: each once, said before anything is sent."""

from __future__ import annotations

from pathlib import Path

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
