"""What is learned from looks: nothing is lost, nothing is counted twice, and the unseen is not believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimlvideo.core.polling.hazard import EDGES, AgeHistogram, PiecewiseHazard
from aimlvideo.core.polling.latency import FADE, Latency, _prior_from, _uninformed_prior
from tests.cases import for_each
from tests.core.duration_models import PUBLISHED, lognormal_times

AGES = st.floats(0, 20_000)
LENGTHS = st.floats(0.01, 2_000)


def see(latency: Latency, lo: float, hi: float) -> None:
    """One generation, seen running at age `lo` and ended at age `hi`."""
    latency.survived(0.0, lo)
    latency.ended(lo, hi)


@given(AGES, LENGTHS)
def test_running_on_counts_every_second_and_no_ending(lo, length):
    latency = Latency()
    latency.survived(lo, lo + length)
    assert sum(latency.evidence.exposure) == pytest.approx(length, rel=1e-6)
    assert sum(latency.evidence.events) == 0


@given(AGES, LENGTHS)
def test_one_ending_is_one_event_within_its_looks_and_no_more_seconds_than_were_lived(lo, length):
    latency = Latency()
    latency.ended(lo, lo + length)
    evidence = latency.evidence
    assert sum(evidence.events) == pytest.approx(1.0)
    assert -1e-6 <= sum(evidence.exposure) <= length * (1 + 1e-6)
    touched = [i for i, events in enumerate(evidence.events) if events > 0]
    assert EDGES[touched[0]] <= lo + length
    assert EDGES[touched[-1] + 1 if touched[-1] + 1 < len(EDGES) else -1] >= min(lo, EDGES[-1])


def test_an_ending_is_placed_where_the_law_expects_it():
    latency = Latency()
    for seconds in lognormal_times(1, 100, 127, 0.1):
        latency.survived(0.0, seconds - 0.5)
        latency.ended(seconds - 0.5, seconds + 0.5)
    before = AgeHistogram(latency.evidence.events).times(FADE)
    latency.ended(1.0, 1000.0)
    gained = [b - a for a, b in zip(before.events, latency.evidence.events, strict=True)]
    near = sum(x for x, edge in zip(gained, EDGES, strict=True) if 80 < edge < 180)
    assert sum(gained) == pytest.approx(1.0)
    assert near > 0.8


def test_earlier_evidence_fades_with_each_ending():
    latency = Latency()
    for _ in range(1000):
        see(latency, 100.0, 110.0)
    assert sum(latency.evidence.events) == pytest.approx(100, rel=0.01)


def test_looks_far_apart_teach_the_same_median_as_looks_close_together():
    def median(gap: float) -> float:
        latency = Latency()
        for seconds in lognormal_times(4, 300, 127, 0.35):
            lo = gap * (seconds // gap)
            latency.survived(0.0, lo)
            latency.ended(lo, lo + gap)
        return latency.law.quantile(0.5)

    assert median(40.0) == pytest.approx(median(1.0), rel=0.06)
    assert median(1.0) == pytest.approx(127, rel=0.06)


def test_those_that_still_run_count_too():
    latency = Latency()
    for _ in range(50):
        latency.survived(0.0, 400.0)
    assert latency.endings == 0
    assert latency.law.quantile(0.5) > 400


def test_endings_in_a_row_that_nobody_expected_begin_the_knowledge_anew():
    latency = Latency()
    for seconds in lognormal_times(2, 100, 127, 0.2):
        see(latency, seconds - 3, seconds + 3)
    known = sum(latency.evidence.events)
    see(latency, 30.0, 32.0)
    assert sum(latency.evidence.events) > 0.95 * known
    see(latency, 30.0, 32.0)
    assert sum(latency.evidence.events) < 0.35 * known
    assert latency.endings > 90
    see(latency, 30.0, 32.0)
    assert sum(latency.evidence.events) < 0.15 * known
    assert latency.endings == 1


def test_one_odd_ending_among_others_changes_nothing():
    latency = Latency()
    for seconds in lognormal_times(2, 100, 127, 0.2):
        see(latency, seconds - 3, seconds + 3)
    known = sum(latency.evidence.events)
    for _ in range(5):
        see(latency, 30.0, 32.0)
        see(latency, 125.0, 130.0)
        see(latency, 400.0, 410.0)
    assert sum(latency.evidence.events) > 0.95 * known


def test_the_published_median_is_believed_at_first():
    assert Latency(PUBLISHED).law.quantile(0.5) == pytest.approx(127, rel=0.15)
    assert Latency(documented=60.0).law.quantile(0.5) == pytest.approx(60, rel=0.25)


@for_each("published", [{0.5: 2.0, 0.9: 3.0}, {0.9: 175.0}, {}, {0.5: float("nan")}, {0.5: -1.0}, None])
def test_what_cannot_be_the_duration_of_a_video_is_not_believed(published):
    assert sum(_prior_from(published, None).events) == 0
    assert sum(_prior_from(published, 60.0).events) == pytest.approx(2.0)


@for_each("published", [{0.5: 127.0}, {0.5: 127.0, 0.9: 127.0}, {0.5: 127.0, 0.9: 20.0, 2.0: 9.0}])
def test_odd_percentiles_still_make_a_law(published):
    assert 20 < Latency(published).law.quantile(0.5) < 300


def test_percentiles_far_apart_are_believed_up_to_a_factor_of_thirteen():
    spread = Latency({0.5: 60.0, 0.9: 1e7}).law
    usual = Latency({0.5: 60.0, 0.9: 60.0 * 13}).law
    assert spread.quantile(0.9) == pytest.approx(usual.quantile(0.9), rel=0.05)


def test_half_a_generation_is_assumed_of_an_unknown_model():
    assert sum(_uninformed_prior().events) == pytest.approx(0.5)


def test_the_law_is_not_made_anew_by_every_look():
    latency = Latency()
    for seconds in lognormal_times(3, 100, 127, 0.35):
        see(latency, seconds - 5, seconds + 5)
    made = set()
    for seconds in lognormal_times(4, 80, 127, 0.35):
        see(latency, seconds - 5, seconds + 5)
        made.add(id(latency.law))
    assert len(made) <= 20


def test_evidence_is_smoothed_over_five_bins():
    single = AgeHistogram()
    single.add(50, 9.0, 90.0)
    assert single.smooth().events[47:54] == [0.0, 1.0, 2.0, 3.0, 2.0, 1.0, 0.0]
    assert sum(single.smooth().exposure) == pytest.approx(90.0)


def test_knowledge_of_two_writers_is_joined_and_counted_once():
    one, two = Latency(), Latency()
    for _ in range(10):
        see(one, 100.0, 110.0)
    first = one.merged_state()
    one.restart_from(first)
    two.restart_from(first)
    for _ in range(5):
        see(two, 100.0, 110.0)
        see(one, 100.0, 110.0)
    second = one.merged_state(first)
    third = two.merged_state(second)
    assert sum(third["events"].values()) == pytest.approx(20, rel=0.1)
    one.restart_from(second)
    assert sum(one.merged_state(third)["events"].values()) == pytest.approx(sum(third["events"].values()), rel=1e-3)


def test_what_others_wrote_fades_with_what_came_in_here():
    one, two = Latency(), Latency()
    for _ in range(100):
        see(one, 100.0, 110.0)
        see(two, 100.0, 110.0)
    assert sum(two.merged_state(one.merged_state())["events"].values()) == pytest.approx(63.4 + 0.366 * 63.4, rel=0.01)


@for_each(
    "state",
    [{}, {"events": {}}, {"events": {"900": 1.0}, "exposure": {}}, {"events": {"1": -1.0}, "exposure": {}},
     {"events": {"x": 1.0}, "exposure": {}}, {"events": {"1": float("nan")}, "exposure": {}},
     {"events": {"1": "one"}, "exposure": {}}],
)  # fmt: skip
def test_a_damaged_state_is_refused(state):
    with pytest.raises((ValueError, KeyError, TypeError)):
        Latency().restart_from(state)


def test_a_law_says_the_share_and_the_age_of_it():
    law = PiecewiseHazard.of(lambda age: 2.0 ** (-age / 60))
    assert law.survival(60.0) == pytest.approx(0.5, rel=1e-6)
    assert law.quantile(0.75) == pytest.approx(120.0, rel=1e-6)
    assert law.quantile(0.0) == 0.0
