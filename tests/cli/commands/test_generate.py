"""Which parameter each picture of `generate` becomes: a clip of another picture than was meant would be paid."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aimlvideo.cli.commands.generate import _check_output, _cost_of, _placed
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.result import Result
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.errors import UsageError
from tests.cases import for_each


@for_each(
    ("cost", "said"),
    [
        ({"cost_usd": 0.5}, "0.50 USD"),
        ({"cost_units": 3.5}, "3.5 of the service's units"),
        ({"cost_usd": 0.5, "cost_units": 3.5}, "0.50 USD"),
        ({}, "cost unknown"),
    ],
)
def test_what_a_clip_cost_is_said_in_dollars_else_in_units_else_that_nobody_says(
    cost: dict[str, float], said: str
) -> None:
    assert _cost_of(Result(VideoJob("m", id="a"), Stage.SAVED, **cost)) == said  # type: ignore[arg-type]


def placed(params: str, pictures: str) -> dict[str, Any]:
    model: Any = SimpleNamespace(id="m", params=dict.fromkeys(params.split()))
    return _placed(model, pictures.split())


@for_each(
    ("params", "pictures", "sent"),
    [
        ("prompt", "", {}),
        ("image_url", "a", {"image_url": "a"}),
        ("image_list", "a", {"image_list": ["a"]}),
        ("image_list", "a b c", {"image_list": ["a", "b", "c"]}),
        ("image_urls", "a", {"image_urls": ["a"]}),
        ("image_url image_list", "a", {"image_url": "a"}),
        ("image_url image_list", "a b", {"image_list": ["a", "b"]}),
        ("image_url tail_image_url", "a b", {"image_url": "a", "tail_image_url": "b"}),
    ],
)
def test_pictures_go_where_the_model_takes_as_many(params: str, pictures: str, sent: dict[str, Any]) -> None:
    assert placed(params, pictures) == sent


@for_each(
    ("params", "pictures", "words"),
    [
        ("prompt", "a", "m takes no pictures"),
        ("image_url", "a b", r"m takes 1 picture\(s\)"),
        ("image_url tail_image_url", "a b c", r"m takes 2 picture\(s\)"),
    ],
)
def test_pictures_that_a_model_does_not_take_are_refused(params: str, pictures: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        placed(params, pictures)


def test_a_name_that_is_too_long_for_its_folder_is_refused_before_anything_is_bought(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "pathconf", lambda *_: 143)
    with pytest.raises(UsageError, match="is too long: expected at most 88 bytes"):
        _check_output(tmp_path / f"{'fox' * 30}.mp4")
    _check_output(tmp_path / "fox.mp4")
