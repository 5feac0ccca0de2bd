"""Chance that can be repeated, and laws of processing time."""

from __future__ import annotations

import pytest

from aimlvideo.sandbox.seeded_random import Dice
from aimlvideo.sandbox.timing import parse_law
from tests.cases import for_each


def test_dice_answer_the_same_question_the_same_way_and_others_otherwise() -> None:
    dice = Dice(1, "job")
    assert dice.roll("a") == Dice(1, "job").roll("a")
    assert len({dice.roll("a"), dice.roll("b"), Dice(2, "job").roll("a"), Dice(1, "other").roll("a")}) == 4


def test_things_happen_as_often_as_they_should() -> None:
    happened = sum(Dice(1, f"job-{number}").happens("a", 0.3) for number in range(4000))
    assert happened == pytest.approx(1200, abs=90)
    assert not any(Dice(1, f"job-{number}").happens("a", 0.0) for number in range(100))
    assert all(Dice(1, f"job-{number}").happens("a", 1.0) for number in range(100))


@for_each(
    ("seconds", "shares"),
    [
        (12, {0.1: 12, 0.9: 12}),
        ("127", {0.5: 127}),
        ("lognormal:127,0.35", {0.5: 127, 0.8413: 127 * 1.419}),
        ("uniform:10,60", {0.1: 15, 0.5: 35}),
        ("documented", {0.5: 186}),
    ],
)
def test_a_law_has_these_quantiles(seconds: float | str, shares: dict[float, float]) -> None:
    for share, expected in shares.items():
        assert parse_law(seconds).quantile(share, 186) == pytest.approx(expected, rel=0.01)


@for_each(
    "seconds", ["nan", "inf", float("nan"), "lognormal:nan,1", "lognormal:9,inf", "uniform:9,1", "-1", "gauss:1,2"]
)
def test_what_is_no_law_is_refused(seconds: float | str) -> None:
    with pytest.raises(ValueError, match="seconds is a number, "):
        parse_law(seconds)


def test_an_undocumented_model_takes_two_minutes() -> None:
    assert parse_law("documented").quantile(0.5, None) == 120
