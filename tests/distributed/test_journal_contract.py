"""What holds of a journal, whichever keeps it: SQLite for one machine, PostgreSQL for many."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from aimlvideo.core.jobs.job import Progress, VideoJob
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.errors import GenerationFailed, InvalidJobs, Rejected
from aimlvideo.shell.journal.postgres import open_postgres_journal
from aimlvideo.shell.journal.sqlite import open_journal

pytestmark = pytest.mark.real_time

MODEL = "kling-video/v1.6/pro/image-to-video"
JOB = VideoJob(MODEL, id="one", prompt="a ballerina", image_url="https://example.com/a.png")
SENT = Progress().to(Stage.SUBMITTING, request_id="av-1", submitted_at=1000.5)
RENDERING = SENT.to(Stage.RENDERING, generation_id="gen:kling/v1.6")
READY = RENDERING.to(Stage.READY, video_url="https://cdn.example.com/a%2Fb?s=1", cost_usd=0.25, completed_at=1010.0)
SAVED = READY.to(Stage.SAVED, saved_at=1011.0, file="one.mp4", bytes=1234, sha256="ab" * 32, looks=b"\x00\x07")

Opened = Callable[[], AbstractAsyncContextManager[Any]]


@pytest.fixture(params=["sqlite", "postgres"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Opened:
    """Give a way to open one and the same journal, again and again."""
    if request.param == "sqlite":
        return lambda: open_journal(tmp_path / "journal.sqlite3")
    dsn = request.getfixturevalue("dsn")
    return lambda: open_postgres_journal(dsn)


async def test_a_new_job_is_planned_and_known_the_next_time(opened: Opened) -> None:
    async with opened() as journal:
        assert journal.plan(JOB).progress == Progress()
    async with opened() as journal:
        assert journal.plan(JOB) == (JOB, Progress())
        assert journal.counts() == {"planned": 1}


@pytest.mark.parametrize("known", [SENT, SENT.to(Stage.IN_DOUBT), RENDERING, READY, SAVED])
async def test_every_step_is_read_back_as_it_was_written(opened: Opened, known: Progress) -> None:
    async with opened() as journal:
        journal.plan(JOB)
        journal.step(JOB, known)
        await journal.synced()
        assert journal.find("one") == (JOB, known)
    async with opened() as journal:
        assert journal.find("one") == (JOB, known)


async def test_an_error_is_read_back_with_its_kind(opened: Opened) -> None:
    async with opened() as journal:
        journal.plan(JOB)
        journal.step(JOB, SENT.to(Stage.FAILED, error=Rejected("the \0 prompt: ünsafe")))
        await journal.synced()
        found = journal.find("one").progress.error
    assert isinstance(found, Rejected)
    assert found.request_id == "av-1"
    assert "prompt: ünsafe" in str(found)


async def test_the_last_of_several_steps_counts(opened: Opened) -> None:
    async with opened() as journal:
        journal.plan(JOB)
        for known in (SENT, RENDERING, READY):
            journal.step(JOB, known)
        await journal.synced()
        assert journal.find("one").progress == READY


async def test_an_id_that_stands_for_something_else_now_is_refused(opened: Opened) -> None:
    async with opened() as journal:
        journal.plan(JOB)
    async with opened() as journal:
        with pytest.raises(InvalidJobs, match="prompt changed"):
            journal.plan(JOB.asking(dict(JOB.params) | {"prompt": "a dancer"}))


async def test_a_chosen_id_comes_once(opened: Opened) -> None:
    async with opened() as journal:
        journal.plan(JOB)
        with pytest.raises(InvalidJobs, match="the same id"):
            journal.plan(JOB)


async def test_the_same_content_twice_is_two_jobs_today_and_tomorrow(opened: Opened) -> None:
    job = VideoJob(MODEL, prompt="p")
    for _ in range(2):
        async with opened() as journal:
            names = [journal.plan(job, distinct=True).job.id for _ in range(3)]
            assert names == [job.id, f"{job.id}-2", f"{job.id}-3"]
            assert journal.counts() == {"planned": 3}


async def test_a_file_is_planned_whole_or_not_at_all(opened: Opened) -> None:
    async with opened() as journal:
        journal.plan(JOB)
    async with opened() as journal:
        with pytest.raises(InvalidJobs):
            _plan_all(journal, VideoJob(MODEL, id="two", prompt="p"), JOB.asking({"prompt": "a dancer"}))
        assert journal.counts() == {"planned": 1}
        _plan_all(journal, *(VideoJob(MODEL, id=name, prompt="p") for name in ("three", "four")))
        assert journal.counts() == {"planned": 3}


def _plan_all(journal: Any, *jobs: VideoJob) -> None:
    with journal.planning():
        for job in jobs:
            journal.plan(job)


async def test_open_jobs_are_given_outstanding_ones_first_and_ended_ones_never(opened: Opened) -> None:
    known = [Progress(), RENDERING, SAVED, SENT, SENT.to(Stage.FAILED, error=GenerationFailed("no"))]
    async with opened() as journal:
        for number, progress in enumerate(known):
            job = JOB.named(f"job{number}")
            journal.plan(job)
            journal.step(job, progress)
        await journal.synced()
        assert [record.job.id for record in journal.open_jobs()] == ["job1", "job3", "job0"]
        assert {record.job.id for record in journal.open_jobs(retry_failed=True)} == {"job0", "job1", "job3", "job4"}
        assert {record.job.id for record in journal.ended_jobs()} == {"job2", "job4"}
        assert journal.counts() == {"planned": 1, "rendering": 1, "saved": 1, "submitting": 1, "failed": 1}
        assert journal.planned_models() == {MODEL: 1}


async def test_money_is_summed_and_the_unknown_is_counted(opened: Opened) -> None:
    async with opened() as journal:
        for number, cost in enumerate((0.25, 0.5, None)):
            job = JOB.named(f"job{number}")
            journal.plan(job)
            journal.step(job, READY.to(Stage.SAVED, cost_usd=cost))
        await journal.synced()
        assert journal.spent() == 0.75
        assert journal.unknown_costs() == 1


async def test_a_generation_from_elsewhere_is_adopted_once(opened: Opened) -> None:
    async with opened() as journal:
        assert journal.adopt(JOB, RENDERING) == (JOB, RENDERING)
        await journal.synced()
        assert journal.adopt(JOB, Progress()) == (JOB, RENDERING)


async def test_the_folder_of_relative_pictures_is_kept(opened: Opened) -> None:
    async with opened() as journal:
        journal.plan(JOB.with_base_folder("/pictures"))
        assert str(journal.find("one").job.folder) == "/pictures"


async def test_facts_about_the_whole_are_kept(opened: Opened) -> None:
    async with opened() as journal:
        journal.note("service", "kling")
        journal.note("service", "aimlapi")
        assert journal.fact("service") == "aimlapi"
        assert journal.fact("nothing") is None
