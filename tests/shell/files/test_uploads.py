"""Videos and large local files go to an object store, for a signed link; nothing stays there that nobody needs."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from typer.testing import CliRunner

from aimlvideo.cli.app import app
from aimlvideo.cli.commands.uploads import _remove_of_journal
from aimlvideo.core.formatting import without_upload_signatures
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.errors import OutOfPatience, SettingsError, UploadFailed, UsageError
from aimlvideo.sandbox import Sandbox
from aimlvideo.shell import clock
from aimlvideo.shell.files.object_stores import ObjectStore
from aimlvideo.shell.files.uploads import (
    FOLDER_FACT,
    Uploads,
    UploadStore,
    _needed_validity,
    _state_of,
    _upload_folder,
    _validity,
)
from aimlvideo.shell.journal.memory import InMemoryJournal
from aimlvideo.shell.journal.sqlite import open_journal
from tests.cases import for_each
from tests.fakes import MODEL, FakeClient, FakeService, answer, quick_downloads, run_all
from tests.servers import sandbox_thread
from tests.shell.files.test_media import picture

PLACE = "memory://uploads/clips"
SECRET = "X-Amz-Signature=5ec7e7"
FACE = "alibaba/wan2.2-14b-animate-move"
LARGE = picture() + bytes(5 * 2**20)
CLIP = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(100)


def signed(self: Any, path: str, expiration: int = 100, **_: Any) -> str:
    return f"https://store.example{self._strip_protocol(path)}?X-Amz-Expires={expiration}&{SECRET}"


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Give the objects of a store in memory that gives signed links, by their paths."""
    monkeypatch.setattr(MemoryFileSystem, "sign", signed)
    monkeypatch.setattr(MemoryFileSystem, "store", {})
    monkeypatch.setattr(MemoryFileSystem, "pseudo_dirs", [""])
    return MemoryFileSystem.store


@pytest.fixture
def folder(store: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder of local files, with everything about disks done at once."""
    quick_downloads(monkeypatch)
    (tmp_path / "large.png").write_bytes(LARGE)
    (tmp_path / "same.png").write_bytes(LARGE)
    (tmp_path / "small.png").write_bytes(picture())
    (tmp_path / "clip.mp4").write_bytes(CLIP)
    return tmp_path


def job(folder: Path, name: str, image: str = "large.png", **params: Any) -> dict[str, Any]:
    return {"model": MODEL, "id": name, "prompt": "waves", "image_url": str(folder / image), **params}


def uploaded(link: str) -> bytes:
    """Return what a link leads to, as long as it is there."""
    match = re.fullmatch(r"https://store\.example(/[^?]+)\?X-Amz-Expires=(\d+)&.*", link)
    assert match is not None
    return bytes(fsspec.filesystem("memory").cat_file(match[1]))


class Fetching(FakeService):
    """Fetches the files that it is given links to, as it accepts a job."""

    def _post(self, request: Any) -> Any:
        links = [value for value in request.body.values() if str(value).startswith("https://store")]
        self.fetched = [*getattr(self, "fetched", []), *map(uploaded, links)]
        return super()._post(request)


def uploads_in() -> list[str]:
    return [path for path in MemoryFileSystem.store if path.startswith("/uploads")]


async def test_videos_and_large_pictures_go_by_a_link_and_small_ones_along_with_the_request(folder: Path) -> None:
    service = Fetching()
    clip = {"model": FACE, "id": "face", "video_url": str(folder / "clip.mp4"), "image_url": str(folder / "small.png")}
    async with FakeClient(service, upload=PLACE) as client:
        await run_all(client, [job(folder, "a"), clip], output=folder / "out")
    first, second = service.bodies
    assert service.fetched == [LARGE, CLIP]
    assert second["image_url"] == f"data:image/png;base64,{base64.b64encode(picture()).decode()}"
    assert urlpath(first["image_url"]).endswith(".png")
    assert urlpath(second["video_url"]).endswith(".mp4")


def urlpath(link: str) -> str:
    return link.partition("?")[0]


@pytest.fixture
def puts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give the paths of all objects that were written, in order."""
    paths: list[str] = []
    put_file = MemoryFileSystem.put_file

    def noted(self: Any, local: str, path: str, **options: Any) -> None:
        paths.append(path)
        put_file(self, local, path, **options)

    monkeypatch.setattr(MemoryFileSystem, "put_file", noted)
    return paths


async def test_each_content_is_put_there_once_whatever_its_name_and_is_gone_when_the_run_ends(
    folder: Path, puts: list[str]
) -> None:
    service = Fetching()
    async with FakeClient(service, upload=PLACE) as client:
        many = [job(folder, f"a{n}") for n in range(5)] + [job(folder, f"b{n}", "same.png") for n in range(5)]
        await run_all(client, many, output=folder / "out")
        assert (len(puts), len(service.fetched)) == (1, 10)
        assert uploads_in() == []


async def test_a_file_that_is_replaced_before_it_is_put_there_is_put_as_it_was_read(folder: Path) -> None:
    (folder / "clip.mp4").write_bytes(b"as it was read")
    (folder / "newer.mp4").write_bytes(b"another content")
    with (folder / "clip.mp4").open("rb") as file:
        (folder / "newer.mp4").replace(folder / "clip.mp4")
        place = UploadStore(PLACE)
        place.put("one.mp4", file)
    assert place.files.cat_file(place.path("one.mp4")) == b"as it was read"


async def test_a_file_that_is_changed_while_it_is_put_there_is_said_and_stands_for_no_other(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_file, changed = MemoryFileSystem.put_file, folder / "same.png"
    os.utime(changed, (1, 1))

    def changed_meanwhile(self: Any, local: str, path: str, **options: Any) -> None:
        if local == str(changed):
            changed.write_bytes(LARGE[:-1] + b"!")
        put_file(self, local, path, **options)

    monkeypatch.setattr(MemoryFileSystem, "put_file", changed_meanwhile)
    service = Fetching()
    async with FakeClient(service, upload=PLACE) as client:
        results = await run_all(client, [job(folder, "a", changed.name), job(folder, "b")], output=folder / "out")
    assert "same.png was changed while it was read" in str(results["a"].error)
    assert results["b"].stage is Stage.SAVED
    assert service.fetched == [LARGE]


async def test_bytes_and_data_uris_go_by_a_link_too(folder: Path) -> None:
    service = Fetching()
    async with FakeClient(service, upload=PLACE) as client:
        await client.generate(MODEL, prompt="waves", image_url=LARGE)
        inline = f"data:image/png;base64,{base64.b64encode(LARGE).decode()}"
        await client.generate(MODEL, prompt="waves", image_url=inline)
        assert service.fetched == [LARGE, LARGE]
    assert uploads_in() == []


async def test_a_link_is_valid_for_longer_than_a_clip_is_waited_for(folder: Path) -> None:
    service = FakeService(seconds=10)
    async with FakeClient(service, upload=PLACE, timeout=36 * 3600) as client:
        await run_all(client, [job(folder, "a")], output=folder / "out")
    assert int(service.bodies[0]["image_url"].partition("Expires=")[2].partition("&")[0]) > 36 * 3600


async def test_a_file_stays_while_a_generation_that_was_given_its_link_is_outstanding(folder: Path) -> None:
    service = FakeService(seconds=1500)
    jobs = [job(folder, "slow"), job(folder, "other", "small.png")]
    for patience, left in ((100, 1), (2000, 0)):
        async with FakeClient(service, upload=PLACE, timeout=patience) as client:
            results = await run_all(client, jobs, output=folder / "out")
        assert isinstance(results["slow"].error, OutOfPatience) is bool(left)
        assert len(uploads_in()) == left
    assert len(service.accepted) == 2


async def test_files_of_ended_generations_go_even_where_another_one_is_outstanding(folder: Path) -> None:
    service = FakeService(seconds=1500)
    (folder / "other.png").write_bytes(LARGE + b"other")
    async with FakeClient(service, upload=PLACE, timeout=100) as client:
        service.posts.append(answer(400, {"message": "no"}))
        await run_all(client, [job(folder, "refused", "other.png"), job(folder, "slow")], output=folder / "out")
    [path] = uploads_in()
    assert bytes(fsspec.filesystem("memory").cat_file(path)) == LARGE


async def test_a_run_beside_an_outstanding_generation_of_an_earlier_one_removes_its_own_files_and_no_others(
    folder: Path,
) -> None:
    service = FakeService(seconds=1500)
    (folder / "other.png").write_bytes(LARGE + b"other")
    async with FakeClient(service, upload=PLACE, timeout=100) as client:
        await run_all(client, [job(folder, "slow")], output=folder / "out")
    [outstanding] = uploads_in()
    async with FakeClient(service, upload=PLACE, timeout=10_000) as client:
        service.seconds = 10
        results = await run_all(client, [job(folder, "quick", "other.png")], output=folder / "out")
    assert results["quick"].ok
    assert (len(service.accepted), uploads_in()) == (2, [outstanding])


async def test_contents_that_differ_in_a_single_byte_have_links_of_their_own(folder: Path) -> None:
    uploads = Uploads.of_journal(UploadStore(PLACE), InMemoryJournal(), 600.0)
    await uploads.prepare()
    links = []
    for place in (None, 0, len(CLIP) - 1):
        content = bytearray(CLIP)
        if place is not None:
            content[place] ^= 1
        (folder / f"clip-{place}.mp4").write_bytes(content)
        with (folder / f"clip-{place}.mp4").open("rb") as file:
            file.read(10)  # whoever looked at its beginning has left it behind that
            links.append(uploads.link(f"job-{place}", file, "video/mp4"))
    assert len({urlpath(link) for link in links}) == 3


def test_on_a_drive_whose_files_have_one_number_and_one_date_a_file_is_not_taken_for_another(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one.mp4", "another.mp4"):
        (folder / name).touch()
    monkeypatch.setattr(os, "fstat", lambda _: os.stat_result((0, 0, 0, 1, 0, 0, 100, 1, 1, 1)))
    with (folder / "one.mp4").open("rb") as one, (folder / "another.mp4").open("rb") as another:
        assert _state_of(one) != _state_of(another)


async def test_what_a_crash_left_is_used_again_by_the_next_run_and_then_removed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = Fetching(seconds=1000)
    with monkeypatch.context() as crash:
        crash.setattr("aimlvideo.shell.files.uploads.Uploads.close", lambda self: at_once_nothing())
        async with FakeClient(service, upload=PLACE, timeout=50) as client:
            await run_all(client, [job(folder, "a")], output=folder / "out")
    before = uploads_in()
    async with FakeClient(service, upload=PLACE, timeout=5000) as client:
        results = await run_all(client, [job(folder, "a"), job(folder, "b")], output=folder / "out")
    links = {urlpath(body["image_url"]).removeprefix("https://store.example") for body in service.bodies}
    assert links == set(before)
    assert {result.stage for result in results.values()} == {Stage.SAVED}
    assert (len(service.accepted), uploads_in()) == (2, [])


async def at_once_nothing() -> None:
    """Stand in for what a killed process does not do."""


async def test_what_nobody_can_fetch_any_more_is_removed_by_whoever_comes_next(folder: Path) -> None:
    files = fsspec.filesystem("memory")
    expired, valid = _upload_folder(1e9, "0" * 12), _upload_folder(4e9, "1" * 12)
    for name in (expired, valid, "holiday pictures"):
        files.pipe_file(f"/uploads/clips/{name}/a.png", b"x")
    async with FakeClient(FakeService(), upload=PLACE):
        pass
    assert uploads_in() == [f"/uploads/clips/{valid}/a.png", "/uploads/clips/holiday pictures/a.png"]


async def test_a_store_that_is_away_leaves_the_job_as_it_was_and_the_next_run_buys_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = FakeService()
    with monkeypatch.context() as away:

        def refuse(self: Any, local: str, path: str, **options: Any) -> None:
            raise ConnectionError("no route to the store")

        away.setattr(MemoryFileSystem, "put_file", refuse)
        async with FakeClient(service, upload=PLACE) as client:
            results = await run_all(client, [job(folder, "a")], output=folder / "out")
        assert (results["a"].stage, len(service.bodies)) == (Stage.PLANNED, 0)
        assert isinstance(results["a"].error, UploadFailed)
        assert "no route to the store" in str(results["a"].error)
    async with FakeClient(service, upload=PLACE) as client:
        results = await run_all(client, [job(folder, "a")], output=folder / "out")
    assert results["a"].stage is Stage.SAVED


async def test_a_signature_that_a_service_quotes_is_written_nowhere(folder: Path) -> None:
    class Quoting(FakeService):
        def _post(self, request: Any) -> Any:
            return answer(400, {"message": f"cannot fetch {request.body['image_url']}: try again"})

    async with FakeClient(Quoting(), upload=PLACE) as client:
        results = await run_all(client, [job(folder, "a")], output=folder / "out")
    assert re.search(r"cannot fetch https://store\.example\S+\.png", str(results["a"].error))
    assert "5ec7e7" not in str(results["a"].error)
    written = b"".join(path.read_bytes() for path in (folder / "out").iterdir() if path.is_file())
    assert b"5ec7e7" not in written


@for_each("slash", ["/", "\\/", "%2F"])
def test_signatures_are_taken_out_however_a_link_is_escaped(slash: str) -> None:
    link = f"https://s.example{slash}{_upload_folder(4e9, 'a' * 12)}{slash}{'0' * 32}.png"
    mark = "%3F" if slash == "%2F" else "?"
    body = f'{{"error": "bad link {link}{mark}X-Amz-Signature=abc&x=1", "video": "https://cdn.example/a.mp4?sig=1"}}'
    assert without_upload_signatures(body.encode()).decode() == body.replace(f"{mark}X-Amz-Signature=abc&x=1", "")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("clips", "expected s3://bucket/prefix"),
        ("gopher://x/y", "gopher"),
        ("file:///tmp", "no link to it can be signed"),
    ],
)
async def test_a_place_that_gives_no_links_is_refused_before_anything_is_bought(
    url: str, message: str, folder: Path
) -> None:
    with pytest.raises(SettingsError, match=message):
        async with FakeClient(FakeService(), upload=url):
            pass
    assert not list(Path("/tmp").glob(".aimlvideo-*"))


async def test_a_folder_that_a_web_server_shows_is_a_place_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def sign(self: Any, path: str, expiration: int = 100, **_: Any) -> str:
        return f"https://files.example{path}"

    monkeypatch.setattr(LocalFileSystem, "sign", sign)
    service = FakeService()
    async with FakeClient(service, upload=(folder / "shown" / "here").as_uri()) as client:
        await run_all(client, [job(folder, "a")], output=folder / "out")
    assert service.bodies[0]["image_url"].startswith(f"https://files.example{folder}/shown/here/aimlvideo-")
    assert list((folder / "shown" / "here").iterdir()) == []


async def test_a_place_for_uploads_makes_no_folders_for_the_clips(folder: Path) -> None:
    with pytest.raises(SettingsError, match="no link to it can be signed"):
        await UploadStore.opened((folder / "uploads").as_uri())
    with pytest.raises(SettingsError, match="cannot be written"):
        await ObjectStore.opened((folder / "misspelt").as_uri())
    assert not (folder / "misspelt").exists()


async def test_a_place_that_cannot_be_written_is_refused_before_anything_is_bought(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Any, path: str, value: bytes, **options: Any) -> None:
        raise PermissionError("AccessDenied")

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", refuse)
    with pytest.raises(SettingsError, match=r"cannot be written: is it there.*AccessDenied"):
        async with FakeClient(FakeService(), upload=PLACE):
            pass


async def test_a_generation_that_is_handed_on_keeps_its_file_until_its_link_expires(folder: Path) -> None:
    service = FakeService(seconds=1500)
    async with FakeClient(service, upload=PLACE) as client:
        await client.submit(MODEL, prompt="waves", image_url=str(folder / "large.png"))
    [path] = uploads_in()
    until = UploadStore.valid_until(path.split("/")[3])
    assert until is not None
    assert UploadStore(PLACE).remove_expired(until - 1) == 0
    assert UploadStore(PLACE).remove_expired(until + 1) == 1
    assert uploads_in() == []


async def test_a_store_or_a_journal_that_fails_at_the_end_fails_no_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise ConnectionError("no route to the store")

    monkeypatch.setattr(MemoryFileSystem, "rm_file", away)
    async with FakeClient(FakeService(), upload=PLACE) as client:
        results = await run_all(client, [job(folder, "a")], output=folder / "out")
        monkeypatch.setattr(InMemoryJournal, "facts", away)
    assert results["a"].stage is Stage.SAVED
    assert f"Later: aimlvideo uploads {PLACE} --remove" in caplog.text
    assert "uploaded files stay in" in caplog.text


@for_each("more", [-1, 1])
async def test_a_folder_of_an_earlier_run_is_used_only_while_its_links_are_valid_for_long_enough(
    folder: Path, more: int
) -> None:
    earlier = _upload_folder(clock.wall() + _needed_validity(60) + 10 * more, "0" * 12)
    async with open_journal(folder / f"{more}.sqlite3") as journal:
        journal.note(f"{FOLDER_FACT}{PLACE}/{earlier}", "")
        uploads = Uploads.of_journal(UploadStore(PLACE), journal, 60)
        await uploads.prepare()
        assert (uploads._folder == earlier) is (more > 0)


def test_a_link_is_valid_for_twice_the_timeout_and_an_hour_in_a_queue() -> None:
    assert _validity(20 * 3600) == 2 * 21 * 3600


def test_the_longest_validity_is_what_stores_can_sign() -> None:
    assert _validity(1800) == 86400
    assert _validity(1e9) == 7 * 86400


def command(*words: Any) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


@pytest.mark.real_time
def test_without_a_place_a_file_too_large_is_refused_with_that_hint_and_with_one_it_is_not(
    store: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "huge.png").open("wb") as file:
        file.write(picture())
        file.truncate(200 * 2**20)
    jobs = tmp_path / "jobs.jsonl"
    jobs.write_text(json.dumps({"model": MODEL, "prompt": "waves", "image_url": "huge.png"}))
    refused = command("check", jobs, "--sandbox")
    assert refused.exit_code == 2
    assert "huge.png has 200 MB; at most 128 MB are sent along: give a link to it, or" in " ".join(
        refused.stderr.split()
    )
    assert "--upload s3://bucket/prefix" in " ".join(refused.stderr.split())
    assert command("check", jobs, "--sandbox", "--upload", PLACE).exit_code == 0
    dry = command("run", jobs, "-o", tmp_path / "out", "--sandbox", "--upload", PLACE, "--dry-run")
    assert dry.exit_code == 0


@pytest.fixture
def quick_sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Give a sandbox that the commands of a test find."""
    with sandbox_thread() as sandbox:
        monkeypatch.setenv("AIMLAPI_BASE_URL", sandbox.url)
        monkeypatch.setenv("AIMLAPI_API_KEY", "k")
        yield sandbox


@pytest.mark.real_time
def test_run_and_resume_and_generate_put_files_there_and_leave_none(
    store: dict[str, Any], puts: list[str], tmp_path: Path, quick_sandbox: Sandbox
) -> None:
    (tmp_path / "large.png").write_bytes(LARGE)
    jobs, out = tmp_path / "jobs.jsonl", tmp_path / "out"
    jobs.write_text(json.dumps(job(tmp_path, "a")))
    quick = ("--poll", "every:0.1")
    first = command("run", jobs, "-o", out, "--upload", PLACE, "--max-spend", "0.01", *quick)
    second = command("resume", out, *quick)
    clip = tmp_path / "a.mp4"
    one = command("generate", MODEL, "-p", "x", "-i", tmp_path / "large.png", "-o", clip, "--upload", PLACE, *quick)
    assert (first.exit_code, second.exit_code, one.exit_code) == (3, 0, 0)
    assert (quick_sandbox.stats()["accepted"], len(puts)) == (2, 2)
    assert uploads_in() == []


@pytest.mark.real_time
def test_what_a_killed_run_left_is_shown_and_removed_by_a_command_of_its_own(
    store: dict[str, Any], tmp_path: Path, quick_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "large.png").write_bytes(LARGE)
    jobs, out = tmp_path / "jobs.jsonl", tmp_path / "out"
    jobs.write_text(json.dumps(job(tmp_path, "a")))
    with monkeypatch.context() as crash:
        crash.setattr("aimlvideo.shell.files.uploads.Uploads.close", lambda self: at_once_nothing())
        assert command("run", jobs, "-o", out, "--upload", PLACE, "--poll", "every:0.1").exit_code == 0
    [path] = uploads_in()
    name = path.split("/")[3]
    assert f"{PLACE}/{name}: 1 file, links valid until" in output_of(command("uploads", PLACE, "--remove"))
    assert f"{PLACE}/{name}: links valid until" in output_of(command("uploads", out))
    assert "1 folder removed" in output_of(command("uploads", out, "--remove"))
    assert uploads_in() == []
    assert "links valid" not in output_of(command("uploads", out))


async def test_the_command_removes_nothing_that_an_outstanding_generation_may_fetch(folder: Path) -> None:
    async with FakeClient(FakeService(seconds=1500), upload=PLACE, timeout=100) as client:
        await run_all(client, [job(folder, "slow")], output=folder / "out")
    async with open_journal(folder / "out" / "journal.sqlite3") as journal:
        with pytest.raises(UsageError, match="1 generation outstanding may still fetch these files: finish the run"):
            _remove_of_journal(journal)
    assert len(uploads_in()) == 1


def test_a_folder_without_a_journal_has_no_uploads(tmp_path: Path) -> None:
    refused = command("uploads", tmp_path)
    assert refused.exit_code == 2
    assert "there is no journal in" in output_of(refused)


def output_of(result: Any) -> str:
    """Return what a command printed, its lines joined."""
    return "".join(result.output.splitlines()).replace("\n", "")
