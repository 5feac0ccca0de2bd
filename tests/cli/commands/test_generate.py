"""Which parameter each picture of `generate` becomes: a clip of another picture than was meant would be paid."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from aimlvideo.cli.commands.generate import _placed
from aimlvideo.errors import UsageError
from tests.cases import for_each


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
