"""Clips in an object store, by a real server that speaks S3 on this machine, and in a folder that several share."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from yarl import URL

from aimlvideo import Answer, FunctionTransport, Request
from aimlvideo.client import VideoClient
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.errors import DownloadFailed, SettingsError
from aimlvideo.sandbox import Behaviour, Sandbox
from aimlvideo.shell.files.object_stores import (
    Filesystem,
    ObjectStore,
    _local_folder,
    _working_folder,
    is_remote,
    journal_folder,
    open_worker_store,
)
from tests.cases import for_each
from tests.shell.files.test_media import picture

pytestmark = pytest.mark.real_time

JOBS = [
    VideoJob("kling-video/v1.6/pro/image-to-video", id=f"job{n}", prompt="p", image_url="https://example.com/a.png")
    for n in range(4)
]


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """Give the URL of a server that speaks S3."""
    import fsspec
    from moto.server import ThreadedMotoServer

    # One that is remembered leads to the server of before, where these tests are taken up a second time.
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Give an empty bucket's files by name; `s3://clips` leads there, and the user's own state is out of reach."""
    import fsspec

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    files = fsspec.filesystem("s3")
    if files.exists("clips"):
        files.rm("clips", recursive=True)
    files.mkdir("clips")
    files.invalidate_cache()
    return files


@for_each(
    ("output", "remote"),
    [
        ("clips", False),
        ("./s3/x", False),
        ("/a/b", False),
        ("s3://b/run", True),
        ("gs://b", True),
        ("file:///a/b", False),
        ("C:\\clips", False),
    ],
)
def test_a_url_is_told_from_a_folder(output: str, remote: bool) -> None:
    assert is_remote(output) is remote


def test_a_file_url_is_a_folder() -> None:
    assert _local_folder("file:///a/b%20c") == Path("/a/b c")
    assert journal_folder("clips/x") == Path("clips/x")


def test_a_run_finds_its_journal_again_by_its_url() -> None:
    assert _working_folder("s3://bucket/run/") == _working_folder("s3://bucket/run")
    assert _working_folder("s3://bucket/run") != _working_folder("s3://bucket-run")


@pytest.mark.long
def test_no_folder_is_named_after_a_password_and_a_journal_in_an_earlier_one_is_gone_on_with() -> None:
    url = "sftp://user:sesame@host/run"
    folder = _working_folder(url)
    assert "sesame" not in folder.name
    assert folder.name.startswith("sftp-host-run-")
    earlier = folder.with_name(folder.name.replace("sftp-", "sftp-user-sesame-"))
    earlier.mkdir(parents=True)
    try:
        assert _working_folder(url) == earlier
    finally:
        earlier.rmdir()


async def test_a_clip_goes_to_the_bucket_and_out_of_the_spool(bucket: Any, tmp_path: Path) -> None:
    store = ObjectStore("s3://clips/run", tmp_path)
    (tmp_path / "a.mp4").write_bytes(b"x" * 1000)
    assert await store.length("a.mp4") is None
    await store.upload("a.mp4")
    assert await store.length("a.mp4") == 1000
    assert not (tmp_path / "a.mp4").exists()


@pytest.mark.long
async def test_a_clip_that_cannot_be_put_stays_in_the_spool(bucket: Any, tmp_path: Path) -> None:
    store = ObjectStore("s3://nowhere/run", tmp_path)
    (tmp_path / "a.mp4").write_bytes(b"x")
    with pytest.raises(DownloadFailed, match=r"s3://nowhere/run/a\.mp4 could not be written"):
        await store.upload("a.mp4")
    assert (tmp_path / "a.mp4").exists()


@pytest.mark.long
async def test_a_bucket_that_is_not_there_is_said_before_anything_is_bought(bucket: Any) -> None:
    async with Sandbox(Behaviour(seconds=0.1, video="tiny")) as sandbox:
        async with VideoClient("k", sandbox.url) as client:
            with pytest.raises(SettingsError, match="s3://nowhere/run cannot be written"):
                async with client.run(JOBS, output="s3://nowhere/run"):
                    pass
        assert sandbox.stats()["posts"] == 0


@pytest.mark.long
async def test_a_run_into_a_bucket_buys_once_however_often_it_is_given(bucket: Any) -> None:
    async with Sandbox(Behaviour(seconds=0.1, video="tiny")) as sandbox:
        for _ in range(2):
            client = VideoClient("k", sandbox.url, poll="every:0.05")
            async with client, client.run(JOBS, output="s3://clips/run") as results:
                told = {(result.stage, result.path, result.file) async for result in results}
            assert told == {(Stage.SAVED, None, f"{job.id}.mp4") for job in JOBS}
        assert sandbox.stats()["accepted"] == len(JOBS)
    bucket.invalidate_cache()
    kept = {name.rpartition("/")[2]: bucket.size(name) for name in bucket.ls("clips/run", detail=False)}
    assert kept.keys() == {"results.jsonl", *(f"{job.id}.mp4" for job in JOBS)}
    rows = [json.loads(line) for line in bucket.cat_file("clips/run/results.jsonl").splitlines()]
    assert {row["file"]: row["bytes"] for row in rows} == {
        name: size for name, size in kept.items() if name != "results.jsonl"
    }


@pytest.mark.long
async def test_a_large_picture_is_fetched_from_the_bucket_by_its_link_and_by_nothing_else(
    bucket: Any, tmp_path: Path
) -> None:
    content = picture() + bytes(5 * 2**20)
    (tmp_path / "large.png").write_bytes(content)
    seen: list[tuple[str, bytes, int, int]] = []

    async def fetch(request: Request) -> Answer:
        """Answer as the service does that fetches the picture as it accepts a job."""
        if request.method == "POST" and request.body:
            link = request.body["image_url"]
            async with aiohttp.ClientSession() as session:
                async with session.get(URL(link, encoded=True)) as signed:
                    read, kind = await signed.read(), signed.content_type
                async with session.get(URL(link.replace("Signature=", "Signature=0"), encoded=True)) as forged:
                    seen.append((kind, read, signed.status, forged.status))
            return Answer.of({"id": "gen", "status": "queued"}, 201)
        return Answer.of({"id": "gen", "status": "error", "error": {"message": "no clip today"}})

    options = {"upload": "s3://clips/files", "transport": FunctionTransport(fetch), "poll": "every:0.05"}
    async with VideoClient(**options) as client:
        job = JOBS[0].with_params({**JOBS[0].params, "image_url": str(tmp_path / "large.png")})
        async with client.run([job], output=tmp_path / "out") as results:
            assert [result.stage async for result in results] == [Stage.FAILED]
    assert [(kind, read == content, status) for kind, read, status, _ in seen] == [("image/png", True, 200)]
    bucket.invalidate_cache()
    assert bucket.find("clips") == []


async def test_workers_that_share_a_folder_fetch_into_parts_of_their_own(tmp_path: Path) -> None:
    with open_worker_store(str(tmp_path / "out"), "a") as one, open_worker_store(str(tmp_path / "out"), "b") as other:
        assert one.staging != other.staging
        for store, text in ((one, b"one"), (other, b"other")):
            (store.staging / "clip.mp4").write_bytes(text)
        await one.upload("clip.mp4")
        await other.upload("clip.mp4")
        assert await other.length("clip.mp4") == len(b"other")
        assert await other.length("nothing.mp4") is None
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["clip.mp4"]


async def test_what_a_killed_worker_left_half_fetched_is_removed_and_nothing_else(tmp_path: Path) -> None:
    killed, cut_off, on_the_roll = (tmp_path / f".arriving-{name}" for name in ("killed00", "cut0off0", "roll0000"))
    for staging in (killed, cut_off, on_the_roll):
        staging.mkdir()
        (staging / "clip.mp4.part").write_bytes(b"half")
    (tmp_path / "clip.mp4").write_bytes(b"whole")
    for staging in (killed, on_the_roll):
        for path in (staging, staging / "clip.mp4.part"):
            os.utime(path, (1, 1))
    with open_worker_store(str(tmp_path), "ours") as store:
        await store.sweep(["roll0000-1111-2222", "ours"])
        names = {path.name for path in tmp_path.iterdir()}
    assert names == {".arriving-cut0off0", ".arriving-roll0000", ".arriving-ours", "clip.mp4"}


def test_a_store_that_cannot_be_reached_is_said_without_a_traceback_and_without_its_password() -> None:
    with pytest.raises(SettingsError, match="9/x cannot be reached: expected a store that answers") as said:
        Filesystem("ftp://user:secret@127.0.0.1:9/x")
    assert "secret" not in str(said.value)


def test_an_unknown_kind_of_store_is_a_users_mistake() -> None:
    with pytest.raises(SettingsError, match="gopher"):
        ObjectStore("gopher://x/y", Path())


@for_each(("name", "kind"), [("dance.mp4", "video/mp4"), ("start.png", "image/png"), ("results.jsonl", None)])
def test_a_file_in_azures_store_is_marked_as_what_it_is(tmp_path: Path, name: str, kind: str | None) -> None:
    """Without the mark a browser saves the clip instead of playing it."""
    (tmp_path / name).write_bytes(b"x")
    marks: list[dict[str, str]] = []

    class Azure(MemoryFileSystem):
        protocol = ("abfs", "az", "abfss")

        def put_file(self, lpath: str, rpath: str, content_settings: dict[str, str] | None = None) -> None:
            marks.append(content_settings or {})

    store = Filesystem("memory://bucket")
    store.files = Azure()
    store.put(str(tmp_path / name), f"/bucket/{name}")
    assert marks == [{"content_type": kind} if kind else {}]
