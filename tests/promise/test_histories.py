"""Histories that once broke the promise, found by the machine and made small: each with the moments of its kill."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.promise import folder_commands
from tests.promise.machine import NO_EVENTS, Promise

FOUR = dict.fromkeys("abcd", "waves")
QUIET: dict[str, Any] = {**NO_EVENTS, "limit": None, "agreed": True, "retry_failed": False}
FILE: dict[str, Any] = {**QUIET, "file": "jobs.jsonl", "own_ids": False, "chained": False}
ANSWERS: dict[str, Any] = {"says_date": True, "offset": 0.0, "says_cost": False, "download": 0.0, "proxy": False}


@pytest.fixture
def history() -> Iterator[Promise]:
    machine = Promise()
    machine.begin(seconds=5.0, gateway="", rows=7, strangers=0, offset=0.0, download=0.0)
    yield machine
    machine.teardown()


@pytest.mark.parametrize("kill_at", [67, 73, 79])
def test_a_lost_answer_is_not_bought_again_where_this_machine_s_clock_and_the_service_s_date_both_jumped(
    history: Promise, kill_at: int
) -> None:
    history.let_an_agent_buy(**NO_EVENTS, jobs={"a": "waves"}, limit=0.25, stays=60.0)
    history.run_a_file(**{**FILE, "jobs": FOUR, "faults": ["lost"], "clock_step": (0.5, 3600.0), "kill_at": kill_at})
    history.change_what_answers_say(**{**ANSWERS, "offset": 660.0})
    # By chance the machine seems to have run for as long, as another one may to which all was copied.
    history.world.start_machine(history.world.now + 660.0)
    history.resume_the_folder(**QUIET)


@pytest.mark.parametrize("kill_at", [67, 73, 79])
def test_a_lost_answer_is_not_bought_again_where_a_proxy_on_this_machine_tells_the_date_and_its_clock_was_set(
    history: Promise, kill_at: int
) -> None:
    history.world.service.seconds = 300.0
    history.change_what_answers_say(**{**ANSWERS, "proxy": True})
    history.let_an_agent_buy(**NO_EVENTS, jobs={"a": "waves"}, limit=0.25, stays=900.0)
    history.run_a_file(**{**FILE, "jobs": FOUR, "faults": ["lost"], "clock_step": (0.5, 3600.0), "kill_at": kill_at})
    history.resume_the_folder(**QUIET)


@pytest.mark.parametrize("stops_at", [48, 52, 56])
def test_a_lost_answer_is_not_bought_again_where_the_machine_stood_still_before_it_was_sent(
    history: Promise, stops_at: int
) -> None:
    history.world.service.seconds = 300.0
    history.let_an_agent_buy(**NO_EVENTS, jobs={"a": "waves"}, limit=0.25, stays=900.0)
    how = {"jobs": FOUR, "faults": ["lost"], "stops_at": (stops_at, 7200.0), "kill_at": stops_at + 9}
    history.run_a_file(**{**FILE, **how})
    history.step_the_clock(0.0)
    history.resume_the_folder(**QUIET)


def test_a_lost_answer_is_not_bought_again_where_all_was_copied_to_a_machine_that_runs_for_longer(
    history: Promise,
) -> None:
    history.world.service.seconds = 300.0
    history.let_an_agent_buy(**NO_EVENTS, jobs={"a": "waves"}, limit=0.25, stays=900.0)
    how = {"jobs": FOUR, "faults": ["lost"], "stops_at": (None, 7200.0), "interrupt_at": 3.0}
    history.run_a_file(**{**FILE, **how})
    history.go_on_with_another_machine(uptime=1e6, offset=0.0)
    history.resume_the_folder(**QUIET)


def test_a_row_without_our_id_may_be_the_lost_submission_though_its_moment_is_before_what_a_proxy_s_date_said(
    history: Promise,
) -> None:
    how: dict[str, Any] = {"interrupt_at": 3.0, "offset": None, "proxy": False, "seconds": 0.0, "stops_at": None}
    how |= {"clock_step": None, "uptime": None, "other": NO_EVENTS}
    history.change_the_log(rows=2, strangers=0, delay=0.0, offset=0.0, ids="missing")
    history.lose_an_answer_and_resume_by_other_clocks(**how, date_offset=660.0)
    history.lose_an_answer_and_resume_by_other_clocks(**how, date_offset=0.0)


def test_a_journal_is_rebuilt_by_a_log_that_is_read_also_where_a_proxy_s_date_is_behind(history: Promise) -> None:
    history.run_a_file(**{**FILE, "jobs": {"a": "waves"}})
    history.let_time_pass(5000.0)
    history.run_a_file(**{**FILE, "jobs": {"b": "waves"}})
    history.change_what_answers_say(**{**ANSWERS, "offset": -3600.0})
    history.lose_the_journal_recover_and_resume(lines_lost=1, kill_at=None, retry_failed=False, other=NO_EVENTS)
    history.run_a_file(**{**FILE, "jobs": {"a": "waves", "b": "waves"}})


def test_a_generation_that_only_the_log_has_is_fetched_where_the_job_s_line_tells_of_an_earlier_one_that_failed(
    history: Promise,
) -> None:
    history.run_a_file(**{**FILE, "jobs": {"b": "waves"}})
    history.let_the_next_generation_fail()
    history.run_a_file(**{**FILE, "jobs": {"a": "waves"}})
    history.run_a_file(**{**FILE, "jobs": {"a": "waves"}, "retry_failed": True})
    history.lose_the_journal_recover_and_resume(lines_lost=1, kill_at=None, retry_failed=False, other=NO_EVENTS)
    history.run_a_file(**{**FILE, "jobs": {"a": "waves", "b": "waves"}, "retry_failed": True})


def test_to_wait_for_a_generation_buys_nothing_that_is_planned_in_the_folder(history: Promise) -> None:
    history.run_a_file(**{**FILE, "jobs": FOUR, "limit": 0.5})
    how: dict[str, Any] = {"count": 1, "fails": False, "adopts": False, "seconds": 700.0, "other": NO_EVENTS}
    history.take_generations_from_elsewhere(**how)
    assert history.world.endings["exit 0"] == 1


def test_an_older_journal_is_refused_also_where_the_job_had_failed_in_it_and_was_bought_since(history: Promise) -> None:
    history.let_the_next_generation_fail()
    history.run_a_file(**{**FILE, "jobs": {"a": "waves"}})
    how: dict[str, Any] = {"seconds": 0.0, "retry_failed": True, "first": NO_EVENTS, "second": NO_EVENTS}
    history.run_put_an_older_journal_back_and_run_again(jobs={"a": "waves"}, **how)
    assert history.world.endings == {"exit 1": 1, "exit 0": 1, "exit 2": 1}


def test_a_run_that_is_refused_takes_no_rebuilt_journal_away_that_has_only_what_the_log_had(history: Promise) -> None:
    history.run_a_file(**{**FILE, "jobs": {"a": "waves"}})
    history.lose_the_journal_recover_and_resume(lines_lost=1, kill_at=None, retry_failed=False, other=NO_EVENTS)
    history.change_the_balance(0.1)
    history.run_a_file(**{**FILE, "jobs": {"a": "waves", "b": "waves"}})
    history.change_the_balance(10.0)
    history.run_a_file(**{**FILE, "jobs": {"a": "waves", "b": "waves"}})


def test_a_lost_generation_that_was_adopted_is_not_bought_again_for_its_job_where_the_log_has_no_id_of_it(
    history: Promise,
) -> None:
    history.change_the_log(rows=7, strangers=0, delay=0.0, offset=0.0, ids="missing")
    history.run_a_file(**{**FILE, "jobs": {"a": "waves"}})
    history.run_a_file(**{**FILE, "jobs": {"b": "waves"}, "faults": ["lost"], "interrupt_at": 3.0})
    how: dict[str, Any] = {"count": 0, "fails": False, "adopts": True, "seconds": 700.0, "other": NO_EVENTS}
    history.take_generations_from_elsewhere(**how)
    history.resume_the_folder(**QUIET)
    assert history.world.endings["exit 3"] == 2


def test_what_an_attempt_was_charged_that_failed_is_in_what_reconcile_says(history: Promise) -> None:
    history.let_the_next_generation_fail(billed=True)
    history.run_a_file(**{**FILE, "jobs": {"a": "waves"}})
    history.run_a_file(**{**FILE, "jobs": {"a": "waves"}, "retry_failed": True})
    history.reconcile(key="key-1")


def test_an_older_journal_is_refused_also_where_the_results_have_no_more_lines_than_it(history: Promise) -> None:
    history.let_the_next_generation_fail()
    history.run_a_file(**{**FILE, "jobs": {"a": "waves"}})
    older = folder_commands.copy_journal(history.world)
    retry = {**FILE, "jobs": {"a": "waves"}, "retry_failed": True}
    for _ in range(2):  # the second one writes the results anew: one line, as the older journal has one job
        history.run_a_file(**retry)
    folder_commands.run_with_an_older_journal(history.world, older, lambda: history.run_a_file(**retry))
    assert history.world.endings == {"exit 1": 1, "exit 0": 2, "exit 2": 1}


def test_an_older_journal_is_refused_also_where_clips_are_gone_that_it_has(history: Promise) -> None:
    history.run_a_file(**{**FILE, "jobs": {"a": "waves", "b": "waves", "c": "waves"}})
    history.remove_files(count=2, results=False)
    how: dict[str, Any] = {"seconds": 0.0, "retry_failed": False, "first": NO_EVENTS, "second": NO_EVENTS}
    history.run_put_an_older_journal_back_and_run_again(jobs={"d": "waves"}, **how)
    assert history.world.endings["exit 2"] == 1


def test_a_refused_run_leaves_the_empty_journal_of_a_folder_whose_results_would_say_that_it_is_missing(
    history: Promise,
) -> None:
    history.change_the_price(listed=False, price=0.1)
    history.let_an_agent_buy(**NO_EVENTS, jobs={"a": "waves"}, limit=0.25, stays=0.0)
    history.change_the_balance(0.1)
    history.run_a_file(**{**FILE, "jobs": FOUR, "limit": 0.5})
    history.change_the_balance(10.0)
    history.change_the_price(listed=True, price=0.25)
    history.run_a_file(**{**FILE, "jobs": FOUR})
    assert history.world.endings == {"exit 3": 1, "exit 2": 1, "exit 0": 1}


@pytest.mark.parametrize("gateway", ["", "finds ids"])
def test_a_doubt_is_not_settled_as_another_job_s_generation_or_one_of_an_earlier_submission(gateway: str) -> None:
    history = Promise()
    history.begin(seconds=5.0, gateway=gateway, rows=7, strangers=0, offset=0.0, download=0.0)
    history.let_the_next_generation_fail()
    history.run_a_file(**{**FILE, "jobs": FOUR})
    how = {"jobs": {"a": "waves"}, "faults": ["lost"], "interrupt_at": 3.0, "retry_failed": True}
    history.run_a_file(**{**FILE, **how})
    history.let_time_pass(700.0)
    wrong = folder_commands.surely_wrong(history.world, history.world.journal_of().records["a"], "key-1")
    assert wrong == ["gen-0", "gen-1", "gen-2", "gen-3", None]
    settle: dict[str, Any] = {"kill_at": None, "agreed": True, "retry_failed": False, "mistakes": 5}
    history.settle_doubts_by_hand_and_resume(**settle, lost_before=None, other=NO_EVENTS)
    assert history.world.endings["exit 0"] == 1
    history.teardown()


def test_what_a_rebuilt_journal_has_of_the_log_is_not_bought_again_after_its_id_stood_for_another_model(
    history: Promise,
) -> None:
    history.run_a_file(**{**FILE, "jobs": {"a": "waves", "d": "waves"}})
    history.lose_the_journal_recover_and_resume(lines_lost=1, kill_at=None, retry_failed=False, other=NO_EVENTS)
    two: dict[str, Any] = {"first": {"d": "hills"}, "second": {"a": "waves"}, "limit": 0.1, "other_limit": 0.1}
    history.run_two_at_once(**NO_EVENTS, **two, intruder=False)
    history.run_a_file(**{**FILE, "jobs": {"d": "waves"}})
