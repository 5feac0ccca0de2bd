"""Lines of a file turned into checked jobs, before anything is sent."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from aimlvideo.cli.job_reader import JobReader, ReaderOptions, _SeenJobs
from aimlvideo.core.catalog.catalog import load_catalog
from aimlvideo.core.jobs.problems import Problem
from aimlvideo.shell.files.job_files import NO_DEFAULTS, JobFile
from tests.cases import for_each


def test_two_lines_that_name_one_id_are_a_problem_of_the_second() -> None:
    reader = JobReader(load_catalog(), Path(), ReaderOptions(service="kling"))
    line = {"model": "kling-v2-6", "prompt": "waves", "external_task_id": "order-17"}
    right = list(reader.jobs(iter([("jobs:1", {**line, "id": "one"}), ("jobs:2", {**line, "id": "two"})])))
    assert [job.id for _, job, _ in right] == ["one"]
    (problem,) = reader.problems
    assert (problem.where, problem.field) == ("jobs:2", "external_task_id")
    assert "'one'" in str(problem)


REMARK = Problem("extra", "a known column", "extra", warning=True)
SLIP = Problem("", "a JSON object", "[")
WAVES = {"model": "kling-v2-6", "prompt": "waves"}


@for_each(
    ("lines", "problems", "jobs"),
    [([], ["at least one job"], 0), ([REMARK], ["at least one job"], 0), ([REMARK, SLIP], ["a JSON object"], 0),
     ([REMARK, WAVES], [], 1)],
)  # fmt: skip
def test_a_file_is_empty_that_has_neither_a_job_nor_a_mistake(lines: list[Any], problems: list[str], jobs: int) -> None:
    reader = JobReader(load_catalog(), Path(), ReaderOptions(service="kling"))
    assert len(list(reader.jobs(iter([("jobs:1", line) for line in lines])))) == jobs
    assert [problem.expected for problem in reader.problems] == problems
    assert len(reader.remarks) == lines.count(REMARK)


def test_a_file_that_is_empty_is_named(tmp_path: Path) -> None:
    (tmp_path / "jobs.csv").write_text("model,prompt\n")
    reader = JobReader(load_catalog(), tmp_path)
    reader.read_all(JobFile(str(tmp_path / "jobs.csv")), NO_DEFAULTS)
    assert list(map(str, reader.problems)) == ["jobs.csv: at least one job, got none: the file is empty"]


@pytest.mark.parametrize("legacy", [False, True])
def test_the_rules_of_the_legacy_url_hold_where_it_is_used(legacy: bool) -> None:
    reader = JobReader(load_catalog(), Path(), ReaderOptions(legacy=legacy))
    line = {"model": "kling-video/v1.6/pro/image-to-video", "image_url": "https://example.com/a.png"}
    assert len(list(reader.jobs(iter([("jobs:1", line)])))) == (0 if legacy else 1)
    assert [problem.field for problem in reader.problems] == (["prompt"] if legacy else [])


def test_a_job_is_known_by_where_it_stood_first() -> None:
    seen = _SeenJobs()
    places = ["jobs.csv:2", "jobs.csv:3", "Sheet1", "row " + "9" * 30]
    assert [seen.place(f"job {place}", place) for place in places] == [None] * 4
    assert [seen.place(f"job {place}", "elsewhere:1") for place in places] == places


def test_only_what_can_be_sent_can_be_referred_to_and_has_a_length() -> None:
    seen = _SeenJobs()
    seen.place("wrong", "a:1")
    seen.place("right", "a:2")
    seen.accept("right", "a:2", 5.0)
    seen.accept("unnamed", "a:3", None)
    assert [name in seen for name in ("wrong", "right", "unnamed", "other")] == [False, True, True, False]
    assert [seen.seconds(name) for name in ("wrong", "right", "unnamed", "other")] == [None, 5.0, None, None]


def test_a_job_takes_at_most_170_bytes() -> None:
    tracemalloc.start()
    try:
        seen = _SeenJobs()
        for number in range(5_000):
            seen.place(f"job-{number}", f"jobs.jsonl:{number}")
            seen.accept(f"job-{number}", f"jobs.jsonl:{number}", 5.0)
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size / 5_000 < 170
    assert (seen.place("job-17", "jobs.jsonl:5000"), seen.seconds("job-17")) == ("jobs.jsonl:17", 5.0)
