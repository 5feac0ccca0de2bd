"""A doubt is settled by what the log says, and by nothing else."""

from __future__ import annotations

import pytest

from aimlvideo.core.catalog.catalog import Catalog, load_catalog
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress, Record
from aimlvideo.core.jobs.request_ids import Intent, account_fingerprint
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.lost_submissions import (
    LEAST_SETTLE,
    WINDOW_MARGIN,
    Outcome,
    Search,
    may_be_submission,
    next_lookup_after,
    settle_seconds,
    settled_by_hand,
)
from aimlvideo.core.money.account import LogRow
from aimlvideo.errors import UsageError
from tests.cases import for_each

WON = LogRow("av-1", "gen-1", True, 0.0)
LOST = LogRow("av-1", "gen-2", False, 0.0, failed=True, cost_usd=0.0)
BILLED = LogRow("av-1", "gen-3", False, 0.0, failed=True, cost_usd=0.2)
COST_UNKNOWN = LogRow("av-1", "gen-5", False, 0.0, failed=True)
RUNNING = LogRow("av-1", "gen-4", False, 0.0)
NAMELESS = LogRow("av-1", None, True, 0.0)


@for_each(
    ("rows", "age", "said", "generation"),
    [
        ([WON], 1, Outcome.ACCEPTED, "gen-1"),
        ([LOST, WON], 1, Outcome.ACCEPTED, "gen-1"),
        ([NAMELESS, WON], 1, Outcome.ACCEPTED, "gen-1"),
        ([LOST], 600, Outcome.OPEN, None),
        ([LOST], 601, Outcome.NOT_BILLED, None),
        ([LOST, LOST], 700, Outcome.NOT_BILLED, None),
        ([], 600, Outcome.OPEN, None),
        ([], 601, Outcome.NEVER_ACCEPTED, None),
        ([NAMELESS], 1, Outcome.OPEN, None),
        ([NAMELESS], 601, Outcome.UNRESOLVED, None),
        ([RUNNING], 601, Outcome.UNRESOLVED, None),
        ([COST_UNKNOWN], 601, Outcome.UNRESOLVED, None),
        ([LOST, RUNNING], 1, Outcome.OPEN, None),
        ([BILLED], 1, Outcome.OPEN, None),
        ([BILLED], 601, Outcome.UNRESOLVED, None),
    ],
)
def test_only_what_surely_was_not_bought_may_be_sent_again(
    rows: list[LogRow], age: float, said: Outcome, generation: str | None
) -> None:
    assert Outcome.of(rows, age, settle=600) == (said, generation)


@for_each(
    ("rows", "said"),
    [([LOST], Outcome.UNRESOLVED), ([], Outcome.UNRESOLVED), ([LOST, WON], Outcome.ACCEPTED)],
)
def test_a_log_that_was_not_read_to_its_end_proves_no_absence(rows: list[LogRow], said: Outcome) -> None:
    assert Outcome.of(rows, 601, 600, "cut", complete=False)[0] is said


SENT_AT = 500_000.0
ENTRY = load_catalog()._raw["kling-video/v1.6/pro/image-to-video"]
MODELS = Catalog({"kling/v1": {**ENTRY, "aliases": ["kling/one"]}, "kling/v2": ENTRY})


@for_each(
    ("model", "created_at", "sent_at", "may_be_it"),
    [
        ("kling/V1", SENT_AT + 1, SENT_AT, True),
        ("", SENT_AT + 1, SENT_AT, True),
        ("another", SENT_AT + 1, SENT_AT, False),
        ("another", SENT_AT - 1000, SENT_AT, False),
        ("kling/V1", SENT_AT - 26 * 3600, SENT_AT, True),
        ("kling/V1", SENT_AT - 26 * 3600 - 1, SENT_AT, False),
        ("kling/V1", 0.0, SENT_AT, True),
        ("kling/V1", 1.0, None, True),
    ],
)
def test_a_row_without_an_id_may_be_a_submission_of_its_model_that_is_no_later_than_the_row(
    model: str, created_at: float, sent_at: float | None, may_be_it: bool
) -> None:
    row = LogRow(None, "gen-1", True, created_at, model)
    assert may_be_submission(row, VideoJob("kling/v1"), Intent("key", sent_at), MODELS) is may_be_it


@for_each(
    ("model", "listed", "may_be_it"),
    [
        ("kling/one", "kling/v1", True),
        ("kling/v1", "kling/one", True),
        ("kling/one", "kling/v2", False),
        ("kling/v1", "chat", False),
        ("not in the catalog", "kling/v1", True),
    ],
)
def test_the_log_may_have_a_submission_under_another_name_of_its_model(
    model: str, listed: str, may_be_it: bool
) -> None:
    row = LogRow(None, "gen-1", True, SENT_AT + 1, listed)
    assert may_be_submission(row, VideoJob(model), Intent("key", SENT_AT), MODELS) is may_be_it


@for_each(("p99", "seconds"), [(None, 600), (0, 600), (100, 600), (200, 600), (500, 1500)])
def test_an_absence_proves_something_after_three_times_the_slowest_and_never_before_ten_minutes(
    p99: float | None, seconds: float
) -> None:
    assert settle_seconds(p99) == seconds >= LEAST_SETTLE


def test_a_doubt_is_looked_at_often_at_first_and_every_15_seconds_at_most() -> None:
    gaps = [next_lookup_after(age, 600) for age in (0, 1, 4, 30, 60, 600, 6000)]
    assert gaps == [0.5, 0.5, 1.0, 7.5, 15.0, 15.0, 15.0]
    assert next_lookup_after(100, 10) == 0.5
    assert next_lookup_after(5000, 3000) == 15


SENT = 1_800_000_000.0
INTENT = Intent("0123abcd", SENT)
SEARCH = Search("0123abcd", SENT - WINDOW_MARGIN, SENT + WINDOW_MARGIN)


def test_an_absence_counts_where_the_submission_was_surely_looked_for() -> None:
    assert SEARCH.gap(INTENT) is None


@for_each(
    ("intent", "search", "reason"),
    [
        (Intent("ffffffff", SENT), SEARCH, "another API key or to another base URL"),
        (Intent(None, SENT), SEARCH, "an earlier release"),
        (Intent("0123abcd", None), SEARCH, "clock is not known"),
        (INTENT, SEARCH._replace(clock_known=False), "clock is not known"),
        (INTENT, SEARCH._replace(complete=False), "not be read to its end"),
        (INTENT, SEARCH._replace(since=SENT - 1), "does not reach that far"),
        (INTENT, SEARCH._replace(until=SENT + 1), "does not reach that far"),
        (INTENT, SEARCH._replace(lists_our_ids=False), "not shown one request of ours"),
        (INTENT._replace(denials=1), SEARCH, "lost twice"),
    ],
)
def test_an_absence_proves_nothing_where_anything_is_missing(intent: Intent, search: Search, reason: str) -> None:
    gap = search.gap(intent)
    assert gap is not None
    assert reason in gap
    assert Outcome.of([], 601, 600, gap) == (Outcome.UNRESOLVED, None)
    assert Outcome.of([WON], 1, 600, gap) == (Outcome.ACCEPTED, "gen-1"), "what is listed is listed"


def test_time_has_passed_as_watched_or_by_the_service_s_clock() -> None:
    assert INTENT.seconds_since(watched=5, service_now=None) == 5
    assert INTENT.seconds_since(watched=5, service_now=SENT + 900) == 900
    assert INTENT.seconds_since(watched=5, service_now=SENT + 900, passed_here=60) == 60
    assert INTENT.seconds_since(watched=5, service_now=SENT + 900, passed_here=-3600) == 5
    assert INTENT.seconds_since(watched=5, service_now=SENT + 900, passed_here=930) == 900
    assert INTENT.seconds_since(watched=5, service_now=SENT + 900, passed_here=3600) == 5, "a clock was set forward"
    assert INTENT.seconds_since(watched=5, service_now=SENT - 900) == 5
    assert Intent().seconds_since(watched=5, service_now=SENT + 900) == 5


def test_no_more_time_has_passed_than_the_machine_has_run_since() -> None:
    """Two clocks can be wrong together: this one counts no second for which the machine stood still."""
    intent = INTENT._replace(uptime=1000.0)
    assert intent.seconds_since(watched=5, service_now=SENT + 7200, passed_here=7200, uptime=1030.0) == 30
    assert intent.seconds_since(watched=50, service_now=SENT + 7200, passed_here=7200, uptime=1030.0) == 50
    assert intent.seconds_since(watched=5, service_now=SENT + 900, passed_here=900, uptime=1930.0) == 900
    assert intent.seconds_since(watched=5, service_now=SENT + 900, passed_here=900, uptime=9000.0) == 5, "another one"
    assert intent.seconds_since(watched=5, service_now=SENT + 900, passed_here=900, uptime=20.0) == 20, "started again"
    assert INTENT.seconds_since(watched=5, service_now=SENT + 900, passed_here=900, uptime=1030.0) == 900


@for_each(
    "intent",
    [INTENT, Intent("0123abcd", None, 1), INTENT._replace(denials=1, uptime=0.0), INTENT._replace(uptime=4e6)],
)
def test_a_request_id_says_with_which_key_and_when_it_was_sent(intent: Intent) -> None:
    assert Intent.of(intent.request_id(VideoJob("m", id="a"), "0a1b2c3d4e")) == intent


@for_each("request_id", [None, "", "av-0123456789ab-0a1b2c3d4e", "somebody-s"])
def test_ids_of_the_first_release_and_of_others_say_nothing(request_id: str | None) -> None:
    assert Intent.of(request_id) == Intent()
    assert Intent.of(request_id).earliest_moment(1e9) < 1e9 - 86400


def test_the_fingerprint_changes_with_key_and_base_url_and_shows_neither() -> None:
    ours = account_fingerprint("sk-secret", "https://api.example.com")
    others = {
        account_fingerprint("sk-other", "https://api.example.com"),
        account_fingerprint("sk-secret", "https://e.com"),
    }
    assert ours not in others
    assert "secret" not in ours


def test_a_person_settles_a_doubt_by_a_generation_that_was_adopted_and_not_by_another_job_s() -> None:
    doubt = Record(VideoJob("m", id="a"), Progress(Stage.IN_DOUBT, request_id="av-1"))
    adopted = Progress(Stage.SAVED, generation_id="gen-1").attempt
    assert settled_by_hand(doubt, "gen-1", [("gen-1", adopted)]).generation_id == "gen-1"
    with pytest.raises(UsageError, match="is that of job 'b' already"):
        settled_by_hand(doubt, "gen-1", [("b", adopted)])


@for_each(
    ("by_wall", "service_now", "uptime", "age"),
    [
        (43_000, None, 5_090, 90),  # set forward, by this machine's uptime
        (43_000, SENT + 90, 10, 90),  # by the service's clock, after a new start of the machine
        (43_000, None, 10, 43_000),  # nobody else can tell
        (80, SENT + 90, 5_090, 80),
        (80, SENT - 30, 5_090, 0),
        (-43_000, SENT + 95, 5_090, 90),  # set back
        (-43_000, None, 10, 0),
    ],
)
def test_a_submission_is_no_older_than_any_clock_says(
    by_wall: float, service_now: float | None, uptime: float, age: float
) -> None:
    assert INTENT._replace(uptime=5_000).age(by_wall, service_now, uptime) == age
