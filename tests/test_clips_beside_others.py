"""What a run leaves in its folder: clips in no other file's place, and no key."""

from __future__ import annotations

from pathlib import Path

import pytest

from aimlvideo import Stage
from aimlvideo.client import VideoClient
from aimlvideo.core.job import VideoJob
from aimlvideo.sandbox import Behaviour, Sandbox

pytestmark = pytest.mark.real_time

KEY = "sk-0123456789abcdef"
JOB = VideoJob("kling-video/v1.6/standard/text-to-video", id="scene", prompt="waves")


async def saved(sandbox: Sandbox, folder: Path) -> Path:
    async with (
        VideoClient(KEY, sandbox.url, poll="every:0.05", rate=1000.0) as client,
        client.run([JOB], output=folder) as results,
    ):
        (result,) = [result async for result in results]
    assert result.stage is Stage.SAVED, result.error
    assert result.path is not None
    return result.path


async def test_a_file_of_the_same_name_is_left_alone_and_the_clip_is_found_again(tmp_path: Path) -> None:
    (tmp_path / "scene.mp4").write_bytes(b"precious")
    async with Sandbox(Behaviour(seed=1, seconds=0.02, video="tiny")) as sandbox:
        first = await saved(sandbox, tmp_path)
        assert first.name == "scene-2.mp4"
        clip = first.read_bytes()
        assert (tmp_path / "scene.mp4").read_bytes() == b"precious"
        assert await saved(sandbox, tmp_path) == first
        first.write_bytes(clip[:100])  # a clip of its own that was spoilt is made good in its own place
        assert await saved(sandbox, tmp_path) == first
        assert sandbox.stats()["accepted"] == 1
    assert first.read_bytes() == clip
    assert sorted(file.name for file in tmp_path.glob("*.mp4*")) == ["scene-2.mp4", "scene.mp4"]


async def test_a_run_s_folder_and_its_log_hold_no_key(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    async with Sandbox(Behaviour(seed=1, seconds=0.02, video="tiny")) as sandbox:
        await saved(sandbox, tmp_path)
    left = [file for file in tmp_path.iterdir() if file.is_file()]
    assert {"journal.sqlite3", "results.jsonl", "scene.mp4"} <= {file.name for file in left}
    assert not any(KEY.encode() in file.read_bytes() for file in left)
    assert KEY not in caplog.text
