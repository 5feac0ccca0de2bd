"""The page's file, however many jobs it has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress, Record
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.jobs.templates import MATRIX
from aimlvideo.shell.journal.memory import InMemoryJournal
from aimlvideo.views.report import report_file
from aimlvideo.views.report.report_file import _posters, write_report


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a pipe with a name")
def test_a_pipe_in_the_page_s_place_is_replaced_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "report.html")
    write_report(tmp_path, journal=InMemoryJournal())
    assert "<html" in (tmp_path / "report.html").read_text()


def test_a_page_is_written_as_its_jobs_are_read(tmp_path: Path) -> None:
    """However many jobs there are, they are never all in memory."""
    sizes: list[int] = []

    class Endless(InMemoryJournal):
        def ended_jobs(self, *, run: int | None = None) -> Iterator[Record]:
            for number in range(3000):
                yield Record(VideoJob("m", id=f"job{number}", prompt="p" * 200), Progress(Stage.FAILED))
                part = tmp_path / "report.html.part"
                sizes.append(part.stat().st_size if part.exists() else 0)

    write_report(tmp_path, journal=Endless())
    assert 0 < sizes[-2000] < sizes[-1000] < sizes[-1]
    assert "job2999" in (tmp_path / "report.html").read_text()


def test_the_more_clips_a_page_has_the_smaller_are_their_posters(monkeypatch: pytest.MonkeyPatch) -> None:
    sides = []
    monkeypatch.setattr(report_file, "_make_posters", lambda clips, side, patience: sides.append(side) or [])
    for clips in (0, 1, 400, 1600, 6000):
        _posters(Path(), {f"{number}.mp4:9": f"{number}.mp4" for number in range(clips)}, {})
    assert sides == [480, 480, 480, 240, 128]


@pytest.mark.parametrize("compares", [True, False])
def test_a_page_knows_whether_its_run_is_a_comparison(tmp_path: Path, compares: bool) -> None:
    journal = InMemoryJournal()
    if compares:
        journal.note(MATRIX, "yes")
    write_report(tmp_path, journal=journal)
    assert f'"matrix":{str(compares).lower()}' in (tmp_path / "report.html").read_text()
