"""What an error says to a person."""

from __future__ import annotations

import builtins
import pickle
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

import aimlvideo
from aimlvideo import errors
from aimlvideo.errors import (
    Busy,
    GenerationFailed,
    InDoubt,
    InvalidJobs,
    LinkDead,
    NotAccepted,
    Problem,
    Rejected,
    Unavailable,
    VideoError,
)
from tests.cases import for_each


def slip(where: str, got: str = "7") -> Problem:
    return Problem("duration", "expected 5 or 10", got, job="", where=where)


def test_the_same_slip_in_forty_rows_is_one_line_with_their_ranges() -> None:
    problems = [slip(f"jobs.csv:{row}") for row in (*range(2, 41), 57, 60, 61)]
    assert str(InvalidJobs(problems)) == "jobs.csv:2-40, 57, 60-61: duration: expected 5 or 10, got 7"
    assert len(InvalidJobs(problems).problems) == 42


@for_each(
    ("places", "text"),
    [
        (["a:1"], "a:1"),
        (["a:1", "a:1"], "a:1"),
        (["a:3", "a:1"], "a:1, 3"),
        (["jobs.json: job 1", "jobs.json: job 2"], "jobs.json: job 1-2"),
        (["a:1", "b:1", "a:2"], "a:1-2; b:1"),
        (["", ""], ""),
        (["shots 2024:9", "shots 2024:10"], "shots 2024:9-10"),
    ],
)
def test_places_are_joined_into_ranges(places: list[str], text: str) -> None:
    [problem] = InvalidJobs([slip(place) for place in places]).causes()
    assert problem.where == text


def test_different_causes_stay_apart_in_the_order_in_which_they_were_found() -> None:
    found = InvalidJobs([slip("a:1"), slip("a:2", "8"), slip("a:3")]).causes()
    assert [(problem.where, problem.got) for problem in found] == [("a:1, 3", "7"), ("a:2", "8")]


@for_each(
    ("jobs", "text"),
    [
        ("a", "job 'a': duration: expected 5 or 10, got 7"),
        ("ab", "jobs 'a', 'b': duration: expected 5 or 10, got 7"),
        ("abcdefg", "jobs 'a', 'b', 'c', 'd', 'e' and 2 more: duration: expected 5 or 10, got 7"),
    ],
)
def test_jobs_of_which_nobody_knows_where_they_stand_are_named_by_their_ids(jobs: str, text: str) -> None:
    assert str(InvalidJobs([replace(slip(""), job=job) for job in jobs])) == text


def test_a_single_problem_keeps_the_name_of_its_job() -> None:
    [problem] = InvalidJobs([Problem("prompt", "required: text", "nothing", job="a", where="jobs.csv:2")]).causes()
    assert str(problem) == "jobs.csv:2: job 'a': prompt: required: text, got nothing"


@for_each(
    "error",
    [
        InvalidJobs([slip("a:1")]),
        Busy("too many", status=429, code=1303, request_id="r", retry_after=2.5, limit="rate"),
        Rejected("wrong", status=400),
        InDoubt("lost", request_id="r"),
        LinkDead("gone", retry_after=1.0),
        GenerationFailed("failed", generation_id="g"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_travels_between_processes_with_all_that_it_carries(error: VideoError) -> None:
    arrived = pickle.loads(pickle.dumps(error))
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert vars(arrived) == vars(error)


def drawn(error: type, prefix: str = "") -> Iterator[str]:
    """Give the drawing of the classes below one, in the order in which they are written down."""
    below = [one for one in error.__subclasses__() if one.__module__ == errors.__name__ and one.__bases__[0] is error]
    for one in below:
        last = one is below[-1]
        yield f"{prefix}{'└── ' if last else '├── '}{one.__name__}"
        yield from drawn(one, prefix + ("    " if last else "│   "))


def test_the_tree_of_errors_that_is_drawn_is_the_one_that_is() -> None:
    drawing = [line for line in (errors.__doc__ or "").splitlines() if "──" in line]
    assert [re.match(r"[│├└─ ]*\w+", line)[0] for line in drawing] == list(drawn(VideoError))  # type: ignore[index]
    assert all(re.search(r"\w  +\w", line) for line in drawing)


@pytest.mark.parametrize("error", [Busy, Unavailable])
def test_what_was_surely_not_accepted_is_caught_by_one_class(error: type[NotAccepted]) -> None:
    assert error.__bases__ == (NotAccepted,)
    assert error("later", retry_after=3.0).retry_after == 3.0


def test_every_error_can_be_imported_from_the_package() -> None:
    classes = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and value.__module__ == errors.__name__ and not name.startswith("_")
    }
    assert {name for name in classes if getattr(aimlvideo, name) is getattr(errors, name)} == classes
    assert classes <= set(aimlvideo.__all__)


RAISES = re.compile(r"\bRaises? ([^.]+)")
NAME = re.compile(r"\b[A-Z][a-z]+(?:[A-Z][a-z]+)*\b")


def public_docstrings() -> Iterator[tuple[str, str]]:
    for name in aimlvideo.__all__:
        value = getattr(aimlvideo, name)
        yield name, value.__doc__ or ""
        for part, member in vars(value).items() if isinstance(value, type) else ():
            if not part.startswith("_"):
                yield f"{name}.{part}", getattr(member, "__doc__", None) or ""


def test_every_error_that_a_public_docstring_names_can_be_imported_from_the_package() -> None:
    named = {
        (place, error)
        for place, text in public_docstrings()
        for raised in RAISES.findall(" ".join(text.split()))
        for error in NAME.findall(raised)
    }
    assert len(named) > 15
    importable = {name for name in (*aimlvideo.__all__, *dir(builtins)) if NAME.fullmatch(name)}
    assert sorted((place, error) for place, error in named if error not in importable) == []
