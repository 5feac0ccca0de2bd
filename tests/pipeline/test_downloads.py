"""From a link to a clip: a dead link is asked for again, a full disk ends the run and loses nothing."""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path
from typing import Any

import anyio
import pytest

from aimlvideo import Stage
from aimlvideo.errors import DiskFailed, DownloadFailed, LinkDead, Unclear
from aimlvideo.pipeline import download
from aimlvideo.shell.files.downloads import Clip
from tests.fakes import FakeClient, FakeService, answer, jobs, run_all

pytestmark = pytest.mark.usefixtures("no_threads")


class Files:
    """Stands in for downloads: fails with each error in turn, then brings a clip that says its link."""

    def __init__(self) -> None:
        self.errors: deque[Exception | None] = deque()
        self.links: list[str] = []
        self.sizes: list[int | None] = []
        self.at_once = self.peak = 0

    def __call__(self, session: Any, link: str, path: Path, *, size: int | None = None, **_: Any) -> Any:
        files = self
        files.sizes.append(size)

        class OneDownload:
            async def fetch(self) -> Clip:
                files.links.append(link)
                files.at_once += 1
                files.peak = max(files.peak, files.at_once)
                await anyio.sleep(3)
                files.at_once -= 1
                if files.errors and (error := files.errors.popleft()):
                    raise error
                path.write_text(link)
                return Clip(path, len(link), "00" * 32)

            def discard(self) -> None:
                """Leave nothing behind."""

        return OneDownload()


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> Files:
    files = Files()
    monkeypatch.setattr(download, "Download", files)
    return files


class Linking(FakeService):
    """Gives another link each time it is asked, to a file of another length."""

    def _check(self, name: str) -> Any:
        found, number = super()._check(name), len(self.polled_at)
        video = {"url": f"https://files.example.com/{number}", "file_size": 1000 * number}
        return answer(200, {**found.json(), "video": video})


@pytest.mark.parametrize("dead", [1, 2])
async def test_a_dead_link_is_asked_for_again_and_the_clip_is_saved_from_the_fresh_one(
    files: Files, tmp_path: Path, dead: int
) -> None:
    service = Linking(seconds=10)
    files.errors.extend(LinkDead("403") for _ in range(dead))
    async with FakeClient(service) as client:
        results = await run_all(client, jobs(1), output=tmp_path)
    assert results["job0"].stage is Stage.SAVED
    assert files.links == [f"https://files.example.com/{number}" for number in range(1, dead + 2)]
    assert files.sizes == [1000 * number for number in range(1, dead + 2)], "each is held against its own length"
    assert (tmp_path / "job0.mp4").read_text() == files.links[-1]
    assert results["job0"].video_url == files.links[-1], "a link that is dead is of no use to whoever reads the results"
    assert len(service.posted_at) == 1


async def test_a_dead_link_of_a_further_clip_is_replaced_by_a_fresh_one_of_that_clip(
    files: Files, tmp_path: Path
) -> None:
    class LinkingTwo(FakeService):
        def _check(self, name: str) -> Any:
            link = f"https://files.example.com/{len(self.polled_at)}"
            two = {"video": [{"url": f"{link}/first"}, {"url": f"{link}/second"}]}
            return answer(200, {**super()._check(name).json(), **two})

    files.errors.extend([None, LinkDead("403")])
    async with FakeClient(LinkingTwo(seconds=10)) as client:
        (result,) = (await run_all(client, jobs(1), output=tmp_path)).values()
    assert [link.removeprefix("https://files.example.com") for link in files.links] == [
        "/0/first",
        "/0/second",
        "/1/second",
    ]
    assert [path.read_text() for path in result.paths] == [files.links[0], files.links[2]]


async def test_a_link_that_is_dead_three_times_ends_the_job(files: Files, tmp_path: Path) -> None:
    service = Linking(seconds=10)
    files.errors.extend(LinkDead("410") for _ in range(3))
    async with FakeClient(service) as client:
        results = await run_all(client, jobs(1), output=tmp_path)
    assert results["job0"].stage is Stage.FAILED
    assert isinstance(results["job0"].error, LinkDead)
    assert len(files.links) == 3


@pytest.mark.parametrize("trouble", [answer(500), answer(429, retry_after="2"), Unclear("reset")], ids=repr)
async def test_a_fresh_link_is_asked_for_until_there_is_an_answer(files: Files, tmp_path: Path, trouble: Any) -> None:
    service = FakeService(seconds=10)
    service.checks.extend([None, trouble, trouble])
    files.errors.append(LinkDead("403"))
    async with FakeClient(service) as client:
        results = await run_all(client, jobs(1), output=tmp_path)
    assert results["job0"].stage is Stage.SAVED


async def test_an_answer_about_another_job_s_generation_gives_no_fresh_link(files: Files, tmp_path: Path) -> None:
    service = FakeService(seconds=10)
    files.errors.extend([None, LinkDead("403")])
    theirs = {"id": "gen-0", "status": "completed", "video": {"url": "https://files.example.com/gen-0.mp4"}}
    async with FakeClient(service) as client:
        await run_all(client, jobs(1), output=tmp_path)
        service.checks.extend([None, answer(200, theirs)])
        results = await run_all(client, jobs(2), output=tmp_path)
    assert results["job1"].stage is Stage.SAVED
    assert (tmp_path / "job1.mp4").read_text() == "https://files.example.com/gen-1.mp4?sig=a%2Bb"


async def test_a_download_that_is_given_up_says_what_went_wrong_last(files: Files, tmp_path: Path) -> None:
    files.errors.extend(DownloadFailed("a host sent no video: it begins with b'<html'") for _ in range(90))
    async with FakeClient(FakeService(seconds=10), timeout=60) as client:
        results = await run_all(client, jobs(1), output=tmp_path)
    assert results["job0"].stage is Stage.READY
    assert "did not end within 60 s; the last try failed: a host sent no video" in str(results["job0"].error)


async def test_a_download_that_is_cut_is_tried_again_without_asking_for_a_link(files: Files, tmp_path: Path) -> None:
    service = FakeService(seconds=10)
    files.errors.extend(DownloadFailed("cut") for _ in range(2))
    async with FakeClient(service) as client:
        results = await run_all(client, jobs(1), output=tmp_path)
    assert results["job0"].stage is Stage.SAVED
    assert len(service.polled_at) == results["job0"].polls == 1
    assert len(files.links) == 3


async def test_a_clip_of_an_earlier_run_has_its_line_in_the_results_once(files: Files, tmp_path: Path) -> None:
    service = FakeService(seconds=10)
    for count in (1, 1, 2):
        async with FakeClient(service) as client:
            results = await run_all(client, jobs(count), output=tmp_path)
        assert {result.stage for result in results.values()} == {Stage.SAVED}
    lines = (tmp_path / "results.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["job0", "job1"]


async def test_a_full_disk_stops_submission_and_the_clip_is_fetched_by_the_next_run(
    files: Files, tmp_path: Path
) -> None:
    service = FakeService(seconds=10)
    files.errors.append(DiskFailed("disk full"))
    async with FakeClient(service, max_outstanding=1) as client:
        first = await run_all(client, jobs(4), output=tmp_path)
        bought = len(service.posted_at)
        assert isinstance(first["job0"].error, DiskFailed)
        assert first["job0"].stage is Stage.READY
        assert bought < 4
        again = await run_all(client, jobs(4), output=tmp_path)
    assert {result.stage for result in again.values()} == {Stage.SAVED}
    assert len(service.posted_at) == 4


async def test_without_a_number_more_clips_come_at_a_time_while_that_brings_more(files: Files, tmp_path: Path) -> None:
    service = FakeService(seconds=10)
    async with FakeClient(service, max_outstanding=120, rate=1000.0) as client:
        results = await run_all(client, jobs(120), output=tmp_path)
    assert 8 < files.peak <= 32  # each takes 3 s, however many there are
    assert {result.stage for result in results.values()} == {Stage.SAVED}


@pytest.mark.parametrize("downloads", [1, 3, 8])
async def test_a_clip_on_its_way_down_holds_no_slot_and_as_many_come_at_a_time_as_was_said(
    files: Files, tmp_path: Path, downloads: int
) -> None:
    service = FakeService(seconds=10)
    async with FakeClient(service, max_outstanding=30, downloads=downloads) as client:
        results = await run_all(client, jobs(30), output=tmp_path)
    assert files.peak == downloads
    assert {result.stage for result in results.values()} == {Stage.SAVED}
    assert all(result.saved_at >= result.completed_at for result in results.values())


async def test_one_download_more_than_the_service_has_slots_does_not_wait_for_the_first(
    files: Files, tmp_path: Path
) -> None:
    service = FakeService(seconds=10)
    async with FakeClient(service, max_outstanding=1, buy_ahead=2, poll="every:11") as client:
        await run_all(client, jobs(3), output=tmp_path)
    assert service.posted_at[1] - service.posted_at[0] < 12


async def test_a_link_that_works_a_little_after_completion_is_waited_for(files: Files, tmp_path: Path) -> None:
    service = FakeService(seconds=10)
    files.errors.extend(LinkDead("404") for _ in range(4))
    async with FakeClient(service) as client:
        results = await run_all(client, jobs(1), output=tmp_path)
    assert results["job0"].stage is Stage.SAVED
    assert len(files.links) == 5
    assert len(set(files.links)) == 1


async def test_a_clip_that_is_gone_comes_back_under_its_own_name_whatever_names_are_given_now(
    files: Files, tmp_path: Path
) -> None:
    async with FakeClient(FakeService(seconds=10)) as client:
        await run_all(client, jobs(1), output=tmp_path, name="old-{id}")
        (tmp_path / "old-job0.mp4").unlink()
        await run_all(client, jobs(1), output=tmp_path, name="new-{id}")
    assert [path.name for path in tmp_path.glob("*.mp4")] == ["old-job0.mp4"]
