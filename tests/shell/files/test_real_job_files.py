"""Job files as people have them: each is read rightly, or refused in one message that says what to do."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, Literal
from unicodedata import normalize

import pytest

from aimlvideo.core.catalog.catalog import load_catalog
from aimlvideo.core.jobs.job import DEEPEST
from aimlvideo.errors import Problem, SettingsError
from aimlvideo.shell.files import job_files
from aimlvideo.shell.files.job_files import JobDefaults, JobFile
from tests.cases import for_each

CATALOG = load_catalog()
TEXT = "alibaba/wan-2-6-t2v"
PICTURE = "kling-video/v1.6/pro/image-to-video"
PICTURES = "kling-video/v1.6/standard/multi-image-to-video"
WAVES = {"model": TEXT, "prompt": "Waves", "duration": "5"}


def read(path: Path | str, model: str = "", **params: Any) -> tuple[list[Mapping[str, Any]], list[tuple[str, Problem]]]:
    """Return the jobs of a file, and its problems and remarks with where they are."""
    jobs: list[Mapping[str, Any]] = []
    problems: list[tuple[str, Problem]] = []
    with JobFile(str(path)).lines(CATALOG, JobDefaults(model, params)) as lines:
        for where, line in lines:
            if isinstance(line, Problem):
                problems.append((where, line))
            else:
                jobs.append(line)
    return jobs, problems


RIGHT: dict[str, tuple[str, bytes, list[dict[str, Any]]]] = {
    "commas": ("csv", b"model,prompt,duration\nalibaba/wan-2-6-t2v,Waves,5\n", [WAVES]),
    "semicolons": ("csv", b"model;prompt;duration\nalibaba/wan-2-6-t2v;Waves;5\n", [WAVES]),
    "tabs": ("tsv", b"model\tprompt\tduration\nalibaba/wan-2-6-t2v\tWaves\t5\n", [WAVES]),
    "bars": ("csv", b"model|prompt|duration\nalibaba/wan-2-6-t2v|Waves|5\n", [WAVES]),
    "a separator line": ("csv", b"sep=;\r\nmodel;prompt;duration\r\nalibaba/wan-2-6-t2v;Waves;5\r\n", [WAVES]),
    "a quoted separator line": ("csv", b'"sep=,"\nmodel,prompt,duration\nalibaba/wan-2-6-t2v,Waves,5\n', [WAVES]),
    "old Macintosh line ends": ("csv", b"model,prompt,duration\ralibaba/wan-2-6-t2v,Waves,5\r", [WAVES]),
    "no line end at the end": ("csv", b"model,prompt,duration\nalibaba/wan-2-6-t2v,Waves,5", [WAVES]),
    "UTF-32": ("csv", "model,prompt,duration\nalibaba/wan-2-6-t2v,Waves,5\n".encode("utf-32"), [WAVES]),
    "two files that were put together, each with its mark": (
        "jsonl",
        f"\ufeff{json.dumps(WAVES)}\n\ufeff# more\n\ufeff{json.dumps(WAVES)}\n".encode(),
        [WAVES, WAVES],
    ),
    "JSON lines with old Macintosh line ends": (
        "jsonl",
        f"# two\r{json.dumps(WAVES)}\r{json.dumps(WAVES)}\r\n".encode(),
        [WAVES, WAVES],
    ),
    "headers in capitals": ("csv", b"Model,PROMPT,Duration\nalibaba/wan-2-6-t2v,Waves,5\n", [WAVES]),
    "headers with blanks": ("csv", b" Model , Prompt ,Duration \nalibaba/wan-2-6-t2v, Waves , 5 \n", [WAVES]),
    "seconds for duration": ("csv", b"model,prompt,seconds\nalibaba/wan-2-6-t2v,Waves,5\n", [WAVES]),
    "a unit in round brackets": ("csv", b"model,prompt,Duration (sec)\nalibaba/wan-2-6-t2v,Waves,5\n", [WAVES]),
    "a unit in square brackets": ("csv", b"model,prompt,Length [s]\nalibaba/wan-2-6-t2v,Waves,5\n", [WAVES]),
    "a German unit": ("csv", b"model;prompt;Dauer (Sek.)\nalibaba/wan-2-6-t2v;Waves;5\n", [WAVES]),
    "name for id": (
        "csv",
        b"name,model,prompt,duration\nshot 1,alibaba/wan-2-6-t2v,Waves,5\n",
        [{"id": "shot 1", **WAVES}],
    ),
    "a picture column": (
        "csv",
        b"model,prompt,Picture\nkling-video/v1.6/pro/image-to-video,Waves,a.png\n",
        [{"model": PICTURE, "prompt": "Waves", "image_url": "a.png"}],
    ),
    "an image URL column": (
        "csv",
        b"model,prompt,Image URL\nkling-video/v1.6/pro/image-to-video,Waves,https://x.test/a.png\n",
        [{"model": PICTURE, "prompt": "Waves", "image_url": "https://x.test/a.png"}],
    ),
    "a list by semicolons": (
        "csv",
        b"model,prompt,image_list\n%s,Waves,a.png; b.png\n" % PICTURES.encode(),
        [{"model": PICTURES, "prompt": "Waves", "image_list": ["a.png", "b.png"]}],
    ),
    "a list by commas": (
        "csv",
        b'model,prompt,images\n%s,Waves,"a.png, b.png"\n' % PICTURES.encode(),
        [{"model": PICTURES, "prompt": "Waves", "image_list": ["a.png", "b.png"]}],
    ),
    "a list as JSON": (
        "csv",
        b'model;prompt;image_list\n%s;Waves;"[""a.png"", ""b.png""]"\n' % PICTURES.encode(),
        [{"model": PICTURES, "prompt": "Waves", "image_list": ["a.png", "b.png"]}],
    ),
    "empty rows": ("csv", b"model,prompt,duration\n\n,,\nalibaba/wan-2-6-t2v,Waves,5\n,,\n", [WAVES]),
    "empty rows first": ("csv", b"\n,,\nmodel,prompt,duration\nalibaba/wan-2-6-t2v,Waves,5\n", [WAVES]),
    "trailing empty columns": ("csv", b"model,prompt,duration,,\nalibaba/wan-2-6-t2v,Waves,5,,\n", [WAVES]),
    "the index column of pandas": ("csv", b",model,prompt,duration\n0,alibaba/wan-2-6-t2v,Waves,5\n", [WAVES]),
    "an index column under a name": (
        "csv",
        b"Unnamed: 0,model,prompt,duration\n0,alibaba/wan-2-6-t2v,Waves,5\n",
        [WAVES],
    ),
    "UTF-8 with a mark": ("csv", b"\xef\xbb\xbfmodel,prompt,duration\nalibaba/wan-2-6-t2v,Waves,5\n", [WAVES]),
    "UTF-16": ("csv", "model,prompt,duration\nalibaba/wan-2-6-t2v,Waves,5\n".encode("utf-16"), [WAVES]),
    "UTF-16 without a mark": (
        "csv",
        "model;prompt;duration\nalibaba/wan-2-6-t2v;Waves;5\n".encode("utf-16-le"),
        [WAVES],
    ),
    "a long cell": (
        "csv",
        b"model,prompt\nalibaba/wan-2-6-t2v," + b"w" * 300_000 + b"\n",
        [{"model": TEXT, "prompt": "w" * 300_000}],
    ),
    "line breaks in a cell": (
        "csv",
        b'model,prompt\nalibaba/wan-2-6-t2v,"Waves\nand wind"\n',
        [{"model": TEXT, "prompt": "Waves\nand wind"}],
    ),
    "yes and no": (
        "csv",
        b"model,prompt,enhance_prompt\nalibaba/wan-2-6-t2v,Waves,Yes\n",
        [{"model": TEXT, "prompt": "Waves", "enhance_prompt": True}],
    ),
    "a prompt that begins like JSON": (
        "csv",
        b"model,prompt\nalibaba/wan-2-6-t2v,[wide shot] Waves\n",
        [{"model": TEXT, "prompt": "[wide shot] Waves"}],
    ),
    "JSON lines with a mark": (
        "jsonl",
        b'\xef\xbb\xbf{"model": "alibaba/wan-2-6-t2v", "prompt": "Waves"}\n',
        [{"model": TEXT, "prompt": "Waves"}],
    ),
    "JSON lines in UTF-16, as a shell redirects them": (
        "jsonl",
        '{"model": "alibaba/wan-2-6-t2v", "prompt": "Waves"}\n'.encode("utf-16"),
        [{"model": TEXT, "prompt": "Waves"}],
    ),
    "an array under the wrong ending": (
        "jsonl",
        b'\n [{"model": "m", "prompt": "Waves"}]',
        [{"model": "m", "prompt": "Waves"}],
    ),
    "an array with a mark": (
        "json",
        b'\xef\xbb\xbf[{"model": "m", "prompt": "Waves"}]',
        [{"model": "m", "prompt": "Waves"}],
    ),
    "one object over several lines": (
        "json",
        b'{\n  "model": "m",\n  "prompt": "Waves"\n}',
        [{"model": "m", "prompt": "Waves"}],
    ),
}


@for_each("name", RIGHT)
def test_a_file_as_people_have_it_is_read_rightly(tmp_path: Path, name: str) -> None:
    ending, content, jobs = RIGHT[name]
    path = tmp_path / f"jobs.{ending}"
    path.write_bytes(content)
    assert read(path) == (jobs, [])


REFUSED: dict[str, tuple[str, bytes, str]] = {
    "a header twice": (
        "csv",
        b"model,prompt,Prompt\nalibaba/wan-2-6-t2v,A,B\n",
        "jobs.csv:1: prompt: each column once, got columns 2 and 3 with this header (rename or delete one)",
    ),
    "too many cells": (
        "csv",
        b"model,prompt\nalibaba/wan-2-6-t2v,Waves, wind\n",
        "jobs.csv:2: 2 cells, one for each column, got 3 (put a cell with a comma in it in quotation marks)",
    ),
    "a bad line behind a cell of several lines": (
        "csv",
        b'model,prompt\nalibaba/wan-2-6-t2v,"a\nb\nc"\nalibaba/wan-2-6-t2v,Waves,wind\n',
        "jobs.csv:5: 2 cells, one for each column, got 3 (put a cell with a comma in it in quotation marks)",
    ),
    "no header": (
        "csv",
        b"\nWaves,5\nWind,5\n",
        "jobs.csv:2: a header that names the columns, got 'Waves, 5' "
        "(name the columns: model, prompt, image_url, duration and the like)",
    ),
    "no model": (
        "csv",
        b"prompt\nWaves\n",
        "jobs.csv:2: model: a model, got none (add a column `model`, or give --model MODEL; columns here: prompt)",
    ),
    "a model under a misspelled header": (
        "csv",
        b"Mdoel,prompt\nalibaba/wan-2-6-t2v,Waves\n",
        "jobs.csv:2: model: a model, got none (did you mean the column 'Mdoel'? Call it `model`, or give "
        "--model MODEL; columns here: Mdoel, prompt)",
    ),
    "a row without its model": (
        "csv",
        b"Modell,prompt\n,Waves\n",
        "jobs.csv:2: model: a model, got none (fill in the column 'Modell', or give --model MODEL)",
    ),
    "two columns that mean the same": (
        "csv",
        b"model,prompt,image,picture\nkling-video/v1.6/pro/image-to-video,W,a.png,b.png\n",
        "jobs.csv:2: picture: one value: image means the same, got two (leave one of the cells empty)",
    ),
    "a quotation mark that is never closed": (
        "csv",
        b'model,prompt\nalibaba/wan-2-6-t2v,"Waves\n',
        "jobs.csv:2: a cell whose quotation marks are closed, got unexpected end of data "
        "(close the quotation mark, and write one inside a cell as two)",
    ),
    "brackets without end": (
        "jsonl",
        b"[" * 100_000,
        "jobs.jsonl: job 1: at most 32 levels of lists and objects, got more",
    ),
    "a job of brackets": (
        "jsonl",
        b'{"model": "m", "prompt": ' + b"[" * 900 + b"]" * 900 + b"}\n",
        "jobs.jsonl:1: at most 32 levels of lists and objects, got more",
    ),
    "a number for an id": ("jsonl", b'{"model": "m", "id": 5}\n', "jobs.jsonl:1: id: text, got 5"),
    "no workbook": (
        "xlsx",
        b"model,prompt\n",
        "jobs.xlsx: an Excel workbook (.xlsx), got something else (File is not a zip file)",
    ),
}


@for_each("name", REFUSED)
def test_a_file_that_cannot_be_read_is_refused_in_one_message(tmp_path: Path, name: str) -> None:
    ending, content, message = REFUSED[name]
    path = tmp_path / f"jobs.{ending}"
    path.write_bytes(content)
    _, problems = read(path)
    assert [f"{where}: {problem}" for where, problem in problems] == [message]


@for_each("ending", ["json", "jsonl"])
@for_each("levels", [DEEPEST, DEEPEST + 1])
def test_a_job_is_as_deep_in_an_array_as_on_a_line_of_its_own(tmp_path: Path, ending: str, levels: int) -> None:
    line = '{"model": "m", "x": ' + "[" * (levels - 1) + "]" * (levels - 1) + "}"
    (tmp_path / f"jobs.{ending}").write_text(line if ending == "jsonl" else f"[{line}]")
    jobs, problems = read(tmp_path / f"jobs.{ending}")
    assert (len(jobs), len(problems)) == ((1, 0) if levels == DEEPEST else (0, 1))


def test_a_windows_encoding_is_guessed_and_said(tmp_path: Path) -> None:
    (tmp_path / "jobs.csv").write_bytes("model,prompt\nalibaba/wan-2-6-t2v,Café\n".encode("cp1252"))
    jobs, [(_, remark)] = read(tmp_path / "jobs.csv")
    assert jobs == [{"model": TEXT, "prompt": "Café"}]
    assert remark.warning
    assert "read as Windows-1252" in str(remark)


def test_columns_that_are_no_parameter_are_never_sent_and_named_once(tmp_path: Path) -> None:
    rows = "".join(f"{TEXT},Waves {number},for Anna,sea,5\n" for number in range(3))
    (tmp_path / "jobs.csv").write_text(f"model,prompt,Notes,category,durration\n{rows}")
    jobs, problems = read(tmp_path / "jobs.csv")
    assert all(set(job) == {"model", "prompt"} for job in jobs)
    assert all(remark.warning for _, remark in problems)
    assert [str(remark) for _, remark in problems] == [
        f"column 'Notes': not sent: no parameter of {TEXT}",
        f"column 'category': not sent: no parameter of {TEXT}",
        f"column 'durration': not sent: no parameter of {TEXT} (did you mean duration? Without it the default is 10)",
    ]


@for_each(
    "header",
    [
        "Name;Modell;Text;Bild;Dauer",
        "Nom;Modèle;Texte;Image;Durée",
        "NOM;MODELE;TEXTE;IMAGE;DUREE",
        "Nombre;Modelo;Texto;Imagen;Duración",
        "Nome;Modello;Testo;Immagine;Durata",
        "Naam;Model;Tekst;Afbeelding;Duur",
        "Nome;Modelo;Texto;Imagem;Duração",
        "Name;Modell;Prompt;Foto;Sekunden",
        "Nom;Mode\u0300le;Prompt;Image;Dure\u0301e",
    ],
)
def test_headers_in_other_languages_are_what_they_say(tmp_path: Path, header: str) -> None:
    (tmp_path / "jobs.csv").write_text(f"{header}\nfox;{PICTURE};A fox;a.png;10\n", encoding="utf-8")
    job = {"id": "fox", "model": PICTURE, "prompt": "A fox", "image_url": "a.png", "duration": "10"}
    assert read(tmp_path / "jobs.csv") == ([job], [])


@for_each(
    ("table", "is_asked"),
    [
        ("Nombre;Modelo;Texto;Duraci\u00f3n\nzorro;{0};Un zorro;10", False),
        ("Nombre;Model;Prompt\nfox;{0};A fox", False),
        ("Nombre;Mod\u00e8le;Texte;Dur\u00e9e\n2;{0};Un renard;10", True),
        ("Nombre;Mod\u00e8le;Texte\nrenard;{0};Un renard", True),
        ("Nombre;Model;Prompt\n3;{0};A fox", True),
        ("Nom;Nombre;Mod\u00e8le;Texte\nrenard;3;{0};Un renard", False),
    ],
)
def test_a_header_that_means_two_things_is_asked_for_and_not_guessed(
    tmp_path: Path, table: str, is_asked: bool
) -> None:
    (tmp_path / "jobs.csv").write_text(table.format(TEXT), encoding="utf-8")
    problems = [str(problem) for _, problem in read(tmp_path / "jobs.csv")[1] if not problem.warning]
    assert any("a name in Spanish, or a number in French" in problem for problem in problems) is is_asked
    assert len(problems) == is_asked


@for_each(
    ("header", "meant"),
    [
        ("Duratoin", "did you mean duration? Without it the default is 10"),
        ("Secnds", "did you mean duration? Without it the default is 10"),
        ("negativ_prompt", "did you mean negative_prompt?"),
        ("Nmae", "did you mean name?"),
        ("Promptt", ""),
        ("Budget", ""),
    ],
)
def test_a_header_that_is_nearly_a_parameter_says_which_and_what_is_used_without_it(
    tmp_path: Path, header: str, meant: str
) -> None:
    (tmp_path / "jobs.csv").write_text(f"model,prompt,{header}\n{TEXT},Waves,10\n")
    [(_, remark)] = read(tmp_path / "jobs.csv")[1]
    hint = f" ({meant})" if meant else ""
    assert str(remark) == f"column {header!r}: not sent: no parameter of {TEXT}{hint}"


def test_a_workbook_is_read_like_a_table(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (["Model", "Prompt", "Seconds", "Notes"], [], [TEXT, "Waves", 5.0, None], [TEXT, "Wind", 10, None]):
        book.active.append(row)
    book.save(tmp_path / "jobs.xlsx")
    jobs, problems = read(tmp_path / "jobs.xlsx")
    assert jobs == [WAVES, {"model": TEXT, "prompt": "Wind", "duration": "10"}]
    assert problems == []


def test_a_column_of_prompts_is_a_job_file(tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text(
        "\ufeffWaves under two moons\n\n  # a hash is no comment  \n", encoding="utf-8"
    )
    jobs, _ = read(tmp_path / "prompts.txt", TEXT, duration="5")
    assert jobs == [
        {"model": TEXT, "prompt": "Waves under two moons", "duration": "5"},
        {"model": TEXT, "prompt": "# a hash is no comment", "duration": "5"},
    ]


@for_each(
    ("text", "prompts"),
    [
        ("# list\n\n- A fox\n- An owl\n", ["A fox", "An owl"]),
        ("- A fox\n* An owl\n1. A hare\n2) [ ] A hen\n", ["A fox", "An owl", "A hare", "A hen"]),
        ("# Night\n- A fox\n## Day\n- An owl\n", ["A fox", "An owl"]),
        ("# A fox\n# An owl\n", ["# A fox", "# An owl"]),
        ("- A fox\nAn owl\n", ["- A fox", "An owl"]),
        ("#1 of many foxes\n- An owl\n", ["#1 of many foxes", "- An owl"]),
        ("- A fox\n---\n- An owl\n* * *\n", ["A fox", "An owl"]),
    ],
    ids=[
        "a list under a heading",
        "every mark",
        "several headings",
        "headings alone",
        "one mark",
        "a hash that heads",
        "rules between items",
    ],
)
def test_a_text_that_is_a_markdown_list_is_read_as_one_and_no_other_text_is(
    tmp_path: Path, text: str, prompts: list[str]
) -> None:
    (tmp_path / "prompts.txt").write_text(text)
    assert [job["prompt"] for job in read(tmp_path / "prompts.txt", TEXT)[0]] == prompts


def test_a_column_that_several_models_do_not_take_is_said_with_their_names(tmp_path: Path) -> None:
    models = sorted([TEXT, PICTURE, PICTURES, "minimax/hailuo-02", "google/veo-3.0-fast"])
    for count, said in (
        (2, f"{models[0]} and {models[1]}"),
        (5, f"{', '.join(models[:3])} and 2 more models"),
    ):
        rows = "".join(f"{model},Waves,blue\n" for model in models[:count])
        (tmp_path / "jobs.csv").write_text(f"model,prompt,Notes\n{rows}")
        assert [str(remark) for _, remark in read(tmp_path / "jobs.csv")[1]] == [
            f"column 'Notes': not sent: no parameter of {said}"
        ]


def test_prompts_without_a_model_say_which_flag_is_missing(tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("Waves\n")
    _, [(where, problem)] = read(tmp_path / "prompts.txt")
    assert f"{where}: {problem}" == (
        "prompts.txt:1: model: a model for a list of prompts, got none (--model MODEL; aimlvideo models lists them)"
    )


def test_a_list_of_prompts_in_json_is_a_job_file(tmp_path: Path) -> None:
    (tmp_path / "prompts.json").write_text(json.dumps(["Waves", "Wind"]))
    assert read(tmp_path / "prompts.json", TEXT)[0] == [
        {"model": TEXT, "prompt": "Waves"},
        {"model": TEXT, "prompt": "Wind"},
    ]


def test_a_folder_of_pictures_is_a_job_file_and_a_text_beside_one_is_its_prompt(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.png", "Café 01.PNG", "c.png", "c.jpg"):
        (tmp_path / name).write_bytes(b"\x89PNG")
    (tmp_path / "a.txt").write_text("\ufeffslow pan\n", encoding="utf-8")
    (tmp_path / "notes.md").write_text("not a job")
    jobs, problems = read(tmp_path, PICTURE, prompt="slow zoom")
    assert problems == []
    assert {job["id"]: (job["image_url"], job["prompt"]) for job in jobs} == {
        "a": ("a.png", "slow pan"),
        "b": ("b.jpg", "slow zoom"),
        "Café 01": ("Café 01.PNG", "slow zoom"),
        "c.png": ("c.png", "slow zoom"),
        "c.jpg": ("c.jpg", "slow zoom"),
    }


def test_the_text_beside_a_picture_is_the_one_that_is_meant_for_it_or_a_problem(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg", "b.png", "c.png", "d.png"):
        (tmp_path / name).write_bytes(b"\x89PNG")
    for name in ("a.txt", "a.png.txt", "b.TXT"):
        (tmp_path / name).write_text(name)
    (tmp_path / "c.txt").symlink_to("nowhere")
    (tmp_path / "d.txt").mkdir()
    jobs, problems = read(tmp_path, PICTURE)
    said = {job["id"]: job.get("prompt") for job in jobs}
    assert said == {"a.jpg": "a.txt", "a.png": "a.png.txt", "b": "b.TXT", "c": None, "d": None}
    assert refusals_of(problems) == [
        f"{tmp_path.name}/c.txt: prompt: a text, got a link that leads nowhere",
        f"{tmp_path.name}/d.txt: prompt: a text, got none that can be read",
    ]


def refusals_of(problems: list[tuple[str, Problem]]) -> list[str]:
    return [f"{where}: {problem}" for where, problem in problems if not problem.warning]


def test_a_model_that_takes_a_list_of_pictures_gets_a_list(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    assert read(tmp_path, PICTURES)[0] == [{"model": PICTURES, "id": "a", "image_list": ["a.png"]}]


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("", "a model for a folder of pictures, got none"),
        (TEXT, f"a model that takes a picture, got '{TEXT}'"),
    ],
)
def test_a_folder_of_pictures_needs_a_model_that_takes_one(tmp_path: Path, model: str, expected: str) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    assert expected in str(read(tmp_path, model)[1][0][1])


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    assert "a folder with pictures" in str(read(tmp_path, PICTURE)[1][0][1])


def test_defaults_fill_what_a_line_leaves_out_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "jobs.csv").write_text("prompt,duration\nWaves,10\nWind,\n")
    assert read(tmp_path / "jobs.csv", TEXT, duration="5")[0] == [
        {"model": TEXT, "prompt": "Waves", "duration": "10"},
        {"model": TEXT, "prompt": "Wind", "duration": "5"},
    ]


@pytest.mark.parametrize(
    ("content", "jobs"),
    [
        (b"model,prompt,duration\nalibaba/wan-2-6-t2v,Waves,5\n", [WAVES]),
        (b'[{"model": "m", "prompt": "Waves"}]', [{"model": "m", "prompt": "Waves"}]),
        (b'{"model": "m", "prompt": "Waves"}\n', [{"model": "m", "prompt": "Waves"}]),
        (b'\xef\xbb\xbf{"model": "m", "prompt": "Waves"}\n', [{"model": "m", "prompt": "Waves"}]),
    ],
    ids=["csv", "an array", "lines", "lines with a mark"],
)
def test_standard_input_is_read_in_every_form(
    monkeypatch: pytest.MonkeyPatch, content: bytes, jobs: list[dict[str, Any]]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert read("-") == (jobs, [])


def test_what_a_stream_has_said_is_read_as_often_as_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(json.dumps(WAVES).encode("utf-16"))))
    with JobFile("-").kept() as file:
        for _ in range(2):
            with file.lines(CATALOG) as lines:
                assert [line for _, line in lines] == [WAVES]


def test_a_pipe_under_a_name_is_read_too(tmp_path: Path) -> None:
    import os
    import threading

    pipe = tmp_path / "63"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(b"prompt\nWaves\nWind\n",))
    writer.start()
    jobs, _ = read(pipe, TEXT)
    writer.join(20)
    assert [job["prompt"] for job in jobs] == ["Waves", "Wind"]


def test_a_file_of_another_kind_says_which_are_read(tmp_path: Path) -> None:
    (tmp_path / "jobs.doc").write_text("x")
    with pytest.raises(SettingsError, match=r"ends in \.jsonl, \.ndjson, \.json, \.csv"):
        read(tmp_path / "jobs.doc")
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        read(tmp_path / "missing.csv")


def test_a_name_beside_an_id_is_a_column_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "jobs.csv").write_text(f"name,id,model,prompt\nNice,a,{TEXT},Waves\n")
    jobs, [(_, remark)] = read(tmp_path / "jobs.csv")
    assert jobs == [{"id": "a", "model": TEXT, "prompt": "Waves"}]
    assert "column 'name': not sent" in str(remark)


@pytest.mark.parametrize("source", ["jobs.jsonl", "jobs.csv", "jobs.txt", "-"])
def test_a_line_that_goes_on_and_on_is_refused_before_it_fills_the_memory(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(job_files, "LONGEST_LINE", 2**21)
    (tmp_path / "jobs.txt").write_bytes(b"x" * 2**22)
    (tmp_path / source.replace("-", "jobs.txt")).write_bytes(b"x" * 2**22)
    with (tmp_path / "jobs.txt").open("rb") as piped:
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=piped))
        with pytest.raises(SettingsError, match="a line has more than 2 MB"):
            read(source, TEXT)


def test_an_array_in_json_may_be_one_line_of_any_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_files, "LONGEST_LINE", 2**21)
    path = tmp_path / "jobs.json"
    path.write_text(json.dumps([{**WAVES, "prompt": "x" * 2**20}] * 4))
    assert len(read(path)[0]) == 4


@for_each(
    ("name", "text"),
    [
        ("jobs.jsonl", '{"model": "m", "duration": 5, "duration": 10}'),
        ("jobs.jsonl", '{"model": "m", "list": [{"a": 1, "duration": 5, "duration": 10}]}'),
        ("jobs.json", '[{"model": "m", "duration": 5, "duration": 10}]'),
        ("jobs.json", '{"jobs": [{"model": "m", "list": {"duration": 5, "duration": 5}}]}'),
    ],
)
def test_a_job_that_says_something_twice_is_refused_and_not_bought_as_either(name: str, text: str) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_text(text)
        jobs, [(_, problem)] = read(path)
    assert not jobs
    assert (problem.field, problem.got) == ("duration", "it twice")


def test_the_same_name_in_two_objects_is_said_once_in_each(tmp_path: Path) -> None:
    for ending, text in (("jsonl", '{"model": "m", "a": {"b": 1}, "c": [{"b": 2}, {"b": 3}], "b": "\\": 4"}'),):
        path = tmp_path / f"jobs.{ending}"
        path.write_text(text)
        assert len(read(path)[0]) == 1
        path.with_suffix(".json").write_text(f"[{text}, {text}]")
        assert len(read(path.with_suffix(".json"))[0]) == 2


def test_what_a_mac_leaves_beside_pictures_is_none_and_a_prompt_may_be_in_an_old_encoding(tmp_path: Path) -> None:
    for name in ("a.png", "._a.png", ".hidden.jpg"):
        (tmp_path / name).write_bytes(b"a picture")
    (tmp_path / "a.txt").write_bytes("Füchse im Schnee".encode("cp1252"))
    jobs, ((where, remark),) = read(tmp_path, PICTURE)
    assert [(job["id"], job["prompt"]) for job in jobs] == [("a", "Füchse im Schnee")]
    assert (where, remark.warning) == (f"{tmp_path.name}/a.txt", True)


@for_each("header", ["", "prompt\n", '"Prompt"\n'])
def test_a_column_of_prompts_that_a_spreadsheet_saved_is_a_list_of_prompts(tmp_path: Path, header: str) -> None:
    (tmp_path / "prompts.txt").write_text(f'{header}"A fox, red"\n"An ""old"" owl"\n')
    jobs, problems = read(tmp_path / "prompts.txt", TEXT)
    assert [job["prompt"] for job in jobs] == ["A fox, red", 'An "old" owl']
    assert [problem.warning for _, problem in problems] == [True] * bool(header)


def test_quotation_marks_of_single_prompts_stay(tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text('"Stop!"\nA fox says "no"\n')
    assert [job["prompt"] for job in read(tmp_path / "prompts.txt", TEXT)[0]] == ['"Stop!"', 'A fox says "no"']


def test_a_picture_is_the_same_job_with_the_same_prompt_on_a_mac_that_takes_its_accents_apart(tmp_path: Path) -> None:
    jobs = []
    forms: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")
    for form in forms:
        folder = tmp_path / form
        folder.mkdir()
        (folder / normalize(form, "café.png")).write_bytes(b"\x89PNG")
        (folder / normalize("NFC", "CAFÉ.txt")).write_text("it rains")
        jobs += read(folder, PICTURE)[0]
    assert jobs == [{"id": "café", "model": PICTURE, "image_url": "café.png", "prompt": "it rains"}] * 2


def test_a_piece_of_a_stream_that_ends_with_its_line_is_no_line_that_never_ends() -> None:
    content = b"x" * (2**20 - 1) + b"\n"
    assert b"".join(job_files._chunks(io.BytesIO(content), 2**20)) == content
