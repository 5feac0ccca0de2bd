"""The poll policy: its figures in virtual time, and what holds whatever it has seen."""

from __future__ import annotations

import json
from bisect import bisect_right
from itertools import accumulate
from math import exp, log, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimlvideo.core.polling.hazard import EDGES, PiecewiseHazard
from aimlvideo.core.polling.policy import FixedPolls, LearnedPolls, _NextPoll, knowledge_key
from tests.cases import for_each, one_in
from tests.core.duration_models import PUBLISHED, best_cost, lognormal_left, lognormal_times, watch
from tests.work import lines_run

SEEDS = range(3)
MANY_SEEDS = range(100, 108)


def ratio(median: float, sigma: float, first: int, last: int, make=LearnedPolls, *, seeds=SEEDS) -> float:
    """J of the policy against the optimum, over the seeds, for the jobs from `first` to `last`."""
    ours = best = 0.0
    for seed in seeds:
        times = lognormal_times(seed, last, median, sigma)
        ours += watch(make(), times).cost(first)
        best += best_cost(times[first:], median, sigma)
    return ours / best


@one_in(3, "sigma", [0.35, 0.2, 0.6])
def test_learned_from_nothing_it_comes_within_six_percent_of_the_optimum(sigma):
    assert ratio(127, sigma, 28, 240) <= 1.06


@one_in(3, "sigma", [0.35, 0.2, 0.6])
def test_the_first_jobs_cost_no_more_than_asking_every_15_s(sigma):
    every_15_s = ratio(127, sigma, 0, 28, FixedPolls, seeds=MANY_SEEDS)
    assert ratio(127, sigma, 0, 28, seeds=MANY_SEEDS) <= every_15_s


@one_in(3, "wrong", [1 / 4, 4, 1 / 100])
def test_published_percentiles_that_are_wrong_do_not_cost_more_than_asking_every_15_s(wrong):
    told = {share: seconds * wrong for share, seconds in PUBLISHED.items()}
    every_15_s = ratio(127, 0.35, 0, 28, FixedPolls)
    assert ratio(127, 0.35, 0, 28, lambda: LearnedPolls(published=told)) <= every_15_s


def test_published_percentiles_that_are_right_help_the_first_jobs():
    told = ratio(127, 0.35, 0, 16, lambda: LearnedPolls(published=PUBLISHED), seeds=MANY_SEEDS)
    assert told < ratio(127, 0.35, 0, 16, seeds=MANY_SEEDS)


@one_in(3, "sigma", [0.35, 0.2, 0.6])
def test_where_the_law_is_known_the_looks_are_within_two_percent_of_the_optimum(sigma):
    left = lognormal_left(127, sigma)
    law = PiecewiseHazard.of(left)
    looks, last, polls, lag = _NextPoll(law, 0.5), 0.0, 0.0, 0.0
    while left(last) > 1e-5:
        look = max(looks.after(last), last + 1)
        steps = [last + (look - last) * (k + 0.5) / 20 for k in range(20)]
        polls += left(last)
        lag += sum(left(last) - left(age) for age in steps) * (look - last) / 20
        last = look
    times = [law.quantile((k + 0.5) / 2000) for k in range(2000)]
    assert lag + 0.5 * polls <= 1.02 * best_cost(times, 127, sigma)


@one_in(2, ("factor", "at_first", "then"), [(2.0, 1.30, 1.10), (0.5, 1.40, 1.08)])
def test_durations_that_change_are_followed(factor, at_first, then):
    near = far = best_near = best_far = 0.0
    for seed in range(4):
        times = lognormal_times(seed, 250, 127, 0.35)
        times[150:] = [factor * seconds for seconds in times[150:]]
        seen = watch(LearnedPolls(), times)
        near, far = near + seen.cost(150, 190), far + seen.cost(190)
        best_near += best_cost(times[150:190], 127 * factor, 0.35)
        best_far += best_cost(times[190:], 127 * factor, 0.35)
    assert near / best_near <= at_first
    assert far / best_far <= then


def test_three_hundred_at_once_teach_by_still_running():
    times = lognormal_times(1, 300, 127, 0.35)
    assert watch(LearnedPolls(), times, at_a_time=300).cost() <= 1.3 * best_cost(times, 127, 0.35)


def test_four_times_the_price_asks_half_as_often():
    times = lognormal_times(3, 400, 127, 0.35)
    usual, dear = watch(LearnedPolls(price=0.5), times), watch(LearnedPolls(price=2.0), times)
    assert 0.45 <= sum(dear.polls[100:]) / sum(usual.polls[100:]) <= 0.60


def test_a_price_set_from_outside_counts_at_once():
    policy = LearnedPolls()
    watch(policy, lognormal_times(1, 60, 127, 0.35))
    before = policy.next_poll(120.0) - 120.0
    policy.price = 2.0
    assert policy.next_poll(120.0) - 120.0 > 1.5 * before


def test_the_same_seed_gives_the_same_trace():
    times = lognormal_times(5, 60, 127, 0.6)
    assert watch(LearnedPolls(), times).looks == watch(LearnedPolls(), times).looks


def test_one_that_is_stuck_is_asked_for_ever_and_ever_more_rarely():
    policy = LearnedPolls()
    watch(policy, lognormal_times(2, 100, 34, 0.2))
    age, gaps = 0.0, []
    for _ in range(3000):
        following = policy.next_poll(age)
        policy.observe(age, following, False)
        gaps.append(following - age)
        age = following
    assert age > 100_000
    assert max(gaps) <= 600
    assert all(gap <= max(30, at / 20) + 1e-6 for gap, at in zip(gaps[50:], _ages(gaps)[50:], strict=True))
    assert gaps[-1] > gaps[20]


def _ages(gaps: list[float]) -> list[float]:
    ages = [0.0]
    for gap in gaps[:-1]:
        ages.append(ages[-1] + gap)
    return ages


def two_kinds(price: float) -> LearnedPolls:
    """A policy that saw most end within seconds, and the others after more than an hour."""
    policy = LearnedPolls(price)
    for number in range(80):
        last = 4000.0 if number % 8 == 0 else 0.0
        policy.observe(0.0, last, False)
        policy.observe(last, last + 5.0, True)
    return policy


def test_far_out_the_gap_is_bounded_by_half_a_minute_or_a_twentieth_of_the_age():
    assert two_kinds(0.5).next_poll(100.0) == pytest.approx(130.0)
    assert two_kinds(0.5).next_poll(1000.0) == pytest.approx(1050.0)
    assert two_kinds(2.0).next_poll(100.0) == pytest.approx(160.0)


def test_while_little_is_known_nothing_sleeps_longer_than_15_s():
    policy = LearnedPolls(published={0.5: 1000.0, 0.9: 1200.0})
    for _ in range(5):
        assert policy.next_poll(0.0) == 15.0
        policy.observe(0.0, 900.0, False)
        policy.observe(900.0, 1000.0, True)
    assert policy.next_poll(0.0) > 100.0


@given(
    looks=st.lists(st.tuples(st.floats(0, 2e4), st.floats(0, 5e3), st.booleans()), max_size=40),
    price=st.sampled_from([0.01, 0.5, 4.0, 100.0]),
    ages=st.lists(st.floats(0, 1e6), min_size=1, max_size=10),
)
def test_never_a_gap_under_one_second_nor_over_ten_minutes_whatever_was_seen(looks, price, ages):
    policy = LearnedPolls(price=price)
    for lo, length, done in looks:
        policy.observe(lo, lo + length, done)
    for age in ages:
        assert 1 <= policy.next_poll(age) - age <= 600
    assert 0 < policy.quantile(0.5) < policy.quantile(0.9) < policy.quantile(0.99) < float("inf")


def test_remembered_looks_are_those_computed_exactly():
    law = PiecewiseHazard.of(lognormal_left(127, 0.35))
    looks = _NextPoll(law, 0.5)
    for age in range(0, 400, 7):
        assert looks.after(float(age)) == pytest.approx(looks.exact(float(age)), abs=0.25)


@for_each("price", [0.1, 0.5, 5.0])
def test_under_a_constant_hazard_the_gap_is_the_one_of_the_formula(price):
    hazard = 1 / 60
    looks = _NextPoll(PiecewiseHazard.of(lambda age: exp(-hazard * age)), price)
    gap = log(1 + sqrt(2 * price * hazard) + price * hazard / 2) / hazard
    assert [looks.exact(age) - age for age in (0.0, 33.3, 500.0)] == pytest.approx([gap] * 3, rel=1e-6)


def two_waves(age: float) -> float:
    return 0.5 * lognormal_left(60, 0.1)(age) + 0.5 * lognormal_left(120, 0.1)(age)


@one_in(
    3,
    ("law", "price", "last"),
    [
        (lognormal_left(127, 0.35), 0.5, 90.0),
        (two_waves, 2.0, 70.0),
        (two_waves, 10.0, 0.0),
        (two_waves, 40.0, 62.0),
    ],
)
def test_a_look_is_where_the_cost_is_least(law, price, last):
    law = PiecewiseHazard.of(law)
    looks = _NextPoll(law, price)

    step = 0.1
    starts = [last + number * step for number in range(round((600 - last) / step))]
    left = [law.survival(start + step / 2) for start in starts]
    lags = [0.0, *accumulate((law.survival(last) - one) * step for one in left)]
    hazards = [law.hazards[bisect_right(EDGES, start + step / 2) - 1] for start in starts]
    aheads = [0.0, *accumulate(hazard**0.5 * one * step for hazard, one in zip(hazards, left, strict=True))]

    def cost(look: float) -> float:
        before = sum(start < look for start in starts)
        ahead = aheads[-1] - aheads[before]
        return lags[before] + (2 * price) ** 0.5 * ahead + price * law.survival(look) / 2

    best = looks.exact(last)
    least = cost(best) - 1e-3 * (1 + price)
    assert all(
        least <= cost(best + off) for off in (-60, -30, -10.0, -3.0, -1.0, 1.0, 3.0, 10.0, 30, 60) if off > last - best
    )


def test_what_was_learned_survives_being_written_as_json():
    policy = LearnedPolls()
    watch(policy, lognormal_times(1, 80, 127, 0.35))
    written = json.dumps(policy.to_state())
    again = LearnedPolls.from_state(json.loads(written))
    assert len(written) < 4000
    assert again.quantile(0.5) == pytest.approx(policy.quantile(0.5), rel=0.02)
    assert again.next_poll(100.0) == pytest.approx(policy.next_poll(100.0), rel=0.02)


def test_the_next_poll_of_one_of_very_many_is_looked_up_in_a_few_lines():
    policy = LearnedPolls()
    watch(policy, lognormal_times(1, 60, 127, 0.35))
    ages = [float(age) for age in range(300)]
    first = lines_run(lambda: [policy.next_poll(age) for age in ages])
    assert first < 300 * len(ages), "what is looked up is made once"
    assert max(lines_run(lambda age=age: policy.next_poll(age)) for age in ages) < 40


def test_a_fixed_interval_is_what_it_says():
    policy = FixedPolls(every=15)
    policy.observe(0.0, 15.0, True)
    assert [policy.next_poll(age) for age in (0.0, 15.0, 31.5)] == [15.0, 30.0, 46.5]


def test_the_setting_is_read():
    assert FixedPolls.parse("learned") is None
    fixed = FixedPolls.parse("every:20")
    assert fixed is not None
    assert fixed.next_poll(10.0) == 30.0


@for_each("text", ["", "every", "every:", "every:0", "every:-3", "every:inf", "every:nan", "often", "learned:3"])
def test_a_setting_that_makes_no_sense_is_refused_by_name(text):
    with pytest.raises(ValueError, match="'every:SECONDS'"):
        FixedPolls.parse(text)


def test_knowledge_is_kept_by_model_duration_and_resolution():
    assert knowledge_key("m", {"duration": 5, "resolution": "720p", "prompt": "x"}) == "m duration=5 resolution=720p"
    assert knowledge_key("m", {"prompt": "x", "duration": None}) == "m"
    assert knowledge_key("m", {"duration": "5"}) == knowledge_key("m", {"duration": 5})
