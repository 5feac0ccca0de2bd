"""Jobs that take what others make: in order, bought once, and told why where a parent does not come."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from aimlvideo import Stage
from aimlvideo.core.jobs.file_names import JOURNAL
from aimlvideo.errors import GenerationFailed, InvalidJobs, ParentFailed, ParentUnfinished, Rejected
from aimlvideo.shell.files import video
from aimlvideo.shell.files.object_stores import _working_folder
from aimlvideo.shell.journal.sqlite import open_journal
from aimlvideo.views.snapshot import RunWatcher
from tests.fakes import JOB, FakeClient, FakeService, answer, jobs, quick_downloads, run_all


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Let clips be there at once, and their frames too; give the frames that were taken."""
    taken: list[tuple[str, Any]] = []

    def frame(clip: Path, when: Any) -> bytes:
        assert clip.is_file(), "a frame of a clip that is not there"
        taken.append((clip.name, when))
        return b"\x89PNG\r\n\x1a\n" + clip.read_bytes()

    quick_downloads(monkeypatch)
    monkeypatch.setattr(video, "frame_png", frame)
    return taken


def shot(name: str, parent: str = "", **more: Any) -> dict[str, Any]:
    """Return a job that begins with the last frame of another one, where a parent is given."""
    picture = {"image_url": {"from": parent, "frame": "last"}} if parent else {}
    return {**JOB, "id": name, "prompt": name, **picture, **more}


def prompts(service: FakeService) -> list[str]:
    """Return the prompts in the order in which they were bought."""
    return [body["prompt"] for body in service.bodies]


async def test_four_shots_are_made_one_after_the_other_whatever_the_order_of_their_lines(tmp_path: Path) -> None:
    service = FakeService()
    async with FakeClient(service) as client:
        lines = [shot("d", "c"), shot("b", "a"), shot("c", "b"), shot("a")]
        results = await run_all(client, lines, output=tmp_path)
    assert prompts(service) == ["a", "b", "c", "d"]
    assert {result.stage for result in results.values()} == {Stage.SAVED}


async def test_a_run_that_is_left_in_the_middle_goes_on_and_buys_nothing_twice(tmp_path: Path) -> None:
    service = FakeService(seconds=100)
    lines = [shot("a"), shot("b", "a"), shot("c", "b"), shot("d", "c")]
    for patience in (50, 130, 210, 10_000):
        async with FakeClient(service) as client:
            with anyio.move_on_after(patience):
                await run_all(client, lines, output=tmp_path)
    assert prompts(service) == ["a", "b", "c", "d"]
    assert max(Counter(service.by_request).values()) == 1
    assert sorted(path.name for path in tmp_path.glob("*.mp4")) == ["a.mp4", "b.mp4", "c.mp4", "d.mp4"]


async def test_a_child_begins_when_its_parent_is_saved_though_further_jobs_are_still_to_come(tmp_path: Path) -> None:
    service = FakeService(seconds=20)

    async def slowly() -> AsyncIterator[dict[str, Any]]:
        yield shot("a")
        yield shot("b", "a")
        await anyio.sleep(3600)
        yield shot("late")

    async with FakeClient(service) as client:
        await run_all(client, slowly(), output=tmp_path)
    begun = dict(zip(prompts(service), service.posted_at, strict=True))
    assert begun["b"] - begun["a"] < 100
    assert begun["late"] - begun["a"] >= 3600


async def test_a_failed_parent_fails_its_children_at_once_though_further_jobs_are_still_to_come(tmp_path: Path) -> None:
    service = FakeService()
    service.posts.append(answer(400, {"message": "no such shot"}))

    async def slowly() -> AsyncIterator[dict[str, Any]]:
        yield shot("a")
        yield shot("b", "a")
        yield shot("c", "b")
        await anyio.sleep(3600)

    ended: dict[str, float] = {}
    async with FakeClient(service) as client, client.run(slowly(), output=tmp_path) as results:
        async for result in results:
            ended[result.job.id] = anyio.current_time()
            assert result.stage is Stage.FAILED
            assert result.job.id == "a" or isinstance(result.error, ParentFailed)
    assert max(ended.values()) - min(ended.values()) < 100
    assert len(service.bodies) == 1


async def test_a_retried_parent_that_comes_after_its_child_is_waited_for(tmp_path: Path) -> None:
    service = FakeService()
    service.posts.append(answer(400, {"message": "no such shot"}))
    lines = [shot("b", "a"), shot("a")]
    async with FakeClient(service) as client:
        await run_all(client, lines, output=tmp_path)
        async with client.resume(tmp_path, retry_failed=True) as results:
            stages = {result.job.id: result.stage async for result in results}
    assert stages == {"a": Stage.SAVED, "b": Stage.SAVED}
    assert prompts(service) == ["a", "a", "b"]


async def test_one_frame_that_many_children_begin_with_is_taken_once(tmp_path: Path, quick: list[Any]) -> None:
    children = [shot(f"child{n}", "a") for n in range(5)]
    second = shot("other", "a", image_url={"from": "a", "frame": 1.5})
    async with FakeClient(FakeService()) as client:
        await run_all(client, [shot("a"), *children, second], output=tmp_path)
    assert Counter(quick) == Counter([("a.mp4", "last"), ("a.mp4", 1.5)])


async def test_a_job_may_take_two_frames_of_one_parent(tmp_path: Path, quick: list[Any]) -> None:
    both = shot("b", "a", tail_image_url={"from": "a", "frame": "first"})
    service = FakeService()
    async with FakeClient(service) as client:
        results = await run_all(client, [shot("a"), both], output=tmp_path)
    assert results["b"].stage is Stage.SAVED
    assert Counter(quick) == Counter([("a.mp4", "last"), ("a.mp4", "first")])
    assert service.bodies[1].keys() >= {"image_url", "tail_image_url"}


async def test_a_failed_child_whose_parent_fails_when_both_are_tried_again_is_asked_about_the_next_time(
    tmp_path: Path,
) -> None:
    service = FakeService()
    service.broken = {"gen-1": "out of paint"}
    async with FakeClient(service) as client:
        await run_all(client, [shot("a"), shot("b", "a")], output=tmp_path)
        service.broken["gen-0"] = "out of paint"
        async with open_journal(tmp_path / JOURNAL) as journal:
            (saved,) = (record for record in journal.all_jobs() if record.job.id == "a")
            error = GenerationFailed("out of paint")
            journal.step(saved.job, saved.progress._replace(stage=Stage.FAILED, error=error, file=None, cost_usd=None))
        service.posts.append(answer(400, {"message": "Body validation error"}))
        async with client.resume(tmp_path, retry_failed=True) as run:
            assert [type(result.error) async for result in run] == [Rejected, ParentFailed]
        service.broken.clear()
        async with client.resume(tmp_path, retry_failed=True) as run:
            assert [result.generation_id async for result in run] == ["gen-0", "gen-1"]
    assert len(service.accepted) == 2


async def test_a_second_line_of_a_parent_s_id_does_not_end_the_wait_for_the_first(tmp_path: Path) -> None:
    service = FakeService()
    async with FakeClient(service) as client, client.run([shot("a"), shot("a"), shot("b", "a")], tmp_path) as run:
        ended = [(result.job.id, result.stage) async for result in run]
    assert ended == [("a", Stage.FAILED), ("a", Stage.SAVED), ("b", Stage.SAVED)]


async def test_a_job_that_takes_frames_of_two_parents_waits_for_the_later_one(tmp_path: Path) -> None:
    both = shot("c", "a", tail_image_url={"from": "b", "frame": "first"})
    service = FakeService(seconds=100)
    async with FakeClient(service, rate=0.05) as client:
        results = await run_all(client, [shot("a"), shot("b"), both], output=tmp_path)
    assert results["c"].stage is Stage.SAVED
    assert service.posted_at[2] >= service.posted_at[1] + 100


async def test_a_parent_of_an_earlier_file_is_taken_from_the_folder(tmp_path: Path) -> None:
    service = FakeService()
    async with FakeClient(service) as client:
        await run_all(client, [shot("a")], output=tmp_path)
        results = await run_all(client, [shot("b", "a")], output=tmp_path)
    assert results["b"].stage is Stage.SAVED
    assert prompts(service) == ["a", "b"]


async def test_a_child_whose_parent_another_run_is_making_stays_planned_and_says_how_to_go_on(tmp_path: Path) -> None:
    service = FakeService(seconds=1000)
    async with FakeClient(service, timeout=10) as client:
        await run_all(client, [shot("a")], output=tmp_path)
        results = await run_all(client, [shot("b", "a"), shot("c", "b")], output=tmp_path)
        assert {type(result.error) for result in results.values()} == {ParentUnfinished}
        assert "job 'b', which cannot begin" in str(results["c"].error)
        assert "job 'a', which is not saved and is no part of this run: `aimlvideo resume`" in str(results["b"].error)
        assert results["b"].stage is Stage.PLANNED
    async with FakeClient(service) as client, client.resume(tmp_path) as resumed:
        assert {result.job.id: result.stage async for result in resumed} == dict.fromkeys("abc", Stage.SAVED)
    assert prompts(service) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([shot("b", "nobody")], "'nobody', which no job has"),
        ([shot("b", "nobody"), shot("c", "b")], "'nobody', which no job has"),
        ([shot("a", "b"), shot("b", "a")], "jobs that wait for each other"),
    ],
)
async def test_what_never_can_begin_fails_with_its_reason(
    tmp_path: Path, lines: list[dict[str, Any]], message: str
) -> None:
    service = FakeService()
    async with FakeClient(service) as client:
        results = await run_all(client, [*lines, *jobs(2)], output=tmp_path)
    for line in lines:
        assert results[line["id"]].stage is Stage.FAILED
        assert message in str(results[line["id"]].error)
    assert len(service.bodies) == 2


async def test_without_a_folder_there_is_nothing_to_take_a_frame_from() -> None:
    async with FakeClient(FakeService()) as client:
        with pytest.raises(InvalidJobs):
            await client.generate(JOB["model"], prompt="x", image_url={"from": "a", "frame": "last"})


@pytest.mark.parametrize("lines", [[shot("a"), shot("b", "a")], [shot("b", "a"), shot("a")]])
@pytest.mark.parametrize("journal", [None, "clips.sqlite3"])
async def test_without_a_folder_a_chain_says_that_it_needs_one_and_its_first_shot_is_made(
    tmp_path: Path, lines: list[dict[str, Any]], journal: str | None
) -> None:
    async with FakeClient(FakeService(), journal=journal and tmp_path / journal) as client:
        results = await run_all(client, lines)
    assert results["a"].stage is Stage.READY
    assert "a run that saves its clips, got none (give it an `output`)" in str(results["b"].error)
    assert results["b"].stage is Stage.PLANNED


async def test_a_spending_limit_holds_for_children_too_and_the_next_run_buys_them(tmp_path: Path) -> None:
    service = FakeService()
    lines = [shot("a"), shot("b", "a"), shot("c", "b")]
    async with FakeClient(service) as client:
        await run_all(client, lines, output=tmp_path, max_spend=0.5)
    assert prompts(service) == ["a", "b"]
    async with FakeClient(service) as client:
        results = await run_all(client, lines, output=tmp_path, max_spend=0.75)
    assert results["c"].stage is Stage.SAVED
    assert prompts(service) == ["a", "b", "c"]


async def test_a_chain_whose_clips_go_to_an_object_store_fetches_them_back_for_their_frames(
    monkeypatch: pytest.MonkeyPatch, quick: list[Any]
) -> None:
    monkeypatch.setattr(MemoryFileSystem, "store", {})
    monkeypatch.setattr(MemoryFileSystem, "pseudo_dirs", [""])
    service, url = FakeService(), "memory://clips/run"
    async with FakeClient(service) as client:
        results = await run_all(client, [shot("a"), shot("b", "a"), shot("c", "a")], output=url)
    assert {result.stage for result in results.values()} == {Stage.SAVED}
    assert set(quick) == {("a.mp4", "last")}
    assert {f"/clips/run/{name}.mp4" for name in "abc"} <= MemoryFileSystem.store.keys()
    assert list(_working_folder(url).rglob("*.mp4")) == []


async def test_who_watches_a_run_reads_which_jobs_wait_for_clips_of_others_and_which_for_a_slot(tmp_path: Path) -> None:
    lines = [shot("a"), shot("b", "a"), shot("c", "a")]
    async with (
        FakeClient(FakeService(seconds=60), max_outstanding=1) as client,
        client.run(lines, output=tmp_path) as results,
    ):
        watcher = RunWatcher(results)
        await anyio.sleep(30)
        assert watcher.snapshot().waiting_for == "2 planned jobs waiting for other jobs' clips"
        await anext(results)
        await anyio.sleep(30)
        assert watcher.snapshot().stages[Stage.PLANNED] == 1
        assert "slot" in watcher.snapshot().waiting_for
