"""The counters of a run, and what is made of them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from aimlvideo.core.eta import Durations
from aimlvideo.core.formatting import (
    format_seconds,
    format_units,
    format_usd,
    pluralize,
    redact_for_display,
    strip_signatures,
)
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.run_stats import RunStats
from aimlvideo.errors import GenerationFailed
from aimlvideo.views.snapshot import RunSnapshot
from tests.cases import for_each

JOB = VideoJob("m", id="a")
SENT = Progress(Stage.SUBMITTING, submitted_at=1.0)
RENDERING = Progress(Stage.RENDERING, submitted_at=2.0)


def test_a_job_is_in_one_stage_at_a_time() -> None:
    tally = RunStats()
    tally.job_entered(JOB, Progress())
    steps = [Progress(), SENT, RENDERING, Progress(Stage.READY, submitted_at=2.0, completed_at=9.0, cost_usd=0.5)]
    for before, now in pairwise(steps):
        tally.moved(JOB, before, now)
        assert {stage: count for stage, count in tally.stages.items() if count} == {now.stage: 1}
    assert tally.dollars == 0.5
    assert tally.of(JOB).outstanding == tally.of(JOB).planned == 0
    assert list(tally.of(JOB).seconds) == [7.0]


def test_a_price_is_counted_once_however_often_the_clip_is_fetched() -> None:
    tally = RunStats()
    ready = Progress(Stage.READY, submitted_at=2.0, completed_at=9.0, cost_usd=0.5)
    tally.moved(JOB, RENDERING, ready)
    tally.moved(JOB, ready, ready)
    assert tally.dollars == 0.5


def test_what_was_charged_in_the_service_s_own_units_is_counted_once_and_said() -> None:
    tally, ready = RunStats(), Progress(Stage.READY, completed_at=9.0, cost_units=2.5)
    for before in (RENDERING, ready, RENDERING):
        tally.moved(JOB, before, ready)
    assert (tally.dollars, tally.units) == (0.0, 5.0)
    snapshot = RunSnapshot({}, 0, 0.0, 0.0, 0.0, None, (), "", spent_units=tally.units)
    assert snapshot.money() == "5 of the service's units spent"
    assert snapshot._replace(spent=1.5).money() == "1.50 USD and 5 of the service's units spent"


def test_what_is_outstanding_is_committed_at_the_price_of_those_before() -> None:
    tally = RunStats()
    tally.job_entered(VideoJob("m", id="b"), RENDERING)
    assert tally.committed() == 0.0
    tally.moved(JOB, RENDERING, Progress(Stage.READY, completed_at=9.0, cost_usd=0.5))
    tally.job_entered(VideoJob("m", id="c"), RENDERING)
    assert tally.committed() == pytest.approx(0.5)


def test_a_clip_that_is_paid_and_asked_for_again_is_no_longer_committed() -> None:
    tally = RunStats(price=lambda _: 0.25)
    again = Progress(Stage.RENDERING, generation_id="g", video_url="https://example.com/dead")
    tally.job_entered(VideoJob("m", id="other"), RENDERING)
    tally.job_entered(VideoJob("m", id="tried again"), again)
    assert tally.committed() == 0.25
    tally.job_entered(JOB, RENDERING)
    ready, doubt = again.to(Stage.READY), Progress(Stage.IN_DOUBT, submitted_at=1.0)
    for before, now in pairwise((RENDERING, ready, again, doubt, RENDERING, ready, ready.to(Stage.SAVED))):
        tally.moved(JOB, before, now)
        assert tally.committed() == (0.5 if now in (doubt, RENDERING) else 0.25)


def test_a_failure_that_cost_nothing_makes_what_is_outstanding_no_cheaper() -> None:
    tally = RunStats()
    for name, cost in (("a", 0.5), ("c", 0.0)):
        tally.job_entered(VideoJob("m", id=name), RENDERING)
        ended = Progress(Stage.READY if cost else Stage.FAILED, completed_at=9.0, cost_usd=cost)
        tally.moved(VideoJob("m", id=name), RENDERING, ended)
    tally.job_entered(VideoJob("m", id="b"), RENDERING)
    assert tally.committed() == pytest.approx(0.5)


def test_clips_whose_cost_nobody_said_are_counted_and_not_taken_for_nothing() -> None:
    tally, ready = RunStats(), Progress(Stage.READY, completed_at=9.0)
    for before, now in pairwise((RENDERING, ready, RENDERING, ready, ready.to(Stage.SAVED))):
        tally.moved(JOB, before, now)
    tally.moved(JOB, RENDERING, ready._replace(cost_units=1.0))
    tally.moved(JOB, RENDERING, Progress(Stage.FAILED))
    snapshot = RunSnapshot({}, 0, 0.0, 0.0, 0.25, None, (), "", unknown=tally.unknown)
    assert snapshot.money() == "0.00 USD spent (1 of unknown cost), 0.25 USD committed"


def test_what_was_expected_of_durations_fades_as_the_run_sees_more() -> None:
    assert RunStats().of(JOB).durations() is None
    told = RunStats(lambda _: Durations(50.0, 80.0))
    medians = [law.p50 for law in durations_after(told, [10.0] * 64)]
    assert medians[0] == pytest.approx(50.0)
    assert all(after < before < 1.5 * after for before, after in pairwise(medians))
    assert medians[-1] == pytest.approx(10.0, rel=0.15)
    unknown = RunStats().of(JOB)
    unknown.seconds.extend([10.0] * 4)
    assert unknown.durations() == Durations(pytest.approx(10.0), pytest.approx(10.0))


def durations_after(stats: RunStats, seconds: list[float]) -> Iterator[Durations]:
    """Give what a run takes its model's durations for, before and after each of these."""
    for value in seconds:
        law = stats.of(JOB).durations()
        assert law is not None
        yield law
        stats.of(JOB).seconds.append(value)


def test_the_last_failures_are_remembered() -> None:
    tally = RunStats()
    for name in "abcde":
        job = VideoJob("m", id=name)
        tally.moved(job, RENDERING, Progress(Stage.FAILED, error=GenerationFailed(f"no {name}")))
    assert list(tally.failures) == [("c", "no c"), ("d", "no d"), ("e", "no e")]


@for_each("cells", [10, 37, 100])
@for_each(
    "stages", [{Stage.SAVED: 1}, {Stage.SAVED: 9999, Stage.FAILED: 1}, {Stage.PLANNED: 5, Stage.RENDERING: 5}, {}]
)
def test_a_bar_is_full_and_hides_nobody(stages: dict[Stage, int], cells: int) -> None:
    snapshot = RunSnapshot(stages, None, 0.0, 0.0, 0.0, eta=None, failures=(), waiting_for="")
    cells_of = snapshot.shares(cells)
    assert sum(cells_of.values()) == cells
    assert all(cells_of[stage] >= 1 for stage in stages)


@for_each(
    ("amount", "said"),
    [(0.04, "0.0 s"), (8.44, "8.4 s"), (59, "59 s"), (60, "1 min"), (125, "2 min 5 s"), (1500, "25 min"),
     (12_000, "3 h 20 min"), (3600, "1 h"), (200_000, "55 h")],
)  # fmt: skip
def test_time_spans_are_said_in_two_units_at_most(amount: float, said: str) -> None:
    assert format_seconds(amount) == said


@for_each(
    ("amount", "said"), [(0.56, "0.56"), (5.0, "5"), (100.0, "100"), (123456.75, "123,456.75"), (2e6, "2,000,000")]
)
def test_units_are_said_with_all_their_digits(amount: float, said: str) -> None:
    assert format_units(amount) == said


def test_what_rounding_leaves_of_nothing_is_nothing() -> None:
    assert [format_usd(amount) for amount in (-1e-17, 0.0, -0.5, 1234.567)] == [
        "0.00 USD", "0.00 USD", "-0.50 USD", "1,234.57 USD",
    ]  # fmt: skip


def test_texts_lose_signatures_keys_and_control_characters() -> None:
    assert strip_signatures("see https://a.example/x.mp4?Signature=abc&x=1 now") == "see https://a.example/x.mp4?… now"
    assert strip_signatures('"api_key": "abcdefgh12345678"') == '"api_key": "…"'
    assert strip_signatures("BEARER abc123def456, Api-Key=abcdefgh, ap\u0131key=abcdefgh") == (
        "BEARER …, Api-Key=…, ap\u0131key=…"
    )
    assert strip_signatures("dsn postgres://user:secret@host/db") == "dsn postgres://…@host/db"
    assert redact_for_display("a\x1b[31mb\nc") == "a [31mb c"
    assert len(redact_for_display("x" * 999)) == 300
    assert pluralize(1, "clip") + pluralize(1200, "clip") == "1 clip1,200 clips"


def test_a_clip_that_waits_for_its_download_is_not_called_saved() -> None:
    stages = {Stage.SAVED: 1, Stage.READY: 2}
    snapshot = RunSnapshot(stages, 3, 0.0, 0.0, 0.0, eta=None, failures=(), waiting_for="")
    assert snapshot.line().startswith("3 of 3 ready or saved; ")


@for_each(
    ("values", "said"),
    [
        ({}, "0.00 USD spent"),
        ({"pace": 9.96}, "0.00 USD spent · 10.0 a minute"),
        (
            {"pace": 10.4, "waiting_for": "waiting for 1 download"},
            "0.00 USD spent · 10 a minute · waiting for 1 download",
        ),
        ({"eta": (60.0, 90.0)}, "0.00 USD spent · about 1 min left (up to 1 min 30 s)"),
        (
            {"pace": 2.0, "eta": (60.0, 90.0), "total": None, "committed": 0.5},
            "0.00 USD spent, 0.50 USD committed · 2.0 a minute · "
            "about 1 min left for those read so far (up to 1 min 30 s)",
        ),
    ],
)
def test_what_is_spent_how_fast_it_goes_and_when_it_ends_is_said_in_one_line(values: dict[str, Any], said: str) -> None:
    empty = RunSnapshot({}, 0, 0.0, 0.0, 0.0, eta=None, failures=(), waiting_for="")
    assert empty._replace(**values).brief() == said
