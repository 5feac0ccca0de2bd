"""A job that takes what another job makes."""

from __future__ import annotations

from typing import Any

import pytest

from aimlvideo.core.jobs.chains import (
    Reference,
    chain_problems,
    clip_seconds,
    parents,
    references,
    with_references,
)
from aimlvideo.core.jobs.job import VideoJob
from tests.cases import for_each


def shot(name: str, *sources: str) -> VideoJob:
    return VideoJob("m", id=name, image_list=[{"from": source, "frame": "last"} for source in sources])


@for_each(
    ("value", "reference"),
    [
        ({"from": "a", "frame": "last"}, Reference("a", "last")),
        ({"from": "a", "frame": "first"}, Reference("a", "first")),
        ({"from": "a", "frame": 2}, Reference("a", 2.0)),
        ({"from": "a"}, Reference("a")),
        ("https://x.test/a.png", None),
        ({"image": "a.png"}, None),
        (None, None),
    ],
)
def test_a_reference_is_told_from_other_values(value: Any, reference: Reference | None) -> None:
    assert [found for _, found in references({"given": value})] == ([reference] if reference else [])


@for_each(
    "value",
    [
        {"from": 5}, {"from": ""}, {"from": "a", "farme": "last"}, {"from": "a", "frame": "middle"},
        {"from": "a", "frame": True}, {"from": "a", "frame": -1}, {"from": "a", "frame": float("nan")},
        {"from": "a", "frame": ["last"]}, {"from": "\ud800"}, {"from": "a\0"},
    ],
)  # fmt: skip
def test_a_reference_that_is_written_wrongly_is_no_other_value(value: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        list(references({"given": value}))


def test_references_are_found_and_replaced_where_they_stand() -> None:
    params = {
        "prompt": "x",
        "image_url": {"from": "a", "frame": "last"},
        "images": ["b.png", {"from": "c", "frame": 1}],
        "elements": [{"name": "x", "pictures": [{"from": "d", "frame": "first"}]}],
    }
    assert dict(references(params)) == {
        "image_url": Reference("a", "last"),
        "images[1]": Reference("c", 1.0),
        "elements[0].pictures[0]": Reference("d", "first"),
    }
    assert parents(VideoJob("m", **params)) == {"a", "c", "d"}
    replaced = with_references(params, lambda reference: f"{reference.job_id}.png")
    assert replaced == {
        "prompt": "x",
        "image_url": "a.png",
        "images": ["b.png", "c.png"],
        "elements": [{"name": "x", "pictures": ["d.png"]}],
    }


def test_unknown_ids_and_circles_are_found_before_anything_is_bought() -> None:
    jobs = [shot("a"), shot("b", "a", "z"), shot("c", "d"), shot("d", "c"), shot("e", "e"), shot("f", "old")]
    problems = [(problem.job, problem.got) for problem in chain_problems(jobs, lambda name: name == "old")]
    assert problems[0] == ("b", "'z'")
    assert len(problems) == 2
    assert "->" in problems[1][1]


def test_a_right_chain_has_no_problem() -> None:
    assert list(chain_problems([shot("c", "b"), shot("b", "a"), shot("a")])) == []


@for_each(("duration", "late"), [(5, True), ("5", True), ("5s", True), (10, False), ("auto", False)])
def test_a_second_that_a_parent_s_clip_will_not_have_is_found_before_anything_is_bought(
    duration: Any, late: bool
) -> None:
    parent = VideoJob("m", id="a", duration=duration)
    child = VideoJob("m", id="b", image_url={"from": "a", "frame": 7}, tail_image_url={"from": "a", "frame": "last"})
    problems = [str(problem) for problem in chain_problems([parent, child], seconds={"a": clip_seconds(parent)}.get)]
    expected = ["job 'b': image_url: a second within the clip of 'a', which lasts 5 s, got 7"]
    assert problems == (expected if late else [])


@for_each("parent", ["pictures/a.png", "pictures/first", "a.mp4", "https://x.test/a.png"])
def test_a_file_in_the_place_of_an_id_is_told_how_files_are_written(parent: str) -> None:
    [problem] = chain_problems([shot("b", parent)])
    assert problem.hint == 'a file or a link stands there as it is, without "from"'


def test_an_id_that_is_only_mistyped_is_no_file() -> None:
    [problem] = chain_problems([shot("b", "shto-1")])
    assert problem.hint == ""
