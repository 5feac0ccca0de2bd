"""References to other jobs' clips are held against what a parameter takes."""

from __future__ import annotations

from typing import Any

from aimlvideo.core.catalog.references import _reference_problems
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.shell.state.catalog_cache import known_catalog
from tests.fakes import MODEL


def problems(**params: Any) -> list[str]:
    model = known_catalog().find(MODEL)
    assert model is not None
    return [str(problem) for problem in _reference_problems(VideoJob(MODEL, **params), model)]


def test_a_whole_clip_where_a_picture_is_taken_is_a_problem_by_whatever_name_the_parameter_is_called() -> None:
    for name in ("image_url", "image", "startImage"):
        (problem,) = problems(**{name: {"from": "a"}})
        assert "a reference to image" in problem
        assert "a whole clip" in problem
        assert 'add "frame": "last"' in problem
        assert not problems(**{name: {"from": "a", "frame": "last"}})


def test_a_parameter_that_takes_no_media_is_left_to_the_check_against_the_catalogue() -> None:
    assert not problems(prompt={"from": "a"})
