"""A lost journal is rebuilt from the results and the service's log, or not at all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from aimlvideo.cli.commands import recover
from aimlvideo.cli.commands.recover import recover_journal
from aimlvideo.cli.terminal import Terminal
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.request_ids import Intent
from aimlvideo.core.wires.http import Answer, Request
from aimlvideo.errors import UsageError
from aimlvideo.shell.journal.sqlite import open_journal
from tests.conftest import run_in_virtual_time
from tests.fakes import MODEL, FakeClient, FakeService, ListingGateway, answer

Recover = Callable[..., None]


@pytest.fixture(autouse=True)
def virtual_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the pages of a log or a list be asked for at their rate, and nobody wait for it."""
    monkeypatch.setattr(asyncio, "run", run_in_virtual_time)


@pytest.fixture
def service() -> FakeService:
    """Return a service whose generations end at once."""
    return FakeService(seconds=0.0, clock=lambda: 1000.0)


@pytest.fixture
def rebuild(service: FakeService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Recover:
    """Return a way to rebuild the journal of a folder."""
    monkeypatch.setattr(recover, "VideoClient", lambda **settings: FakeClient(service, **settings))

    def run(key: str = "key-1", service: str = "aimlapi") -> None:
        settings = {"service": service, "api_key": key, "base_url": "http://127.0.0.1:1"}
        recover_journal(tmp_path, settings, Terminal())  # type: ignore[arg-type]

    return run


def buy(service: FakeService, name: str, *, job_id: str | None) -> None:
    """Let a generation be bought for a job, or by another program."""
    service.accepted[name] = service.clock()
    service.note(name, Intent().request_id(VideoJob(MODEL, id=job_id), name) if job_id else "")


def write_results(folder: Path, **generations: str) -> None:
    lines = [
        {"id": job_id, "model": MODEL, "stage": "saved", "generation_id": name, "file": f"{job_id}.mp4"}
        for job_id, name in generations.items()
    ]
    (folder / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_nothing_is_rebuilt_of_nothing_under_another_key(
    service: FakeService, rebuild: Recover, tmp_path: Path
) -> None:
    write_results(tmp_path)
    buy(service, "gen-0", job_id="a")
    with pytest.raises(UsageError, match=r"neither results\.jsonl nor the service's log has any generation of ours"):
        rebuild(key="key-2")
    assert not (tmp_path / "journal.sqlite3").exists()
    rebuild()
    assert (tmp_path / "journal.sqlite3").exists()


def test_generations_that_nobody_can_tell_whose_they_are_are_named(
    service: FakeService, rebuild: Recover, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_results(tmp_path, a="gen-0")
    buy(service, "gen-0", job_id="a")
    rebuild()
    assert "without the client's id" not in capsys.readouterr().err
    (tmp_path / "journal.sqlite3").unlink()
    buy(service, "gen-1", job_id=None)
    service.accepted["song-0"] = service.clock()
    service.note("song-0", "", "music-model")
    rebuild()
    assert "1 generation without the client's id, so nobody can tell whose each is: gen-1." in capsys.readouterr().err


def test_generations_that_failed_or_that_the_results_have_need_no_look_into_the_dashboard(
    service: FakeService, rebuild: Recover, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_results(tmp_path, a="gen-0", b="gen-1")
    buy(service, "gen-0", job_id="a")
    for name in ("gen-1", "gen-2"):
        buy(service, name, job_id=None)
    service.broken["gen-2"] = "out of paint"
    rebuild()
    assert "without the client's id" not in capsys.readouterr().err


def test_where_the_results_name_no_model_every_one_of_the_catalogue_may_be_this_folder_s(
    service: FakeService, rebuild: Recover, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_results(tmp_path)
    buy(service, "gen-0", job_id="a")
    buy(service, "gen-1", job_id=None)
    rebuild()
    assert "1 generation without the client's id, so nobody can tell whose each is: gen-1." in capsys.readouterr().err


@pytest.mark.parametrize("again", ["later", "with another key"])
def test_a_log_that_is_not_whole_or_not_that_of_the_run_rebuilds_nothing(
    service: FakeService, rebuild: Recover, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: str
) -> None:
    write_results(tmp_path, a="gen-0")
    buy(service, "gen-0", job_id="a")
    if again == "later":
        monkeypatch.setattr(service, "page_rows", 0)
        service.strangers = 10
    with pytest.raises(UsageError, match="recover again later" if again == "later" else "Recover with the key"):
        rebuild(key="key-1" if again == "later" else "key-2")
    assert not (tmp_path / "journal.sqlite3").exists()


async def test_a_generation_whose_line_names_another_job_is_remembered_for_its_own_too(
    service: FakeService, rebuild: Recover, tmp_path: Path
) -> None:
    write_results(tmp_path, b="gen-0")
    buy(service, "gen-0", job_id="a")
    await anyio.to_thread.run_sync(rebuild)
    async with open_journal(tmp_path / "journal.sqlite3") as journal:
        assert journal.plan(VideoJob(MODEL, id="a", prompt="waves")).progress.generation_id == "gen-0"


async def test_of_two_generations_of_one_job_the_newest_is_taken_and_the_other_is_named(
    service: FakeService, rebuild: Recover, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_results(tmp_path, b="gen-b")
    buy(service, "gen-b", job_id="b")
    for name, at in (("gen-newest", 3000.0), ("gen-earlier", 2000.0)):
        service.accepted[name] = at
        service.note(name, Intent().request_id(VideoJob(MODEL, id="a"), name))
    service.clock = lambda: 4000.0
    await anyio.to_thread.run_sync(rebuild)
    said = capsys.readouterr()
    assert "The newest is taken, and these are not: gen-earlier (" in said.err
    assert "1 more generation from the service's log" in said.out + said.err
    async with open_journal(tmp_path / "journal.sqlite3") as journal:
        assert journal.plan(VideoJob(MODEL, id="a", prompt="waves")).progress.generation_id == "gen-newest"


def test_at_a_service_that_lists_its_tasks_those_of_this_folder_are_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service = ListingGateway(seconds=50.0, clock=lambda: 1000.0)
    for name, job_id in (("saved", "a"), ("under-way", "b"), ("theirs", None), ("failed", "c")):
        buy(service, name, job_id=job_id)
    service.accepted["own"] = 0.0
    service.note("own", "order-1")
    service.broken["failed"] = "no"
    service.accepted["failed"] = service.accepted["saved"] = 0.0
    monkeypatch.setattr(recover, "VideoClient", lambda **settings: FakeClient(service, **settings))
    write_results(tmp_path, a="saved")
    settings = {"service": "kling-official", "api_key": "access:secret", "base_url": "http://127.0.0.1:1"}
    recover_journal(tmp_path, settings, Terminal())  # type: ignore[arg-type]
    said = capsys.readouterr()
    assert "2 more generations from the service's lists of tasks" in said.out + said.err
    assert "a task of video-extend or lip-sync or advanced-lip-sync carries no id of ours" in said.err
    assert "the client's id" not in said.err, "ours all have one: that task is another program's"

    async def planned() -> list[str | None]:
        async with open_journal(tmp_path / "journal.sqlite3") as journal:
            jobs = [VideoJob(MODEL, id=name, prompt="waves") for name in "bc"]
            jobs.append(VideoJob(MODEL, id="d", prompt="waves", external_task_id="order-1"))
            return [journal.plan(job).progress.generation_id for job in jobs]

    assert anyio.run(planned) == ["under-way", None, "own"]


def test_tasks_of_models_that_a_path_names_are_found_page_by_page(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service = ListingGateway(seconds=50.0, clock=lambda: 1000.0)
    for name in "abc":
        buy(service, f"gen-{name}", job_id=name)
    service.in_path = ("gen-b", "gen-c")
    monkeypatch.setattr(recover, "VideoClient", lambda **settings: FakeClient(service, **settings))
    settings = {"service": "kling-official", "api_key": "in-one-part", "base_url": "http://127.0.0.1:1"}
    recover_journal(tmp_path, settings, Terminal())  # type: ignore[arg-type]
    said = capsys.readouterr()
    assert "3 more generations from the service's lists of tasks" in said.out + said.err


class Repeating(ListingGateway):
    async def send(self, request: Request) -> Answer:
        return await super().send(replace(request, query=(("pageNum", "1"),)))


class Ending(ListingGateway):
    async def send(self, request: Request) -> Answer:
        if dict(request.query).get("pageNum") == "2":
            return answer(400, {"code": 1201, "message": "pageNum is from 1 to 1"})
        return await super().send(request)


@pytest.mark.parametrize("kind", [Repeating, Ending])
def test_lists_that_are_not_given_to_their_end_rebuild_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: type[ListingGateway]
) -> None:
    service = kind(seconds=0.0, clock=lambda: 1000.0)
    buy(service, "gen-0", job_id="a")
    monkeypatch.setattr(recover, "VideoClient", lambda **settings: FakeClient(service, **settings))
    settings = {"service": "kling-official", "api_key": "access:secret", "base_url": "http://127.0.0.1:1"}
    with pytest.raises(UsageError, match="could not be read to its end"):
        recover_journal(tmp_path, settings, Terminal())  # type: ignore[arg-type]


def test_at_a_service_without_a_log_what_was_in_flight_is_said_to_be_looked_for(
    rebuild: Recover, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_results(tmp_path, a="gen-0")
    rebuild(service="kling")
    said = capsys.readouterr()
    assert "1 job from results.jsonl" in said.out + said.err
    assert "service kling keeps no log of requests" in said.err
    assert f"`aimlvideo adopt {tmp_path} GENERATION --service kling`" in said.err
    assert "the log lists" not in said.out + said.err
