"""Rules that the services' documents state in prose only: kept by the catalogue and, read apart, by the sandbox."""

from __future__ import annotations

import base64
import io
import wave
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from aimlvideo.cli.model_tables import model_page
from aimlvideo.core.catalog.catalog import load_catalog
from aimlvideo.core.catalog.rules import file_limits
from aimlvideo.core.catalog.validation import check
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.services import service_of
from aimlvideo.errors import UsageError
from aimlvideo.shell.files.media import Media
from tests.cases import for_each

accepts = pytest.importorskip("aimlvideo.sandbox.validation", reason="the sandbox is an extra").accepts

CATALOG = load_catalog()
LINK, SOUND = "https://a.example/x.png", "https://a.example/x.mp3"
WAN, PIXVERSE, LUMA = "alibaba/wan-3-0-video", "pixverse/v5/text-to-video", "luma/ray-3.2"
SEEDANCE, EFFECTS = "bytedance/seedance-2-0", "klingai/kling-video-v1.6-pro-effects"
BEEBLE, LIPS, VEO = "beeble/switchx-video-to-video", "pixverse/lip-sync", "google/veo-3-1-lite-generate-preview"
KREA, GROK, SORA = "krea/krea-wan-14b/text-to-video", "x-ai/grok-imagine-video", "openai/sora-2-pro-i2v"
HUMAN, AVATAR, TURBO = "bytedance/omnihuman", "klingai/avatar-pro", "klingai/video-v3-standard-turbo-image-to-video"
MINIMAX = "minimax/hailuo-02"

RIGHT: list[tuple[str, dict[str, Any]]] = [
    (PIXVERSE, {"prompt": "p", "resolution": "1080p"}),
    (PIXVERSE, {"prompt": "p", "resolution": "720p", "duration": 8}),
    ("pixverse/v5.5/text-to-video", {"prompt": "p", "resolution": "1080p", "duration": 10}),
    (KREA, {"prompt": "p", "num_frames": 162}),
    (VEO, {"prompt": "p", "last_image_url": LINK}),
    (VEO, {"prompt": "p", "duration": 4}),
    (LUMA, {"prompt": "p", "hdr": True, "exr_export": True}),
    (LUMA, {"prompt": "p", "exr_export": False, "loop": True}),
    (SEEDANCE, {"prompt": "p", "audio_url": SOUND, "image_urls": [LINK]}),
    ("minimax/h3", {"prompt": "p", "audio_urls": [SOUND], "video_urls": [LINK]}),
    (EFFECTS, {"effect_scene": "hug", "image_url": [LINK, LINK]}),
    (EFFECTS, {"effect_scene": "squish", "image_url": LINK}),
    (EFFECTS, {"effect_scene": "squish", "image_url": [LINK]}),
    (EFFECTS, {"effect_scene": "santa_hug", "image_url": LINK}),
    (GROK, {"prompt": "p", "reference_images": [LINK]}),
    (BEEBLE, {"video_url": LINK, "prompt": "p"}),
    (BEEBLE, {"video_url": LINK, "reference_image_url": LINK, "alpha_mode": "custom", "alpha_url": LINK}),
    (LIPS, {"video_url": LINK, "audio_url": SOUND}),
    (LIPS, {"video_url": LINK, "lip_sync_tts_content": "hello", "lip_sync_tts_speaker": "Ava"}),
    (WAN, {"prompt": "p", "image_url": LINK, "last_image_url": LINK}),
    ("minimax/h3-max", {"prompt": "p", "reference_image_urls": [LINK], "audio_urls": [SOUND]}),
]
WRONG: list[tuple[str, dict[str, Any], str]] = [
    (BEEBLE, {"video_url": LINK, "prompt": ""}, "prompt"),
    (PIXVERSE, {"prompt": "p", "resolution": "1080p", "duration": 8}, "duration"),
    ("pixverse/v5.5/text-to-video", {"prompt": "p", "resolution": "1080p", "duration": 8}, "duration"),
    (KREA, {"prompt": "p", "num_frames": 80}, "num_frames"),
    (VEO, {"prompt": "p", "last_image_url": LINK, "duration": 4}, "duration"),
    (LUMA, {"prompt": "p", "exr_export": True}, "exr_export"),
    (LUMA, {"prompt": "p", "hdr": True, "duration": 10}, "duration"),
    (LUMA, {"prompt": "p", "hdr": True, "resolution": "540p"}, "resolution"),
    (LUMA, {"prompt": "p", "loop": True, "type": "video_edit", "video_url": LINK}, "loop"),
    (SEEDANCE, {"prompt": "p", "audio_url": SOUND}, "audio_url"),
    (SEEDANCE, {"prompt": "p", "audio_urls": [SOUND]}, "audio_urls"),
    ("minimax/h3", {"prompt": "p", "audio_urls": [SOUND]}, "audio_urls"),
    (EFFECTS, {"effect_scene": "kiss", "image_url": LINK}, "image_url"),
    (EFFECTS, {"effect_scene": "heart_gesture", "image_url": [LINK] * 3}, "image_url"),
    (EFFECTS, {"effect_scene": "expansion", "image_url": [LINK] * 2}, "image_url"),
    (GROK, {"prompt": "p", "image_url": LINK, "reference_images": [LINK]}, "reference_images"),
    (BEEBLE, {"video_url": LINK}, "prompt"),
    (BEEBLE, {"video_url": LINK, "prompt": "p", "alpha_mode": "select"}, "alpha_url"),
    (BEEBLE, {"video_url": LINK, "prompt": "p" * 2001}, "prompt"),
    (LIPS, {"video_url": LINK}, "audio_url"),
    (LIPS, {"video_url": LINK, "lip_sync_tts_content": "hello"}, "lip_sync_tts_content"),
    (WAN, {"prompt": "p", "last_image_url": LINK}, "last_image_url"),
    (WAN, {"prompt": "p", "image_url": LINK, "audio_urls": [SOUND]}, "audio_urls"),
    ("minimax/h3-max", {"prompt": "p", "audio_urls": [SOUND]}, "audio_urls"),
]


def picture(width: int, height: int, kind: str = "PNG") -> bytes:
    held = io.BytesIO()
    Image.new("L", (width, height)).save(held, kind)
    return held.getvalue()


def sound(seconds: float, rate: int = 8000) -> bytes:
    held = io.BytesIO()
    with wave.open(held, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(rate)
        file.writeframes(b"\x80" * round(seconds * rate))
    return held.getvalue()


FILES_RIGHT: list[tuple[str, dict[str, Any], str, bytes]] = [
    (SORA, {"prompt": "p"}, "image_url", picture(1792, 1024)),
    (SORA, {"prompt": "p", "resolution": "720p", "aspect_ratio": "9:16"}, "image_url", picture(720, 1280)),
    (MINIMAX, {"prompt": "p"}, "image_url", picture(310, 770, "JPEG")),
    (TURBO, {"prompt": "p"}, "image_url", picture(300, 750)),
    (AVATAR, {"image_url": LINK}, "audio_url", sound(40)),
    (HUMAN, {"image_url": LINK}, "audio_url", sound(29.9)),
]
FILES_WRONG: list[tuple[str, dict[str, Any], str, bytes, str]] = [
    (SORA, {"prompt": "p"}, "image_url", picture(1920, 1080), "1792x1024"),
    (SORA, {"prompt": "p", "resolution": "720p"}, "image_url", picture(720, 1280), "1280x720"),
    (MINIMAX, {"prompt": "p"}, "image_url", picture(300, 400), "301 pixels"),
    (MINIMAX, {"prompt": "p"}, "image_url", picture(400, 1100), "2.5"),
    ("video-01", {"prompt": "p"}, "image_url", picture(400, 400, "GIF"), "JPEG and PNG"),
    (TURBO, {"prompt": "p"}, "image_url", picture(299, 400), "300 pixels"),
    (AVATAR, {"image_url": LINK}, "audio_url", sound(600, 10_000), "5 MB"),
    (AVATAR, {"image_url": LINK}, "audio_url", picture(9, 9), "MP3"),
    (HUMAN, {"image_url": LINK}, "audio_url", sound(30), "less than 30 s"),
]


@for_each(("model", "params"), RIGHT)
def test_what_the_documents_allow_is_taken_by_both(model: str, params: dict[str, Any]) -> None:
    assert not check(VideoJob(model, **params), CATALOG, strict=True).problems
    assert accepts(model, params) == []


@for_each(("model", "params", "field"), WRONG)
def test_what_a_rule_in_prose_forbids_is_refused_by_both(model: str, params: dict[str, Any], field: str) -> None:
    assert {problem.field for problem in check(VideoJob(model, **params), CATALOG).problems} == {field}
    assert accepts(model, params)


@for_each(("model", "params", "field", "content"), FILES_RIGHT)
def test_a_file_within_its_model_s_limits_is_sent_and_taken(
    model: str, params: dict[str, Any], field: str, content: bytes
) -> None:
    sent = _sent(model, params, field, content)
    assert accepts(model, {**params, field: sent}) == []


@for_each(("model", "params", "field", "content", "words"), FILES_WRONG)
def test_a_file_beyond_its_model_s_limits_is_refused_before_and_at_the_service(
    model: str, params: dict[str, Any], field: str, content: bytes, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        _sent(model, params, field, content)
    kind = "audio/wav" if content[:4] == b"RIFF" else "image/png"
    assert accepts(model, {**params, field: f"data:{kind};base64,{base64.b64encode(content).decode()}"})


def _sent(model_id: str, params: dict[str, Any], field: str, content: bytes) -> str:
    model = CATALOG.find(model_id)
    assert model is not None
    limits = file_limits(model, {**params, field: content}, field, service_of("aimlapi").media)
    media = Media(Path(), limits)
    media.check(content)
    return str(media.encoded(content))


@for_each(
    ("model", "value"),
    [
        ("google/gemini-omni-flash-preview", "gs://bucket/a.png"),
        ("google/gemini-omni-1.1-flash", "gs://bucket/a.png"),
        ("bytedance/seedance-2-0", "asset://asset-20260224-abc"),
        ("bytedance/seedance-2-0-fast", "asset-20260224abc"),
        ("bytedance/dreamina-seedance-2-5", "asset-20260224abc"),
    ],
)
def test_a_name_that_is_no_file_goes_through_where_the_model_takes_it(model: str, value: str) -> None:
    job = VideoJob(model, prompt="p", image_urls=[value])
    checked = check(job, CATALOG, strict=True)
    known = CATALOG.find(model)
    assert known is not None
    assert not checked.problems
    assert list(known.media_fields(checked.params)) == []
    assert accepts(model, {"prompt": "p", "image_urls": [value]}) == []


def test_a_name_that_is_no_file_is_refused_where_the_model_does_not_take_it() -> None:
    model = CATALOG.find(VEO)
    assert model is not None
    assert [value for _, value in model.media_fields({"image_url": "gs://b/a.png"})] == ["gs://b/a.png"]
    with pytest.raises(UsageError, match="starts with gs://: expected a path, a link with https://, or a data: URI"):
        Media(Path(), service_of("aimlapi").media).check("gs://b/a.png")
    assert accepts(VEO, {"prompt": "p", "image_url": "gs://b/a.png"})


def test_a_picture_whose_name_looks_like_an_asset_is_still_a_file() -> None:
    model = CATALOG.find(SEEDANCE)
    assert model is not None
    assert [value for _, value in model.media_fields({"image_url": "asset-1.png"})] == ["asset-1.png"]


@for_each("model", sorted({model for model, *_ in [*RIGHT, *WRONG, *FILES_RIGHT, *FILES_WRONG]}))
def test_each_rule_says_where_it_stands(model: str) -> None:
    known = CATALOG.find(model)
    assert known is not None
    assert known.rules
    page = model_page(known)
    assert len(page.rules) == len(page.rule_sources)
    assert all(source.startswith("docs.aimlapi.com") for source in page.rule_sources)


@pytest.mark.parametrize("name", ["file_url", "link_url"])
def test_a_document_is_a_link_and_no_file_of_this_machine(name: str) -> None:
    for link in ("https://a.example/plan.pdf", "HTTPS://a.example", "data:application/pdf;base64,JVBERg=="):
        assert check(VideoJob(WAN, prompt="p", **{name: link}), CATALOG).problems == ()
    for path in (
        "plan.pdf",
        "/home/me/plan.pdf",
        "~/plan.pdf",
        "C:\\plan.pdf",
        "file:///home/me/plan.pdf",
        "a.example/plan",
    ):
        (problem,) = check(VideoJob(WAN, prompt="p", **{name: path}), CATALOG).problems
        assert problem.field == name
        assert problem.expected.startswith("a link")
        assert accepts(WAN, {"prompt": "p", name: path})


def test_what_a_refreshed_document_calls_a_url_is_a_link() -> None:
    raw = {"developer": "x", "path": "/v2/video/generations", "params": {
        "subtitle_url": {"type": "string"},
        "style_urls": {"type": "array", "item": {"type": "string"}},
        "curl": {"type": "string"},
    }}  # fmt: skip
    refreshed = load_catalog({"x/new": raw})
    right = VideoJob("x/new", subtitle_url="https://a.example/a.srt", style_urls=["https://a.example"], curl="tight")
    assert check(right, refreshed).problems == ()
    wrong = VideoJob("x/new", subtitle_url="a.srt", style_urls=["https://a.example", "b.json"])
    assert [problem.field for problem in check(wrong, refreshed).problems] == ["subtitle_url", "style_urls"]


def test_a_list_that_an_earlier_release_refreshed_has_the_rules_of_this_one() -> None:
    raw = {"developer": "x-ai", "path": "/v2/video/generations", "params": {
        "prompt": {"type": "string"},
        "image_url": {"type": "string", "media": "image"},
        "reference_images": {"type": "array", "item": {"type": "string", "media": "image"}},
    }}  # fmt: skip
    refreshed = load_catalog({GROK: raw})
    job = VideoJob(GROK, prompt="p", image_url=LINK, reference_images=[LINK])
    assert [problem.field for problem in check(job, refreshed).problems] == ["reference_images"]
