"""A doubt is settled by what the log says, and by nothing else."""

from __future__ import annotations

import pytest

from aimlvideo.core.lost_submissions import LEAST_SETTLE, Outcome, next_lookup_after, outcome_of, settle_seconds
from aimlvideo.core.money.ledger import LogRow

WON = LogRow("av-1", "gen-1", True, 0.0)
LOST = LogRow("av-1", "gen-2", False, 0.0, failed=True, cost_usd=0.0)
BILLED = LogRow("av-1", "gen-3", False, 0.0, failed=True, cost_usd=0.2)
RUNNING = LogRow("av-1", "gen-4", False, 0.0)
NAMELESS = LogRow("av-1", None, True, 0.0)


@pytest.mark.parametrize(
    ("rows", "age", "said", "generation"),
    [
        ([WON], 1, Outcome.ACCEPTED, "gen-1"),
        ([LOST, WON], 1, Outcome.ACCEPTED, "gen-1"),
        ([NAMELESS, WON], 1, Outcome.ACCEPTED, "gen-1"),
        ([LOST], 1, Outcome.NOT_BILLED, None),
        ([LOST, LOST], 700, Outcome.NOT_BILLED, None),
        ([], 600, Outcome.OPEN, None),
        ([], 601, Outcome.NEVER_ACCEPTED, None),
        ([NAMELESS], 1, Outcome.OPEN, None),
        ([NAMELESS], 601, Outcome.LEFT, None),
        ([RUNNING], 601, Outcome.LEFT, None),
        ([LOST, RUNNING], 1, Outcome.OPEN, None),
        ([BILLED], 1, Outcome.OPEN, None),
        ([BILLED], 601, Outcome.LEFT, None),
    ],
)
def test_only_what_surely_was_not_bought_may_be_sent_again(
    rows: list[LogRow], age: float, said: Outcome, generation: str | None
) -> None:
    assert outcome_of(rows, age, settle=600) == (said, generation)


@pytest.mark.parametrize(("p99", "seconds"), [(None, 600), (0, 600), (100, 600), (200, 600), (500, 1500)])
def test_an_absence_proves_something_after_three_times_the_slowest_and_never_before_ten_minutes(
    p99: float | None, seconds: float
) -> None:
    assert settle_seconds(p99) == seconds >= LEAST_SETTLE


def test_a_doubt_is_looked_at_often_at_first_and_every_15_seconds_at_most() -> None:
    gaps = [next_lookup_after(age, 600) for age in (0, 1, 4, 30, 60, 600, 6000)]
    assert gaps == [0.5, 0.5, 1.0, 7.5, 15.0, 15.0, 15.0]
    assert next_lookup_after(100, 10) == 0.5
