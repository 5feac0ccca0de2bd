"""What the service last said of a generation, and when, is said and kept; a refusal of frequency is no failed check."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from aimlvideo.cli.run_summary import RunSummary
from aimlvideo.core.jobs.file_names import JOURNAL
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import ClipFile, Progress
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.wires.http import Answer
from aimlvideo.errors import OutOfPatience, Refused
from aimlvideo.shell.journal.sqlite import open_journal
from aimlvideo.shell.journal.sqlite_reader import read_journal
from aimlvideo.views.report.job_json import job_json
from tests.cases import for_each
from tests.fakes import GATEWAY_JOB, JOB, MODEL, FakeClient, FakeGateway, FakeService, answer, business_error

PARAMS = {"prompt": "waves", "image_url": "https://example.com/a.png"}


class Saying(FakeService):
    """Says one status word for as long as a generation is under way."""

    word = "generating"

    def _check(self, name: str) -> Answer:
        checked = super()._check(name)
        return answer(200, {"id": name, "status": self.word}) if b"generating" in checked.body else checked


class Mute(FakeService):
    """Answers no check."""

    def _check(self, name: str) -> Answer:
        return answer(500, {"message": "internal"})


async def stopped(path: Path, service: FakeService, timeout: float = 100) -> str:
    """Return why a run into a journal stopped waiting."""
    async with FakeClient(service, journal=path, timeout=timeout) as client:
        with pytest.raises(OutOfPatience) as caught:
            await client.generate(MODEL, id="a", **PARAMS)
    return str(caught.value)


async def test_what_was_heard_before_a_restart_is_said_after_it(tmp_path: Path, no_threads: None) -> None:
    path = tmp_path / JOURNAL
    service = Saying(seconds=10_000)
    assert "keeps running at the service, which said 'generating'" in await stopped(path, service)
    mute = Mute(seconds=10_000, accepted=service.accepted)
    said = await stopped(path, mute)
    assert "It keeps running at the service, which said 'generating'" in said
    assert "the last check failed" in said


async def test_a_crash_between_two_polls_loses_no_word(tmp_path: Path, no_threads: None) -> None:
    path = tmp_path / JOURNAL
    service = Saying(seconds=10_000)
    service.word = "sleeping"
    async with FakeClient(service, journal=path) as client:
        with anyio.move_on_after(60):
            await client.generate(MODEL, id="a", **PARAMS)
        with read_journal(path) as journal:
            record = journal.find("a")
    assert record is not None
    assert record.progress.status == "sleeping"
    assert record.progress.status_at is not None


async def test_that_it_keeps_running_is_said_only_where_the_service_said_so(tmp_path: Path, no_threads: None) -> None:
    unheard = await stopped(tmp_path / "1", Mute(seconds=10_000))
    assert "No check of it was answered with its status" in unheard
    odd = Saying(seconds=10_000)
    odd.word = "Pondering"
    unknown = await stopped(tmp_path / "2", odd)
    assert "was 'Pondering', which is not a known status" in unknown
    for text in (unheard, unknown):
        assert "keeps running" not in text


async def test_status_says_the_words_of_what_is_under_way_the_unknown_ones_first(tmp_path: Path) -> None:
    words = {"a": "generating", "b": "generating", "c": "Pondering", "d": None}
    async with open_journal(tmp_path / JOURNAL) as journal:
        for name, word in words.items():
            journal.plan(VideoJob("m", id=name))
            known = Progress(Stage.RENDERING, "r", f"g-{name}", status=word, status_at=1000.0 if word else None)
            journal.step(VideoJob("m", id=name), known)
        lines = list(RunSummary.of(journal, tmp_path).lines(now=1042.0))
    assert [line for line in lines if "last status" in line] == [
        "  last status 'Pondering', not a known status: 1 generation, heard 42 s ago",
        "  last status 'generating': 2 generations, heard 42 s ago",
    ]


def test_the_page_has_the_last_word_of_what_is_under_way_and_all_clips_of_what_is_saved() -> None:
    job, waiting = VideoJob("m", id="a"), Progress(Stage.RENDERING, "r", "g", status="queued", status_at=5.0)
    assert (job_json(job, waiting)["status"], job_json(job, waiting)["heard"]) == ("queued", 5.0)
    saved = waiting._replace(stage=Stage.SAVED, file="a.mp4", files=(ClipFile("a.mp4"), ClipFile("a-2.mp4")))
    shown = job_json(job, saved)
    assert shown["files"] == ["a.mp4", "a-2.mp4"]
    assert "status" not in shown


TOO_OFTEN = [
    answer(400, {"message": "Too many requests, please slow down"}),
    answer(403, {"message": "Rate limit exceeded for this key"}),
    answer(420, {"message": "request frequency limit"}),
    answer(429, {"message": "no"}),
    answer(200, {"code": 429, "message": "too many"}),
    answer(200, {"error": {"message": "QPS limit reached"}}),
    answer(200, {"success": False, "message": "请求过于频繁"}),
    answer(200, {"base_resp": {"status_code": 1002, "status_msg": "rate limit"}}),
]


@for_each("refusal", TOO_OFTEN, ids=lambda refusal: f"{refusal.status} {refusal.body[:40]!r}")
async def test_a_refusal_of_frequency_is_no_failed_check_however_it_is_worded(refusal: Answer) -> None:
    service = FakeService(seconds=60)
    service.checks.extend([refusal] * 11)
    async with FakeClient(service) as client, client.run([JOB]) as results:
        (await anext(results)).or_raise()
        assert results.stats.refused["polls"] == 11


@for_each("code", [1301, 1302, 1303])
@for_each("status", [200, 400, 429, 500])
async def test_a_gateway_s_rate_code_on_a_check_is_no_failed_check_under_any_http_status(
    code: int, status: int
) -> None:
    service = FakeGateway(seconds=60)
    service.checks.extend(business_error(code, "no", status) for _ in range(11))
    async with FakeClient(service, service="kling") as client, client.run([GATEWAY_JOB]) as results:
        video = (await anext(results)).or_raise()
        assert results.stats.refused["polls"] == 11
    assert (video.completed_at - video.submitted_at).total_seconds() < 250


@for_each("words", ["Too many requests", "rate limit exceeded", "请求过于频繁"])
async def test_a_gateway_that_says_too_often_in_words_only_is_not_asked_as_before(words: str) -> None:
    service = FakeGateway(seconds=60)
    service.checks.extend(answer(400, {"error": {"message": words, "type": "new_api_error"}}) for _ in range(11))
    async with FakeClient(service, service="kling") as client, client.run([GATEWAY_JOB]) as results:
        (await anext(results)).or_raise()
        assert results.stats.refused["polls"] == 11


async def test_a_key_that_a_gateway_no_longer_takes_is_said_and_nothing_new_is_bought(
    caplog: pytest.LogCaptureFixture,
) -> None:
    service = FakeGateway(seconds=10_000)
    refusal = answer(401, {"error": {"message": "Invalid token", "type": "new_api_error"}})
    service.checks.extend([refusal] * 10_000)
    jobs = [{**GATEWAY_JOB, "id": f"j{number}"} for number in range(5)]
    async with FakeClient(service, service="kling", max_outstanding=1, timeout=900) as client:
        async with client.run(jobs) as results:
            ended = [result async for result in results]
        assert isinstance(results.halted, Refused)
    assert "Invalid token" in caplog.text
    assert len(service.bodies) == 1
    assert {result.stage for result in ended} == {Stage.RENDERING, Stage.PLANNED}


async def test_checks_that_are_refused_as_too_many_are_said_as_the_reason(tmp_path: Path, no_threads: None) -> None:
    class Busy(FakeService):
        def _check(self, name: str) -> Answer:
            return answer(429, {"message": "slow down"})

    assert "the last check failed: too many requests (429): slow down" in await stopped(tmp_path / "j", Busy())
