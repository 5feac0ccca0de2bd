"""A picture of any kind becomes what its wire takes; one that cannot be sent is refused in a line."""

from __future__ import annotations

import base64
import io
import os
from pathlib import Path
from typing import Any, Literal
from unicodedata import normalize

import pytest
from PIL import Image, ImageOps

from aimlvideo.core.catalog.catalog import load_catalog
from aimlvideo.core.catalog.validation import check
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.media_types import FileLimits, is_video, media_type
from aimlvideo.core.services import service_of
from aimlvideo.errors import UsageError
from aimlvideo.shell.files import media
from aimlvideo.shell.files.media import Media
from tests.cases import for_each


def picture(kind: str = "PNG", width: int = 320, height: int = 400, **options: Any) -> bytes:
    held = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 30)).save(held, kind, **options)
    return held.getvalue()


AI_ML_API, GATEWAY = service_of("aimlapi").media, service_of("kling").media
PNG, JPEG = picture(), picture("JPEG")
BASE64 = base64.b64encode(PNG).decode()
URI = f"data:image/png;base64,{BASE64}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.png").write_bytes(PNG)
    (tmp_path / "really a png.jpg").write_bytes(PNG)
    (tmp_path / "b.jpg").write_bytes(JPEG)
    (tmp_path / "note.png").write_text("this is a text")
    (tmp_path / "empty.png").write_bytes(b"")
    getattr(os, "mkfifo", os.mkdir)(tmp_path / "pipe")
    return tmp_path


@for_each(
    ("value", "sent"),
    [
        ("a.png", URI),
        (Path("a.png"), URI),
        ("really a png.jpg", URI),
        ("b.jpg", "data:image/jpeg;base64," + base64.b64encode(JPEG).decode()),
        (PNG, URI),
        (bytearray(PNG), URI),
        (BASE64, URI),
        (URI, URI),
        ("data:image/png,anything", "data:image/png,anything"),
        ("https://example.com/a.png", "https://example.com/a.png"),
        ("HTTPS://example.com/a.png", "HTTPS://example.com/a.png"),
        ("asset://123", "asset://123"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_ai_ml_api_gets_a_link_or_a_data_uri(folder: Path, value: Any, sent: str) -> None:
    media = Media(folder, AI_ML_API)
    media.check(value)
    assert media.encoded(value) == sent
    assert media.changes(value) or value == sent


@for_each(
    ("value", "sent"),
    [
        ("a.png", BASE64),
        (PNG, BASE64),
        (BASE64, BASE64),
        (URI, BASE64),
        ("DATA:image/png;BASE64," + BASE64, BASE64),
        ("data:image/png," + "".join(f"%{byte:02x}" for byte in PNG), BASE64),
        ("https://example.com/a.png", "https://example.com/a.png"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_gateway_gets_a_link_or_bare_base64(folder: Path, value: Any, sent: str) -> None:
    media = Media(folder, GATEWAY)
    media.check(value)
    assert media.encoded(value) == sent


def test_a_pil_image_becomes_a_png(folder: Path) -> None:
    image = Image.open(io.BytesIO(PNG))
    sent = Media(None, AI_ML_API).encoded(image)
    assert Image.open(io.BytesIO(base64.b64decode(sent.partition(",")[2]))).size == (320, 400)
    with pytest.raises(UsageError, match=r"cannot be converted to PNG: .*expected one in RGB"):
        Media(None, AI_ML_API).encoded(Image.new("CMYK", (400, 400)))


def test_a_bytearray_is_a_picture_as_its_bytes_are() -> None:
    content, model = bytearray(PNG), "kling-video/v1.6/pro/image-to-video"
    job = VideoJob(model, prompt="x", image_url=content)
    assert not check(job, load_catalog()).problems
    assert job.id == VideoJob(model, prompt="x", image_url=PNG).id
    assert Media(None, AI_ML_API).encoded(content) == URI


def test_a_home_folder_and_an_absolute_path_are_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    for value in ("~/a.png", str(folder / "a.png")):
        assert Media(Path("/elsewhere"), AI_ML_API).encoded(value) == URI


def test_without_a_folder_a_path_starts_where_the_process_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert Media(None, AI_ML_API).encoded("a.png") == URI


@for_each(
    ("value", "words"),
    [
        ("none.png", "none.png cannot be read: No such file or directory; expected a file of this machine, or a link"),
        (" https://example.com/a.png", "cannot be read: No such file or directory: a link has no blanks before it"),
        ("", " is not a file"),
        (".", ". is not a file"),
        ("pipe", "pipe is not a file"),
        ("a\0b", "cannot be read: "),
        ("half \ud83d.png", "cannot be read: "),
        ("~nobody-of-that-name/a.png", "cannot be read: "),
        ("x" * 300, "cannot be read: File name too long"),
        ("note.png", "note.png is not a supported image, video or audio file"),
        ("empty.png", "empty.png is not a supported image, video or audio file: expected PNG, JPEG, WebP, MP4, MP3 or"),
        ("empty.png", "and it is empty"),
        (b"", "this picture is not a supported image"),
        (b"\x89PN", "this picture is not a supported image"),
    ],
    ids=lambda value: repr(value)[:30],
)
@for_each("limits", [AI_ML_API, GATEWAY], ids=["AI/ML API", "gateway"])
def test_what_is_no_picture_is_refused_in_a_short_line(folder: Path, value: Any, words: str, limits: Any) -> None:
    media = Media(folder, limits)
    for way in (media.check, media.encoded):
        with pytest.raises(UsageError) as caught:
            way(value)
        assert words in str(caught.value)
        assert len(str(caught.value)) < 200


def test_a_file_that_cannot_be_read_half_way_is_said_as_that(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: bytes) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(base64, "b64encode", broken)
    with pytest.raises(UsageError, match=r"a\.png cannot be read: Input/output error"):
        Media(folder, AI_ML_API).encoded("a.png")


@for_each("kind", ["PNG", "JPEG"])
@for_each(
    ("width", "height", "words"),
    [
        (300, 300, ""),
        (300, 750, ""),
        (750, 300, ""),
        (299, 300, "is 299x300 pixels; this service takes at least 300 pixels a side"),
        (300, 299, "is 300x299 pixels; this service takes at least 300 pixels a side"),
        (300, 751, "is 300x751; this service takes shapes between 1:2.5 and 2.5:1"),
        (751, 300, "is 751x300; this service takes shapes between 1:2.5 and 2.5:1"),
    ],
)
def test_a_gateway_s_limits_of_size_and_shape_are_checked(kind: str, width: int, height: int, words: str) -> None:
    media, raw = Media(None, GATEWAY), picture(kind, width, height)
    for value in (raw, base64.b64encode(raw).decode(), "data:;base64," + base64.b64encode(raw).decode()):
        if not words:
            media.check(value)
            continue
        with pytest.raises(UsageError, match=f"this picture {words}"):
            media.check(value)
    Media(None, AI_ML_API).check(raw)


def test_a_picture_whose_size_the_library_cannot_tell_is_not_called_corrupt() -> None:
    turned = b"\0\0\0\x18ftypavif\0\0\0\0avifmif1" + bytes(64)
    Media(None, GATEWAY._replace(inline=FileLimits(min_side=300))).check(turned)


def test_a_gateway_s_other_limits_are_checked(folder: Path) -> None:
    media = Media(folder, GATEWAY)
    with pytest.raises(UsageError, match="is image/gif; this service takes JPEG and PNG"):
        media.check(picture("GIF"))
    os.truncate(folder / "a.png", 10_600_000)
    with pytest.raises(UsageError, match=r"a\.png has 10\.1 MB; .* at most 10 MB: make it smaller, or give a link"):
        media.check("a.png")
    with pytest.raises(UsageError, match="is corrupt: no image size found"):
        media.check(JPEG[:30])
    with pytest.raises(UsageError, match="is not valid Base64"):
        media.check("data:image/png;base64,AAA")


def test_a_picture_with_a_large_profile_before_its_size_is_measured(folder: Path) -> None:
    (folder / "profile.jpg").write_bytes(picture("JPEG", icc_profile=b"x" * 400_000))
    Media(folder, GATEWAY).check("profile.jpg")


def test_checking_a_large_file_does_not_read_it_whole(folder: Path) -> None:
    with (folder / "large.mp4").open("wb") as file:
        file.write(b"\0\0\0\x18ftypmp42")
        file.truncate(2**34)
    with pytest.raises(UsageError, match=r"large\.mp4 has 16384 MB; at most 128 MB"):
        Media(folder, AI_ML_API).encoded("large.mp4")


@for_each(
    ("head", "kind"),
    [
        (PNG, "image/png"),
        (JPEG, "image/jpeg"),
        (picture("GIF"), "image/gif"),
        (picture("BMP"), "image/bmp"),
        (picture("WEBP"), "image/webp"),
        (picture("TIFF"), "image/tiff"),
        (b"\0\0\0\x18ftypmp42", "video/mp4"),
        (b"\0\0\0\x18ftypqt  ", "video/quicktime"),
        (b"\0\0\0\x18ftypheic", "image/heic"),
        (b"RIFF\0\0\0\0WAVE", "audio/wav"),
        (b"RIFF\0\0\0\0????", None),
        (b"<html>", None),
        (b"", None),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_file_s_type_is_told_by_its_content(head: bytes, kind: str | None) -> None:
    assert media_type(head) == kind
    assert is_video(head) is (kind is not None and (kind.startswith("video") or kind in ("image/gif", "image/webp")))


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded() -> None:
    class Bomb:
        size = (60_000, 60_000)
        tobytes = None

        def save(self, *_: Any, **__: Any) -> None:
            raise AssertionError("decoded")

    with pytest.raises(UsageError, match=r"60000x60000 pixels; at most 100,000,000"):
        Media(None, AI_ML_API).check(Bomb())


def test_a_text_that_is_too_large_is_not_decoded_to_learn_how_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "MAX_BYTES", 100)
    with pytest.raises(UsageError, match="this picture is too large"):
        Media(None, service_of("kling").media).encoded("data:image/png;base64," + "A" * 300)


def test_a_path_that_begins_with_the_home_of_nobody_starts_at_the_job_file_s_folder(tmp_path: Path) -> None:
    media = Media(tmp_path, AI_ML_API)
    assert media.path_of("~no-such-user/a.png") == tmp_path / "~no-such-user" / "a.png"
    assert Media(None, AI_ML_API).path_of("~no-such-user/a.png") == Path("~no-such-user/a.png")


@for_each(
    ("limits", "said"),
    [
        (FileLimits(), ""),
        (FileLimits(types=("image/png", "image/jpeg"), max_bytes=5 * 2**20), "PNG or JPEG, at most 5 MB"),
        (FileLimits(pixels=(1280, 720)), "1280x720 pixels"),
        (FileLimits(min_side=300, max_ratio=2.5), "at least 300 pixels a side, between 1:2.5 and 2.5:1"),
        (FileLimits(min_seconds=2, max_seconds=60), "at least 2 s, at most 60 s"),
        (FileLimits(below_seconds=8.7), "less than 8.7 s"),
    ],
)
def test_what_is_taken_of_files_is_said_in_full(limits: FileLimits, said: str) -> None:
    assert str(limits) == said


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
def test_a_name_whose_accents_a_mac_has_taken_apart_is_found(tmp_path: Path, on_disk: Literal["NFC", "NFD"]) -> None:
    (tmp_path / normalize(on_disk, "café.png")).write_bytes(PNG)
    forms: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")
    for form in forms:
        assert Media(tmp_path, AI_ML_API).encoded(normalize(form, "café.png")) == URI


def test_a_pil_image_is_sent_upright_as_the_phone_that_took_it_says(tmp_path: Path) -> None:
    stored = Image.new("RGB", (400, 320), "white")
    stored.paste("black", (0, 0, 200, 160))
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored.save(tmp_path / "phone.jpg", exif=exif, quality=95)
        with Image.open(tmp_path / "phone.jpg") as image:
            sent = Media(None, AI_ML_API).encoded(image)
            upright = ImageOps.exif_transpose(image)
        arrived = Image.open(io.BytesIO(base64.b64decode(sent.partition(",")[2])))
        assert arrived.size == upright.size
        assert arrived.tobytes() == upright.tobytes(), f"orientation {orientation}"
