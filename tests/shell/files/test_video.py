"""Frames of clips, and clips joined to a film, with real files."""

from __future__ import annotations

import functools
import io
import os
import struct
import sys
from fractions import Fraction
from math import inf
from pathlib import Path

import pytest

from aimlvideo.errors import SettingsError, UsageError
from aimlvideo.shell.files import video
from aimlvideo.shell.files.video import frame_jpeg, frame_png, join_clips
from tests.cases import for_each

av = pytest.importorskip("av", reason="the extra `video`")
np = pytest.importorskip("numpy")
Image = pytest.importorskip("PIL.Image")

RATE = 10


def clip(
    path: Path,
    levels: list[int],
    size: tuple[int, int] = (64, 48),
    tone: bool = True,
    *,
    begins: int = 0,
    preset: str = "ultrafast",
) -> Path:
    """Make a clip whose frames are plain grey pictures of these levels, with a tone; its clock `begins` at a frame."""
    path.write_bytes(_content(tuple(levels), size, tone, begins, preset))
    return path


@functools.cache
def _content(levels: tuple[int, ...], size: tuple[int, int], tone: bool, begins: int, preset: str) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", "mp4") as film:
        video = film.add_stream("libx264", rate=RATE, options={"crf": "1", "preset": preset})
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        audio = film.add_stream("aac", rate=48_000, layout="stereo") if tone else None
        for number, level in enumerate(levels, begins):
            pixels = np.full((size[1], size[0], 3), level, np.uint8)
            picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            picture.pts, picture.time_base = number, Fraction(1, RATE)
            film.mux(video.encode(picture))
        film.mux(video.encode(None))
        if audio is not None:
            wave = 0.3 * np.sin(np.arange(48_000 * len(levels) // RATE, dtype=np.float32) / 10)
            for start in range(0, len(wave), 1024):
                chunk = np.tile(wave[start : start + 1024], (2, 1)).astype(np.float32)
                frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(chunk), format="fltp", layout="stereo")
                frame.sample_rate = 48_000
                film.mux(audio.encode(frame))
            film.mux(audio.encode(None))
    return file.getvalue()


def levels_of(path: Path) -> list[int]:
    with av.open(str(path)) as film:
        return [round(float(frame.to_ndarray(format="gray").mean())) for frame in film.decode(video=0)]


def near(levels: list[int], expected: list[int]) -> bool:
    return len(levels) == len(expected) and all(abs(a - b) <= 4 for a, b in zip(levels, expected, strict=True))


def loudness_at_end(path: Path) -> float:
    with av.open(str(path)) as film:
        frames = [frame.to_ndarray() for frame in film.decode(audio=0)]
    return float(np.abs(np.concatenate(frames, axis=1)[:, -9600:-4800]).mean())


def level_of_png(content: bytes) -> int:
    picture = Image.open(io.BytesIO(content))
    assert picture.format == "PNG"
    return round(float(np.asarray(picture.convert("L")).mean()))


@for_each(("when", "level"), [("first", 20), ("last", 200), (0.0, 20), (0.55, 120), (1.9, 200)])
def test_a_frame_is_taken_where_it_is_asked_for(tmp_path: Path, when: object, level: int) -> None:
    for begins in (0, 15):
        film = clip(tmp_path / "a.mp4", [20] * 5 + [120] * 5 + [200] * 10, begins=begins)
        assert abs(level_of_png(frame_png(film, when)) - level) <= 4  # type: ignore[arg-type]


@for_each(("side", "size"), [(32, (32, 24)), (47, (46, 34)), (1000, (64, 48))])
def test_a_small_picture_keeps_its_shape_and_is_never_larger_than_the_clip(
    tmp_path: Path, side: int, size: tuple[int, int]
) -> None:
    picture = Image.open(io.BytesIO(frame_jpeg(clip(tmp_path / "a.mp4", [20] * 5), side)))
    assert (picture.format, picture.size) == ("JPEG", size)


def test_a_moment_behind_the_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no frame at 9"):
        frame_png(clip(tmp_path / "a.mp4", [20] * 5), 9.0)


def test_a_file_that_is_no_clip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no clip")
    with pytest.raises(UsageError, match="expected a clip with frames"):
        frame_png(tmp_path / "a.mp4", "last")
    with pytest.raises(UsageError, match="expected a clip, got no file"):
        join_clips([tmp_path / "b.mp4"], tmp_path / "film.mp4")


def test_clips_of_one_kind_are_copied_untouched(tmp_path: Path) -> None:
    clips = [clip(tmp_path / "a.mp4", [20] * 10), clip(tmp_path / "b.mp4", [200] * 10)]
    film = join_clips(clips, tmp_path / "film.mp4")
    assert film.copied
    assert film.seconds == pytest.approx(2.0)
    assert near(levels_of(film.path), [20] * 10 + [200] * 10)
    assert loudness_at_end(film.path) > 0.1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "b.mp4", "film.mp4"]


def test_clips_of_another_encoder_s_settings_are_encoded_anew(tmp_path: Path) -> None:
    clips = [clip(tmp_path / "a.mp4", [20] * 10), clip(tmp_path / "b.mp4", [200] * 10, preset="medium")]
    film = join_clips(clips, tmp_path / "film.mp4")
    assert not film.copied
    assert near(levels_of(film.path), [20] * 10 + [200] * 10)


def test_the_frame_that_a_clip_repeats_is_dropped(tmp_path: Path) -> None:
    clips = [clip(tmp_path / "a.mp4", [20, 60, 100]), clip(tmp_path / "b.mp4", [100, 140, 180])]
    film = join_clips(clips, tmp_path / "film.mp4")
    assert not film.copied
    assert near(levels_of(film.path), [20, 60, 100, 140, 180])


def test_clips_of_other_sizes_and_without_sound_are_fitted_in(tmp_path: Path) -> None:
    clips = [
        clip(tmp_path / "a.mp4", [50] * 5),
        clip(tmp_path / "b.mp4", [200] * 5, (64, 96), tone=False),
        clip(tmp_path / "c.mp4", [20] * 5),
    ]
    film = join_clips(clips, tmp_path / "film.mp4")
    with av.open(str(film.path)) as joined:
        stream, sound = joined.streams.video[0], joined.streams.audio[0]
        assert (stream.width, stream.height) == (64, 48)
        assert float(sound.duration * sound.time_base) == pytest.approx(1.5, abs=0.1)
    levels = levels_of(film.path)
    assert len(levels) == 15
    assert 60 < levels[7] < 140  # black bars on both sides of a narrow picture
    assert loudness_at_end(film.path) > 0.1


def test_a_cross_fade_mixes_the_seams(tmp_path: Path) -> None:
    clips = [clip(tmp_path / "a.mp4", [0] * 10), clip(tmp_path / "b.mp4", [200] * 10)]
    film = join_clips(clips, tmp_path / "film.mp4", fade=0.4)
    levels = levels_of(film.path)
    assert film.seconds == pytest.approx(1.6)
    assert near(levels[:6] + levels[10:], [0] * 6 + [200] * 6)
    assert near(levels[6:10], [40, 80, 120, 160])


def test_a_colon_in_the_name_of_a_folder_or_film_is_no_protocol(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip(tmp_path / "a.mp4", [80] * 3)
    monkeypatch.chdir(tmp_path)
    folder = Path("2026-11-27T10:30")
    folder.mkdir()
    (tmp_path / "a.mp4").rename(folder / "a.mp4")
    assert frame_png(folder / "a.mp4", "last")
    for _ in range(2):
        assert join_clips([folder / "a.mp4"], Path("12:30.mp4")).copied, "the second time over the film of the first"


def test_an_earlier_film_is_replaced_and_no_other_file(tmp_path: Path) -> None:
    clips = [clip(tmp_path / "a.mp4", [20] * 3), clip(tmp_path / "b.mp4", [200] * 3)]
    target = join_clips(clips[:1], tmp_path / "film.mp4").path
    assert near(levels_of(join_clips(clips, target).path), [20] * 3 + [200] * 3)
    assert near(levels_of(join_clips(clips, target, fade=0.1).path), [20, 20, 110, 200, 200])
    paid, notes = clips[0].read_bytes(), tmp_path / "notes.txt"
    notes.write_text("mine")
    os.mkfifo(pipe := tmp_path / "pipe.mp4")
    (dangling := tmp_path / "link.mp4").symlink_to("nowhere.mp4")
    for taken in (clips[0], notes, pipe, dangling):
        with pytest.raises(UsageError, match="already exists and is no film that was joined here"):
            join_clips(clips, taken)
    assert (clips[0].read_bytes(), notes.read_text()) == (paid, "mine")


@pytest.mark.parametrize(("name", "reason"), [(".", "is a folder"), ("nowhere/film.mp4", "there is no folder")])
def test_a_film_needs_a_place_that_can_be_written(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        join_clips([clip(tmp_path / "a.mp4", [20] * 3)], tmp_path / name)


def test_a_fade_without_end_is_as_long_as_the_clips(tmp_path: Path) -> None:
    clips = [clip(tmp_path / "a.mp4", [0] * 3), clip(tmp_path / "b.mp4", [200] * 3)]
    assert near(levels_of(join_clips(clips, tmp_path / "film.mp4", fade=inf).path), [50, 100, 150])


def test_a_fade_longer_than_a_clip_loses_no_picture_of_the_next(tmp_path: Path) -> None:
    parts = (("a", [0] * 3), ("b", [200] * 3), ("c", [100] * 9))
    clips = [clip(tmp_path / f"{name}.mp4", levels) for name, levels in parts]
    levels = levels_of(join_clips(clips, tmp_path / "film.mp4", fade=5).path)
    assert near(levels[-6:], [100] * 6)


def test_where_a_fade_is_longer_than_a_clip_between_two_the_sound_stays_as_long_as_the_pictures(tmp_path: Path) -> None:
    parts = (("a", 12), ("b", 2), ("c", 24))
    clips = [clip(tmp_path / f"{name}.mp4", [80] * frames) for name, frames in parts]
    film = join_clips(clips, tmp_path / "film.mp4", fade=1.5)
    with av.open(str(film.path)) as joined:
        samples = sum(frame.samples for frame in joined.decode(audio=0))
    assert samples / 48_000 == pytest.approx(film.seconds, abs=0.05)


def pictures(path: Path, codec: str, form: str, levels: list[int], pixels: str = "yuv420p", **options: str) -> Path:
    """Make a silent clip of any codec and container."""
    with av.open(str(path), "w", format=form) as film:
        stream = film.add_stream(codec, rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 64, pixels
        for level in levels:
            film.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((64, 64, 3), level, np.uint8), format="rgb24")))
        film.mux(stream.encode(None))
    return path


@for_each(
    ("codec", "form", "pixels"),
    [("gif", "gif", "rgb8"), ("libx264", "matroska", "yuv420p"), ("libvpx", "webm", "yuv420p")],
)
def test_a_clip_that_an_mp4_does_not_take_as_it_is_is_encoded_anew(
    tmp_path: Path, codec: str, form: str, pixels: str
) -> None:
    odd = pictures(tmp_path / "a.mp4", codec, form, [20, 200, 20, 200, 20, 200], pixels)
    film = join_clips([odd], tmp_path / "film.mp4")
    assert not film.copied
    assert len(levels_of(film.path)) == 6


def test_an_av1_clip_is_copied_though_its_decoder_is_no_encoder(tmp_path: Path) -> None:
    modern = pictures(tmp_path / "a.mp4", "libsvtav1", "mp4", [80], preset="11")
    assert join_clips([modern], tmp_path / "film.mp4").copied


def test_a_clip_whose_clock_begins_late_leaves_no_gap_in_a_film(tmp_path: Path) -> None:
    late = clip(tmp_path / "a.mp4", [20, 80, 140, 200, 250], begins=50, tone=False)
    film = join_clips([late, late, late], tmp_path / "film.mp4")
    with av.open(str(film.path)) as joined:
        assert (film.copied, film.seconds, joined.duration) == (True, pytest.approx(1.5), pytest.approx(1_500_000))


def test_a_clip_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    unknown = clip(tmp_path / "a.mp4", [20] * 5)
    unknown.write_bytes(unknown.read_bytes().replace(b"avc1", b"zzz1"))
    with pytest.raises(UsageError, match=r"a.mp4: expected a clip, got a file without pictures that can be decoded"):
        join_clips([unknown], tmp_path / "film.mp4")
    assert frame_jpeg(unknown, 32) == b""
    short = clip(tmp_path / "b.mp4", [20] * 5)
    short.write_bytes(short.read_bytes()[:400])
    with pytest.raises(UsageError, match=r"b.mp4: expected a clip with frames, got one that cannot be read"):
        join_clips([unknown.with_name("b.mp4")], tmp_path / "film.mp4")


def test_a_frame_is_found_where_a_jump_lands_behind_its_place(tmp_path: Path) -> None:
    pictures(tmp_path / "a.mp4", "libx264", "mpegts", [20] * 5 + [200] * 5)
    assert abs(level_of_png(frame_png(tmp_path / "a.mp4", 0.7)) - 200) <= 4


def test_a_clip_whose_frames_are_beyond_all_measure_is_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    huge = clip(tmp_path / "huge.mp4", [10, 20])
    assert frame_jpeg(huge, 32)
    monkeypatch.setattr(video, "MAX_PIXELS", 1000)
    with pytest.raises(UsageError, match="at most 1,000 pixels, got 64 x 48"):
        frame_png(huge, "first")
    with pytest.raises(UsageError, match="at most 1,000 pixels"):
        join_clips([huge, huge], tmp_path / "film.mp4")
    assert frame_jpeg(huge, 32) == b"", "a report goes without its poster"
    assert not (tmp_path / "film.mp4").exists()


def test_a_library_for_clips_that_cannot_be_loaded_is_said_and_ends_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "av.py").write_text("raise ImportError('libx265.so: failed to map segment')")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "av"]:
        monkeypatch.delitem(sys.modules, name)
    assert frame_jpeg(tmp_path / "a.mp4", 100) == b""
    with pytest.raises(SettingsError, match="cannot be loaded: libx265"):
        frame_png(tmp_path / "a.mp4", "first")


QUARTER = 1 << 16
"""One, in the 16.16 numbers of a display matrix."""


def turned(path: Path) -> Path:
    """Make a clip as a phone held upright does: black below white, filmed on its side, to be turned by a quarter."""
    with av.open(str(path), "w") as film:
        video = film.add_stream("libx264", rate=RATE, options={"crf": "1", "preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for number in range(3):
            pixels = np.zeros((48, 64, 3), np.uint8)
            pixels[:, :32] = 255
            picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            picture.pts, picture.time_base = number, Fraction(1, RATE)
            film.mux(video.encode(picture))
        film.mux(video.encode(None))
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 44
    quarter_turn = (0, QUARTER, 0, -QUARTER, 0, 0, 48 * QUARTER, 0, 1 << 30)
    content[matrix : matrix + 36] = struct.pack(">9i", *quarter_turn)
    path.write_bytes(content)
    return path


def test_a_clip_of_a_phone_held_upright_gives_upright_pictures_and_films(tmp_path: Path) -> None:
    phone = turned(tmp_path / "phone.mp4")
    for content in (frame_png(phone, "last"), frame_jpeg(phone, 1000)):
        picture = Image.open(io.BytesIO(content)).convert("L")
        assert picture.size == (48, 64)
        assert picture.getpixel((24, 8)) > 200
        assert picture.getpixel((24, 56)) < 50
    film = join_clips([phone, clip(tmp_path / "b.mp4", [90] * 3)], tmp_path / "film.mp4")
    with av.open(str(film.path)) as opened:
        frame = next(opened.decode(video=0))
        pixels = frame.to_ndarray(format="gray")
    assert (film.copied, frame.width, frame.height, frame.rotation) == (False, 48, 64, 0)
    assert pixels[:24].mean() > 200
    assert pixels[40:].mean() < 50
