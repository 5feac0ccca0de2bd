"""The client against the sandbox, over real sockets: every wire, files that are whole, faults that come and go."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from aimlvideo import Stage, VideoClient, VideoJob
from aimlvideo.errors import DiskFailed, Refused, UsageError
from aimlvideo.sandbox import Behaviour, Sandbox
from aimlvideo.sandbox.film.scenes import sample_picture
from tests.cases import for_each, one_in

pytestmark = pytest.mark.own_sockets

MODEL = "kling-video/v1.6/pro/image-to-video"
JOB = {"model": MODEL, "prompt": "waves", "image_url": "https://example.com/a.png", "duration": 5}
QUICK: dict[str, Any] = {"poll": "every:0.05", "rate": 500.0}
SMALL = (320, 320)


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(Behaviour(seconds=0.1, video="tiny"), port=0) as sandbox:
        yield sandbox


def client_of(sandbox: Sandbox, service: str = "aimlapi", **settings: Any) -> VideoClient:
    return VideoClient("key", sandbox.url, service, **{**QUICK, **settings})


async def saved(client: VideoClient, jobs: list[Any], output: Path) -> dict[str, Any]:
    async with client.run(jobs, output=output) as results:
        return {result.job.id: result async for result in results}


async def test_ten_lines_of_an_application_save_a_clip(sandbox: Sandbox, tmp_path: Path) -> None:
    async with client_of(sandbox) as client:
        video = await client.generate(MODEL, prompt="waves", image_url="https://example.com/a.png", duration=5)
        await video.save(tmp_path / "clip.mp4")
    assert (tmp_path / "clip.mp4").read_bytes()[4:8] == b"ftyp"


async def test_a_clip_may_be_saved_after_the_client_is_closed(sandbox: Sandbox, tmp_path: Path) -> None:
    async with client_of(sandbox) as client:
        video = await client.generate(MODEL, prompt="waves", image_url="https://example.com/a.png")
    await video.save(tmp_path / "clip.mp4")
    assert (tmp_path / "clip.mp4").stat().st_size > 1000


@pytest.mark.parametrize("legacy", [False, True])
async def test_local_pictures_are_sent_by_their_content(sandbox: Sandbox, tmp_path: Path, legacy: bool) -> None:
    picture = sample_picture("dunes", SMALL)
    (tmp_path / "a.png").write_bytes(picture)
    jobs = [
        VideoJob(MODEL, id="path", prompt="x", image_url=tmp_path / "a.png"),
        VideoJob(MODEL, id="bytes", prompt="x", image_url=picture),
        VideoJob(MODEL, id="text", prompt="x", image_url="a.png").with_base_folder(tmp_path),
    ]
    async with client_of(sandbox, legacy=legacy) as client:
        results = await saved(client, jobs, tmp_path / "out")
    assert {result.stage for result in results.values()} == {Stage.SAVED}


SHAPES = ["native", "wrapped", "wrapped-url", "flat", "bare", "openai", "qiniu"]


@one_in(3, "shape", SHAPES)
async def test_the_gateway_is_understood_in_all_its_shapes(tmp_path: Path, shape: Any) -> None:
    async with Sandbox(Behaviour(seconds=0.1, video="tiny", kling_shape=shape), port=0) as sandbox:
        picture = sample_picture("dunes", SMALL)
        jobs = [
            VideoJob("kling-v1-6", id="many", prompt="x", image_list=[picture, picture]),
            VideoJob("kling-v1-6", id="one", prompt="x", image_url=picture, tail_image_url=picture),
            VideoJob("kling-v1-6", id="none", prompt="x", duration="10"),
        ]
        async with client_of(sandbox, "kling") as client:
            results = await saved(client, jobs, tmp_path)
            again = await client.wait(results["one"].generation_id)
    assert {result.stage for result in results.values()} == {Stage.SAVED}
    assert again.video_url


async def test_a_gateway_s_model_of_a_name_that_kling_has_too_is_sent_as_the_gateway_takes_it(tmp_path: Path) -> None:
    pictures = [sample_picture("dunes", SMALL)] * 2
    async with Sandbox(Behaviour(seconds=0.1, video="tiny"), port=0) as sandbox, client_of(sandbox, "kling") as client:
        jobs = [VideoJob("kling-3.0", id="a", prompt="x", image_list=pictures)]
        results = await saved(client, jobs, tmp_path)
    assert str(results["a"].error) == "None", "pictures are sent as Base64, and no other service's parameters count"


@for_each("first", ["openai", "flat", "bare"])
async def test_a_submission_s_answer_is_understood_in_all_its_shapes(first: Any) -> None:
    async with Sandbox(Behaviour(seconds=0.1, video="tiny", kling_answer=first, kling_errors="new-api")) as sandbox:
        async with client_of(sandbox, "kling") as client:
            assert (await client.generate("kling-v2-6", prompt="waves", sound="on")).ok
        assert sandbox.stats()["models"] == {"kling-v2-6": 1}


async def test_every_endpoint_of_kling_makes_a_clip_and_a_plain_id_is_found(tmp_path: Path) -> None:
    clip, sound, picture = "https://example.com/x.mp4", "https://example.com/x.mp3", sample_picture("dunes", SMALL)
    jobs = [
        VideoJob("kling-video-o1", id="omni", prompt="x", image_list=[picture], aspect_ratio="1:1"),
        VideoJob(
            "kling-v2-6", id="motion", image_url=picture, video_url=clip, character_orientation="image", mode="std"
        ),
        VideoJob("kling-video-extend", id="extend", video_id="clip-1"),
        VideoJob("kling-avatar", id="avatar", image_url=picture, audio_url=sound),
        VideoJob("kling-lip-sync", id="lips", video_id="c", mode="text2video", text="hello", voice_id="v"),
        VideoJob("kling-effects", id="hug", effect_scene="hug", image_list=[picture, picture]),
        VideoJob("kling-v1-6", id="swap", session_id="s", edit_mode="swap", image_list=[picture], prompt="x"),
    ]
    behaviour = Behaviour(seconds=0.1, video="tiny", kling_motion_query=False)
    async with Sandbox(behaviour, port=0) as sandbox, client_of(sandbox, "kling") as client:
        results = await saved(client, jobs, tmp_path)
        assert {str(result.error) for result in results.values()} == {"None"}
        again = [await client.wait(results[name].generation_id) for name in ("motion", "hug")]
    assert all(result.ok for result in again)


PAIR = "access-0123456789:secret-0123456789-0123456789-0123456789"


@for_each("ahead", [0.0, 7200.0, -7200.0])
async def test_the_official_service_is_asked_with_signatures_by_its_own_clock(ahead: float) -> None:
    behaviour = Behaviour(seconds=0.1, video="tiny", kling_pairs=(PAIR,), kling_clock=ahead)
    async with Sandbox(behaviour, port=0) as sandbox:
        async with VideoClient(PAIR, sandbox.url, "kling-official", **QUICK) as client:
            video = await client.generate("kling-v3", prompt="waves", duration=3)
            packs = client.service.packs
            assert packs is not None
            (pack,) = packs.read(await client.send(packs.request(time.time())))
        assert sandbox.stats()["accepted"] == 1
    assert video.ok
    assert (video.cost_usd, video.row()["cost_units"]) == (None, video.cost_units)
    assert video.cost_units is not None
    assert pack.remaining == pytest.approx(1000 - video.cost_units)


async def test_every_model_that_kling_names_in_the_path_makes_a_clip_and_a_plain_id_is_found(tmp_path: Path) -> None:
    clip, picture = "https://example.com/x.mp4", sample_picture("dunes", SMALL)
    jobs = [
        VideoJob("kling-3.0-turbo", id="text", prompt="x", duration=3),
        VideoJob("kling-3.0", id="frames", image_url=picture, tail_image_url=picture, resolution="4k"),
        VideoJob("kling-2.6", id="motion", image_url=picture, video_url=clip, character_orientation="image"),
        VideoJob("kling-3.0-omni", id="omni", prompt="x", contents=[{"type": "feature_video", "url": clip}]),
        VideoJob("kling-v3", id="older", prompt="x"),
    ]
    async with Sandbox(Behaviour(seconds=0.1, video="tiny"), port=0) as sandbox:
        async with client_of(sandbox, "kling-official") as client:
            results = await saved(client, jobs, tmp_path)
            again = await client.wait(results["omni"].generation_id)
        models = sandbox.stats()["models"]
        async with VideoClient(PAIR, sandbox.url, "kling-official", **QUICK) as pair:
            with pytest.raises(Refused, match="expected an API key in one part"):
                await pair.generate("kling-3.0", prompt="x")
        assert sandbox.stats()["models"] == models == {job.model: 1 for job in jobs}
    assert {str(result.error) for result in results.values()} == {"None"}
    assert again.video_url


async def test_of_a_model_that_kling_names_in_the_path_no_lost_answer_is_bought_twice(tmp_path: Path) -> None:
    jobs = [VideoJob("kling-3.0-turbo", id=f"job{number}", prompt="x", duration=3) for number in range(8)]
    behaviour = Behaviour(seconds=0.1, video="tiny", dropped=1.0)
    async with Sandbox(behaviour, port=0) as sandbox:
        async with client_of(sandbox, "kling-official", settle=0.3) as client:
            results = await saved(client, jobs, tmp_path)
        stats = sandbox.stats()
    assert {str(result.error) for result in results.values()} == {"None"}
    assert (stats["accepted"], stats["models"]) == (8, {"kling-3.0-turbo": 8})
    assert stats["answers_lost"] == {"dropped": 8}


@pytest.mark.real_time
@pytest.mark.parametrize(("name", "model"), [("kling", "kling-v1-6"), ("kling-official", "kling-3.0-turbo")])
async def test_a_gateway_s_call_is_a_hint_to_ask_at_once(name: str, model: str) -> None:
    async with Sandbox(Behaviour(seconds=0.3, video="tiny"), port=0) as service:
        port = _free_port()
        url = f"http://127.0.0.1:{port}/"
        client = client_of(service, name, callback=("127.0.0.1", port), callback_url=url, poll="every:600")
        async with client, asyncio.timeout(10):
            video = await client.generate(model, prompt="waves")
    assert video.ok
    assert video.polls <= 3


async def test_the_client_finds_the_limit_of_the_service_by_itself(tmp_path: Path) -> None:
    async with Sandbox(Behaviour(seconds=0.3, video="tiny", max_concurrent=4, retry_after=0), port=0) as sandbox:
        jobs = [{**JOB, "id": f"job{number}"} for number in range(12)]
        async with client_of(sandbox, max_outstanding=None) as client, asyncio.timeout(30):
            results = await saved(client, jobs, tmp_path)
        assert {result.stage for result in results.values()} == {Stage.SAVED}
        assert sandbox.stats()["outstanding_peak"] == 4


async def test_a_picture_that_cannot_be_sent_is_that_job_s_failure(sandbox: Sandbox, tmp_path: Path) -> None:
    jobs = [VideoJob(MODEL, id="gone", prompt="x", image_url=tmp_path / "gone.png"), {**JOB, "id": "fine"}]
    async with client_of(sandbox) as client:
        results = await saved(client, jobs, tmp_path / "out")
    assert isinstance(results["gone"].error, UsageError)
    assert "gone.png" in str(results["gone"].error)
    assert results["fine"].ok


async def test_the_documentation_s_own_loop_ends_with_a_link_that_downloads(sandbox: Sandbox) -> None:
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer key"}) as session:
        async with session.post(f"{sandbox.url}/v2/video/generations", json=JOB) as answer:
            generation = (await answer.json())["id"]
        for _ in range(2000):
            query = {"generation_id": generation}
            async with session.get(f"{sandbox.url}/v2/video/generations", params=query) as answer:
                told = await answer.json()
            if told["status"] == "completed":
                break
            await asyncio.sleep(0.05)
    assert told["status"] == "completed", told
    from yarl import URL

    async with aiohttp.ClientSession() as session, session.get(URL(told["video"]["url"], encoded=True)) as answer:
        assert (await answer.read())[4:8] == b"ftyp"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="a small disk needs a mount, and a mount needs root")
async def test_a_full_disk_is_a_clear_end_and_carried_on_after_space_is_made(tmp_path: Path) -> None:
    """Clips fill a small tmpfs; once it has grown, the same jobs carry on and nothing is bought again."""
    disk = tmp_path / "disk"
    disk.mkdir()
    await _run("mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk))
    try:
        async with Sandbox(Behaviour(seconds=0.1, video="tiny"), port=0) as sandbox:
            jobs = [{**JOB, "id": f"job{number}"} for number in range(40)]
            said = await _said_of_a_full_disk(sandbox, jobs, disk)
            assert "cannot be written" in said
            assert all(path.read_bytes()[4:8] == b"ftyp" for path in disk.glob("*.mp4"))
            await _run("mount", "-o", "remount,size=20m", str(disk))
            async with client_of(sandbox, max_outstanding=10, settle=1.0) as client:
                results = await saved(client, jobs, disk)
            assert {result.stage for result in results.values()} == {Stage.SAVED}
            assert sandbox.stats()["accepted_by_client_request_id"]["max"] == 1
            assert sandbox.stats()["accepted"] == 40
        lines = [json.loads(line) for line in (disk / "results.jsonl").read_text().splitlines()]
        assert len({line["id"] for line in lines}) == 40
    finally:
        await _run("umount", str(disk))


async def _said_of_a_full_disk(sandbox: Sandbox, jobs: list[Any], disk: Path) -> str:
    """Return what a run says that fills its disk; which write meets the full disk first is left to chance."""
    try:
        async with client_of(sandbox, max_outstanding=10) as client:
            ended = await saved(client, jobs, disk)
    except DiskFailed as error:
        return str(error)
    return " ".join(str(result.error) for result in ended.values() if result.error)


async def _run(*words: str) -> None:
    process = await asyncio.create_subprocess_exec(*words)
    assert await process.wait() == 0


def _free_port() -> int:
    import socket

    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])
