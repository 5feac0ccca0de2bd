"""A run's files are for their owner only, and are written where they are said to be, whatever links lie there."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from aimlvideo.core.jobs.file_names import RESULTS, is_plain_name
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress
from aimlvideo.core.jobs.result import Result
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.shell.files.private_files import new_file
from aimlvideo.shell.files.results_file import ResultsFile
from aimlvideo.shell.journal.sqlite import open_journal
from aimlvideo.views.report.report_file import write_report
from tests.cases import for_each

pytestmark = pytest.mark.skipif(os.name == "nt", reason="links and modes of POSIX")


def result(name: str = "a") -> Result:
    return Result.of(VideoJob("m", id=name), Progress(Stage.PLANNED))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def bystander(tmp_path: Path) -> Path:
    path = tmp_path / "elsewhere" / "precious"
    path.parent.mkdir()
    path.write_text("mine\n")
    return path


async def test_results_and_report_are_as_private_as_the_journal(tmp_path: Path) -> None:
    ResultsFile.rewrite(tmp_path / RESULTS, [result()])
    ResultsFile(tmp_path / "more.jsonl").close()
    async with open_journal(tmp_path / "journal.sqlite3", create=True) as journal:
        journal.plan(VideoJob("m", id="a"))
    report = write_report(tmp_path)
    assert {mode(path) for path in (tmp_path / RESULTS, tmp_path / "more.jsonl", report)} == {0o600}


async def test_links_in_their_places_are_replaced_and_what_they_lead_to_is_left_alone(
    tmp_path: Path, bystander: Path
) -> None:
    for name in (RESULTS, f"{RESULTS}.part", "report.html", "report.html.part"):
        (tmp_path / name).symlink_to(bystander)
    async with open_journal(tmp_path / "journal.sqlite3", create=True):
        pass
    assert not write_report(tmp_path).is_symlink()
    file = ResultsFile(tmp_path / RESULTS)
    file.write(result())
    file.close()
    ResultsFile.rewrite(tmp_path / RESULTS, [result("b")])
    assert [row["id"] for row in ResultsFile.read(tmp_path / RESULTS)] == ["b"]
    assert bystander.read_text() == "mine\n"


def test_a_new_file_takes_the_place_of_a_link(tmp_path: Path, bystander: Path) -> None:
    (tmp_path / "new").symlink_to(bystander)
    with new_file(tmp_path / "new") as file:
        file.write("x")
    assert (tmp_path / "new").read_text() == "x"
    assert bystander.read_text() == "mine\n"


@for_each(
    ("name", "plain"),
    [
        ("a.mp4", True), ("job-1 (2).mp4", True), ("é.mp4", True), ("..a", True),
        ("../a.mp4", False), ("/a.mp4", False), ("a/b", False), ("a\\b", False), ("C:a", False), ("..", False),
        ("", False), (".", False), ("a\0", False), ("a\n", False), ("x" * 300, False), ("journal.sqlite3", False),
        ("results.jsonl", False), ("report.html", False), ("journal.sqlite3-wal", False),
    ],
)  # fmt: skip
def test_a_name_from_elsewhere_is_one_of_a_clip_in_the_folder_itself(name: str, plain: bool) -> None:
    assert is_plain_name(name) is plain


async def test_recovered_lines_name_no_file_outside_of_the_folder(tmp_path: Path) -> None:
    row = {"id": "a", "model": "m", "stage": "saved", "generation_id": "g", "file": "../x.mp4", "bytes": 3}
    async with open_journal(tmp_path / "journal.sqlite3", create=True) as journal:
        journal.recover(row)
        record = journal.find("a")
    assert record is not None
    assert (record.progress.file, record.progress.generation_id) == (None, "g")
