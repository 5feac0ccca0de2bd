"""A generation may give several clips: all of them were paid for, and all of them are brought home."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aimlvideo import VideoClient
from aimlvideo.sandbox import Behaviour, Sandbox

pytestmark = pytest.mark.real_time
OMNI = "klingai/video-v3-omni-720p-text-to-video"
JOB = {"id": "walk", "model": OMNI, "prompt": "a walk", "duration": 3}
QUICK = Behaviour(seconds=0.02, video="tiny", several_clips=1.0)


async def test_all_clips_of_a_generation_are_saved_and_listed(tmp_path: Path) -> None:
    async with Sandbox(QUICK) as sandbox, VideoClient("key", sandbox.url, poll="every:0.02") as client:
        async with client.run([JOB], output=tmp_path) as results:
            (result,) = [result async for result in results]
        assert result.ok
        assert [path.name for path in result.paths] == ["walk.mp4", "walk-2.mp4"]
        assert (result.path, result.video_url) == (result.paths[0], result.video_urls[0])
        assert len(set(result.video_urls)) == 2
        (row,) = map(json.loads, (tmp_path / "results.jsonl").read_text().splitlines())
        assert (row["file"], row["files"]) == ("walk.mp4", ["walk.mp4", "walk-2.mp4"])
        for path in result.paths:
            assert path.stat().st_size > 0

        (tmp_path / "walk-2.mp4").unlink()
        async with client.run([JOB], output=tmp_path) as results:
            (again,) = [result async for result in results]
        assert [path.name for path in again.paths] == ["walk.mp4", "walk-2.mp4"]
        assert (tmp_path / "walk-2.mp4").exists()
        assert sandbox.stats()["posts"] == 1


async def test_without_a_folder_the_links_of_all_clips_are_there() -> None:
    async with Sandbox(QUICK) as sandbox, VideoClient("key", sandbox.url, poll="every:0.02") as client:
        result = await client.generate(OMNI, prompt="a walk", duration=3)
    assert len(result.video_urls) == 2
    assert result.paths == ()


async def test_a_single_clip_is_a_list_of_one(tmp_path: Path) -> None:
    single = Behaviour(seconds=0.02, video="tiny")
    async with Sandbox(single) as sandbox, VideoClient("key", sandbox.url, poll="every:0.02") as client:
        result = await client.generate("minimax/hailuo-02", id="waves", prompt="waves", output=tmp_path)
    assert result.video_urls == (result.video_url,)
    assert result.paths == (result.path,)
    (row,) = map(json.loads, (tmp_path / "results.jsonl").read_text().splitlines())
    assert "files" not in row
