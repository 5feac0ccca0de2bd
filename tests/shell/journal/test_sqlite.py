"""The journal keeps every step of every job, refuses what it cannot keep, and gives each job back once."""

from __future__ import annotations

import asyncio
import inspect
import os
import random
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import numpy as np
import pytest

from aimlvideo import errors
from aimlvideo.core.jobs.file_names import file_name
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress, Record
from aimlvideo.core.jobs.request_ids import Intent
from aimlvideo.core.jobs.stages import STAGES, Stage
from aimlvideo.errors import InvalidJobs, JournalError, Problem, VideoError
from aimlvideo.shell.journal.base import OWN_IDS
from aimlvideo.shell.journal.sqlite import SqliteJournal, open_journal
from aimlvideo.shell.journal.sqlite_reader import read_journal
from tests.cases import for_each

LINK = "https://cdn.example.com/clips/1/video.mp4?Expires=1790000000&Signature=".ljust(120, "x")
SENT = Progress(Stage.SUBMITTING, request_id="av-1", submitted_at=1.5)
RENDERING = SENT.to(Stage.RENDERING, generation_id="gen:1/a")
READY = RENDERING.to(Stage.READY, video_url=LINK, cost_usd=0.21, polls=7, completed_at=90.25, poll_ages=b"\0\1\2\3")
SAVED = READY.to(Stage.SAVED, saved_at=91.0, file="a.mp4", bytes=4_000_000, sha256="0f" * 32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite3"


@pytest.fixture
async def journal(path: Path) -> AsyncIterator[SqliteJournal]:
    async with open_journal(path) as journal:
        yield journal


def named(name: str, **params: Any) -> VideoJob:
    return VideoJob("m/one", id=name, **params)


def all_errors() -> list[type[VideoError]]:
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    return [kind for kind in kinds if issubclass(kind, VideoError) and kind is not InvalidJobs]


@pytest.mark.parametrize("known", [SENT, RENDERING, READY, SAVED], ids=lambda known: known.stage.value)
async def test_what_was_written_is_what_is_read_after_a_restart(path: Path, known: Progress) -> None:
    async with open_journal(path) as journal:
        journal.step(journal.plan(named("a")).job, known)
    async with open_journal(path) as journal:
        assert journal.find("a") == Record(named("a"), known)


async def test_what_comes_after_a_planned_file_is_there_for_a_process_that_is_killed_at_once(
    path: Path, journal: SqliteJournal
) -> None:
    with journal.planning():
        journal.plan(named("a"))
    journal.step(named("a"), RENDERING)
    await anyio.lowlevel.checkpoint()
    with read_journal(path) as after_a_kill:
        assert after_a_kill.find("a") == Record(named("a"), RENDERING)


async def test_a_file_with_another_name_than_its_job_s_is_read_back_too(journal: SqliteJournal) -> None:
    for name in (file_name("x/y"), "x-2.mp4"):
        journal.step(journal.plan(named(name + "?")).job, SAVED._replace(file=name))
        assert journal.find(name + "?").progress.file == name  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", all_errors(), ids=lambda kind: kind.__name__)
async def test_an_error_comes_back_with_its_class_its_words_and_its_ids(
    journal: SqliteJournal, kind: type[VideoError]
) -> None:
    error = kind("it went wrong: badly")
    journal.step(journal.plan(named("a")).job, RENDERING.to(Stage.FAILED, error=error))
    back = journal.find("a").progress.error  # type: ignore[union-attr]
    assert type(back) is kind
    assert str(back) == "it went wrong: badly"
    if hasattr(back, "generation_id"):
        assert back.generation_id == "gen:1/a"
    if hasattr(back, "request_id"):
        assert back.request_id == "av-1"


async def test_the_problems_of_a_wrong_job_come_back_as_words(journal: SqliteJournal) -> None:
    error = InvalidJobs([Problem("duration", "5 or 10", "7", job="a"), Problem("prompt", "some text", job="a")])
    journal.step(journal.plan(named("a")).job, Progress(Stage.FAILED, error=error))
    back = journal.find("a").progress.error  # type: ignore[union-attr]
    assert isinstance(back, InvalidJobs)
    assert str(back) == str(error)


async def test_an_error_s_words_may_hold_anything(journal: SqliteJournal) -> None:
    journal.step(journal.plan(named("a")).job, Progress(Stage.FAILED, error=VideoError("half a pair: \ud83d")))
    assert str(journal.find("a").progress.error) == "half a pair: ?"  # type: ignore[union-attr]


async def test_a_class_of_error_that_nobody_knows_any_more_is_still_an_error(path: Path) -> None:
    async with open_journal(path) as journal:
        journal.step(journal.plan(named("a")).job, Progress(Stage.FAILED, error=VideoError("x")))
    for word in ("Gone", "Problem", "annotations"):
        with sqlite3.connect(path) as db:
            db.execute("UPDATE jobs SET error=?", (f"{word}: said",))
        db.close()
        with read_journal(path) as journal:
            assert repr(journal.find("a").progress.error) == "VideoError('said')"  # type: ignore[union-attr]


async def test_a_content_that_changed_under_its_id_is_refused_by_its_name(path: Path) -> None:
    async with open_journal(path) as journal:
        journal.plan(named("a", prompt="waves", duration=5))
        journal.step(named("a", prompt="waves", duration=5), Progress(Stage.RENDERING, generation_id="gen-1"))
    async with open_journal(path) as journal:
        with pytest.raises(InvalidJobs, match=r"job 'a': duration: .*\(duration, prompt changed\)"):
            journal.plan(named("a", prompt="hills", duration=10))
        assert journal.plan(named("a", duration=5, prompt="waves")).job.id == "a"


async def test_a_failed_job_stands_for_another_content_only_where_it_was_billed_neither_dollars_nor_units(
    journal: SqliteJournal,
) -> None:
    for number, cost in enumerate([{}, {"cost_units": 0.0}, {"cost_units": 3.5}, {"cost_usd": 0.25}]):
        name = f"job{number}"
        failed = RENDERING.to(Stage.FAILED, error=errors.GenerationFailed("no"), generation_id=name, **cost)
        journal.step(journal.plan(named(name, prompt="waves")).job, failed)
        journal.begin()
        with pytest.raises(InvalidJobs, match="prompt changed") if any(cost.values()) else nullcontext():
            assert journal.plan(named(name, prompt="hills")).progress == Progress()
    assert (journal.spent(), journal.costs_in_units()) == (0.25, (0, 3.5))


@for_each("stage", [Stage.FAILED, Stage.PLANNED])
@for_each(("changed", "retry_of"), [({"external_id": "other"}, "g"), ({"prompt": "hills"}, None)])
async def test_what_failed_and_was_not_sent_again_is_asked_about_under_another_id_of_its_own_and_not_for_other_words(
    journal: SqliteJournal, stage: Stage, changed: dict[str, str], retry_of: str | None
) -> None:
    name, params = f"{stage}-{retry_of}", {"prompt": "waves", "external_id": "mine"}
    journal.note(OWN_IDS, "external_id")
    journal.step(journal.plan(named(name, **params)).job, Progress(stage, retry_of="g"))
    journal.begin()
    assert journal.plan(named(name, **params | changed)).progress == Progress(retry_of=retry_of)


async def test_a_failed_job_whose_number_is_spelt_another_way_stays_failed(journal: SqliteJournal) -> None:
    failed = RENDERING.to(Stage.FAILED, error=errors.GenerationFailed("no"))
    journal.step(journal.plan(named("a", duration=5)).job, failed)
    journal.begin()
    assert journal.plan(named("a", duration=5.0)).progress.stage is Stage.FAILED


async def test_a_clip_that_the_first_release_bought_under_another_derived_id_is_not_bought_again(
    journal: SqliteJournal,
) -> None:
    job = VideoJob("m", prompt="x", duration=5.0)
    for name in (earlier := job.earlier_id, f"{earlier}-2"):
        journal.step(journal.plan(job.with_id(name or "")).job, RENDERING)
    run = journal.begin()
    records = [journal.plan(job, distinct=True, run=run) for _ in range(3)]
    assert [record.job.id for record in records] == [earlier, f"{earlier}-2", f"{earlier}-3"]
    assert [record.progress.stage for record in records] == [Stage.RENDERING, Stage.RENDERING, Stage.PLANNED]
    assert journal.plan(VideoJob("m", prompt="x", duration=5), distinct=True, run=run).job.id == job.id


@for_each("name", ["chosen", None])
async def test_a_number_that_the_first_release_kept_as_a_hash_is_the_same_clip(
    journal: SqliteJournal, name: str | None
) -> None:
    job = VideoJob("m", id=name, duration=np.int64(5))
    earlier = job.earlier_id or job.id
    journal.step(journal.plan(job.with_id(earlier)).job, RENDERING)
    journal._commits.write("UPDATE jobs SET asked=? WHERE id=?", (job.earlier_content, earlier))
    journal.begin()
    assert journal.plan(job, distinct=True).progress.stage is Stage.RENDERING
    assert journal.find(earlier) == Record(VideoJob("m", id=earlier, duration=5), RENDERING)


async def test_another_content_under_an_id_of_the_same_run_changes_nothing(journal: SqliteJournal) -> None:
    journal.plan(named("a", prompt="waves"))
    with pytest.raises(InvalidJobs, match="prompt changed"):
        journal.plan(named("a", prompt="hills"))
    assert journal.find("a") == Record(named("a", prompt="waves"), Progress())


async def test_what_would_be_told_again_is_committed_each_time(journal: SqliteJournal, path: Path) -> None:
    with read_journal(path) as reader:
        for name in ("a", "b"):
            journal.plan(named(name))
            await anyio.sleep(0.1)
            assert reader.find(name) is not None


async def test_an_id_that_somebody_chose_is_good_for_one_job_of_a_run(path: Path) -> None:
    for _ in range(2):
        async with open_journal(path) as journal:
            journal.plan(named("job-1"))
            with pytest.raises(InvalidJobs, match="each id once"):
                journal.plan(named("job-1"), distinct=True)


async def test_jobs_of_the_same_content_get_the_same_ids_again_in_the_next_run(path: Path) -> None:
    job = VideoJob("m", prompt="waves")
    for _ in range(3):
        async with open_journal(path) as journal:
            ids = [journal.plan(job, distinct=True).job.id for _ in range(4)]
        assert ids == [job.id, f"{job.id}-2", f"{job.id}-3", f"{job.id}-4"]
    with read_journal(path) as journal:
        assert journal.counts() == {"planned": 4}


async def test_ten_thousand_jobs_of_the_same_content_are_planned_without_asking_about_each_before(
    journal: SqliteJournal,
) -> None:
    job, asked = VideoJob("m", prompt="waves"), 0
    read = journal._commits.read

    def counted(*values: Any) -> Any:
        nonlocal asked
        asked += 1
        return read(*values)

    journal._commits.read = counted  # type: ignore[method-assign]
    for _ in range(200):
        journal.plan(job, distinct=True)
    assert asked < 5 * 200


async def test_an_id_that_cannot_be_written_is_refused_with_a_reason(journal: SqliteJournal) -> None:
    with pytest.raises(InvalidJobs, match="surrogate"):
        journal.plan(named("half \ud83d"))
    with pytest.raises(InvalidJobs, match="surrogate"):
        journal.plan(named("a", prompt="half \ud83d"))


async def test_planning_writes_all_or_nothing(path: Path) -> None:
    async with open_journal(path) as journal:
        with pytest.raises(InvalidJobs), journal.planning():
            plan_twice(journal, named("a").with_base_folder("/pictures"))
        assert journal.counts() == {}
        with journal.planning():
            journal.plan(named("b").with_base_folder("/other"))
            journal.plan(named("a").with_base_folder("/pictures"))
    with read_journal(path) as journal:
        folders = {job.id: str(job.folder) for job, _ in journal.open_jobs()}
    assert folders == {"a": "/pictures", "b": "/other"}


def plan_twice(journal: SqliteJournal, job: VideoJob) -> None:
    journal.plan(job)
    journal.plan(job)


async def test_planning_after_a_step_takes_back_no_step(journal: SqliteJournal) -> None:
    journal.step(journal.plan(named("a")).job, RENDERING)
    with pytest.raises(ZeroDivisionError), journal.planning():
        raise ZeroDivisionError
    assert journal.find("a").progress == RENDERING  # type: ignore[union-attr]


async def test_a_job_submitted_elsewhere_is_adopted_once(journal: SqliteJournal) -> None:
    job = VideoJob("", id="theirs")
    assert journal.adopt(job, RENDERING).progress == RENDERING
    journal.step(job, READY)
    assert journal.adopt(job, RENDERING).progress == READY


@pytest.mark.parametrize("seed", range(20))
async def test_each_open_job_is_given_once_whatever_happens_meanwhile(journal: SqliteJournal, seed: int) -> None:
    dice = random.Random(seed)
    known = {}
    for number in range(40):
        job, stage = named(f"j{number}"), dice.choice([s for s in Stage if s is not Stage.SAVED])
        known[job.id] = journal.plan(job)._replace(progress=Progress(stage, request_id="r"))
        journal.step(job, known[job.id].progress)
    wanted = {name for name, record in known.items() if record.progress.stage is not Stage.FAILED}
    given = []
    for job, progress in journal.open_jobs():
        given.append(job.id)
        assert progress.stage in (known[job.id].progress.stage, Stage.PLANNED)
        for moved in dice.sample(given, dice.randint(0, len(given))):
            stages = [stage for stage in STAGES[known[moved].progress.stage] if stage is not Stage.FAILED]
            if stages:
                known[moved] = known[moved]._replace(progress=known[moved].progress.to(dice.choice(stages)))
                journal.step(known[moved].job, known[moved].progress)
    assert sorted(given) == sorted(wanted)


async def test_outstanding_jobs_come_before_planned_ones_and_failed_ones_where_asked(journal: SqliteJournal) -> None:
    for name, stage in (("p", Stage.PLANNED), ("f", Stage.FAILED), ("s", Stage.SAVED), ("r", Stage.RENDERING)):
        journal.step(journal.plan(named(name)).job, Progress(stage))
    assert [job.id for job, _ in journal.open_jobs()] == ["r", "p"]
    assert [job.id for job, _ in journal.open_jobs(retry_failed=True)] == ["r", "f", "p"]
    assert [job.id for job, _ in journal.ended_jobs()] == ["s", "f"]


async def test_a_run_is_read_while_it_is_written(journal: SqliteJournal, path: Path) -> None:
    journal.plan(named("a"))
    journal._commits.commit()
    with read_journal(path) as reader:
        assert reader.counts() == {"planned": 1}
        journal.step(journal.plan(named("b").with_base_folder("/a new folder")).job, READY)
        journal._commits.commit()
        assert reader.counts() == {"planned": 1, "ready": 1}
        assert reader.spent() == 0.21
        assert reader.find("b") == Record(named("b"), READY)
        assert str(reader.find("b").job.folder) == "/a new folder"  # type: ignore[union-attr]


async def test_an_id_is_in_the_log_at_once_and_what_would_be_told_again_a_moment_later(
    journal: SqliteJournal, path: Path
) -> None:
    with read_journal(path) as reader:
        journal.plan(named("a"))
        await anyio.lowlevel.checkpoint()
        assert reader.find("a") is None
        await anyio.sleep(0.1)
        assert reader.find("a") == Record(named("a"), Progress())
        journal.plan(named("b"))
        journal.step(named("a"), RENDERING)
        await anyio.lowlevel.checkpoint()
        assert reader.find("a") == Record(named("a"), RENDERING)
        assert reader.find("b") == Record(named("b"), Progress())


async def test_when_a_clip_was_ready_is_in_the_log_before_the_clip_can_be_in_its_file(
    journal: SqliteJournal, path: Path
) -> None:
    # That moment stands in the file's recipe: with another one, a run that was killed between the two would save a tiny
    # clip once more, beside the first.
    journal.plan(named("a"))
    journal.step(named("a"), READY)
    await anyio.lowlevel.checkpoint()
    with read_journal(path) as reader:
        assert reader.find("a") == Record(named("a"), READY)


@for_each("name", ["100%25", "a?mode=rw", "#1", "two words", "päth"])
async def test_a_folder_of_any_name_can_be_read(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    async with open_journal(folder / "journal.sqlite3") as journal:
        journal.plan(named("a"))
    with read_journal(folder / "journal.sqlite3") as journal:
        assert journal.counts() == {"planned": 1}
    assert sorted(tmp_path.iterdir()) == [folder]


async def test_a_reader_writes_nothing(path: Path) -> None:
    async with open_journal(path) as journal:
        journal.plan(named("a"))
    with read_journal(path) as reader, pytest.raises(JournalError, match="readonly"):
        reader._read("DELETE FROM jobs")


async def test_a_folder_that_may_not_be_written_is_read_without_a_file_beside(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_journal(path) as journal:
        journal.plan(named("a"))
    before = sorted(path.parent.iterdir())
    monkeypatch.setattr(os, "access", lambda *_: False)  # whoever runs the tests may write everywhere
    with read_journal(path) as reader:
        assert reader.counts() == {"planned": 1}
        assert sorted(path.parent.iterdir()) == before


@pytest.mark.parametrize(
    ("code", "is_read"),
    [(sqlite3.SQLITE_FULL, True), (sqlite3.SQLITE_IOERR_SHMSIZE, True), (sqlite3.SQLITE_CORRUPT, False)],
)
async def test_on_a_full_disk_where_sqlite_can_make_no_file_an_ended_run_is_read_all_the_same(
    path: Path, monkeypatch: pytest.MonkeyPatch, code: int, is_read: bool
) -> None:
    async with open_journal(path) as journal:
        journal.plan(named("a"))
    refused, connect = sqlite3.OperationalError("refused"), sqlite3.connect
    refused.sqlite_errorcode = code

    class Refusing(sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            if sql == "PRAGMA schema_version":
                raise refused
            return super().execute(sql, *values)

    def connected(address: str, **options: Any) -> sqlite3.Connection:
        return connect(address, factory=Refusing if "mode=rw" in address else sqlite3.Connection, **options)

    monkeypatch.setattr(sqlite3, "connect", connected)
    with nullcontext() if is_read else pytest.raises(JournalError), read_journal(path) as reader:
        assert reader.counts() == {"planned": 1}


def test_where_there_is_no_journal_the_reader_says_so(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="expected the output folder of a run"), read_journal(tmp_path / "none"):
        pass


async def test_the_line_of_a_results_file_becomes_its_job_again(path: Path) -> None:
    row = {"id": "a", "model": "m/one", "stage": "saved", "generation_id": "g", "file": "a.mp4", "bytes": 4}
    async with open_journal(path) as journal:
        journal.recover(row | {"sha256": "0f" * 32, "cost_usd": 0.2, "polls": 3})
        journal.recover(row | {"id": "r", "stage": "rendering", "file": None, "bytes": None})
        journal.recover(row | {"id": "r", "stage": "failed", "error": "moderated", "file": None, "bytes": None})
    async with open_journal(path) as journal:
        found = journal.find("a")
        assert found is not None
        assert found.job.model == "m/one"
        assert (found.progress.file, found.progress.cost_usd, found.progress.sha256) == ("a.mp4", 0.2, "0f" * 32)
        assert str(journal.find("r").progress.error) == "moderated"  # type: ignore[union-attr]
        assert journal.plan(named("a", prompt="waves")).progress.stage is Stage.SAVED
    async with open_journal(path) as journal:
        with pytest.raises(InvalidJobs, match="prompt changed"):
            journal.plan(named("a", prompt="hills"))


async def test_a_job_that_was_recovered_knows_its_moments_and_what_was_paid(journal: SqliteJournal) -> None:
    row = {"id": "a", "model": "m/one", "generation_id": "g", "video_url": LINK, "stage": "saved", "file": "a.mp4"}
    moments = {"submitted_at": "2026-11-27T04:00:00.500Z", "completed_at": "2026-11-27T04:01:00Z", "saved_at": None}
    journal.recover(row | moments)
    journal.recover(row | {"id": "b", "stage": "failed", "error": "the link is dead", "submitted_at": "yesterday"})
    journal.recover(row | {"id": "c", "stage": "failed", "error": "no GPU", "video_url": None})
    progress = {name: found.progress for name in "abc" if (found := journal.find(name)) is not None}
    assert (progress["a"].submitted_at, progress["a"].completed_at) == (1795752000.5, 1795752060.0)
    assert (progress["a"].saved_at, progress["b"].submitted_at) == (None, None)
    # The clip of the second one is paid and is fetched; the third has none, and is bought anew where a person asks.
    assert [progress[name].for_retry().stage for name in "bc"] == [Stage.RENDERING, Stage.PLANNED]
    assert isinstance(progress["c"].error, errors.GenerationFailed)


async def test_a_job_that_was_recovered_knows_what_failed_before_it_could_not_be_sent_again(
    journal: SqliteJournal,
) -> None:
    failed = {"id": "a", "model": "m/one", "stage": "failed", "generation_id": "g", "error": "no GPU", "cost_usd": 0.25}
    unsent = failed | {"generation_id": None, "error": "duration: expected 5 or 10", "cost_usd": None}
    for row in (failed, unsent, unsent):
        journal.recover(row)
    found = journal.find("a")
    assert found is not None
    assert found.progress.for_retry() == Progress(retry_of="g")
    assert (journal.spent(), [attempt.generation_id for attempt in journal.attempts("a")]) == (0.25, ["g"])


@pytest.mark.parametrize(("link", "generation_id"), [(LINK, "g"), (None, "gen-9")], ids=["paid", "unpaid"])
async def test_a_failed_job_was_tried_again_by_what_only_the_log_has_unless_its_clip_was_paid(
    journal: SqliteJournal, link: str | None, generation_id: str
) -> None:
    job = VideoJob("m/one", id="a")
    journal.recover(
        {"id": "a", "model": "m/one", "stage": "failed", "error": "e", "generation_id": "g", "video_url": link}
    )
    assert journal.remember_found({Intent().request_id(job, "0123"): "gen-9"}) == 1
    assert journal.find("a").progress.generation_id == generation_id  # type: ignore[union-attr]


async def test_a_generation_of_the_log_is_its_job_s_also_where_the_id_stood_for_another_model_meanwhile(
    journal: SqliteJournal,
) -> None:
    one, other = named("a", prompt="waves"), VideoJob("m/other", id="a", prompt="waves")
    journal.remember_found({Intent().request_id(one, "0123"): "gen-9"})
    assert journal.plan(other, run=1).progress == Progress()
    planned = journal.plan(one, run=2).progress
    assert (planned.stage, planned.generation_id) == (Stage.RENDERING, "gen-9")
    journal.step(one, planned.to(Stage.FAILED, error=errors.GenerationFailed("out of paint")))
    assert journal.plan(other, run=3).progress == Progress()
    assert journal.plan(one, run=4).progress == Progress(), "it had that one, which has failed"


async def test_a_generation_of_the_log_is_known_by_the_id_that_its_job_names_itself(journal: SqliteJournal) -> None:
    assert journal.remember_found({"mine": "gen-9"}, "external_id") == 1
    assert journal.plan(named("a", external_id="mine")).progress.generation_id == "gen-9"


@pytest.mark.parametrize("stage", ["planned", "submitting", "in_doubt"])
async def test_a_doubtful_line_is_left_out_so_that_the_log_is_asked_for_its_generation(
    journal: SqliteJournal, stage: str
) -> None:
    job = named("a", prompt="waves")
    journal.recover({"id": "a", "model": "m/one", "stage": stage, "generation_id": None})
    assert journal.remember_found({Intent().request_id(job, "0123"): "gen-9", "somebody-s": "gen-2"}) == 1
    assert journal.remember_found({}) == 0
    planned = journal.plan(job).progress
    assert (planned.stage, planned.generation_id) == (Stage.RENDERING, "gen-9")
    assert journal.plan(named("b")).progress == Progress()


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"id": "a"},
        {"id": "a", "stage": "asleep"},
        {"id": "a", "stage": "rendering"},
        {"id": "a", "stage": "saved", "sha256": "no hex"},
        {"id": "a", "stage": "saved", "bytes": {}},
        {"id": "a", "stage": "ready", "video_url": ["x"]},
        {"id": "a", "stage": "ready", "cost_usd": "much"},
    ],
)
async def test_a_line_that_is_none_of_ours_is_refused(journal: SqliteJournal, row: dict[str, Any]) -> None:
    with pytest.raises(JournalError, match="not a line of a run's results"):
        journal.recover(row)


async def test_unknown_costs_are_counted_and_not_taken_for_nothing(journal: SqliteJournal) -> None:
    journal.step(journal.plan(named("a")).job, READY)
    journal.step(journal.plan(named("b")).job, READY._replace(cost_usd=None))
    assert journal.spent() == 0.21
    assert journal.unknown_costs() == 1


async def test_a_job_costs_at_most_400_bytes_beside_its_own_text(path: Path) -> None:
    text, count = 0, 2000
    async with open_journal(path) as journal:
        for number in range(count):
            job = journal.plan(VideoJob("kling-video/v1.6/pro/image-to-video", prompt=f"take {number}")).job
            text += len(job.content())
            request_id = Intent().request_id(job, f"{number:010x}")
            for known in (SENT, RENDERING, READY, SAVED._replace(poll_ages=bytes(24))):
                journal.step(job, known._replace(request_id=request_id, file=known.file and file_name(job.id)))
    assert os.stat(path).st_size - text < 400 * count


async def test_a_mistake_of_ours_is_not_taken_for_a_damaged_file(journal: SqliteJournal) -> None:
    with pytest.raises(sqlite3.Error, match="binding parameter"):
        journal.step(journal.plan(named("a")).job, RENDERING._replace(cost_usd={}))  # type: ignore[arg-type]
    journal.step(named("a"), RENDERING)
    assert journal.find("a") == Record(named("a"), RENDERING)


@pytest.mark.real_time
async def test_whoever_is_cancelled_as_its_turn_to_sync_comes_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_journal(tmp_path / "journal.sqlite3") as journal:
        commits, is_at_disk, disk_is_free = journal._commits, asyncio.Event(), asyncio.Event()
        to_disk, wake = commits._to_disk, commits._wake_waiters

        async def held_up(wal: int) -> None:
            is_at_disk.set()
            await disk_is_free.wait()
            await to_disk(wal)

        async def write(name: str) -> None:
            journal.plan(VideoJob("m", id=name))
            await journal.synced()

        monkeypatch.setattr(commits, "_to_disk", held_up)
        async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            first = tasks.create_task(write("first"))
            await is_at_disk.wait()  # a wait of some milliseconds may be over before the first one gathers no more
            second, third = (tasks.create_task(write(name)) for name in ("second", "third"))
            await asyncio.sleep(0)

            def wake_and_cancel() -> None:
                wake()
                second.cancel()

            monkeypatch.setattr(commits, "_wake_waiters", wake_and_cancel)
            disk_is_free.set()
    assert (first.cancelled(), second.cancelled(), third.cancelled()) == (False, True, False)


@pytest.mark.real_time
async def test_whoever_comes_while_a_sync_is_under_way_sleeps_until_its_own_is_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: Counter[int] = Counter()
    async with open_journal(tmp_path / "journal.sqlite3") as journal:
        wait = journal._commits._wait_for_sync

        async def counted(written: int) -> bool:
            waits[written] += 1
            return await wait(written)

        monkeypatch.setattr(journal._commits, "_wait_for_sync", counted)

        async def write(number: int) -> None:
            await asyncio.sleep(number * 0.001)
            journal.plan(VideoJob("m", id=f"job{number}"))
            await journal.synced()

        async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            for number in range(60):
                tasks.create_task(write(number))
    assert waits
    assert set(waits.values()) == {1}


@pytest.mark.parametrize("stage", ["rendering", "ready"])
async def test_a_reason_why_a_job_stands_still_is_not_one_why_it_failed(journal: SqliteJournal, stage: str) -> None:
    row = {"id": "a", "model": "m/one", "stage": stage, "generation_id": "g", "video_url": None}
    journal.recover(row | {"error": "not finished within 600 s"})
    progress = journal.find("a").progress  # type: ignore[union-attr]
    assert (progress.stage, progress.error) == (Stage(stage), None)
