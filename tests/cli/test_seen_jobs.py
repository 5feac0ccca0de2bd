"""What is remembered of a file's jobs, for a million of them in little memory."""

from __future__ import annotations

import tracemalloc

from aimlvideo.cli.seen_jobs import SeenJobs


def test_a_job_is_known_by_where_it_stood_first() -> None:
    seen = SeenJobs()
    places = ["jobs.csv:2", "jobs.csv:3", "Sheet1", "row " + "9" * 30]
    assert [seen.place(f"job {place}", place) for place in places] == [None] * 4
    assert [seen.place(f"job {place}", "elsewhere:1") for place in places] == places


def test_only_what_can_be_sent_can_be_referred_to_and_has_a_length() -> None:
    seen = SeenJobs()
    seen.place("wrong", "a:1")
    seen.place("right", "a:2")
    seen.accept("right", "a:2", 5.0)
    seen.accept("unnamed", "a:3", None)
    assert [name in seen for name in ("wrong", "right", "unnamed", "other")] == [False, True, True, False]
    assert [seen.seconds(name) for name in ("wrong", "right", "unnamed", "other")] == [None, 5.0, None, None]


def test_a_job_takes_at_most_170_bytes() -> None:
    tracemalloc.start()
    try:
        seen = SeenJobs()
        for number in range(20_000):
            seen.place(f"job-{number}", f"jobs.jsonl:{number}")
            seen.accept(f"job-{number}", f"jobs.jsonl:{number}", 5.0)
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size / 20_000 < 170
