"""What holds of a journal, whichever keeps it: SQLite for one machine, PostgreSQL for many, memory for one object."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from itertools import product
from typing import Any

import pytest

from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Attempt, ClipFile, Progress
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.money.budget import has_unknown_cost
from aimlvideo.errors import DiskFailed, DownloadFailed, GenerationFailed, InvalidJobs, LinkDead, Rejected
from aimlvideo.shell.journal.base import Journal
from aimlvideo.shell.journal.memory import InMemoryJournal
from aimlvideo.shell.journal.postgres import open_postgres_journal
from aimlvideo.shell.journal.sqlite import open_journal

pytestmark = pytest.mark.real_time

MODEL = "kling-video/v1.6/pro/image-to-video"
JOB = VideoJob(MODEL, id="one", prompt="a ballerina", image_url="https://example.com/a.png")
SENT = Progress().to(Stage.SUBMITTING, request_id="av-1", submitted_at=1000.5)
RENDERING = SENT.to(Stage.RENDERING, generation_id="gen:kling/v1.6")
READY = RENDERING.to(Stage.READY, video_url="https://cdn.example.com/a%2Fb?s=1", cost_usd=0.25, completed_at=1010.0)
SEVERAL = READY._replace(
    video_urls=("https://cdn.example.com/1", "https://cdn.example.com/2"), account="a1b2", service_time=999.0
)
SAVED = READY.to(Stage.SAVED, saved_at=1011.0, file="one.mp4", bytes=1234, sha256="ab" * 32, poll_ages=b"\x00\x07")
SAVED_SEVERAL = SAVED._replace(files=(ClipFile("one.mp4", 1234, "ab" * 32), ClipFile("one-2.mp4", 5, "cd" * 32)))

Opened = Callable[[], AbstractAsyncContextManager[Any]]


def opening(kind: str, request: pytest.FixtureRequest) -> Opened:
    if kind == "memory":
        journal = InMemoryJournal()
        return lambda: nullcontext(journal)
    if kind == "sqlite":
        path = request.getfixturevalue("tmp_path") / "journal.sqlite3"
        return lambda: open_journal(path)
    dsn = request.getfixturevalue("dsn")
    return lambda: open_postgres_journal(dsn)


@pytest.fixture(params=["sqlite", "postgres", "memory"])
async def journal(request: pytest.FixtureRequest) -> AsyncIterator[Journal]:
    """Give a journal of each kind, held open by one task: a fixture is left in another task than it was entered in."""
    opened: asyncio.Future[Journal] = asyncio.get_running_loop().create_future()
    tested = asyncio.Event()

    async def hold() -> None:
        async with opening(request.param, request)() as journal:
            opened.set_result(journal)
            await tested.wait()

    holder = asyncio.create_task(hold())
    await asyncio.wait([holder, opened], return_when=asyncio.FIRST_COMPLETED)
    yield opened.result()
    tested.set()
    await holder


@pytest.fixture(params=["sqlite", "postgres"])
def opened(request: pytest.FixtureRequest) -> Opened:
    """Give a way to open one and the same journal, again and again, of each kind that outlives its process."""
    return opening(request.param, request)


async def test_a_new_job_is_planned_and_known_the_next_time(opened: Opened) -> None:
    async with opened() as journal:
        assert journal.plan(JOB).progress == Progress()
    async with opened() as journal:
        assert journal.plan(JOB) == (JOB, Progress())
        assert journal.counts() == {"planned": 1}


@pytest.mark.parametrize("known", [SENT, SENT.to(Stage.IN_DOUBT), RENDERING, READY, SEVERAL, SAVED, SAVED_SEVERAL])
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


@pytest.mark.parametrize(
    ("words", "read"),
    [
        ("half a pair: \ud83d", "half a pair: ?"),
        (
            'a whole one: \U0001f600, and C:\\u0000 in quotes: ""',
            'a whole one: \U0001f600, and C:\\u0000 in quotes: ""',
        ),
    ],
)
async def test_whatever_the_words_of_an_error_are_the_steps_beside_it_are_written(
    opened: Opened, words: str, read: str
) -> None:
    other = JOB.with_id("other")
    async with opened() as journal:
        for job in (JOB, other):
            journal.plan(job)
        journal.step(JOB, SENT.to(Stage.FAILED, error=Rejected(words)))
        journal.step(other, SAVED)
        await journal.synced()
        assert journal.find("other").progress == SAVED
        assert str(journal.find("one").progress.error) == read


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
        journal.step(JOB, RENDERING)
    async with opened() as journal:
        with pytest.raises(InvalidJobs, match="prompt changed"):
            journal.plan(JOB.with_params(dict(JOB.params) | {"prompt": "a dancer"}))


async def test_a_number_that_is_spelt_another_way_is_no_other_content(journal: Journal) -> None:
    before = {"duration": 5, "cfg_scale": "0.7", "negative_prompt": None}
    job = VideoJob(MODEL, id="one", prompt="5", **before)
    journal.step(journal.plan(job).job, RENDERING)
    await journal.synced()
    for changed in ({"duration": 5.0}, {"duration": "5"}, {"cfg_scale": 0.7}):
        journal.begin()
        assert journal.plan(VideoJob(MODEL, id="one", prompt="5", **before | changed)).progress == RENDERING
    for changed in ({"duration": 5.5}, {"duration": "10"}, {"duration": True}, {"prompt": "5.0"}):
        journal.begin()
        with pytest.raises(InvalidJobs, match=f"{next(iter(changed))} changed"):
            journal.plan(VideoJob(MODEL, id="one", **{"prompt": "5"} | before | changed))


async def test_a_chosen_id_comes_once_in_each_run(journal: Journal) -> None:
    journal.plan(JOB)
    for distinct in (False, True):
        with pytest.raises(InvalidJobs, match="the same id"):
            journal.plan(JOB, distinct=distinct)
    run = journal.begin()
    assert journal.plan(JOB, run=run) == (JOB, Progress())
    with pytest.raises(InvalidJobs, match="the same id"):
        journal.plan(JOB, run=run)


async def test_another_content_under_an_id_that_is_under_way_is_refused(journal: Journal) -> None:
    journal.step(journal.plan(JOB).job, RENDERING)
    await journal.synced()
    journal.begin()
    with pytest.raises(InvalidJobs, match="prompt changed"):
        journal.plan(JOB.with_params(dict(JOB.params) | {"prompt": "a dancer"}))
    assert journal.plan(JOB) == (JOB, RENDERING)


async def test_the_same_content_twice_is_two_jobs_and_the_same_two_in_the_next_run(journal: Journal) -> None:
    job = VideoJob(MODEL, prompt="p")
    for _ in range(2):
        journal.begin()
        names = [journal.plan(job, distinct=True).job.id for _ in range(3)]
        assert names == [job.id, f"{job.id}-2", f"{job.id}-3"]
        assert journal.counts() == {"planned": 3}


async def test_the_same_content_twice_is_refused_where_two_jobs_were_not_asked_for(journal: Journal) -> None:
    job = VideoJob(MODEL, prompt="p")
    journal.plan(job)
    with pytest.raises(InvalidJobs, match="the same id"):
        journal.plan(job)


async def test_many_jobs_of_equal_content_are_numbered_in_one_pass(journal: Journal) -> None:
    job = VideoJob(MODEL, prompt="p")
    with journal.planning():
        ids = [journal.plan(job, distinct=True).job.id for _ in range(1000)]
    assert len(set(ids)) == len(ids)
    assert ids[-1] == f"{job.id}-1000"


async def test_what_was_taken_back_is_numbered_as_if_it_had_never_been(journal: Journal) -> None:
    job = VideoJob(MODEL, prompt="p")
    with pytest.raises(ZeroDivisionError):
        plan_copies_and_fail(journal, job)
    with journal.planning():
        assert [journal.plan(job, distinct=True).job.id for _ in range(2)] == [job.id, f"{job.id}-2"]


def plan_copies_and_fail(journal: Journal, job: VideoJob) -> None:
    with journal.planning():
        for _ in range(3):
            journal.plan(job, distinct=True)
        raise ZeroDivisionError


async def test_every_submission_of_a_job_stays_with_its_ids_and_how_it_was_left(journal: Journal) -> None:
    first = Progress().to(Stage.SUBMITTING, request_id="av-1", submitted_at=1.0, account="a1", service_time=9.0)
    second = first.to(Stage.PLANNED).to(Stage.SUBMITTING, request_id="av-2", submitted_at=2.0, service_time=None)
    rendering = second.to(Stage.IN_DOUBT).to(Stage.RENDERING, generation_id="gen-2")
    journal.plan(JOB)
    for progress in (first, first.to(Stage.PLANNED), second, rendering):
        journal.step(JOB, progress)
        await journal.synced()
    assert journal.attempts("one") == [
        Attempt("av-1", None, "a1", 1.0, 9.0, Stage.PLANNED),
        Attempt("av-2", "gen-2", "a1", 2.0, None, Stage.RENDERING),
    ]
    assert list(journal.earlier_attempts()) == [("one", Attempt("av-1", None, "a1", 1.0, 9.0, Stage.PLANNED))]
    assert journal.attempts("nobody") == []


async def test_a_submission_between_two_writes_stays_too(journal: Journal) -> None:
    second = SENT.to(Stage.PLANNED).to(Stage.SUBMITTING, request_id="av-2")
    third = second.to(Stage.RENDERING, generation_id="g2").to(Stage.RENDERING, generation_id="g3")
    journal.plan(JOB)
    for progress in (SENT, SENT.to(Stage.PLANNED), second, second.to(Stage.RENDERING, generation_id="g2"), third):
        journal.step(JOB, progress)
    await journal.synced()
    ids = [(one.request_id, one.generation_id, one.stage) for one in journal.attempts("one")]
    assert ids == [
        ("av-1", None, Stage.PLANNED), ("av-2", "g2", Stage.RENDERING), ("av-2", "g3", Stage.RENDERING)
    ]  # fmt: skip


async def test_a_failed_job_that_is_tried_again_keeps_what_it_was_before(opened: Opened) -> None:
    async with opened() as journal:
        journal.plan(JOB)
        failed = RENDERING.to(Stage.FAILED, error=GenerationFailed("no"))
        for progress in (RENDERING, failed, failed.for_retry(), SENT._replace(request_id="av-2")):
            journal.step(JOB, progress)
            await journal.synced()
    async with opened() as journal:
        ids = [(one.request_id, one.generation_id, one.stage) for one in journal.attempts("one")]
    assert ids == [("av-1", "gen:kling/v1.6", Stage.FAILED), ("av-2", None, Stage.SUBMITTING)]


@pytest.mark.parametrize("at_once", [False, True])
async def test_what_a_failed_generation_was_charged_stays_spent_when_the_job_is_tried_again(
    journal: Journal, at_once: bool
) -> None:
    failed = RENDERING.to(Stage.FAILED, error=GenerationFailed("no"), cost_usd=0.5)
    again = failed.for_retry().to(Stage.SUBMITTING, request_id="av-2").to(Stage.RENDERING, generation_id="gen-2")
    ready = again.to(Stage.READY, cost_usd=0.25)
    asked_again = ready.to(Stage.RENDERING)
    job = journal.plan(JOB).job
    spent = []
    for progress in (SENT, RENDERING, failed, failed.for_retry(), again, ready, asked_again, ready, ready):
        journal.step(job, progress)
        if not at_once:
            await journal.synced()
            spent.append(journal.spent())
    await journal.synced()
    assert journal.spent() == 0.75
    assert spent in ([], [0, 0, 0.5, 0.5, 0.5, 0.75, 0.75, 0.75, 0.75])


@pytest.mark.parametrize("at_once", [False, True])
async def test_what_a_failed_generation_cost_in_units_stays_in_the_sum_when_the_job_is_tried_again(
    opened: Opened, at_once: bool
) -> None:
    failed = RENDERING.to(Stage.FAILED, error=GenerationFailed("no"), cost_units=5.0)
    again = failed.for_retry().to(Stage.SUBMITTING, request_id="av-2").to(Stage.RENDERING, generation_id="gen-2")
    ready = again.to(Stage.READY, cost_units=3.5)
    sums = []
    async with opened() as journal:
        job = journal.plan(JOB).job
        for progress in (SENT, RENDERING, failed, failed.for_retry(), again, ready):
            journal.step(job, progress)
            if not at_once:
                await journal.synced()
                sums.append(journal.costs_in_units())
        await journal.synced()
    async with opened() as journal:
        assert journal.costs_in_units() == (1, 8.5)
        assert [(one.generation_id, one.cost_units) for one in journal.attempts("one")] == [
            (RENDERING.generation_id, 5.0), ("gen-2", 3.5)
        ]  # fmt: skip
    assert sums in ([], [(0, 0.0), (0, 0.0), (0, 5.0), (0, 5.0), (0, 5.0), (1, 8.5)])


@pytest.mark.parametrize("at_once", [False, True])
async def test_a_failed_generation_that_is_its_job_s_again_counts_once(opened: Opened, at_once: bool) -> None:
    charged = {"cost_usd": 0.5, "cost_units": 2.0}
    failed = RENDERING.to(Stage.FAILED, error=GenerationFailed("no"), **charged)
    lost = failed.for_retry().to(Stage.SUBMITTING, request_id="av-2")
    again = lost.to(Stage.PLANNED)._replace(**failed.submission()).to(Stage.SUBMITTING)
    async with opened() as journal:
        job = journal.plan(JOB).job
        for progress in (failed, lost):
            journal.step(job, progress)
            await journal.synced()
        for progress in (again, again.to(Stage.RENDERING)):
            journal.step(job, progress)
            if not at_once:
                await journal.synced()
        await journal.synced()
        assert journal.spent() == 0.5
        ids = [(one.request_id, one.generation_id, one.cost_usd) for one in journal.attempts("one")]
        assert ids == [("av-2", None, None), ("av-1", RENDERING.generation_id, 0.5)]


async def test_what_was_charged_before_a_failed_generation_that_is_its_job_s_again_stays_spent(opened: Opened) -> None:
    no = GenerationFailed("no")
    first = RENDERING.to(Stage.FAILED, error=no, cost_usd=0.25)
    sent = first.for_retry().to(Stage.SUBMITTING, request_id="av-2")
    renders = sent.to(Stage.RENDERING, generation_id="gen-2")
    failed = renders.to(Stage.FAILED, error=no, cost_usd=0.5)
    again = failed.for_retry()._replace(**failed.submission()).to(Stage.SUBMITTING)
    async with opened() as journal:
        job = journal.plan(JOB).job
        for progress in (first, sent, renders, failed, failed.for_retry(), again, again.to(Stage.RENDERING)):
            journal.step(job, progress)
            await journal.synced()
        assert journal.spent() == 0.75
        charged = [(one.request_id, one.cost_usd) for one in journal.attempts("one")]
        assert charged == [("av-1", 0.25), ("av-2", 0.5)]


async def test_a_charge_is_kept_with_the_submission_that_it_was_for(opened: Opened) -> None:
    failed = RENDERING.to(Stage.FAILED, error=GenerationFailed("no"), cost_usd=0.5)
    async with opened() as journal:
        journal.plan(JOB)
        for progress in (RENDERING, failed, failed.for_retry(), SENT._replace(request_id="av-2")):
            journal.step(JOB, progress)
            await journal.synced()
        assert [(one.request_id, one.cost_usd) for one in journal.attempts("one")] == [("av-1", 0.5), ("av-2", None)]


async def test_outstanding_jobs_are_found_and_counted(journal: Journal) -> None:
    for name, progress in (("a", Progress()), ("b", RENDERING), ("c", SENT)):
        job = journal.plan(JOB.with_id(name)).job
        if progress.stage is not Stage.PLANNED:
            journal.step(job, progress)
    await journal.synced()
    assert [record.job.id for record in journal.open_jobs()] == ["b", "c", "a"]
    assert journal.counts() == {"planned": 1, "rendering": 1, "submitting": 1}
    assert journal.planned_models() == {MODEL: 1}
    assert journal.by_generation("gen:kling/v1.6") == (JOB.with_id("b"), RENDERING)
    assert journal.accepted_sample() == (JOB.with_id("b"), RENDERING)
    assert journal.by_generation("another") is None
    assert (journal.spent(), journal.unknown_costs(), list(journal.ended_jobs())) == (0.0, 0, [])


async def test_memory_keeps_nothing_of_what_has_ended() -> None:
    journal = InMemoryJournal()
    for progress in (SENT, RENDERING, SAVED):
        journal.step(JOB, progress)
    assert journal.find("one") is None
    assert journal.attempts("one") == []
    assert journal.counts() == {}


async def test_the_same_content_twice_is_two_jobs_today_and_tomorrow(opened: Opened) -> None:
    job = VideoJob(MODEL, prompt="p")
    for _ in range(2):
        async with opened() as journal:
            names = [journal.plan(job, distinct=True).job.id for _ in range(3)]
            assert names == [job.id, f"{job.id}-2", f"{job.id}-3"]
            assert journal.counts() == {"planned": 3}


async def test_a_file_is_planned_whole_or_not_at_all(journal: Journal) -> None:
    journal.plan(JOB)
    journal.step(JOB, RENDERING)
    await journal.synced()
    journal.begin()
    with pytest.raises(InvalidJobs):
        _plan_all(journal, VideoJob(MODEL, id="two", prompt="p"), JOB.with_params({"prompt": "a dancer"}))
    assert journal.counts() == {"rendering": 1}
    _plan_all(journal, *(VideoJob(MODEL, id=name, prompt="p") for name in ("three", "four")))
    assert journal.counts() == {"rendering": 1, "planned": 2}


def _plan_all(journal: Any, *jobs: VideoJob) -> None:
    with journal.planning():
        for job in jobs:
            journal.plan(job)


async def test_open_jobs_are_given_outstanding_ones_first_and_ended_ones_never(opened: Opened) -> None:
    known = [Progress(), RENDERING, SAVED, SENT, SENT.to(Stage.FAILED, error=GenerationFailed("no"))]
    async with opened() as journal:
        for number, progress in enumerate(known):
            job = JOB.with_id(f"job{number}")
            journal.plan(job)
            journal.step(job, progress)
        await journal.synced()
        assert [record.job.id for record in journal.open_jobs()] == ["job1", "job3", "job0"]
        assert {record.job.id for record in journal.open_jobs(retry_failed=True)} == {"job0", "job1", "job3", "job4"}
        assert {record.job.id for record in journal.ended_jobs()} == {"job2", "job4"}
        assert sorted(record.job.id for record in journal.all_jobs()) == [f"job{number}" for number in range(5)]
        assert journal.counts() == {"planned": 1, "rendering": 1, "saved": 1, "submitting": 1, "failed": 1}
        assert journal.planned_models() == {MODEL: 1}


async def test_money_is_summed_and_the_unknown_is_counted(opened: Opened) -> None:
    async with opened() as journal:
        for number, cost in enumerate((0.25, 0.5, None)):
            job = JOB.with_id(f"job{number}")
            journal.plan(job)
            journal.step(job, READY.to(Stage.SAVED, cost_usd=cost))
        await journal.synced()
        assert journal.spent() == 0.75
        assert journal.unknown_costs() == 1


async def test_a_paid_clip_of_unknown_cost_counts_also_where_it_could_not_be_fetched(opened: Opened) -> None:
    errors = (LinkDead("gone"), DiskFailed("full"), DownloadFailed("broken"), GenerationFailed("no"))
    costs: list[dict[str, float]] = [{}, {"cost_units": 2.0}, {"cost_usd": 0.5}]
    async with opened() as journal:
        for number, (error, cost) in enumerate(product(errors, costs)):
            job = journal.plan(JOB.with_id(f"job{number}")).job
            generation_id = f"gen-{number}"
            journal.step(job, RENDERING.to(Stage.FAILED, error=error, generation_id=generation_id, **cost))
        for name, progress in {"first": RENDERING, "again": READY.to(Stage.RENDERING, cost_usd=None)}.items():
            journal.step(journal.plan(JOB.with_id(name)).job, progress._replace(generation_id=f"gen-{name}"))
        await journal.synced()
        assert (journal.unknown_costs(), journal.costs_in_units(), journal.spent()) == (7, (3, 8.0), 2.0)
        assert sum(has_unknown_cost(progress) for _, progress in journal.all_jobs()) == 7 - 3


async def test_costs_in_the_service_s_own_units_are_summed_where_no_dollars_are_known(opened: Opened) -> None:
    async with opened() as journal:
        for number, (cost, units) in enumerate([(0.25, 1.0), (None, 3.5), (None, None), (None, 7.0)]):
            job = JOB.with_id(f"job{number}")
            journal.plan(job)
            journal.step(job, READY.to(Stage.SAVED, cost_usd=cost, cost_units=units))
        await journal.synced()
        assert journal.unknown_costs() == 3
        assert journal.costs_in_units() == (2, 10.5)
        job = JOB.with_id("billed")
        journal.plan(job)
        journal.step(job, READY._replace(stage=Stage.FAILED, generation_id="gen-b", cost_usd=None, cost_units=2.0))
        await journal.synced()
        assert journal.unknown_costs() == 3
        assert journal.costs_in_units() == (2, 12.5), "a failure that is billed, or a clip that could not be fetched"


async def test_a_job_that_has_ended_can_be_in_doubt_again_with_its_attempt_kept(opened: Opened) -> None:
    doubtful = SAVED._replace(stage=Stage.IN_DOUBT, generation_id=None, cost_usd=None)
    async with opened() as journal:
        journal.plan(JOB)
        journal.step(JOB, SAVED)
        await journal.synced()
    async with opened() as journal:
        journal.reopen(journal.find("one"), SAVED._replace(cost_usd=None))
        journal.reopen(journal.find("one"), doubtful)
    async with opened() as journal:
        assert journal.find("one").progress == doubtful
        assert journal.counts() == {"in_doubt": 1}
        assert [attempt.generation_id for attempt in journal.attempts("one")] == [SAVED.generation_id, None]
        assert journal.spent() == 0.0


async def test_the_names_of_all_clips_are_known_in_small_letters(journal: Journal) -> None:
    journal.plan(JOB)
    journal.step(JOB, READY.to(Stage.RENDERING, file="Waves.mp4"))
    await journal.synced()
    assert journal.file_names == {"waves.mp4"}


async def test_the_latest_generations_are_listed_with_their_jobs(journal: Journal) -> None:
    for number in range(4):
        job = JOB.with_id(f"job{number}")
        journal.plan(job)
        if number != 2:
            journal.step(job, RENDERING._replace(generation_id=f"gen-{number}"))
    await journal.synced()
    assert journal.earlier_generations == {"gen-3": "job3", "gen-1": "job1", "gen-0": "job0"}


async def test_a_generation_from_elsewhere_is_adopted_once(journal: Journal) -> None:
    assert journal.adopt(JOB, RENDERING) == (JOB, RENDERING)
    await journal.synced()
    assert journal.adopt(JOB, Progress()) == (JOB, RENDERING)


async def test_the_folder_of_relative_pictures_is_kept(journal: Journal) -> None:
    journal.plan(JOB.with_base_folder("/pictures"))
    record = journal.find("one")
    assert record is not None
    assert str(record.job.folder) == "/pictures"


async def test_facts_about_the_whole_are_kept(journal: Journal) -> None:
    journal.note("service", "kling")
    journal.note("service", "aimlapi")
    assert journal.fact("service") == "aimlapi"
    assert journal.fact("nothing") is None


async def test_facts_are_listed_by_how_they_begin_and_can_be_forgotten(journal: Journal) -> None:
    for name in ("shelf one", "shelf two", "shelf%", "book"):
        journal.note(name, name[-1])
    assert journal.facts("shelf ") == {"shelf one": "e", "shelf two": "o"}
    journal.forget("shelf one")
    journal.forget("no such thing")
    assert journal.facts("shelf") == {"shelf two": "o", "shelf%": "%"}
    assert journal.fact("shelf one") is None
