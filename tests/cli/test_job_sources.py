"""What people start from, by the command: prompts, pictures, a spreadsheet; and what they make of the clips."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Command, rows, write_jobs

av = pytest.importorskip("av")
TEXT = "alibaba/wan-2-6-t2v"
PICTURE = "kling-video/v1.6/pro/image-to-video"
QUICK = ("-o", "out", "--poll", "every:0.05")


def test_a_column_of_prompts_is_run_with_a_model_and_settings(command: Command, tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("Waves\nWind\n")
    done = command("run", "prompts.txt", "--model", TEXT, "--set", "duration=5", *QUICK)
    assert done.exit_code == 0, done.output
    assert len(rows(tmp_path / "out")) == 2


def test_a_folder_of_pictures_is_run(command: Command, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    write_png(pictures / "first shot.png")
    done = command("run", "pictures", "--model", PICTURE, "--set", "prompt=slow zoom", *QUICK)
    assert done.exit_code == 0, done.output
    assert list(rows(tmp_path / "out")) == ["first shot"]


@pytest.mark.parametrize("words", [("check", "-"), ("run", "-", *QUICK), ("run", "jobs.jsonl", "--dry-run", *QUICK)])
def test_jobs_of_others_name_no_file_of_this_machine_where_that_is_said(
    command: Command, tmp_path: Path, words: tuple[str, ...]
) -> None:
    write_png(tmp_path / "own.png")
    known = {"model": PICTURE, "prompt": "a", "image_url": "own.png"}
    jobs = write_jobs(tmp_path / "jobs.jsonl", known, {**known, "model": "somebody/unknown"}).read_text()
    refused = command(*words, "--no-local-files", input=jobs)
    assert refused.exit_code == 2
    assert "1-2: image_url" in refused.output, refused.output
    assert "sends no local files" in refused.output


def test_forty_rows_with_the_same_slip_are_one_message(command: Command, tmp_path: Path) -> None:
    (tmp_path / "jobs.csv").write_text("model,prompt,duration\n" + f"{TEXT},Waves,7\n" * 40)
    refused = command("check", "jobs.csv")
    assert refused.exit_code == 2
    assert refused.output.count("duration") == 1
    assert "jobs.csv:2-41" in refused.output
    assert "40 problems" in refused.output


def test_ten_thousand_different_slips_are_cut_to_what_a_person_reads(command: Command, tmp_path: Path) -> None:
    (tmp_path / "jobs.csv").write_text("model,prompt,duration\n" + "".join(f"{TEXT},W,{n}\n" for n in range(100, 300)))
    refused = command("check", "jobs.csv")
    assert refused.output.count("jobs.csv:") == 25
    assert "and 175 more causes" in refused.output


def test_columns_for_people_are_named_once_and_the_run_goes_on(command: Command, tmp_path: Path) -> None:
    (tmp_path / "jobs.csv").write_text(f"Model;Prompt;Seconds;Notes\n{TEXT};Waves;5;for Anna\n{TEXT};Wind;5;-\n")
    done = command("run", "jobs.csv", *QUICK)
    assert done.exit_code == 0, done.output
    assert done.output.count("'Notes'") == 1


def test_a_clip_says_how_it_was_made_in_a_line_that_run_takes(command: Command, tmp_path: Path) -> None:
    line = {"id": "waves", "model": TEXT, "prompt": "Waves", "duration": 5}
    write_jobs(tmp_path / "jobs.jsonl", line)
    command("run", "jobs.jsonl", *QUICK)
    shown = command("show", "out/waves.mp4")
    assert json.loads(shown.output) == line
    (tmp_path / "again.jsonl").write_text(shown.output)
    assert command("check", "again.jsonl").exit_code == 0
    everything = json.loads(command("show", "out/waves.mp4", "--all").output)
    assert everything["generation_id"] == rows(tmp_path / "out")["waves"]["generation_id"]


def test_without_metadata_a_clip_says_nothing(command: Command, tmp_path: Path) -> None:
    write_jobs(tmp_path / "jobs.jsonl", {"id": "waves", "model": TEXT, "prompt": "Waves", "duration": 5})
    command("run", "jobs.jsonl", *QUICK, "--no-metadata")
    shown = command("show", "out/waves.mp4")
    assert shown.exit_code == 2
    assert "carries no recipe" in shown.output


def test_what_is_no_clip_is_told_as_what_it_is(command: Command, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    for words, found in ((["out"], "out is a folder"), (["none.mp4"], "none.mp4 does not exist")):
        shown = command("show", *words)
        assert (shown.exit_code, f"{found}: expected a clip that aimlvideo saved" in shown.stderr) == (2, True), words


def test_a_runs_clips_are_joined_in_the_files_order_or_in_the_order_given(command: Command, tmp_path: Path) -> None:
    write_jobs(
        tmp_path / "jobs.jsonl",
        *({"id": name, "model": TEXT, "prompt": name, "duration": 5} for name in ("one", "two", "three")),
    )
    command("run", "jobs.jsonl", *QUICK)
    done = command("join", "out", "-o", "film.mp4")
    assert done.exit_code == 0, done.output
    assert seconds(tmp_path / "film.mp4") == pytest.approx(15, abs=0.5)
    assert command("join", "out", "three", "one", "-o", "short.mp4", "--fade", "0.5").exit_code == 0
    assert seconds(tmp_path / "short.mp4") == pytest.approx(9.5, abs=0.5)
    assert "no job 'four'" in command("join", "out", "four", "-o", "film.mp4").output


def test_a_sheet_of_frames_stands_beside_the_page(command: Command, tmp_path: Path) -> None:
    write_jobs(tmp_path / "jobs.jsonl", {"id": "waves", "model": TEXT, "prompt": "Waves", "duration": 5})
    command("run", "jobs.jsonl", *QUICK)
    assert command("report", "out", "--sheet").exit_code == 0
    assert (tmp_path / "out" / "sheet.jpg").read_bytes().startswith(b"\xff\xd8")


def seconds(film: Path) -> float:
    with av.open(str(film)) as opened:
        return float(opened.duration / 1_000_000)


def write_png(path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (640, 360), "teal").save(path)


def test_clips_are_named_as_people_write_and_share_no_name(command: Command, tmp_path: Path) -> None:
    names = ["product 01 \u2014 Caf\u00e9", "\u590f\u65e5\u4fc3\u9500", "a/b", "a:b", "a_b"]
    write_jobs(
        tmp_path / "jobs.jsonl", *({"id": name, "model": TEXT, "prompt": "Waves", "duration": 5} for name in names)
    )
    assert command("run", "jobs.jsonl", *QUICK).exit_code == 0
    files = {name: row["file"] for name, row in rows(tmp_path / "out").items()}
    assert files["product 01 \u2014 Caf\u00e9"] == "product 01 \u2014 Caf\u00e9.mp4"
    assert files["\u590f\u65e5\u4fc3\u9500"] == "\u590f\u65e5\u4fc3\u9500.mp4"
    assert files["a_b"] == "a_b.mp4"
    assert len(set(files.values())) == 5
    assert all((tmp_path / "out" / file).is_file() for file in files.values())


def test_a_template_names_the_clips(command: Command, tmp_path: Path) -> None:
    write_jobs(
        tmp_path / "jobs.jsonl",
        *({"id": f"w{seed}", "model": TEXT, "prompt": "Waves", "duration": 5, "seed": 7} for seed in (1, 2)),
    )
    assert command("run", "jobs.jsonl", *QUICK, "--name", "waves {seed}").exit_code == 0
    files = sorted(row["file"] for row in rows(tmp_path / "out").values())
    assert files[0].startswith("waves 7-")
    assert files[1] == "waves 7.mp4"
    refused = command("run", "jobs.jsonl", "-o", "other", "--name", "waves")
    assert refused.exit_code == 2
    assert "has no field" in refused.output
