"""A file that is not what its ending says, or not one file: nothing in it is bought as what it is not."""

from __future__ import annotations

import gzip
import io
import json
import lzma
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.cases import for_each
from tests.shell.files.test_real_job_files import CATALOG, PICTURES, TEXT, WAVES, read

HEADER = "model,prompt,duration\n"
ROW = f"{TEXT},Waves,5\n"
JSON = json.dumps(WAVES)


def refusals(problems: list[tuple[str, Any]]) -> list[str]:
    return [f"{where}: {problem}" for where, problem in problems if not problem.warning]


@for_each(
    "content",
    [
        f"model\tprompt\tduration\n{TEXT}\tWaves\t5\n",
        HEADER + ROW,
        f"sep=;\nmodel;prompt;duration\n{TEXT};Waves;5\n",
        f"\n{JSON}\n",
        f"[{JSON}]",
        f"[\n  {JSON}\n]\n",
    ],
)
@for_each("ending", ["txt", "stdin"])
def test_a_table_or_json_that_is_called_a_text_is_not_bought_line_by_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, content: str
) -> None:
    path = tmp_path / "jobs.txt"
    path.write_text(content)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
    assert read("-" if ending == "stdin" else path, TEXT) == ([WAVES], [])


def test_the_unicode_text_of_excel_is_a_table(tmp_path: Path) -> None:
    (tmp_path / "jobs.txt").write_bytes(f"Model\tPrompt\tNotes\r\n{TEXT}\tWaves\tmine\r\n".encode("utf-16"))
    assert read(tmp_path / "jobs.txt", TEXT)[0] == [{"model": TEXT, "prompt": "Waves"}]


@for_each(
    "prompt",
    [
        "Model, runway, spotlight",
        "A model walks, slow motion",
        "[wide shot] Waves",
        "{Waves}",
        "prompt: a fox",
        "Waves",
    ],
)
@for_each("ending", ["txt", "stdin"])
def test_a_prompt_that_has_a_word_of_a_header_is_a_prompt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, prompt: str
) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text(f"{prompt}\nWind\n")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(path.read_bytes())))
    assert [job["prompt"] for job in read("-" if ending == "stdin" else path, TEXT)[0]] == [prompt, "Wind"]


@for_each("mark", ["", "\ufeff"])
@for_each(
    ("ending", "table"),
    [("csv", f"model,prompt,duration,\n{ROW}"), ("csv", "prompt\nWaves\n"), ("txt", "Prompt\nWaves\n")],
)
def test_the_header_of_a_second_table_in_the_file_is_no_job(tmp_path: Path, ending: str, table: str, mark: str) -> None:
    (tmp_path / f"jobs.{ending}").write_text(table + mark + table)
    jobs, problems = read(tmp_path / f"jobs.{ending}", TEXT)
    assert [job["prompt"] for job in jobs] == ["Waves", "Waves"]
    assert "left out" in str(problems[-1][1])
    assert refusals(problems) == []


def test_the_line_below_the_header_of_a_markdown_table_is_no_job(tmp_path: Path) -> None:
    (tmp_path / "jobs.csv").write_text("| Prompt | Seconds |\n| :--- | ---: |\n| Waves | 5 |\n")
    assert read(tmp_path / "jobs.csv", TEXT)[0] == [WAVES]


def test_lines_in_two_encodings_are_each_read_in_their_own(tmp_path: Path) -> None:
    lines = [HEADER.encode(), f"{TEXT},Café,5\n".encode(), f"{TEXT},Café,5\n".encode("cp1252")]
    (tmp_path / "jobs.csv").write_bytes(b"".join(lines))
    jobs, problems = read(tmp_path / "jobs.csv")
    assert [job["prompt"] for job in jobs] == ["Café", "Café"]
    assert [str(problem) for _, problem in problems] == [
        "text in UTF-8: read as Windows-1252 (check accented letters, or save it as UTF-8)"
    ]


OLD = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99)
WORKBOOK = "got a ZIP archive or an Excel workbook (a workbook's name ends in .xlsx)"
OLD_WORKBOOK = "got an old Excel workbook, or one with a password (save it as .xlsx, without a password)"
PAGE = "got a page of the web (a download may ask to sign in first)"
ELSEWHERE = "got the place of a file that Git keeps elsewhere (fetch it first: git lfs pull)"
TABLE = (HEADER + ROW * 50).encode()
OTHERS = "got 'model,prompt,duration' (a table's name ends in .csv, that of a list of prompts in .txt)"


@for_each(
    ("ending", "content", "message"),
    [
        ("csv", b"PK\x03\x04" + bytes(range(256)), f"text, {WORKBOOK}"),
        ("jsonl", gzip.compress(JSON.encode()), "text, got a compressed file (unpack it first: gunzip)"),
        ("csv", OLD, f"text, {OLD_WORKBOOK}"),
        ("xlsx", OLD, f"an Excel workbook (.xlsx), {OLD_WORKBOOK}"),
        ("csv", b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "text, got a picture"),
        ("txt", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "text, got a PDF"),
        ("txt", lzma.compress(b"Waves\n"), "text, got a compressed file (unpack it first)"),
        ("txt", b"{\\rtf1\\ansi Waves\\par}\n", "text, got formatted text (RTF) (save it as plain text)"),
        ("txt", b"\xef\xbb\xbf\n<!DOCTYPE HTML>\n<p>Sign in</p>\n", f"text, {PAGE}"),
        ("txt", b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n", f"text, {ELSEWHERE}"),
        ("csv", f"{JSON}\n{JSON}\n".encode(), "a table, got JSON (let the file's name end in .jsonl)"),
        ("csv", f"[\n{JSON}\n]\n".encode(), "a table, got JSON (let the file's name end in .jsonl)"),
        ("jsonl", TABLE, f"a JSON object on each line, {OTHERS}"),
        ("json", TABLE, f"a JSON array of jobs: [{{...}}, {{...}}], {OTHERS}"),
    ],
)
def test_what_a_file_is_instead_is_said_once(tmp_path: Path, ending: str, content: bytes, message: str) -> None:
    (tmp_path / f"jobs.{ending}").write_bytes(content)
    jobs, problems = read(tmp_path / f"jobs.{ending}", TEXT)
    assert (jobs, [str(problem) for _, problem in problems]) == ([], [message])


def test_a_rule_between_prompts_is_none_and_a_conflict_that_git_left_is_refused(tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("<<<<<<< HEAD\nWaves\n=======\nWind... and more\n>>>>>>> theirs\n- - -\n")
    jobs, problems = read(tmp_path / "prompts.txt", TEXT)
    assert [job["prompt"] for job in jobs] == ["Waves", "Wind... and more"]
    assert refusals(problems) == [
        f"prompts.txt:{line}: a prompt, got {mark!r} (Git left a conflict here: settle it first)"
        for line, mark in ((1, "<<<<<<< HEAD"), (5, ">>>>>>> theirs"))
    ]
    assert [where for where, problem in problems if problem.warning] == ["prompts.txt:3", "prompts.txt:6"]


def test_an_array_of_a_dataframe_is_a_list_and_a_picture_in_it_stays_one() -> None:
    pandas, numpy = pytest.importorskip("pandas"), pytest.importorskip("numpy")
    from aimlvideo.shell.files.job_files import jobs_of_frame

    frame = pandas.DataFrame({"model": [PICTURES], "image_list": [numpy.array(["a.png", "b.png"])]})
    assert [dict(job.params) for job in jobs_of_frame(frame, CATALOG)] == [{"image_list": ["a.png", "b.png"]}]
    frame = pandas.DataFrame({"model": ["kling-video/v1.6/pro/image-to-video"], "image": [b"\x89PNG"]})
    assert [dict(job.params) for job in jobs_of_frame(frame, CATALOG)] == [{"image_url": b"\x89PNG"}]


def test_a_named_index_of_a_dataframe_is_a_column_as_when_it_is_saved() -> None:
    pandas = pytest.importorskip("pandas")
    from aimlvideo.shell.files.job_files import jobs_of_frame

    frame = pandas.DataFrame({"id": ["shot"], "model": [TEXT], "prompt": ["Waves"]})
    assert [job.id for job in jobs_of_frame(frame.set_index("id"), CATALOG)] == ["shot"]
    assert [job.id for job in jobs_of_frame(frame.set_index("id", drop=False), CATALOG)] == ["shot"]
    assert [job.id for job in jobs_of_frame(frame.set_index(["id", "model"]), CATALOG)] == ["shot"]


@for_each("half", ["\\ud83d", "\\ude00", "\\ude00\\ud83d", "\\\\\\ud83d", "\\ud83d\\u0041"])
@for_each("before", [0, 1, 65530, 65531, 65535, 65536])
def test_half_a_pair_in_an_array_is_not_bought_as_a_question_mark(tmp_path: Path, before: int, half: str) -> None:
    (tmp_path / "jobs.json").write_text(f'[{{"model": "{TEXT}", "prompt": "{"x" * before}{half}"}}]')
    jobs, problems = read(tmp_path / "jobs.json")
    assert (jobs, len(refusals(problems))) == ([], 1)
    assert "without halves of surrogate pairs" in refusals(problems)[0]


@for_each("words", ["\\ud83d\\ude00", "\\\\ud83d", "\\ud83d\\ude00\\ud83d\\ude01", "\\u00e9"])
@for_each("behind", [*range(-26, 3), -65_000])
def test_a_whole_pair_passes_wherever_it_stands(tmp_path: Path, behind: int, words: str) -> None:
    start = f'[{{"model": "{TEXT}", "prompt": "'
    text = f'{start.ljust(65_536 + behind, "x")}{words}"}}]'  # which is read in pieces of 64 KB
    (tmp_path / "jobs.json").write_text(text)
    assert read(tmp_path / "jobs.json") == (json.loads(text), [])


def test_a_nul_in_a_short_text_makes_no_other_script_of_it(tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_bytes(b"A\0fox\n")
    assert read(tmp_path / "prompts.txt", TEXT)[0] == [{"model": TEXT, "prompt": "A\0fox"}]  # the catalogue refuses it


def test_a_day_of_a_dataframe_is_what_the_same_table_has_as_a_workbook() -> None:
    pandas = pytest.importorskip("pandas")
    from aimlvideo.shell.files.job_files import jobs_of_frame

    moments = [datetime(2026, 11, 27), datetime(2026, 11, 27, 10, 30), pandas.NaT]
    frame = pandas.DataFrame({"id": moments, "model": TEXT, "prompt": ["Waves", "Rain", "Snow"]})
    named, timed, unnamed = [job.id for job in jobs_of_frame(frame, CATALOG)]
    assert (named, timed, unnamed[:4]) == ("2026-11-27", "2026-11-27 10:30:00", "job-")
