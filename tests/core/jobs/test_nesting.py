"""What is too deep, too many or no text is refused at once, with its name, and takes no memory."""

from __future__ import annotations

from typing import Any

import pytest

from aimlvideo.core.catalog.catalog import load_catalog
from aimlvideo.core.catalog.model import Param
from aimlvideo.core.catalog.validation import check
from aimlvideo.core.jobs.job import VideoJob, is_too_deep
from aimlvideo.core.jobs.templates import expand
from aimlvideo.errors import InvalidJobs, UsageError
from tests.cases import for_each
from tests.fakes import JOB, FakeClient, FakeService, jobs, run_all


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_levels_are_counted_also_where_a_list_holds_itself() -> None:
    itself: list[Any] = []
    itself += [itself, itself]
    assert [is_too_deep(value) for value in (1, [], nested(32), nested(33), itself)] == [
        False,
        False,
        False,
        True,
        True,
    ]


@for_each("levels", [33, 900, 100_000])
def test_a_job_whose_lists_stand_in_each_other_is_refused(levels: int) -> None:
    with pytest.raises(InvalidJobs, match="params: at most 32 levels"):
        VideoJob(**JOB, extra=nested(levels))
    named = VideoJob(**JOB, id="a", extra=nested(levels))
    assert [problem.field for problem in check(named, load_catalog()).problems] == ["params"]


async def test_one_such_job_among_others_is_the_only_one_that_fails() -> None:
    service = FakeService(seconds=5)
    async with FakeClient(service) as client:
        results = await run_all(client, [{**JOB, "extra": nested(900)}, *jobs(2)])
    assert sorted(result.ok for result in results.values()) == [False, True, True]
    assert len(service.posted_at) == 2


@for_each(
    ("params", "place"),
    [
        ({"prompt": "a \ud83d"}, "prompt"),
        ({"extra": [{"deep": "\udfff"}]}, "extra[0].deep"),
        ({"extra": {"\ud800": 1}}, r"extra.\ud800"),
    ],
)
def test_half_a_surrogate_is_blamed_on_the_text_that_has_it(params: dict[str, Any], place: str) -> None:
    problems = check(VideoJob(**{**JOB, **params}, id="a"), load_catalog()).problems
    assert [problem.field for problem in problems] == [place]
    assert "surrogate" in str(problems[0])


def test_a_template_of_more_than_a_million_jobs_is_refused_before_the_first_is_made() -> None:
    with pytest.raises(UsageError, match=r"1,100,000 combinations; at most 1,000,000"):
        next(expand({"matrix": {"a": list(range(1000)), "b": list(range(1100))}}))
    with pytest.raises(UsageError, match="more than 10"):
        next(expand({"matrix": {f"axis{number}": list(range(10)) for number in range(200)}}))


def test_choices_with_a_huge_number_among_them_are_listed_and_not_counted_through() -> None:
    assert Param("integer", choices=(0, 1, 2, 200_000_000_000_000)).expected() == "one of 0, 1, 2, 200000000000000"
    assert Param("integer", choices=(3, 4, 5, 6)).expected() == "a whole number from 3 to 6"
