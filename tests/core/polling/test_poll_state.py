"""Queued and generating told apart: from when the age of a generation counts."""

from __future__ import annotations

import pytest

from aimlvideo.core.jobs.progress import Progress
from aimlvideo.core.polling.policy import FixedPolls, LearnedPolls, PollState
from tests.core.duration_models import lognormal_times, watch


def informed() -> LearnedPolls:
    policy = LearnedPolls()
    watch(policy, lognormal_times(1, 100, 120, 0.2))
    return policy


class Notes(FixedPolls):
    """A fixed interval that keeps what it was told."""

    def __init__(self) -> None:
        super().__init__(every=15)
        self.told: list[tuple[float, float, bool]] = []

    def observe(self, lo: float, hi: float, done: bool) -> None:
        self.told.append((lo, hi, done))


def test_never_seen_queued_its_age_counts_from_acceptance():
    notes = Notes()
    sight = PollState(1000.0, 1000.0).still_running(1030.0, False, notes)
    sight.ended(1060.0, notes)
    assert sight == (1000.0, 1030.0, False)
    assert notes.told == [(0.0, 30.0, False), (30.0, 60.0, True)]


def test_queued_and_then_generating_it_counts_from_the_middle_between():
    notes = Notes()
    queued = PollState(1000.0, 1000.0, True).still_running(1050.0, True, notes)
    assert notes.told == []
    generating = queued.still_running(1070.0, False, notes)
    assert generating.running_since == 1060.0
    generating.ended(1100.0, notes)
    assert notes.told == [(0.0, 10.0, False), (10.0, 40.0, True)]


def test_one_that_ended_unseen_since_it_was_queued_took_no_longer_than_since_then():
    notes = Notes()
    PollState(1000.0, 1000.0, True).still_running(1050.0, True, notes).ended(1080.0, notes)
    assert notes.told == [(0.0, 30.0, True)]


def test_a_queued_one_is_asked_for_every_half_median():
    policy = informed()
    assert PollState(0.0, 500.0, True).due(policy) == pytest.approx(560, abs=8)
    assert PollState(0.0, 500.0, True).due(LearnedPolls()) == 515.0
    assert PollState(0.0, 500.0, True).due(FixedPolls(20)) == 520.0


def test_a_generating_one_is_asked_for_by_its_age():
    policy = informed()
    assert PollState(1000.0, 1000.0).due(policy) == 1000.0 + policy.next_poll(0.0)
    assert PollState(1000.0, 1120.0).due(policy) == 1000.0 + policy.next_poll(120.0)


def test_the_first_64_looks_at_a_generation_are_remembered_and_which_of_them_found_it_queued():
    progress = Progress()
    for number in range(100):
        progress = progress._replace(poll_ages=progress.poll_ages_with(number + 0.5, queued=number < 2))
    assert progress.ages_at_polls == (-0.5, -1.5, *(number + 0.5 for number in range(2, 64)))
