"""The videos: real files of the asked shape, length and sound, that show what was given."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image, ImageFont

from aimlvideo.sandbox.catalogue import all_models, find_model
from aimlvideo.sandbox.film.caption import caption
from aimlvideo.sandbox.film.render import render
from aimlvideo.sandbox.film.scenes import SAMPLES, sample_picture
from aimlvideo.sandbox.film.storyboard import Storyboard, plan, preview_size
from aimlvideo.sandbox.film.studio import Studio
from tests.cases import for_each, one_in
from tests.sandbox.http_client import BODIES, MULTI, PRO, V3, visiting


def plain(tint: str, size: tuple[int, int] = (400, 300)) -> str:
    """Return a picture of one colour as a data: URI."""
    file = BytesIO()
    Image.new("RGB", size, tint).save(file, "PNG")
    return "data:image/png;base64," + b64encode(file.getvalue()).decode()


def board_of(model: str, **params: Any) -> Storyboard:
    found = find_model(model)
    assert found is not None
    return plan(params, found.default, lambda name: found.params.get(name, {}))


def filmed(place: Path, board: Storyboard, *shares: float) -> list[np.ndarray]:
    """Make a clip of a second and return its frames at these shares of its length."""
    board = replace(board, seconds=1)
    render(place / "clip.mp4", board, lambda: None)
    with av.open(str(place / "clip.mp4")) as file:
        count = file.streams.video[0].frames
        wanted = [round(share * (count - 1)) for share in shares]
        found = {n: frame for n, frame in enumerate(file.decode(video=0)) if n in wanted}
    return [found[number].to_ndarray(format="rgb24") for number in wanted]


def lengths(place: Path) -> tuple[tuple[int, int], float, float | None]:
    """Return a clip's size and the seconds of its picture and of its sound."""
    with av.open(str(place / "clip.mp4")) as file:
        picture, *_ = file.streams.video
        assert (picture.codec_context.name, picture.codec_context.pix_fmt) == ("h264", "yuv420p")
        seen, *heard = (float(stream.duration * stream.time_base) for stream in file.streams)
        assert picture.frames == round(seen * 24)
        return (picture.width, picture.height), seen, heard[0] if heard else None


@one_in(
    3,
    ("board", "size", "seconds", "sound"),
    [
        (
            board_of(V3, image_url=plain("red"), multi_prompt=["one", "two"], duration=3),
            (480, 360),
            3,
            True,
        ),
        (
            board_of(MULTI, image_list=[plain("red")] * 4, duration="5", aspect_ratio="1:1"),
            (360, 360),
            5,
            False,
        ),
        (
            board_of("bytedance/seedance-2-0", prompt="a fox", aspect_ratio="21:9", duration=4, generate_audio=False),
            (840, 360),
            4,
            False,
        ),
    ],
)
def test_a_clip_has_the_shape_length_and_sound_that_were_asked_for(
    tmp_path: Path, board: Storyboard, size: tuple[int, int], seconds: float, sound: bool
) -> None:
    render(tmp_path / "clip.mp4", board, lambda: None)
    assert lengths(tmp_path) == (size, seconds, seconds if sound else None)


def test_a_clip_goes_from_the_first_picture_to_the_last(tmp_path: Path) -> None:
    frames = filmed(
        tmp_path, board_of(PRO, image_url=plain("red", (600, 800)), tail_image_url=plain("blue")), 0, 0.5, 1
    )
    assert lengths(tmp_path) == ((360, 480), 1, None)
    reds, _, blues = np.array([frame.mean(axis=(0, 1)) for frame in frames]).T
    assert reds[0] > 200
    assert reds[0] > reds[1] + 60 > reds[2] + 120
    assert blues[2] > 200
    assert blues[2] > blues[1] + 60 > blues[0] + 120


def test_several_pictures_come_one_after_the_other(tmp_path: Path) -> None:
    pictures = [plain(tint) for tint in ("red", "lime", "blue")]
    frames = filmed(tmp_path, board_of(MULTI, image_list=pictures, duration=5), 0.04, 0.5, 0.96)
    assert lengths(tmp_path) == ((640, 360), 1, None)
    seen = [int(frame.mean(axis=(0, 1)).argmax()) for frame in frames]
    assert seen == [0, 1, 2]


def test_the_prompt_is_written_at_the_foot_of_the_picture(tmp_path: Path) -> None:
    frame, *_ = filmed(tmp_path, board_of(PRO, image_url=plain("navy"), prompt="a very long prompt " * 40), 0.1)
    assert frame[300:].max() > 180
    assert frame[:250].max() < 160


def test_a_scene_moves_in_a_file_that_plays_before_it_is_whole(tmp_path: Path) -> None:
    board = board_of("openai/sora-2-t2v", prompt="a quiet harbour at dusk", aspect_ratio="9:16")
    first, last = filmed(tmp_path, board, 0, 1)
    assert lengths(tmp_path) == ((360, 640), 1, None)
    assert np.abs(first.astype(int) - last.astype(int)).mean() > 3
    content = (tmp_path / "clip.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


def test_every_model_has_a_storyboard_of_some_length_and_even_sides() -> None:
    for model in all_models().values():
        board = board_of(model.id, prompt="x", image_url="https://example.com/a.png")
        assert 1 <= board.seconds <= 30
        assert board.shape is None or not any(side % 2 for side in board.shape)


@for_each("shape", [(16, 9), (9, 16), (1, 1), (4, 3), (3, 4), (21, 9), (2, 3), (848, 480)])
def test_a_preview_has_an_even_short_side_of_360(shape: tuple[int, int]) -> None:
    size = preview_size(*shape)
    assert min(size) == 360
    assert size[0] % 2 == size[1] % 2 == 0
    assert size[0] / size[1] == pytest.approx(shape[0] / shape[1], rel=0.01)


def test_a_picture_that_cannot_be_read_is_drawn_by_its_name(tmp_path: Path) -> None:
    frame, *_ = filmed(
        tmp_path, board_of(V3, image_url="data:image/png;base64,AAAA", prompt="x", duration=3, generate_audio=False), 0
    )
    assert frame.std() > 5
    assert lengths(tmp_path)[1:] == (1, None)


@for_each(("ratio", "seconds"), [("16:9", 3), ("9:16", 3), ("16:9", 5), ("16:9", 3)])
def test_a_small_clip_has_the_form_and_length_that_were_asked_for_whichever_studio_makes_it(
    ratio: str, seconds: int
) -> None:
    studio = Studio()
    clip = studio.order(board_of(MULTI, image_list=[plain("red")] * 4, duration=seconds, aspect_ratio=ratio), "tiny")
    with av.open(str(clip.result().place)) as file:
        picture = file.streams.video[0]
        assert (picture.width > picture.height) == (ratio == "16:9")
        assert file.duration == seconds * 1_000_000
    studio.close()


def test_a_clip_is_made_once_and_not_at_all_once_the_studio_is_closed() -> None:
    studio = Studio()
    board = board_of(V3, image_url=plain("red"), prompt="x", duration=3)
    small = studio.order(board, "tiny").result()
    assert small.size < 8_000
    assert studio.order(board, "tiny").result() is small
    under_way = [studio.order(board_of(V3, prompt=f"{number}", duration=15), "full") for number in range(4)]
    studio.close()
    assert all(one.done() for one in under_way)
    assert not small.place.exists()


@pytest.mark.real_time
async def test_a_generation_is_not_completed_before_its_clip_is_there() -> None:
    async with visiting(seconds=0.0, video="full") as visitor:
        accepted = await visitor.submit(V3)
        ended = await visitor.end(accepted.json["id"])
        content = (await visitor.file(ended.json["video"]["url"])).body
        assert len(content) == ended.json["video"]["file_size"] > 10_000
        with av.open(BytesIO(content)) as file:
            assert file.duration == BODIES[V3]["duration"] * 1_000_000
            assert file.streams.audio


@one_in(4, "name", [*SAMPLES, "anything else"])
def test_a_sample_picture_is_always_the_same(name: str) -> None:
    assert sample_picture(name, (192, 128)) == sample_picture(name, (192, 128))
    image = Image.open(BytesIO(sample_picture(name)))
    assert (image.format, image.size) == ("PNG", (768, 512))
    assert np.asarray(image).std() > 15


def test_a_prompt_as_long_as_a_book_is_cut_before_it_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[int] = []
    getlength = ImageFont.FreeTypeFont.getlength

    def counting(font: Any, text: str) -> float:
        measured.append(len(text))
        assert sum(measured) < 10_000, "a prompt of a million letters would be measured for hours"
        return getlength(font, text)

    monkeypatch.setattr(ImageFont.FreeTypeFont, "getlength", counting)
    for text in ("x" * 1_000_000, "x " * 500_000):
        measured.clear()
        assert caption(text, (160, 90)).keep.any()
