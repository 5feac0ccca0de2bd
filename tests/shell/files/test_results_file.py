"""`results.jsonl`: whole lines, whatever was in them, and read again after a crash."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress
from aimlvideo.core.jobs.result import Result
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.errors import DiskFailed, GenerationFailed, UsageError
from aimlvideo.shell.files.results_file import ResultsFile


def result(name: str, words: str = "moderated") -> Result:
    return Result.of(VideoJob("m", id=name), Progress(Stage.FAILED, error=GenerationFailed(words)))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results.jsonl"


def ids(path: Path) -> list[str]:
    return [row["id"] for row in ResultsFile.read(path)]


def test_a_mark_of_an_editor_before_the_first_line_and_blank_lines_cost_none(path: Path) -> None:
    file = ResultsFile(path)
    file.write(result("a"))
    file.close()
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes() + b"\r\n \n")
    assert ids(path) == ["a"]
    assert ResultsFile.count_lines(path) == (1, 1)


def test_a_line_is_there_as_soon_as_it_is_written(path: Path) -> None:
    file = ResultsFile(path)
    file.write(result("a"))
    assert list(ResultsFile.read(path)) == [result("a").row()]
    file.write(result("b"))
    assert ids(path) == ["a", "b"]
    file.close()


def test_whatever_is_in_it_a_result_is_one_line(path: Path) -> None:
    words = "two\nlines, a 💃, half a pair \ud83d, \u2028 and \0"
    file = ResultsFile(path)
    file.write(result("a", words))
    file.close()
    assert path.read_bytes().count(b"\n") == 1
    (row,) = ResultsFile.read(path)
    assert row["error"] == words
    ResultsFile.rewrite(path, [result("b", words)])
    assert next(ResultsFile.read(path))["error"] == words


def test_after_a_line_that_a_crash_cut_short_the_next_one_is_whole(path: Path) -> None:
    path.write_text('{"id": "a"}\n{"id": "b", "mod')
    file = ResultsFile(path)
    file.write(result("c"))
    file.close()
    assert ids(path) == ["a", "c"]


def test_lines_that_are_no_results_are_passed_over(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\n[]\n7\n\n" + b"[" * 100_000 + b'\n{"id": "a"}\n{"id": "b"')
    assert ids(path) == ["a"]


def test_written_anew_it_is_whole_or_as_it_was(path: Path) -> None:
    ResultsFile.rewrite(path, [result("a")])

    def broken() -> Iterator[Result]:
        yield result("b")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ResultsFile.rewrite(path, broken())
    assert ids(path) == ["a"]
    ResultsFile.rewrite(path, [result("c"), result("d")])
    assert ids(path) == ["c", "d"]
    assert [file.name for file in path.parent.iterdir()] == ["results.jsonl"]


def test_a_disk_that_cannot_be_written_is_said_as_that(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFailed, match=r"No space left on device\. Make space, then run again"):
        ResultsFile.rewrite(path, [result("a")])
    assert list(path.parent.iterdir()) == [], "half of a file would keep the last room of a full disk"
    with pytest.raises(DiskFailed, match="cannot be written"):
        ResultsFile(path.parent / "none" / "results.jsonl")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes and sockets with a name on this system")
@pytest.mark.parametrize("kind", [stat.S_IFSOCK, stat.S_IFIFO], ids=["socket", "pipe"])
def test_a_pipe_or_socket_in_its_place_is_said_and_never_waited_for(path: Path, kind: int) -> None:
    os.mknod(path, kind | 0o600)
    uses: tuple[Callable[[], object], ...] = (
        lambda: ResultsFile(path),
        lambda: ResultsFile.count_lines(path),
        lambda: list(ResultsFile.read(path)),
        lambda: list(ResultsFile.paid_generations(path)),
    )
    for use in uses:
        with pytest.raises(UsageError, match=r"results\.jsonl is a pipe, a socket or a device: expected a file"):
            use()
