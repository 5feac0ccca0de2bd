"""What a run leaves in its folder: clips in no other file's place, and no key."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest

from aimlvideo import Result, Stage
from aimlvideo.client import VideoClient
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.errors import JournalError
from aimlvideo.sandbox import Behaviour, Sandbox

pytestmark = pytest.mark.own_sockets

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


async def test_a_new_rule_for_names_does_not_rename_a_clip_that_was_ready_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Sandbox(Behaviour(seed=1, seconds=0.02, video="tiny")) as sandbox:
        async with VideoClient(KEY, sandbox.url, poll="every:0.05", journal=tmp_path / "journal.sqlite3") as client:
            video = await client.generate(JOB.model, id=JOB.id, prompt="waves")
        assert video.stage is Stage.READY
        monkeypatch.setattr("aimlvideo.pipeline.clip_names.file_name", lambda job_id: "another-rule.mp4")
        (tmp_path / "scene.mp4").write_bytes(b"precious")  # chosen is not saved: a stranger's file stays what it is
        first = await saved(sandbox, tmp_path)
        assert sandbox.stats()["accepted"] == 1
    assert first.name == "scene-2.mp4"
    assert (tmp_path / "scene.mp4").read_bytes() == b"precious"


async def test_many_calls_at_once_save_into_one_folder_and_the_last_one_closes_it(tmp_path: Path) -> None:
    results: dict[str, Result] = {}

    async def call(client: VideoClient, number: int) -> None:
        name = f"scene{number % 8}"  # each is asked for by several callers, one after the other
        await anyio.sleep(number // 8 * 1.0)
        results[name] = await client.generate(JOB.model, id=name, prompt="waves", output=tmp_path / ".")

    async with (
        Sandbox(Behaviour(seed=1, seconds=0.02, video="tiny")) as sandbox,
        VideoClient(KEY, sandbox.url, poll="every:0.05", rate=1000.0) as client,
    ):
        async with anyio.create_task_group() as tasks:
            for number in range(16):
                tasks.start_soon(call, client, number)
        assert sandbox.stats()["accepted"] == 8
        assert {result.path for result in results.values()} == {tmp_path / f"scene{n}.mp4" for n in range(8)}
        lines = (tmp_path / "results.jsonl").read_text().splitlines()
        assert sorted(json.loads(line)["id"] for line in lines) == sorted(results)
        other = VideoClient(KEY, sandbox.url, poll="every:0.05")
        async with other, other.run([JOB], output=tmp_path) as fresh:
            assert [result.stage async for result in fresh] == [Stage.SAVED]


async def test_a_folder_that_another_client_has_open_is_free_when_that_one_is_done(tmp_path: Path) -> None:
    async with (
        Sandbox(Behaviour(seed=1, seconds=0.02, video="tiny")) as sandbox,
        VideoClient(KEY, sandbox.url, poll="every:0.05", rate=1000.0) as client,
        VideoClient(KEY, sandbox.url, poll="every:0.05", rate=1000.0) as other,
    ):
        async with client.run([JOB], output=tmp_path) as results:
            with pytest.raises(JournalError, match="in use by another run"):
                await other.generate(JOB.model, id="b", prompt="waves", output=tmp_path)
            assert [result.stage async for result in results] == [Stage.SAVED]
        assert (await other.generate(JOB.model, id="b", prompt="waves", output=tmp_path)).stage is Stage.SAVED


async def test_a_run_s_folder_and_its_log_hold_no_key(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    async with Sandbox(Behaviour(seed=1, seconds=0.02, video="tiny")) as sandbox:
        await saved(sandbox, tmp_path)
    left = [file for file in tmp_path.iterdir() if file.is_file()]
    assert {"journal.sqlite3", "results.jsonl", "scene.mp4"} <= {file.name for file in left}
    assert not any(KEY.encode() in file.read_bytes() for file in left)
    assert KEY not in caplog.text
