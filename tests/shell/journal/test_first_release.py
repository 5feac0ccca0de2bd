"""A journal that the first release wrote opens, is brought up to date, and goes on."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from contextlib import closing, nullcontext
from pathlib import Path

import pytest

from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.errors import GenerationFailed, InvalidJobs, JournalError, Rejected
from aimlvideo.shell.journal import sqlite_schema
from aimlvideo.shell.journal.sqlite import SqliteJournal, open_journal
from aimlvideo.shell.journal.sqlite_reader import read_journal

RECORDED = Path(__file__).parents[2] / "data" / "first_release.sqlite3"
STAGES = {
    "saved": Stage.SAVED, "scene 1/sea": Stage.SAVED, "beside": Stage.SAVED, "ready": Stage.READY, "gone": Stage.READY,
    "rendering": Stage.RENDERING, "submitting": Stage.SUBMITTING, "in-doubt": Stage.IN_DOUBT, "planned": Stage.PLANNED,
    "failed": Stage.FAILED, "rejected": Stage.FAILED,
}  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a copy of the recorded journal, as it lay in its output folder."""
    shutil.copy(RECORDED, tmp_path / "journal.sqlite3")
    return tmp_path / "journal.sqlite3"


def files(journal: SqliteJournal) -> dict[str, str | None]:
    return {record.job.id: record.progress.file for record in journal.ended_jobs() if record.progress.file}


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])


async def test_every_job_is_where_it_was(path: Path) -> None:
    async with open_journal(path) as journal:
        records = [*journal.open_jobs(), *journal.ended_jobs()]
        assert {record.job.id: record.progress.stage for record in records} == STAGES
        saved, failed, rejected = (journal.find(name) for name in ("saved", "failed", "rejected"))
        assert saved is not None
        assert failed is not None
        assert rejected is not None
        assert saved.progress.poll_ages == b"\x14\x28\x32"
        assert (saved.progress.cost_usd, saved.progress.bytes, saved.progress.polls) == (0.21, 4, 3)
        assert str(saved.job.folder) == "/pictures"
        assert isinstance(failed.progress.error, GenerationFailed)
        assert isinstance(rejected.progress.error, Rejected)
        assert journal.fact("service") == "aimlapi"
    assert version(path) == sqlite_schema.VERSION


async def test_a_new_rule_for_names_moves_no_clip_of_an_old_run(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = {"saved": "saved.mp4", "scene 1/sea": "scene_1_sea-d6bdf505a0.mp4", "beside": "beside-2.mp4"}
    monkeypatch.setattr("aimlvideo.pipeline.clip_names.file_name", lambda *_: "another-rule.mp4")
    with read_journal(path) as journal:
        assert files(journal) == expected
    async with open_journal(path) as journal:
        assert files(journal) == expected
        gone = journal.find("gone")
        assert gone is not None
        assert gone.progress.file == "gone.mp4"


def test_reading_an_old_journal_leaves_it_as_it_is(path: Path) -> None:
    before = path.read_bytes()
    with read_journal(path) as journal:
        assert journal.counts() == {"failed": 2, "in_doubt": 1, "planned": 1, "ready": 2, "rendering": 1, "saved": 3,
                                    "submitting": 1}  # fmt: skip
        with pytest.raises(JournalError):
            journal._read("INSERT OR REPLACE INTO facts VALUES ('service', 'another')")
    assert path.read_bytes() == before


async def test_an_old_run_goes_on_and_its_next_submission_keeps_the_ids_of_the_one_before(path: Path) -> None:
    async with open_journal(path) as journal:
        record = journal.find("submitting")
        assert record is not None
        before = record.progress.request_id
        again = record.progress.to(Stage.PLANNED).to(Stage.SUBMITTING, request_id="av-new")
        journal.step(record.job, record.progress.to(Stage.PLANNED))
        journal.step(record.job, again)
        rendering = journal.find("rendering")
        assert rendering is not None
        journal.step(rendering.job, rendering.progress.to(Stage.READY, video_url="https://cdn.example.com/r.mp4"))
    async with open_journal(path) as journal:
        assert [one.request_id for one in journal.attempts("submitting")] == [before, "av-new"]
        assert [one.generation_id for one in journal.attempts("rendering")] == ["gen:rendering"]
        with pytest.raises(InvalidJobs, match="prompt changed"):
            journal.plan(VideoJob(record.job.model, id="saved", prompt="hills", image_url="a.png"))


async def test_a_journal_of_a_newer_version_is_refused_and_says_what_to_do(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version={sqlite_schema.VERSION + 1}")
    with pytest.raises(JournalError, match="newer version of aimlvideo: update with pip"):
        async with open_journal(path):
            pass


@pytest.mark.parametrize(
    ("hashed", "token", "opens"),
    [
        ("rendering", "d6f42cb269", True),
        ("rendering", "5b0f11aa-6a11c0de-0-d6f42cb269", False),  # a later form, which has the model in its hash
        ("another job", "d6f42cb269", False),
    ],
)
async def test_request_ids_from_before_the_first_release_are_of_the_job_whose_id_they_hash(
    path: Path, hashed: str, token: str, opens: bool
) -> None:
    request_id = f"av-{hashlib.sha256(hashed.encode()).hexdigest()[:12]}-{token}"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE jobs SET request_id=? WHERE id='rendering'", (request_id,))
    with nullcontext() if opens else pytest.raises(JournalError, match="that of another job"):
        async with open_journal(path) as journal:
            records = {record.job.id: record.progress for record in journal.open_jobs()}
            assert records["rendering"].request_id == request_id
