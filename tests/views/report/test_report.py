"""What is in the page, without a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aimlvideo.core.jobs.file_names import REPORT
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import ClipFile, Progress
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.errors import ContentRefused, GenerationFailed, JournalError, LinkDead, VideoError
from aimlvideo.shell.journal.sqlite import open_journal
from aimlvideo.views.report import report_file
from aimlvideo.views.report.job_json import ADVICE, failure_advice, job_cards, job_json
from aimlvideo.views.report.report_file import write_report
from tests.cases import for_each
from tests.views.report.sample_runs import made_run


def test_no_signature_and_no_key_is_in_the_page(folder: Path) -> None:
    page = (folder / REPORT).read_text()
    assert "SECRET-SIGNATURE" not in page
    assert "Signature=" not in page
    assert "harbour.png" in page
    assert "pictures/harbour.png" not in page


def test_a_card_has_no_secret_in_any_place() -> None:
    link = "https://cdn.example.com/a.png?X-Amz-Signature=HIDE-ME"
    job = VideoJob("m", id="a", prompt=f"look at {link}", image_url=link, image_list=[link], other={"deep": link})
    error = VideoError(f"{link} failed; Authorization: Bearer HIDE-ME-0123")
    known = Progress(Stage.FAILED, video_url=link, error=error)
    card = repr(job_json(job, known))
    assert "HIDE-ME" not in card
    assert card.count("cdn.example.com/a.png") == 5


@for_each(
    ("value", "text"),
    [
        ("data:image/png;base64," + "A" * 400, "image/png, 316 bytes"),
        ("https://host/dir/a.png?sig=1#x", "host/dir/a.png"),
        ("/home/me/pictures/a.png", "a.png"),
        ("C:\\pictures\\a.png", "a.png"),
        (["/x/a.png", "/x/b.png"], "a.png, b.png"),
        (True, "true"),
        (5, "5"),
        ("16:9", "16:9"),
        (b"abc", "3 bytes"),
        ({"type": "simple"}, '{"type": "simple"}'),
    ],
)
def test_a_parameter_is_shown_short(value: Any, text: str) -> None:
    assert job_json(VideoJob("m", given=value), Progress())["params"] == [["given", text]]


def test_a_value_that_is_cut_says_so() -> None:
    for value in (["/x/" + "a" * 50 + ".png"] * 4, "https://host/" + "a" * 200, "a" * 200):
        ((_, text),) = job_json(VideoJob("m", given=value), Progress())["params"]
        assert (len(text), text[-1]) == (160, "…")


def test_the_size_of_a_job_is_that_of_all_its_clips() -> None:
    files = (ClipFile("a.mp4", 1000, ""), ClipFile("a-2.mp4", 500, ""))
    assert job_json(VideoJob("m"), Progress(Stage.SAVED, file="a.mp4", bytes=1000, files=files))["bytes"] == 1500


async def test_what_earlier_submissions_cost_stands_with_the_job(tmp_path: Path) -> None:
    async with open_journal(tmp_path / "journal.sqlite3") as journal:
        for name in ("a", "b"):
            job = journal.plan(VideoJob("m", id=name, prompt="x")).job
            journal.step(job, Progress(Stage.FAILED, request_id="r1", cost_usd=0.5))
        journal.step(job, Progress(Stage.RENDERING, request_id="r2", generation_id="g2"))
        cards = {card["id"]: (card.get("cost"), card.get("earlier")) for card in job_cards(journal)}
    assert cards == {"a": (0.5, None), "b": (None, 0.5)}


def test_what_a_job_that_is_tried_again_stands_for_is_told_until_it_has_a_generation_of_its_own() -> None:
    planned = Progress(retry_of="g1")
    assert job_json(VideoJob("m"), planned)["retry_of"] == "g1"
    assert "retry_of" not in job_json(VideoJob("m"), planned._replace(stage=Stage.RENDERING, generation_id="g2"))


async def test_the_units_of_earlier_submissions_stand_with_the_job_where_nobody_said_dollars(tmp_path: Path) -> None:
    async with open_journal(tmp_path / "journal.sqlite3") as journal:
        job = journal.plan(VideoJob("m", id="a", prompt="x")).job
        charges = [(None, 5.0), (0.25, 3.0), (None, 2.5), (None, None)]
        for number, (dollars, units) in enumerate(charges):
            charged = {"cost_usd": dollars, "cost_units": units}
            journal.step(job, Progress(Stage.FAILED, request_id=f"r{number}", **charged))
        (card,) = job_cards(journal)
        assert journal.costs_in_units() == (0, 7.5)
    assert (card["earlier"], card["earlier_units"]) == (0.25, 7.5)


def test_the_words_of_several_shots_are_one_text() -> None:
    shots = ["one", {"prompt": "two"}]
    assert job_json(VideoJob("m", multi_prompt=shots), Progress())["prompt"] == "one\ntwo"


@for_each(("kind", "said"), ADVICE)
def test_each_kind_of_failure_has_advice(kind: type[VideoError], said: str) -> None:
    error = kind([]) if kind.__name__ == "InvalidJobs" else kind("x")  # type: ignore[arg-type]
    assert failure_advice(error) == said


def test_what_was_moderated_is_to_be_reworded() -> None:
    assert "reword" in failure_advice(GenerationFailed("content moderation"))
    assert "buys nothing" in failure_advice(LinkDead("dead"))


@for_each(
    ("field", "said"),
    [(None, "reword the prompt or replace the pictures,"), ("prompt", "reword the prompt,"),
     ("image", "replace the picture,"), ("negative_prompt", "reword negative_prompt,"),
     ("image_list", "replace image_list,"), ("voice", "replace voice,")],
)  # fmt: skip
def test_what_moderation_refused_is_what_is_to_be_changed(field: str | None, said: str) -> None:
    assert f"refused: {said} and run again" in failure_advice(ContentRefused("no", field=field))


def test_posters_are_small_jpegs_and_kept_for_the_next_page(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = report_file._earlier_posters(folder / REPORT)
    assert len(kept) == 56
    assert all(text.startswith("/9j/") and len(text) < 20_000 for text in kept.values())
    monkeypatch.setattr(report_file, "_poster", lambda *_: pytest.fail("made anew"))
    write_report(folder)
    assert report_file._earlier_posters(folder / REPORT) == kept


def test_posters_keep_to_their_budget(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {f"{path.name}:1": path.name for path in folder.glob("*.mp4")}
    monkeypatch.setattr(report_file, "BUDGET", 40_000)
    made = report_file._posters(folder, files, {})
    assert 0 < len(made) < len(files)


def test_without_pyav_the_page_has_no_posters(tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_file, "find_spec", lambda _: None)
    write_report(made_run(tmp_path / "run", 3, (clip,)))
    assert "<html" in (tmp_path / "run" / REPORT).read_text()
    assert report_file._earlier_posters(tmp_path / "run" / REPORT) == {}


def test_a_clip_that_is_none_has_no_poster(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video")
    assert report_file._poster(tmp_path / "a.mp4") == ""


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="output folder"):
        write_report(tmp_path)


def test_half_a_letter_does_not_spoil_the_page(tmp_path: Path) -> None:
    from aimlvideo.views.report.report_file import page_text

    assert "jobs" in "".join(page_text("t", {}, [{"id": "\ud83d"}], {})).encode(errors="replace").decode()
