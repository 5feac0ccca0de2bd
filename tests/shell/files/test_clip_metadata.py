"""A clip carries its recipe, and gives it back."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from random import Random

import pytest

from aimlvideo import Answer, FunctionTransport, Request, VideoClient, VideoJob
from aimlvideo.core.jobs.progress import Progress
from aimlvideo.core.jobs.recipe import read_recipe, recipe_of
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.mp4_boxes import is_whole_mp4
from aimlvideo.errors import UsageError
from aimlvideo.shell.files import clip_metadata
from aimlvideo.shell.files.clip_metadata import recipe_in, write_metadata
from tests.cases import for_each

av = pytest.importorskip("av", reason="the sandbox's extra")
sandbox = pytest.importorskip("aimlvideo.sandbox")

TEXT = "alibaba/wan-2-6-t2v"
SIGNED = "https://cdn.test/a.png?X-Amz-Signature=0123456789abcdef"
DONE = Progress(Stage.READY, generation_id="g-1", cost_usd=0.5, submitted_at=1.0, completed_at=61.0)


def test_a_recipe_is_a_job_line_with_what_it_cost_and_when() -> None:
    recipe = read_recipe(recipe_of(VideoJob(TEXT, id="waves", prompt="Waves \u2014 Caf\u00e9", duration=5), DONE))
    assert recipe == {
        "job": {"id": "waves", "model": TEXT, "prompt": "Waves \u2014 Caf\u00e9", "duration": 5},
        "generation_id": "g-1",
        "cost_usd": 0.5,
        "submitted_at": "1970-01-01T00:00:01+00:00",
        "completed_at": "1970-01-01T00:01:01+00:00",
    }


def test_a_recipe_has_no_signature_and_no_picture_in_it() -> None:
    job = VideoJob(TEXT, prompt="x", image_list=[SIGNED, "data:image/png;base64," + "A" * 5000, Path("a.png")])
    text = recipe_of(job, DONE)
    assert "Signature" not in text
    assert "AAAA" not in text
    assert "a.png" in text


@for_each("text", ["", "a comment", "[1]", '{"job": 5}', '{"job": {}}', "[" * 100_000])
def test_another_comment_is_no_recipe(text: str) -> None:
    assert read_recipe(text) is None


def test_a_file_that_is_no_mp4_stays_as_it_came(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    for content in (b"", b"no video", b"\0\0\0\x18ftypmp42" + b"\0" * 100, b"\x1a\x45\xdf\xa3webm"):
        clip.write_bytes(content)
        with clip.open("r+b") as file:
            assert not write_metadata(file, "a", "{}")
        assert clip.read_bytes() == content
        with pytest.raises(UsageError, match=r"clip\.mp4"):
            recipe_in(clip)


def film(path: Path, movflags: str) -> None:
    """Make a film with sound, as FFmpeg writes it with these flags."""
    noise = Random(1)
    with av.open(str(path), "w", format="mp4", options={"movflags": movflags}) as container:
        video = container.add_stream("mpeg4", rate=24, options={"g": "4"})
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        audio = container.add_stream("aac", rate=48_000)
        for number in range(16):
            frame, sound = av.VideoFrame(32, 32, "yuv420p"), av.AudioFrame(format="fltp", layout="stereo", samples=2000)
            for plane in frame.planes:
                plane.update(noise.randbytes(plane.buffer_size))
            for plane in sound.planes:
                plane.update(bytes(plane.buffer_size))
            frame.pts, sound.pts, sound.rate = number, 2000 * number, 48_000
            for packet in (*video.encode(frame), *audio.encode(sound)):
                container.mux(packet)
        for packet in (*video.encode(None), *audio.encode(None)):
            container.mux(packet)


def packets(path: Path) -> list[tuple[int, bytes]]:
    with av.open(str(path)) as container:
        return [(packet.stream_index, bytes(packet)) for packet in container.demux() if packet.size]


@for_each(
    "flags",
    [
        "disable_chpl", "faststart", "frag_keyframe", "frag_keyframe+empty_moov",
        "frag_keyframe+empty_moov+default_base_moof", "dash+frag_keyframe+empty_moov", "faststart+use_metadata_tags",
    ],
)  # fmt: skip
def test_each_picture_and_sound_is_what_it_was_once_the_recipe_is_in_the_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str
) -> None:
    monkeypatch.setattr(clip_metadata, "PIECE", 1000)
    clip, recipe = tmp_path / "clip.mp4", recipe_of(VideoJob(TEXT, prompt="Caf\u00e9"), DONE)
    film(clip, flags)
    before = packets(clip)
    for title in ("waves", "a longer title", "w"):
        with clip.open("r+b") as file:
            assert write_metadata(file, title, recipe)
        assert packets(clip) == before
        assert is_whole_mp4(io.BytesIO(clip.read_bytes()), clip.stat().st_size)
        assert recipe_in(clip)["job"]["prompt"] == "Caf\u00e9"
        with av.open(str(clip)) as container:
            assert (container.metadata["title"], container.metadata["comment"]) == (title, recipe)
            assert container.metadata["encoder"].startswith("Lavf"), "what stood there is kept"


@for_each("flags", ["frag_keyframe", "frag_keyframe+empty_moov"])
def test_a_film_of_fragments_is_wound_as_before(tmp_path: Path, flags: str) -> None:
    clip = tmp_path / "clip.mp4"
    film(clip, flags)

    def shown_at(seconds: float) -> bytes:
        with av.open(str(clip)) as container:
            container.seek(int(seconds * 1_000_000))
            return bytes(next(container.demux(video=0)))

    before = [shown_at(moment) for moment in (0.0, 0.2, 0.5)]
    with clip.open("r+b") as file:
        write_metadata(file, "waves", "{}")
    assert [shown_at(moment) for moment in (0.0, 0.2, 0.5)] == before


@pytest.mark.real_time
async def test_a_saved_clip_carries_its_recipe_and_still_plays(tmp_path: Path) -> None:
    job = {"id": "waves", "model": TEXT, "prompt": "Waves", "duration": 5}
    async with (
        sandbox.Sandbox(sandbox.Behaviour(seconds=0.05, video="tiny")) as service,
        VideoClient(api_key="k", base_url=service.url, poll="every:0.05") as client,
        client.run([job], tmp_path) as results,
    ):
        [result] = [result async for result in results]
    recipe = recipe_in(tmp_path / "waves.mp4")
    assert recipe["job"] == job
    assert recipe["generation_id"] == result.generation_id
    row = json.loads((tmp_path / "results.jsonl").read_text())
    content = (tmp_path / "waves.mp4").read_bytes()
    assert (row["bytes"], row["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    with av.open(str(tmp_path / "waves.mp4")) as clip:
        assert clip.metadata["title"] == "waves"
        assert sum(1 for _ in clip.decode(video=0)) > 10


@pytest.mark.real_time
async def test_without_metadata_a_clip_is_saved_byte_for_byte(tmp_path: Path) -> None:
    async with (
        sandbox.Sandbox(sandbox.Behaviour(seconds=0.05, video="tiny")) as service,
        VideoClient(api_key="k", base_url=service.url, poll="every:0.05", metadata=False) as client,
    ):
        await client.generate(TEXT, prompt="Waves", id="waves", output=tmp_path)
    with pytest.raises(UsageError, match="no recipe"):
        recipe_in(tmp_path / "waves.mp4")


@pytest.mark.parametrize("metadata", [True, False])
async def test_a_clip_that_its_result_saves_carries_its_recipe_too(tmp_path: Path, metadata: bool) -> None:
    film(tmp_path / "made.mp4", "faststart")
    made = (tmp_path / "made.mp4").read_bytes()

    def service(request: Request) -> Answer:
        if request.path.endswith("clip.mp4"):
            return Answer.of(made)
        clip = {"url": "https://x.test/clip.mp4"}
        return Answer.of({"id": "g", "status": "completed", "video": clip}, 201 if request.method == "POST" else 200)

    async with VideoClient(transport=FunctionTransport(service), metadata=metadata) as client:
        video = await client.generate(TEXT, prompt="waves")
    saved = await video.save(tmp_path / "clip.mp4")
    assert (saved.read_bytes() == made) is not metadata
    if metadata:
        recipe = recipe_in(saved)
        assert recipe["job"] == {"id": video.job.id, "model": TEXT, "prompt": "waves"}
        assert recipe["generation_id"] == "g"
