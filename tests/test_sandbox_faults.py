"""Every fault that the sandbox knows, on both wires: no clip is lost, none is bought twice, and what fails says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from aimlvideo import Stage, VideoClient
from aimlvideo.errors import GenerationFailed, Rejected
from aimlvideo.sandbox import Behaviour, Sandbox
from aimlvideo.sandbox.behaviour import HOSTILE, SHARES
from tests.cases import for_each, one_in
from tests.waiting import until

pytestmark = pytest.mark.own_sockets

JOBS = {
    "aimlapi": {
        "model": "kling-video/v1.6/pro/image-to-video",
        "prompt": "waves",
        "image_url": "https://example.com/a.png",
        "duration": 5,
    },
    "kling": {"model": "kling-v1-6", "prompt": "waves"},
}
COUNT = 2
CALM = Behaviour(seconds=0.1, video="tiny", retry_after=0, trickle_seconds=0.1)

Seen = Callable[[dict[str, Any]], object]
PASSING: dict[str, tuple[dict[str, Any], Seen]] = {
    "rate_limited": ({"rate_limited": 1.0}, lambda stats: stats["refusals"].get("rate limited")),
    "unavailable": ({"unavailable": 1.0}, lambda stats: stats["refusals"].get("unavailable")),
    "poll_rate_limited": ({"poll_rate_limited": 1.0}, lambda stats: stats["refusals"].get("checked too often")),
    "poll_error": ({"poll_error": 1.0}, lambda stats: stats["refusals"].get("check failed")),
    "poll_dropped": ({"poll_dropped": 1.0}, lambda stats: stats["polls_dropped"]),
    "appears_after": ({"appears_after": 60.0}, lambda stats: stats["refusals"].get("not found")),
    "max_concurrent": ({"max_concurrent": 1}, lambda stats: stats["refusals"].get("too many at once")),
    "max_rate": ({"max_rate": 1.0}, lambda stats: stats["refusals"].get("rate limited")),
    "unknown_status_words": ({"unknown_status_words": 1.0}, lambda stats: stats["polls_by_phase"].get("completed")),
    "kling_http_200": (
        {"kling_http_200": 1.0, "rate_limited": 1.0},
        lambda stats: stats["refusals"].get("rate limited"),
    ),
    "dead_link": ({"dead_link": 1.0}, lambda stats: stats["downloads"].get("refused")),
    "cut_download": ({"cut_download": 1.0}, lambda stats: stats["downloads"].get("cut")),
    "error_page": ({"error_page": 1.0}, lambda stats: stats["downloads"].get("error pages")),
    "slow_trickle": ({"slow_trickle": 1.0}, lambda stats: stats["downloads"].get("whole")),
    "error_after": ({"error_after": 1.0}, lambda stats: stats["answers_lost"].get("error")),
    "dropped": ({"dropped": 1.0}, lambda stats: stats["answers_lost"].get("dropped")),
    "queued_share": ({"queued_share": 1.0, "seconds": 2.0}, lambda stats: stats["polls_by_phase"].get("queued")),
    "latency": ({"latency": 0.05}, lambda stats: stats["polls"]),
    "log_delay": ({"log_delay": 0.3, "dropped": 1.0}, lambda stats: stats["answers_lost"].get("dropped")),
    "retry_after": ({"retry_after": None, "rate_limited": 1.0}, lambda stats: stats["refusals"].get("rate limited")),
    "odd_fields": ({"odd_fields": False}, lambda stats: stats["polls"]),
}
"""Faults that come and go, and how it is seen at the service that they came."""

ENDING: dict[str, tuple[dict[str, Any], Seen]] = {
    "status_error": ({"status_error": 1.0}, lambda stats: stats["ended"].get("error")),
    "moderation": (
        {"moderation": 1.0},
        lambda stats: stats["ended"].get("moderated") or stats["refusals"].get("moderated"),
    ),
}
"""Faults that fail the job."""


async def run(service: str, sandbox: Sandbox, folder: Path, seen: Seen) -> dict[str, Any]:
    """Run some jobs; when the fault has been seen at the service, it goes."""
    jobs = [{**JOBS[service], "id": f"job{number}"} for number in range(COUNT)]
    settings: dict[str, Any] = {"poll": "every:0.05", "rate": 500.0, "settle": 300.0}

    async def mend() -> None:
        await until(lambda: seen(sandbox.stats()), "the fault")
        sandbox.behaviour = CALM

    mending = asyncio.ensure_future(mend())
    async with VideoClient("key", sandbox.url, service, **settings) as client, asyncio.timeout(60):
        async with client.run(jobs, output=folder) as results:
            ended = {result.job.id: result async for result in results}
        mending.cancel()
    assert seen(sandbox.stats()), "the fault never came"
    assert sandbox.stats()["key_leaks"] == 0
    assert not list(folder.glob("*.part"))
    return ended


@one_in(7, ("fault", "service"), [(fault, service) for fault in PASSING for service in JOBS])
async def test_a_fault_that_comes_and_goes_fails_no_job_and_buys_nothing_twice(
    tmp_path: Path, fault: str, service: str
) -> None:
    knobs, seen = PASSING[fault]
    async with Sandbox(replace(CALM, **knobs), port=0) as sandbox:
        results = await run(service, sandbox, tmp_path, seen)
        assert {result.stage for result in results.values()} == {Stage.SAVED}
        assert sandbox.stats()["accepted"] == COUNT


@for_each(
    ("fault", "service"),
    [(fault, service) for fault in ENDING for service in JOBS],
)
async def test_what_fails_at_the_service_is_bought_once_and_says_why(tmp_path: Path, fault: str, service: str) -> None:
    knobs, seen = ENDING[fault]
    async with Sandbox(replace(CALM, **knobs), port=0) as sandbox:
        results = await run(service, sandbox, tmp_path, lambda stats: seen(stats) and stats["posts"] == COUNT)
        assert {result.stage for result in results.values()} == {Stage.FAILED}
        assert all(isinstance(result.error, GenerationFailed | Rejected) for result in results.values())
        assert all(str(result.error) and "no reason given" not in str(result.error) for result in results.values())
        assert sandbox.stats()["posts"] == COUNT
    assert not list(tmp_path.glob("*.mp4"))


async def test_a_task_that_found_no_slot_after_its_acceptance_is_planned_again(
    tmp_path: Path,
) -> None:
    async with Sandbox(replace(CALM, late_1303=1.0), port=0) as sandbox:
        results = await run("kling", sandbox, tmp_path, lambda stats: stats["ended"].get("overloaded"))
        assert {result.stage for result in results.values()} == {Stage.SAVED}
        assert sandbox.stats()["ended"]["completed"] == COUNT
        assert sandbox.stats()["posts"] > COUNT


@pytest.mark.parametrize("service", JOBS)
async def test_a_submission_that_failed_before_it_was_accepted_is_sent_again_once_that_is_sure(service: str) -> None:
    model, params = JOBS[service]["model"], {**JOBS[service]}
    del params["model"]
    async with Sandbox(CALM, port=0) as sandbox:
        async with VideoClient("key", sandbox.url, service, poll="every:0.05", settle=300.0) as client:
            await client.generate(model, **params)  # a gateway has to have shown that it finds tasks by our ids
            sandbox.behaviour = replace(CALM, error_before=1.0)
            async with asyncio.TaskGroup() as tasks:
                second = tasks.create_task(client.generate(model, **params))
                await until(lambda: sandbox.stats()["refusals"], "a refusal")
                sandbox.behaviour = CALM
            assert second.result().ok
        assert sandbox.stats()["refusals"]["error before"] == 1
        assert (sandbox.stats()["posts"], sandbox.stats()["accepted"]) == (3, 2)


def test_no_fault_of_the_sandbox_is_left_out() -> None:
    not_faults = {"seed", "seconds", "time_scale", "video", "trickle_seconds", "price", "kling_shape"}
    tested_elsewhere = {"error_before", "late_1303", "balance", "api_keys", "kling_external_query", "webhook_secret"}
    shapes = {name for name in (field.name for field in fields(Behaviour)) if name.startswith("kling_")}
    shapes |= {"several_clips", "odd_errors", "key_limit", "key_scopes", "deprecations"}
    assert {*PASSING, *ENDING, *HOSTILE, "error_before", "late_1303", "odd_errors", "several_clips"} >= set(SHARES)
    hostile = {*HOSTILE, "hostile_at"}
    names = {*PASSING, *ENDING, *not_faults, *tested_elsewhere, *shapes, *hostile}
    assert {field.name for field in fields(Behaviour)} == names
