"""A process that dies at any boundary loses nothing and buys nothing twice: every write, send, answer and rename."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from aimlvideo import Stage
from aimlvideo.core.wires.http import Answer, Request
from aimlvideo.errors import VideoError
from aimlvideo.pipeline import download
from aimlvideo.shell.files.downloads import Clip
from aimlvideo.shell.journal.sqlite_transactions import GroupCommit
from tests.fakes import JOB, FakeClient, FakeService

pytestmark = pytest.mark.long


class Killed(BaseException):
    """The process is gone: nothing after this is written, sent or renamed."""


class Fate:
    """Counts boundaries, and kills at one of them; from then on nothing happens any more."""

    def __init__(self, deadly: int | None = None) -> None:
        self.passed: list[str] = []
        self.deadly = deadly
        self.dead = False

    def boundary(self, name: str) -> None:
        self.passed.append(name)
        if self.deadly is not None and len(self.passed) > self.deadly:
            self.dead = True
        if self.dead:
            raise Killed(name)


@pytest.fixture
def fate(monkeypatch: pytest.MonkeyPatch) -> Fate:
    """Return a fate that every effect of a run meets."""
    fate = Fate()

    def around(name: str, effect: Callable[..., Any]) -> Callable[..., Any]:
        def met(*args: Any, **how: Any) -> Any:
            fate.boundary(f"before {name}")
            result = effect(*args, **how)
            fate.boundary(f"after {name}")
            return result

        return met

    class Dying(FakeService):
        async def send(self, request: Request) -> Answer:
            fate.boundary(f"before {request.method}")
            answer = await super().send(request)
            fate.boundary(f"after {request.method}")
            return answer

    class Quick:
        """A download whose only boundary is its rename."""

        def __init__(self, session: Any, link: str, path: Path, **_: Any) -> None:
            self.link, self.path = link, path

        async def fetch(self) -> Clip:
            part = self.path.with_name(self.path.name + ".part")
            part.write_text(self.link)
            around("rename", part.replace)(self.path)
            return Clip(self.path, len(self.link), "00" * 32)

        def drop(self) -> None:
            """Leave everything as it is."""

    async def at_once(work: Callable[..., Any], *args: Any) -> Any:
        """Stand in for a thread: virtual time would pass while one is waited for."""
        return work(*args)

    monkeypatch.setattr(anyio.to_thread, "run_sync", at_once)
    monkeypatch.setattr(GroupCommit, "write", around("write", GroupCommit.write))
    monkeypatch.setattr(GroupCommit, "commit", around("commit", GroupCommit.commit))
    monkeypatch.setattr(download, "Download", Quick)
    fate.service = Dying  # type: ignore[attr-defined]
    return fate


async def run_once(service: FakeService, folder: Path) -> dict[str, Any]:
    settings = {"poll": "every:2", "settle": 60.0, "max_outstanding": 2}
    jobs = [{**JOB, "id": f"job{number}"} for number in range(3)]
    async with FakeClient(service, **settings) as client, client.run(jobs, output=folder) as results:
        return {result.job.id: result async for result in results}


async def ends(work: Awaitable[Any]) -> bool:
    """Tell whether a run came to its end; one that was killed did not."""
    try:
        await work
    except (Killed, VideoError):
        return False
    except BaseExceptionGroup as group:
        if group.split(Killed)[1] is not None:
            raise
        return False
    return True


async def test_a_run_killed_at_any_boundary_is_carried_on_and_pays_once(fate: Fate, tmp_path: Path) -> None:
    service = fate.service(seconds=5)  # type: ignore[attr-defined]
    assert await ends(run_once(service, tmp_path / "whole"))
    boundaries = list(fate.passed)
    assert {name.split()[1] for name in boundaries} == {"write", "commit", "POST", "GET", "rename"}
    kills = 0
    for number, name in enumerate(boundaries):
        service = fate.service(seconds=5)  # type: ignore[attr-defined]
        fate.passed, fate.deadly, fate.dead = [], number, False
        kills += not await ends(run_once(service, tmp_path / str(number)))
        fate.deadly, fate.dead = None, False
        results = await run_once(service, tmp_path / str(number))
        if doubts := [result for result in results.values() if result.stage is Stage.IN_DOUBT]:
            # two answers were lost at once and held both slots, so the log had shown no id of ours when they were due
            assert len(doubts) == 2, name
            results = await run_once(service, tmp_path / str(number))
        assert {result.stage for result in results.values()} == {Stage.SAVED}, name
        assert len(results) == 3, name
        assert len(service.accepted) == 3, f"killed {name} ({number}): bought {len(service.accepted)}"
    assert kills > 0.7 * len(boundaries)  # how many commits there are is left to chance
