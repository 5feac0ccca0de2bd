"""Cells, sheets and texts as people and their programs write them: read rightly, or refused with what to do."""

# ruff: noqa: RUF001 - letters that look alike are the point

from __future__ import annotations

import datetime as dt
import io
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from aimlvideo.core.catalog.catalog import load_catalog
from aimlvideo.errors import UsageError
from aimlvideo.shell.files.cells import CellError, cell_value
from aimlvideo.shell.files.media import Media
from tests.cases import for_each
from tests.shell.files.test_media import AI_ML_API, picture
from tests.shell.files.test_real_job_files import PICTURE, PICTURES, TEXT, WAVES, read

CATALOG = load_catalog()
WAN = CATALOG.find(TEXT)
KLING = CATALOG.find(PICTURE)
ROW = f"{TEXT},Waves,5\n"
HEADER = "model,prompt,duration\n"


@for_each(
    ("name", "cell", "value"),
    [
        ("duration", "5,0", "5"),
        ("duration", "5.0", "5"),
        ("duration", "5s", "5"),
        ("duration", "5 sec", "5"),
        ("duration", "10 Sekunden", "10"),
        ("duration", "5,0 s", "5"),
        ("duration", "00:00:05", "5"),
        ("duration", "0:10", "10"),
        ("duration", "５", "5"),
        ("duration", "１０ 秒", "10"),
        ("duration", "5²", "5²"),
        ("duration", "005", "5"),
        ("seed", "-007", "-7"),
        ("seed", "0.50", "0.50"),
        ("seed", "0", "0"),
        ("duration", "1,000", "1,000"),
        ("duration", "7 s", "7 s"),
        ("duration", "five", "five"),
        ("seed", "5,0", "5"),
        ("seed", "1,000", "1,000"),
        ("resolution", "1080P", "1080p"),
        ("resolution", "720", "720p"),
        ("resolution", "１０８０Ｐ", "1080p"),
        ("resolution", "HD", "HD"),
        ("aspect_ratio", "16/9", "16:9"),
        ("aspect_ratio", "１６：９", "16:9"),
        ("aspect_ratio", "16:9:00", "16:9"),
        ("aspect_ratio", "16:09:00", "16:9"),
        ("aspect_ratio", "09:16", "9:16"),
        ("aspect_ratio", "9 x 16", "9:16"),
        ("aspect_ratio", "9×16", "9:16"),
        ("aspect_ratio", "1-1", "1:1"),
        ("aspect_ratio", "2026-01-01 00:00:00", "1:1"),
        ("aspect_ratio", "01. Jan", "1:1"),
        ("aspect_ratio", "Jan 1", "1:1"),
        ("aspect_ratio", "landscape", "landscape"),
        ("enhance_prompt", "WAHR", True),
        ("enhance_prompt", "FALSCH", False),
        ("enhance_prompt", "Vrai", True),
        ("enhance_prompt", "ja", True),
        ("enhance_prompt", "x", True),
        ("enhance_prompt", "0", False),
        ("enhance_prompt", "perhaps", "perhaps"),
        ("prompt", "5,0", "5,0"),
        ("prompt", "16/9", "16/9"),
        ("prompt", "“Big” wave – it’s far…", "“Big” wave – it’s far…"),
    ],
)
def test_a_cell_of_a_text_model_means_what_it_can_only_mean(name: str, cell: str, value: object) -> None:
    assert WAN is not None
    assert cell_value(name, WAN.params[name], cell) == value


@for_each(
    ("cell", "value"),
    [
        ('"C:\\Users\\me\\my pic.png"', "C:\\Users\\me\\my pic.png"),
        ("“a.png”", "a.png"),
        ("my pic.png", "my pic.png"),
        ("https://x.test/my pic.png?a=1 2", "https://x.test/my%20pic.png?a=1%202"),
        ("my fox (1).png (https://v5.example.com/a?x=1)", "https://v5.example.com/a?x=1"),
        ("https://x.test/a,b.png", "https://x.test/a,b.png"),
    ],
)
def test_a_file_or_a_link_loses_what_was_copied_along(cell: str, value: str) -> None:
    assert KLING is not None
    assert cell_value("image_url", KLING.params["image_url"], cell) == value


TWO_LINKS = (
    "https://x.test/a?x=1, https://x.test/b",
    "https://x.test/a?x=1\nhttps://x.test/b",
    "a.png (https://x.test/a?x=1),my; b (1).png (https://x.test/b)",
)


@for_each(
    "link",
    [
        "https://x.test/upload/w_300,c_fill/cat.png",
        "https://x.test/upload/ar_1.50,c_fill/cat.png",
        "https://x.test/My, Cat.png",
    ],
)
def test_a_link_with_commas_is_one_file(link: str) -> None:
    model = CATALOG.find(PICTURES)
    assert model is not None
    assert cell_value("image_list", model.params["image_list"], link) == [link.replace(" ", "%20")]


@for_each("cell", TWO_LINKS)
def test_several_links_in_a_cell_are_several_files_and_refused_where_one_is_taken(cell: str) -> None:
    model = CATALOG.find(PICTURES)
    assert model is not None
    assert KLING is not None
    links = ["https://x.test/a?x=1", "https://x.test/b"]
    assert cell_value("image_list", model.params["image_list"], cell) == links
    with pytest.raises(CellError, match="leave one"):
        cell_value("image_url", KLING.params["image_url"], cell)


@for_each(
    "cell",
    [
        '["a.png", "b c.png"]',
        "[“a.png”, “b c.png”]",
        "['a.png', 'b c.png']",
        "a.png; b c.png",
        "a.png\nb c.png",
        "a.png, b c.png",
    ],
)  # fmt: skip
def test_a_list_is_read_in_every_form(cell: str) -> None:
    model = CATALOG.find(PICTURES)
    assert model is not None
    assert cell_value("image_list", model.params["image_list"], cell) == ["a.png", "b c.png"]


@for_each(
    ("name", "cell", "message"),
    [
        ("prompt", "#N/A", "a formula failed there"),
        ("duration", "#WERT!", "a formula failed there"),
        ("prompt", "=A1&B2", "this is a formula"),
        ("prompt", '="x"&B2', "this is a formula"),
        ("duration", "=SUMME(A1;B2)", "this is a formula"),
        ("seed", "1,23457E+12", "a spreadsheet shortened this number"),
        ("aspect_ratio", "16-Sep", "9:16"),
        ("aspect_ratio", "2026-04-03 00:00:00", "3:4 or 4:3"),
        ("aspect_ratio", "4. März", "format the column as text"),
        ("aspect_ratio", "4. Mrz", "3:4 or 4:3"),
        ("aspect_ratio", "3 avr.", "3:4 or 4:3"),
    ],
)
def test_a_cell_that_stands_for_nothing_or_for_two_things_is_refused(name: str, cell: str, message: str) -> None:
    assert WAN is not None
    with pytest.raises(CellError, match=message):
        cell_value(name, WAN.params[name], cell)


@for_each("word", ["NaN", "nan", "None", "null", "<NA>"])
def test_what_programs_write_for_an_empty_cell_is_empty(tmp_path: Path, word: str) -> None:
    (tmp_path / "jobs.csv").write_text(
        f"id,model,prompt,negative_prompt\na,{TEXT},Waves,{word}\n{word},{TEXT},{word},x\n"
    )
    jobs, problems = read(tmp_path / "jobs.csv")
    assert jobs == [{"id": "a", "model": TEXT, "prompt": "Waves"}, {"model": TEXT, "negative_prompt": "x"}]
    assert problems == []


@for_each(("column", "cell"), [("id", "#REF!"), ("model", "#REF!"), ("id", "1.23457E+12")])
def test_a_formula_is_no_id_and_no_model(tmp_path: Path, column: str, cell: str) -> None:
    row = {"id": "a", "model": TEXT, "prompt": "Waves", column: cell}
    (tmp_path / "jobs.csv").write_text(f"{','.join(row)}\n{','.join(row.values())}\n")
    jobs, ((_, problem),) = read(tmp_path / "jobs.csv")
    assert (jobs, problem.field, problem.got) == ([], column, repr(cell))


@for_each("name", ["jobs.json", "jobs.jsonl", "jobs.csv", "jobs.xlsx", "jobs.txt"])
def test_a_file_of_no_bytes_has_no_jobs_and_no_mistakes(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    assert read(tmp_path / name) == ([], [])


JSON = json.dumps(WAVES)
FILES: dict[str, tuple[str, str]] = {
    "trailing semicolons": ("csv", f"model;prompt;duration;;;\n{TEXT};Waves;5;;;\n;;;;;\n"),
    "a title above the header": ("csv", f"Campaign 2026;;\n\nmodel;prompt;duration\n{TEXT};Waves;5\n"),
    "the name of a table, as Numbers writes it": ("csv", f"Table 1\n{HEADER}{ROW}"),
    "headers with no-break spaces": ("csv", f"\u00a0model,prompt\u00a0,duration\n{TEXT}\u00a0,\u00a0Waves,5\u00a0\n"),
    "headers with characters of no width": ("csv", f"\u200bmodel,prompt\u200b,\u2060duration\n{TEXT},Waves\u200b,5\n"),
    "a mark and sep": ("csv", f"\ufeffsep=;\r\nmodel;prompt;duration\r\n{TEXT};Waves;5\r\n"),
    "headers in the plural": ("csv", f"Model,Prompts,Durations\n{ROW}"),
    "line ends of old Macintosh": ("csv", f"{HEADER}{ROW}".replace("\n", "\r")),
    "tabs under the ending csv": ("csv", f"{HEADER}{ROW}".replace(",", "\t")),
    "seconds with their unit": ("csv", f"model;prompt;seconds\n{TEXT};Waves;5,0 s\n"),
    "blank lines between JSON lines": ("jsonl", f"\n\n  \n{JSON}\n\n"),
    "JSON lines that end with commas": ("jsonl", f"{JSON},\n"),
    "comments between JSON lines": ("jsonl", f"// mine\n# mine\n{JSON}\n"),
    "objects over several lines": ("jsonl", json.dumps(WAVES, indent=2)),
    "jobs inside an object": ("json", f'{{"jobs": [{JSON}]}}'),
}


@for_each("name", FILES)
def test_a_file_as_programs_write_it_is_one_job(tmp_path: Path, name: str) -> None:
    ending, content = FILES[name]
    path = tmp_path / f"jobs.{ending}"
    path.write_bytes(content.encode())
    jobs, problems = read(path)
    assert jobs == [WAVES]
    assert [problem for _, problem in problems if not problem.warning] == []


@for_each(
    ("content", "encoding"),
    [
        (f"提示,model,prompt\n,{TEXT},波\n", "utf-16-le"),
        (f"提示,model,prompt\n,{TEXT},波\n", "utf-16-be"),
        (f"model\tprompt\n{TEXT}\tПромпт\n", "utf-16"),
    ],
)
def test_utf_16_is_told_whatever_it_begins_with(tmp_path: Path, content: str, encoding: str) -> None:
    (tmp_path / "jobs.csv").write_bytes(content.encode(encoding))
    assert read(tmp_path / "jobs.csv")[0][0]["prompt"] in ("波", "Промпт")


@for_each(
    ("encoding", "prompt"),
    [("gbk", "夜晚的海浪,慢镜头"), ("shift_jis", "夜の波、スローモーション"), ("cp1251", "Ночные волны, медленно")],
)
def test_a_script_that_cannot_be_told_is_refused_and_never_bought_as_nonsense(
    tmp_path: Path, encoding: str, prompt: str
) -> None:
    rows = "".join(f'{TEXT},"{prompt} {number}"\n' for number in range(40))
    (tmp_path / "jobs.csv").write_bytes(f"model,prompt\n{rows}".encode(encoding))
    jobs, [(where, problem)] = read(tmp_path / "jobs.csv")
    assert jobs == []
    assert f"{where}: {problem}" == (
        "jobs.csv: text in UTF-8, got another encoding, of a script that cannot be told "
        "(save it as UTF-8 (in Excel: CSV UTF-8))"
    )


def test_a_csv_of_excel_for_mac_is_read_as_such(tmp_path: Path) -> None:
    (tmp_path / "jobs.csv").write_bytes(f"model,prompt\r{TEXT},Café à l’été\r".encode("mac_roman"))
    jobs, [(_, remark)] = read(tmp_path / "jobs.csv")
    assert jobs == [{"model": TEXT, "prompt": "Café à l’été"}]
    assert "read as Mac Roman" in str(remark)


@for_each(
    ("ending", "content", "message"),
    [
        (
            "csv",
            "Waves at night\nA fox runs\n",
            "a header that names the columns, got 'Waves at night'",
        ),
        ("csv", f'{HEADER}{TEXT},"Big" wave,5\n', "close the quotation mark, and write one inside a cell as two"),
        ("jsonl", "{'model': 'm'}\n", "JSON has double quotation marks"),
        ("jsonl", "{“model”: “m”}\n", "JSON has straight quotation marks"),
        ("jsonl", '{"model": "m",}\n', "leave out the comma before } or ]"),
        ("jsonl", '{"model": "m", "audio": True}\n', "JSON has true, false and null"),
        ("json", '[{"model": "m"} /* one */]', "JSON has no comments: remove them"),
        ("json", '[{"model": "m"},]', "leave out the comma before } or ]"),
        ("md", "# Prompts\n\nSome prose.\n", "a list of prompts, each behind - or 1., got none"),
    ],
)
def test_a_slip_in_a_file_is_refused_with_what_to_do(tmp_path: Path, ending: str, content: str, message: str) -> None:
    (tmp_path / f"jobs.{ending}").write_text(content)
    _, problems = read(tmp_path / f"jobs.{ending}")
    refusals = [str(problem) for _, problem in problems if not problem.warning]
    assert len(refusals) == 1
    assert message in refusals[0]


@for_each(
    ("ending", "content", "prompts"),
    [
        ("txt", "- Waves\n* Wind\n- [ ] Rain\n", ["Waves", "Wind", "Rain"]),
        ("txt", "1. Waves\n2) Wind\n", ["Waves", "Wind"]),
        ("txt", "Waves\n- and wind\n", ["Waves", "- and wind"]),
        ("txt", "1. Waves\nWind\n", ["1. Waves", "Wind"]),
        ("md", "# Prompts\n\nFor Anna:\n\n- Waves\n- Wind\n\n> note\n", ["Waves", "Wind"]),
    ],
)
def test_lists_of_prompts_lose_their_marks_where_all_have_one(
    tmp_path: Path, ending: str, content: str, prompts: list[str]
) -> None:
    (tmp_path / f"prompts.{ending}").write_text(content)
    assert [job["prompt"] for job in read(tmp_path / f"prompts.{ending}", TEXT)[0]] == prompts


def test_jobs_by_their_ids_keep_them(tmp_path: Path) -> None:
    (tmp_path / "jobs.json").write_text(json.dumps({"one": WAVES, "two": {**WAVES, "prompt": "Wind"}}))
    assert [(job["id"], job["prompt"]) for job in read(tmp_path / "jobs.json")[0]] == [
        ("one", "Waves"),
        ("two", "Wind"),
    ]


def test_something_else_among_jobs_by_their_ids_makes_none_of_them_a_job(tmp_path: Path) -> None:
    for other in ({"quality": "high"}, "five shots", None, [WAVES]):
        (tmp_path / "jobs.json").write_text(json.dumps({"one": WAVES, "about": other}))
        jobs, problems = read(tmp_path / "jobs.json")
        assert not [job for job in jobs if job.get("model")], other
        assert problems or "one" in jobs[0], "the check says then that there is no such parameter"


def test_a_first_column_that_may_be_meant_as_names_says_how_to_name_clips_by_it(tmp_path: Path) -> None:
    (tmp_path / "jobs.csv").write_text(f"Product,Owner,Model,Prompt\nCup,Anna,{TEXT},Waves\n")
    hints = [problem.hint for _, problem in read(tmp_path / "jobs.csv")[1]]
    assert hints == ["to name the clips by it, call it `name`", ""]


# --- workbooks

Fill = Callable[[Any, Any], None]


def _dates(book: Any, sheet: Any) -> None:
    sheet.append(["Model", "Prompt", "Seconds", "Ratio"])
    sheet.append([TEXT, "Waves", 5.0, dt.time(16, 9)])
    sheet.append([TEXT, "Waves", "5", "16:9"])
    sheet.append([TEXT, "Waves", dt.time(0, 0, 5), dt.datetime(2026, 1, 1)])


def _merged(book: Any, sheet: Any) -> None:
    sheet.append(["Summer campaign", None, None])
    sheet.append(["Model", "Prompt", "Seconds"])
    sheet.append([TEXT, "Waves", 5])
    sheet.append([None, "Wind", 5])
    sheet.append([None, "Rain", 5])
    sheet.merge_cells("A1:C1")
    sheet.merge_cells("A3:A5")


def _booleans(book: Any, sheet: Any) -> None:
    sheet.append(["Model", "Prompt", "Enhance Prompt"])
    sheet.append([TEXT, "Waves", True])


def _below_a_title_that_is_a_parameter(book: Any, sheet: Any) -> None:
    for row in (["Shots", None, None], [], ["Model", "Prompt", "Seconds"], [TEXT, "Waves", 5]):
        sheet.append(row)
    sheet.merge_cells("A1:C1")


def _behind_others(book: Any, sheet: Any) -> None:
    sheet.title, sheet.sheet_state = "Lists", "hidden"
    sheet.append(["Model"])
    sheet.append([TEXT])
    book.create_sheet("Read me").append(["Fill in the next sheet."])
    book.create_sheet("Empty")
    jobs = book.create_sheet("Jobs")
    jobs.append(["Model", "Prompt", "Seconds"])
    jobs.append([TEXT, "Waves", 5])
    book.active = 3


def _windows_lines(book: Any, sheet: Any) -> None:
    sheet.append(["Name", "Model", "Prompt"])
    sheet.append([dt.datetime(2026, 11, 27), TEXT, "Waves_x000D_\nat_x000d__x000A_night,_x0009_slow_x0007_"])


def _numbered_shots(book: Any, sheet: Any) -> None:
    sheet.append(["Name", "Model", "Prompt", "Seconds"])
    sheet.append([7, TEXT, "Waves", 5])
    sheet["A2"].number_format = sheet["D2"].number_format = "000"


def _named_shots(book: Any, sheet: Any) -> None:
    sheet.append(["Name", "Model", "Prompt", "Seconds"])
    sheet.append([7, TEXT, "Waves", 5])
    sheet["A2"].number_format, sheet["D2"].number_format = '"shot-"000', '0" s"'


SHEETS: dict[str, tuple[Fill, list[dict[str, Any]]]] = {
    "ratios and seconds as times and dates": (
        _dates,
        [{**WAVES, "aspect_ratio": ratio} for ratio in ("16:9", "16:9", "1:1")],
    ),
    "merged cells below a merged title": (_merged, [{**WAVES, "prompt": text} for text in ("Waves", "Wind", "Rain")]),
    "below a title that is a parameter's name": (_below_a_title_that_is_a_parameter, [WAVES]),
    "behind a hidden sheet, one to read and an empty one": (_behind_others, [WAVES]),
    "a day, and characters that XML cannot hold": (
        _windows_lines,
        [{"id": "2026-11-27", "model": TEXT, "prompt": "Waves\nat\nnight,\tslow"}],
    ),
    "numbers that are shown with zeros before them": (_numbered_shots, [{**WAVES, "id": "007"}]),
    "numbers that are shown with a word before them": (_named_shots, [{**WAVES, "id": "shot-007"}]),
    "cells that are true": (_booleans, [{"model": TEXT, "prompt": "Waves", "enhance_prompt": True}]),
}


def workbook(tmp_path: Path, fill: Fill) -> Path:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    fill(book, book.active)
    book.save(tmp_path / "jobs.xlsx")
    return tmp_path / "jobs.xlsx"


@for_each("name", SHEETS)
def test_a_sheet_is_read_as_people_see_it(tmp_path: Path, name: str) -> None:
    fill, expected = SHEETS[name]
    jobs, problems = read(workbook(tmp_path, fill))
    assert jobs == expected
    assert [problem for _, problem in problems if not problem.warning] == []


def test_a_formula_that_nothing_has_worked_out_is_refused_and_never_sent_as_nothing(tmp_path: Path) -> None:
    def fill(book: Any, sheet: Any) -> None:
        sheet.append(["Model", "Prompt", "Notes"])
        sheet.append([TEXT, '=CONCATENATE("Waves ", "at night")', "=1+1"])
        sheet.append([TEXT, "Wind", None])

    jobs, problems = read(workbook(tmp_path, fill))
    assert [job.get("prompt") for job in jobs] == [None, "Wind"]
    refusals = [f"{where}: {problem}" for where, problem in problems if not problem.warning]
    assert refusals == [
        "jobs.xlsx:2: prompt: a value, got '#NO RESULT' (nothing has worked this formula out: open the file in a "
        "spreadsheet and save it)"
    ]


def test_what_stands_beside_the_table_of_a_sheet_is_no_comma_without_quotation_marks(tmp_path: Path) -> None:
    def fill(book: Any, sheet: Any) -> None:
        sheet.append(["Model", "Prompt", None])
        sheet.append([TEXT, "Waves", "for Anna"])

    _, problems = read(workbook(tmp_path, fill))
    assert ["name the column" in str(problem) for _, problem in problems] == [True]


def test_what_a_sheet_hides_or_leaves_elsewhere_is_said(tmp_path: Path) -> None:
    def fill(book: Any, sheet: Any) -> None:
        sheet.append(["Model", "Prompt"])
        sheet.append([TEXT, "Waves"])
        sheet.append([TEXT, "Wind"])
        sheet.row_dimensions[3].hidden = True
        other = book.create_sheet("More shots")
        for row in (["Model", "Prompt"], [TEXT, "Rain"]):
            other.append(row)

    jobs, problems = read(workbook(tmp_path, fill))
    assert [job["prompt"] for job in jobs] == ["Waves", "Wind"]
    remarks = [str(problem) for _, problem in problems]
    assert all(problem.warning for _, problem in problems)
    assert "one sheet: 'Sheet' is read, the first with a table, got also More shots" in remarks
    assert "1 hidden row is read too (delete what is not wanted)" in remarks


def test_rows_that_somebody_has_struck_out_are_read_and_said(tmp_path: Path) -> None:
    styles = pytest.importorskip("openpyxl.styles")

    def fill(_: Any, sheet: Any) -> None:
        for row in (["Model", "Prompt"], [TEXT, "Waves"], [TEXT, "Wind"], [TEXT, "Rain"]):
            sheet.append(row)
        for name in ("A2", "B2", "B4", "B9"):
            sheet[name].font = styles.Font(strike=True)
        sheet["A3"].font = styles.Font(bold=True)

    jobs, problems = read(workbook(tmp_path, fill))
    assert [job["prompt"] for job in jobs] == ["Waves", "Wind", "Rain"]
    assert [str(problem) for _, problem in problems] == ["2 struck-out rows are read too (delete what is not wanted)"]
    assert problems[0][1].warning


@for_each(("number", "is_whole"), [(2.0**53 - 1, True), (1e22, False), (-1.5e19, False)])
def test_a_number_that_has_lost_digits_is_no_id(tmp_path: Path, number: float, is_whole: bool) -> None:
    path = workbook(tmp_path, lambda _, sheet: [sheet.append(["Name", "Model"]), sheet.append([number, TEXT])])
    jobs, problems = read(path)
    assert [job["id"] for job in jobs] == (["9007199254740991"] if is_whole else [])
    assert all("a spreadsheet shortened this number" in str(problem) for _, problem in problems)


def test_a_picture_in_a_sheet_is_said_not_to_be_read_and_refuses_nothing(tmp_path: Path) -> None:
    drawing = pytest.importorskip("openpyxl.drawing.image")

    def fill(book: Any, sheet: Any) -> None:
        sheet.append(["Model", "Prompt"])
        sheet.append([TEXT, "Waves"])
        sheet.add_image(drawing.Image(io.BytesIO(picture())), "C1")

    jobs, [(_, remark)] = read(workbook(tmp_path, fill))
    assert [job["prompt"] for job in jobs] == ["Waves"]
    assert remark.warning
    assert "those in the sheet itself are not read" in str(remark)


def repacked(path: Path, change: Callable[[str, bytes], bytes]) -> Path:
    """Put a workbook's parts back as `change` gives them."""
    with ZipFile(path) as packed:
        parts = {name: packed.read(name) for name in packed.namelist()}
    with ZipFile(path, "w") as packed:
        for name, part in parts.items():
            packed.writestr(name, change(name, part))
    return path


def one_job(book: Any, sheet: Any) -> None:
    """Fill a sheet with one job."""
    for row in (["Model", "Prompt"], [TEXT, "Waves"]):
        sheet.append(row)


def test_what_a_workbook_has_beyond_the_library_s_reach_is_no_concern_of_the_user(tmp_path: Path) -> None:
    # Excel keeps a list of allowed values so, where it stands in another sheet.
    extension = b'<extLst><ext uri="{CCE6A557-97BC-4b89-ADB6-D9C93CAAB3DF}"/></extLst></worksheet>'
    path = repacked(workbook(tmp_path, one_job), lambda _, part: part.replace(b"</worksheet>", extension))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        jobs, problems = read(path)
    assert [job["prompt"] for job in jobs] == ["Waves"]
    assert (problems, said) == ([], [])


def test_a_workbook_that_the_library_cannot_read_is_said_to_be_one_and_what_to_do(tmp_path: Path) -> None:
    usual, strict = b"schemas.openxmlformats.org/officeDocument/2006/", b"purl.oclc.org/ooxml/officeDocument/"
    path = repacked(workbook(tmp_path, one_job), lambda _, part: part.replace(usual, strict))
    assert [str(problem) for _, problem in read(path)[1]] == [
        "an Excel workbook with a table of jobs, got one in the form 'Strict Open XML' (save it anew as an Excel "
        "Workbook (.xlsx), or as CSV)"
    ]
    path = repacked(workbook(tmp_path, one_job), lambda name, part: b"<" if name == "xl/styles.xml" else part)
    [(_, problem)] = read(path)[1]
    assert str(problem).startswith("an Excel workbook (.xlsx), got one that cannot be read: ")
    assert str(problem).endswith(" (save it anew as an Excel Workbook (.xlsx), or as CSV)")


def add_chart(book: Any, sheet: Any) -> None:
    """Put a chart before all sheets of a workbook, on a sheet of its own, and open it there."""
    from openpyxl.chart import BarChart, Reference

    chart = BarChart()
    chart.add_data(Reference(sheet, min_col=1, min_row=1, max_row=2))
    book.create_chartsheet("Chart", 0).add_chart(chart)
    book.active = 0


@for_each("first", ["a chart", "nothing", "a title", "a header"])
def test_the_jobs_are_found_behind_a_sheet_without_any(tmp_path: Path, first: str) -> None:
    def fill(book: Any, sheet: Any) -> None:
        jobs = sheet if first == "a chart" else book.create_sheet("Jobs")
        for row in (["Model", "Prompt"], [TEXT, "Waves"]):
            jobs.append(row)
        if first == "a chart":
            add_chart(book, jobs)
        elif first != "nothing":
            sheet.append(["Prompt"] if first == "a header" else ["Our film"])

    jobs, problems = read(workbook(tmp_path, fill))
    assert [job["prompt"] for job in jobs] == ["Waves"]
    assert problems == []


def test_a_workbook_of_charts_alone_is_said_to_be_one(tmp_path: Path) -> None:
    def fill(book: Any, sheet: Any) -> None:
        add_chart(book, sheet)
        book.remove(sheet)

    jobs, problems = read(workbook(tmp_path, fill))
    assert jobs == []
    assert [str(problem) for _, problem in problems] == [
        "an Excel workbook with a table of jobs, got one of charts alone"
    ]


# --- paths


@for_each("name", ["pics\\b 1.png", "pics/b 1.png", ".\\pics\\b 1.png"])
def test_a_relative_path_of_windows_leads_to_the_same_picture(tmp_path: Path, name: str) -> None:
    (tmp_path / "pics").mkdir()
    (tmp_path / "pics" / "b 1.png").write_bytes(picture())
    Media(tmp_path, AI_ML_API).check(name)


@for_each(
    ("value", "message"),
    [
        ("C:\\Users\\me\\a.png", "a path of Windows. Write it as it is on this machine"),
        ("www.x.test/a.png", "a link begins with https://"),
        ("file:///tmp/a.png", "starts with file://: expected a path"),
    ],
)
def test_what_is_no_path_here_says_what_to_write(tmp_path: Path, value: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Media(tmp_path, AI_ML_API).check(value)
