"""A generation may give several clips: all of them were paid for, and all of them are brought home."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from aimlvideo import Stage, VideoClient, VideoJob
from aimlvideo.cli.commands.recover import recover_journal
from aimlvideo.cli.terminal import Terminal
from aimlvideo.core.jobs.file_names import JOURNAL
from aimlvideo.core.jobs.progress import Progress
from aimlvideo.sandbox import Behaviour, Sandbox
from aimlvideo.shell.journal.sqlite import open_journal
from aimlvideo.shell.journal.sqlite_reader import read_journal

pytestmark = pytest.mark.own_sockets
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


async def test_a_further_clip_that_stands_beside_another_job_s_is_brought_back_to_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "walk-2.mp4").write_bytes(b"somebody else's")
    async with Sandbox(QUICK) as sandbox, VideoClient("key", sandbox.url, poll="every:0.02") as client:
        async with client.run([JOB], output=tmp_path) as results:
            (first,) = [result async for result in results]
        assert [path.name for path in first.paths] == ["walk.mp4", "walk-2-2.mp4"]
        for name in ("walk.mp4", "walk-2-2.mp4"):
            (tmp_path / name).unlink()
            async with client.run([JOB], output=tmp_path) as results:
                (again,) = [result async for result in results]
            assert again.files == first.files
    assert (tmp_path / "walk-2.mp4").read_bytes() == b"somebody else's"


async def test_in_another_folder_than_before_no_clip_takes_the_place_of_somebody_else_s(tmp_path: Path) -> None:
    async with (
        Sandbox(QUICK) as sandbox,
        VideoClient("key", sandbox.url, poll="every:0.02", journal=tmp_path / JOURNAL) as client,
    ):
        before = await client.generate(OMNI, id="walk", prompt="a walk", duration=3, output=tmp_path / "before")
        (tmp_path / "now").mkdir()
        (tmp_path / "now" / "walk-2.mp4").write_bytes(b"somebody else's")
        now = await client.generate(OMNI, id="walk", prompt="a walk", duration=3, output=tmp_path / "now")
    assert [path.name for path in before.paths] == ["walk.mp4", "walk-2.mp4"]
    assert [path.name for path in now.paths] == ["walk.mp4", "walk-2-2.mp4"]
    assert (tmp_path / "now" / "walk-2.mp4").read_bytes() == b"somebody else's"
    assert sandbox.stats()["posts"] == 1


async def test_saving_a_result_saves_all_of_its_clips_and_replaces_nobody_s(tmp_path: Path) -> None:
    (tmp_path / "film-2.mp4").write_bytes(b"somebody else's")
    async with Sandbox(QUICK) as sandbox:
        async with VideoClient("key", sandbox.url, poll="every:0.02") as client:
            result = await client.generate(OMNI, prompt="a walk", duration=3)
        assert await result.save(tmp_path / "film.mp4") == tmp_path / "film.mp4"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film-2-2.mp4", "film-2.mp4", "film.mp4"]
    assert (tmp_path / "film-2.mp4").read_bytes() == b"somebody else's"


async def test_a_rebuilt_journal_knows_all_clips_of_a_generation(tmp_path: Path) -> None:
    async with Sandbox(QUICK) as sandbox:
        async with VideoClient("key", sandbox.url, poll="every:0.02") as client, client.run([JOB], tmp_path) as results:
            (first,) = [result async for result in results]
        downloads = sandbox.stats()["downloads"]
        (tmp_path / JOURNAL).unlink()
        settings: Any = {"service": "aimlapi", "base_url": sandbox.url, "api_key": "key"}
        await anyio.to_thread.run_sync(recover_journal, tmp_path, settings, Terminal(quiet=True))
        async with VideoClient("key", sandbox.url, poll="every:0.02") as client, client.run([JOB], tmp_path) as results:
            (again,) = [result async for result in results]
        assert (again.files, again.video_urls) == (first.files, first.video_urls)
        assert sandbox.stats()["downloads"] == downloads


async def test_the_length_that_the_service_named_is_compared_after_a_restart_too(tmp_path: Path) -> None:
    async with open_journal(tmp_path / JOURNAL) as journal:
        job = VideoJob("m", id="a")
        journal.plan(job)
        journal.step(job, Progress(Stage.READY, "r", "g", "https://x/a.mp4", file="a.mp4", file_sizes=(70, None)))
    with read_journal(tmp_path / JOURNAL) as kept:
        record = kept.find("a")
    assert record is not None
    assert record.progress.file_sizes == (70, None)
