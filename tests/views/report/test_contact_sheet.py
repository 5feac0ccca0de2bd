"""One picture of a whole run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import ClipFile, Progress, Record
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.errors import UsageError
from aimlvideo.shell.files.video import frame_png
from aimlvideo.views.report.contact_sheet import MOST_BYTES, WIDEST, _drawable, write_sheet
from tests.cases import for_each
from tests.shell.files.test_video import clip

pytest.importorskip("av", reason="the extra `video`")
Image = pytest.importorskip("PIL.Image")


def saved(name: str, file: str) -> Record:
    return Record(VideoJob("m", id=name), Progress(Stage.SAVED, file=file))


def test_every_saved_clip_is_on_the_sheet(tmp_path: Path) -> None:
    records = [
        saved(f"shot {level}", clip(tmp_path / f"{level}.mp4", [level] * 2, (320, 180)).name) for level in (40, 220)
    ]
    failed = Record(VideoJob("m", id="failed"), Progress(Stage.FAILED))
    sheet = Image.open(write_sheet(tmp_path, [records[0], failed, records[1]]))
    assert sheet.size == (640, 198)
    assert abs(sheet.convert("L").getpixel((160, 90)) - 40) < 8
    assert abs(sheet.convert("L").getpixel((480, 90)) - 220) < 8
    label = sheet.convert("L").crop((0, 180, 320, 198))
    assert label.getextrema()[1] > 150  # its name stands under it


def test_each_clip_stands_in_the_middle_of_its_place_with_its_name_below(tmp_path: Path) -> None:
    flat, tall = ((320, 60), 200), ((60, 180), 220)
    records = [
        saved(f"shot {number}", clip(tmp_path / f"{number}.mp4", [level] * 2, size, tone=False).name)
        for number, (size, level) in enumerate([flat, tall, flat])
    ]
    with Image.open(write_sheet(tmp_path, records)) as sheet:
        grey = sheet.convert("L")
    assert grey.size == (640, 2 * 198)

    def lit(box: tuple[int, int, int, int]) -> bool:
        return grey.crop(box).getextrema()[1] > 150

    for left, top in ((0, 0), (0, 198)):
        assert abs(grey.getpixel((left + 160, top + 90)) - 200) < 8
        assert not lit((left, top, left + 320, top + 55))
        assert not lit((left, top + 125, left + 320, top + 180))
        assert lit((left, top + 182, left + 320, top + 198))
    assert abs(grey.getpixel((480, 90)) - 220) < 8
    assert not lit((320, 0, 445, 180))
    assert not lit((515, 0, 640, 180))
    assert not lit((320, 198, 640, 2 * 198)), "the last place is empty"


@pytest.mark.long
def test_three_hundred_clips_fit_on_one_sheet_that_can_be_sent(tmp_path: Path) -> None:
    name = clip(tmp_path / "a.mp4", [90] * 2, (320, 180)).name
    path = write_sheet(tmp_path, [saved(f"a long name of a shot, number {number}", name) for number in range(300)])
    with Image.open(path) as sheet:
        assert 2000 < sheet.width <= WIDEST
    assert path.stat().st_size < MOST_BYTES


def test_a_clip_that_cannot_be_read_leaves_its_place_empty(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no clip")
    sheet = Image.open(write_sheet(tmp_path, [saved("a", "a.mp4"), saved("b", "missing.mp4")]))
    assert sheet.convert("L").getpixel((160, 90)) < 40


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a pipe with a name")
def test_a_pipe_in_a_clip_s_place_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.mp4")
    sheet = Image.open(write_sheet(tmp_path, [saved("a", "a.mp4")]))
    assert sheet.convert("L").getpixel((160, 90)) < 40
    with pytest.raises(UsageError, match=r"a\.mp4: expected a clip, got no file"):
        frame_png(tmp_path / "a.mp4", "last")


def test_a_folder_without_clips_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no saved clip"):
        write_sheet(tmp_path, [])


def test_every_clip_of_a_generation_is_on_the_sheet(tmp_path: Path) -> None:
    names = [
        clip(tmp_path / name, [level] * 2, (320, 180)).name for name, level in (("shot.mp4", 40), ("shot-2.mp4", 220))
    ]
    progress = Progress(Stage.SAVED, file=names[0], files=tuple(ClipFile(name, 1, "") for name in names))
    with Image.open(write_sheet(tmp_path, [Record(VideoJob("m", id="shot"), progress)])) as sheet:
        assert sheet.size == (640, 198)
        assert abs(sheet.convert("L").getpixel((480, 90)) - 220) < 8


@for_each(
    ("name", "label"),
    [("Café 01", "Café 01"), ("夏日促销", "no. 7"), ("промо 3", "no. 7  3"), ("a\tb", "no. 7 ab")],
)
def test_a_name_in_letters_that_the_font_lacks_stands_there_by_its_place(name: str, label: str) -> None:
    assert _drawable(name, 6) == label
