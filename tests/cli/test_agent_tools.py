"""What agents may do with a folder: chains, the same words twice, endless words, and a limit that always holds."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from aimlvideo.cli import agent_tools
from aimlvideo.cli.agent_tools import AgentTools
from aimlvideo.core.jobs.file_names import JOURNAL
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.errors import InvalidJobs, OverBudget, UsageError
from aimlvideo.shell.files import video
from aimlvideo.shell.journal.sqlite import open_journal
from tests.fakes import MODEL, PRICE, FakeClient, FakeService, quick_downloads
from tests.shell.files.test_media import picture
from tests.shell.files.test_uploads import CLIP, FACE, PLACE, store

__all__ = ["store"]
PARAMS = {"prompt": "waves", "image_url": "https://example.com/a.png"}
Tools = Callable[..., AbstractAsyncContextManager[AgentTools]]


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def tools(service: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tools:
    """Return a way to open the tools of one folder, again and again; clips and frames are there at once."""
    quick_downloads(monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(agent_tools, "CHECK_SECONDS", 1.0)  # virtual ones: ten times as many cost more than all else
    monkeypatch.setattr(video, "frame_png", lambda clip, when: picture())

    @asynccontextmanager
    async def opened(limit: float = 5.0) -> Any:
        async with FakeClient(service) as client, AgentTools.open(client, tmp_path / "clips", limit) as tools:
            yield tools

    return opened


async def ended(tools: AgentTools, name: str) -> dict[str, Any]:
    """Return how a job stands when it has ended."""
    with anyio.fail_after(1000):
        while (state := await tools.wait(name, 50))["stage"] not in ("saved", "failed"):
            pass
    return state


def child(parent: str, **more: Any) -> dict[str, Any]:
    return {**PARAMS, "prompt": f"after {parent}", "image_url": {"from": parent, "frame": "last"}, **more}


async def test_a_chain_may_be_submitted_all_at_once_and_its_price_counts_at_once(
    tools: Tools, service: FakeService
) -> None:
    async with tools() as agent:
        await agent.submit(MODEL, PARAMS, "a")
        assert (await agent.submit(MODEL, child("a"), "b"))["waits_for"] == ["a"]
        assert (await agent.submit(MODEL, child("b"), "c"))["waits_for"] == ["b"]
        assert agent.spent()["committed_usd"] == pytest.approx(3 * PRICE)
        assert (await ended(agent, "c"))["stage"] == "saved"
        assert agent.spent()["spent_usd"] == pytest.approx(3 * PRICE)
    assert len(service.accepted) == 3


@pytest.mark.parametrize(
    ("fact", "message"),
    [
        (("sandbox", "yes"), "the clips in .* are the embedded sandbox's"),
        (("service", "kling"), "was started with service 'kling'"),
    ],
)
async def test_a_folder_of_another_service_or_of_a_sandbox_is_not_gone_on_with(
    tools: Tools, service: FakeService, tmp_path: Path, fact: tuple[str, str], message: str
) -> None:
    (tmp_path / "clips").mkdir()
    async with open_journal(tmp_path / "clips" / JOURNAL) as journal:
        journal.note(*fact)
        journal.adopt(VideoJob(MODEL, id="a", **PARAMS), Progress(Stage.RENDERING, generation_id="gen-7"))
    with pytest.raises(UsageError, match=message):
        async with tools():
            pass
    assert not service.polled_at


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (child("nobody"), "the id of a job"),
        (child("a", image_url={"from": "a"}), 'add "frame": "last"'),
        (child("a", image_url={"from": "a", "frame": "middle"}), "expected"),
    ],
)
async def test_a_chain_that_cannot_be_is_refused_and_nothing_is_bought(
    tools: Tools, service: FakeService, params: dict[str, Any], message: str
) -> None:
    async with tools() as agent:
        await agent.submit(MODEL, PARAMS, "a")
        for refused in (lambda: agent.price(MODEL, params), None):
            with pytest.raises(InvalidJobs, match=message):
                refused() if refused else await agent.submit(MODEL, params, "b")
    assert len(service.accepted) == 1


async def test_what_waited_for_a_parent_when_the_process_ended_is_bought_only_when_it_is_submitted_again(
    tools: Tools, service: FakeService
) -> None:
    async with tools() as agent:
        await agent.submit(MODEL, PARAMS, "a")
        await agent.submit(MODEL, child("a"), "b")
    async with tools() as agent:
        assert (await ended(agent, "a"))["stage"] == "saved"
        state = agent.status("b")
        assert (state["stage"], state["advice"]) == ("planned", "nothing was sent: submit it again to buy it")
        assert len(service.accepted) == 1
        await agent.submit(MODEL, child("a"), "b")
        assert (await ended(agent, "b"))["stage"] == "saved"
    assert len(service.accepted) == 2


async def test_what_was_only_planned_is_refused_where_the_limit_has_no_room_for_it_any_more(
    tools: Tools, service: FakeService
) -> None:
    async with tools() as agent:
        await agent.submit(MODEL, PARAMS, "a")
        await agent.submit(MODEL, child("a"), "b")
    async with tools(1.5 * PRICE) as agent:
        await ended(agent, "a")
        with pytest.raises(OverBudget, match="Only a person can start this server with a higher --max-spend"):
            await agent.submit(MODEL, child("a"), "b")
    assert len(service.accepted) == 1


async def test_a_child_of_what_was_never_sent_says_so(tools: Tools, service: FakeService) -> None:
    async with tools() as agent:
        await agent.submit(MODEL, PARAMS, "a")
        await agent.submit(MODEL, child("a"), "b")
    async with tools() as agent:
        await agent.submit(MODEL, child("b"), "c")
        await anyio.sleep(1)
        assert "job 'b', which was not sent" in agent.status("c")["error"]
        await ended(agent, "a")
    assert len(service.accepted) == 1


async def test_why_an_earlier_try_was_not_sent_is_not_said_of_the_next_one(tools: Tools, service: FakeService) -> None:
    async with tools() as agent:
        await agent.submit(MODEL, PARAMS, "a")
        await agent.submit(MODEL, child("a"), "b")
    async with tools() as agent:
        await agent.submit(MODEL, child("b"), "c")
        await anyio.sleep(1)
        assert "error" in agent.status("c")
        await agent.submit(MODEL, child("a"), "b")
        assert "error" not in await agent.submit(MODEL, child("b"), "c"), "it is on its way now"
        await ended(agent, "c")
    assert len(service.accepted) == 3


async def test_the_same_words_twice_are_one_clip_and_the_second_answer_says_so(
    tools: Tools, service: FakeService
) -> None:
    async with tools() as agent:
        first = await agent.submit(MODEL, PARAMS, None)
        second = await agent.submit(MODEL, PARAMS, None)
        assert first["id"] == second["id"]
        assert "note" not in first
        assert "another id buys another clip" in second["note"]
        await ended(agent, first["id"])
        assert "nothing was bought" in (await agent.submit(MODEL, PARAMS, None))["note"]
        with pytest.raises(InvalidJobs, match="an id that no other content has"):
            await agent.submit(MODEL, {**PARAMS, "prompt": "wind"}, first["id"])
    assert len(service.accepted) == 1


async def test_the_same_job_again_while_it_waits_to_be_sent_is_not_refused_for_the_money_that_it_was_promised(
    tools: Tools, service: FakeService
) -> None:
    async with tools(2 * PRICE) as agent:
        await agent.submit(MODEL, PARAMS, "a")
        await agent.submit(MODEL, child("a"), "b")
        again = await agent.submit(MODEL, child("a"), "b")
        assert (again["stage"], again["waits_for"]) == ("planned", ["a"])
        await ended(agent, "b")
    assert len(service.accepted) == 2


async def test_another_content_under_an_id_that_is_under_way_is_refused(tools: Tools, service: FakeService) -> None:
    async with tools() as agent:
        await agent.submit(MODEL, PARAMS, "a")
        with pytest.raises(InvalidJobs, match="an id that no other content has"):
            await agent.submit(MODEL, {**PARAMS, "prompt": "wind"}, "a")
        await ended(agent, "a")
    assert len(service.accepted) == 1


async def test_what_is_spent_counts_in_every_later_process_whatever_its_limit(
    tools: Tools, service: FakeService
) -> None:
    for number, limit in enumerate((1.5 * PRICE, 2.5 * PRICE)):
        async with tools(limit) as agent:
            await agent.submit(MODEL, PARAMS, f"bought{number}")
            with pytest.raises(OverBudget, match="Only a person can start this server with a higher --max-spend"):
                await agent.submit(MODEL, {**PARAMS, "prompt": "wind"}, f"refused{number}")
            with pytest.raises(OverBudget):
                await agent.submit(MODEL, child(f"bought{number}"), f"child{number}")
    async with tools(PRICE) as agent:
        assert agent.spent()["remaining_usd"] == 0
        with pytest.raises(OverBudget):
            await agent.submit(MODEL, PARAMS, "more")
    assert len(service.accepted) == 2


async def test_what_is_outstanding_counts_at_the_price_at_which_it_was_bought(
    tools: Tools, service: FakeService
) -> None:
    service.seconds = 10_000
    async with tools() as agent:
        await agent.submit(MODEL, PARAMS, "a")
    service.price = PRICE / 2
    async with tools(1.4 * PRICE) as agent:
        assert agent.spent()["committed_usd"] == pytest.approx(PRICE)
        with pytest.raises(OverBudget, match="USD are left of the limit"):
            await agent.submit(MODEL, {**PARAMS, "prompt": "wind"}, "b")
    assert len(service.accepted) == 1


async def test_an_id_of_any_length_names_a_file_that_fits(tools: Tools, tmp_path: Path) -> None:
    async with tools() as agent:
        job = await agent.submit(MODEL, PARAMS, "shot " * 200)
        state = await ended(agent, job["id"])
        assert Path(state["file"]).parent == tmp_path / "clips"
        assert len(Path(state["file"]).name.encode()) <= 255


async def test_words_that_are_too_long_for_a_model_are_refused_in_few_words(tools: Tools, service: FakeService) -> None:
    async with tools() as agent:
        with pytest.raises(InvalidJobs) as refused:
            await agent.submit("klingai/video-v2-6-pro-text-to-video", {"prompt": "waves " * 10_000}, "long")
        assert "at most 2500" in str(refused.value)
        assert len(str(refused.value)) < 300
    assert not service.accepted


@pytest.mark.parametrize("name", ["../private.png", "link.png", "~/private.png", "/etc/hostname", "clips/../../x.png"])
async def test_a_file_elsewhere_is_never_sent(tools: Tools, service: FakeService, tmp_path: Path, name: str) -> None:
    (tmp_path.parent / "private.png").write_bytes(picture())
    (tmp_path / "link.png").symlink_to(tmp_path.parent / "private.png")
    async with tools() as agent:
        with pytest.raises(UsageError, match=f"a link, or a file below {tmp_path}"):
            await agent.submit(MODEL, {**PARAMS, "image_url": name}, "x")
    assert not service.bodies


async def test_a_file_elsewhere_is_never_sent_under_another_name_of_its_parameter(
    tools: Tools, service: FakeService, tmp_path: Path
) -> None:
    (tmp_path.parent / "private.png").write_bytes(picture())
    others = {name: value for name, value in PARAMS.items() if name != "image_url"}
    async with tools() as agent:
        with pytest.raises(UsageError, match=f"a link, or a file below {tmp_path}"):
            await agent.submit(MODEL, {**others, "first_frame_image": "../private.png"}, "x")
    assert not service.bodies


async def test_a_file_beyond_the_limits_of_its_model_is_refused_before_it_is_bought(
    tools: Tools, service: FakeService, tmp_path: Path
) -> None:
    (tmp_path / "mine.png").write_bytes(picture(width=300))
    async with tools() as agent:
        with pytest.raises(InvalidJobs, match="at least 301 pixels"):
            await agent.submit("minimax/hailuo-2.3", {"prompt": "x", "first_frame_image": "mine.png"}, "x")
    assert not service.bodies


@pytest.mark.parametrize("upload", [None, PLACE])
async def test_a_large_file_is_refused_unless_there_is_a_place_for_it(
    tools: Tools, store: dict[str, Any], service: FakeService, tmp_path: Path, upload: str | None
) -> None:
    (tmp_path / "mine.mp4").write_bytes(CLIP)
    os.truncate(tmp_path / "mine.mp4", 200 * 2**20)
    params = {"video_url": "mine.mp4", "image_url": "https://example.com/a.png"}
    async with FakeClient(service, upload=upload) as client, AgentTools.open(client, tmp_path / "clips", 5.0) as agent:
        error, words = (OverBudget, "price .* is not known") if upload else (InvalidJobs, "or a place for uploads")
        with pytest.raises(error, match=words):
            await agent.submit(FACE, params, "x")


async def test_a_file_of_the_folder_is_sent(tools: Tools, service: FakeService, tmp_path: Path) -> None:
    (tmp_path / "mine.png").write_bytes(picture())
    async with tools() as agent:
        await agent.submit(MODEL, {**PARAMS, "image_url": "mine.png"}, "x")
    assert service.bodies[0]["image_url"].startswith("data:image/png;base64,")


@pytest.mark.parametrize(
    ("params", "name"),
    [({"model": "x"}, None), ({"id": "x"}, None), ({"id": "x"}, "x"), ({"image_url": "\0"}, None), ({}, "\ud800")],
)
async def test_odd_values_are_refused_in_words_and_buy_nothing(
    tools: Tools, service: FakeService, params: dict[str, Any], name: str | None
) -> None:
    async with tools() as agent:
        with pytest.raises(InvalidJobs):
            await agent.submit(MODEL, PARAMS | params, name)
    assert not service.posted_at


async def test_an_id_that_cannot_be_written_is_that_of_no_job(tools: Tools) -> None:
    async with tools() as agent:
        with pytest.raises(UsageError, match="there is no job"):
            agent.status("\ud800")
        with pytest.raises(UsageError, match="there is no job"):
            await agent.wait("\ud800", 1)
        with pytest.raises(UsageError, match="there is no job"):
            await agent.picture("\ud800")
        with pytest.raises(InvalidJobs, match="expected"):
            agent.price(MODEL, child("\ud800"))


async def test_a_clip_is_named_by_its_whole_path_and_what_is_no_clip_says_what_was_expected(
    service: FakeService, tools: Tools, tmp_path: Path
) -> None:
    async with FakeClient(service) as client, AgentTools.open(client, Path("clips"), 5.0) as agent:
        await agent.submit(MODEL, PARAMS, "a")
        with pytest.raises(UsageError, match="it is rendering, expected saved"):
            await agent.picture("a")
        with pytest.raises(UsageError, match="expected the id that `submit` returned"):
            agent.status("b")
        assert (await ended(agent, "a"))["file"] == str(tmp_path / "clips" / "a.mp4")


async def test_an_agent_waits_no_longer_than_until_its_clip_is_sent_and_until_it_is_saved(tools: Tools) -> None:
    async with tools() as agent:
        began = anyio.current_time()
        assert (await agent.submit(MODEL, PARAMS, "x"))["stage"] == "rendering"
        assert anyio.current_time() - began < 3
        rendering = FakeService().seconds
        assert (await agent.wait("x", 50 + rendering))["stage"] == "saved"
        assert anyio.current_time() - began < 20 + rendering


async def test_a_wait_for_no_number_of_seconds_is_over_at_once(tools: Tools) -> None:
    async with tools() as agent:
        await agent.submit(MODEL, PARAMS, "a")
        assert (await agent.wait("a", float("nan")))["stage"] == "rendering"


async def test_a_call_that_is_cancelled_before_its_job_is_written_down_may_be_made_again(
    tools: Tools, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with tools() as agent:
        await agent.submit(MODEL, PARAMS, "a")
        with monkeypatch.context() as patched, anyio.move_on_after(1):
            patched.setattr(agent._journal, "synced", anyio.sleep_forever)
            await agent.submit(MODEL, child("a"), "b")
        await agent.submit(MODEL, child("a"), "b")
        assert (await ended(agent, "b"))["stage"] == "saved"
    assert len(service.posted_at) == 2


async def test_a_saved_clip_whose_file_is_gone_is_fetched_by_the_same_call_and_not_bought(
    tools: Tools, service: FakeService
) -> None:
    async with tools() as agent:
        await agent.submit(MODEL, PARAMS, "a")
        clip = Path((await ended(agent, "a"))["file"])
        content = clip.read_bytes()
        clip.unlink()
        await agent.submit(MODEL, PARAMS, "a")
        assert (await ended(agent, "a"))["stage"] == "saved"
        assert clip.read_bytes() == content
        assert (await agent.submit(MODEL, {**PARAMS, "prompt": "hills"}, "b"))["id"] == "b"
    assert len(service.accepted) == 2


async def test_a_clip_that_was_ready_when_the_process_ended_is_saved_by_the_next_one(
    tools: Tools, service: FakeService, tmp_path: Path
) -> None:
    async with tools() as agent:
        await agent.submit(MODEL, PARAMS, "a")
    async with open_journal(tmp_path / "clips" / JOURNAL) as journal:
        record = journal.find("a")
        assert record is not None
        journal.step(record.job, record.progress.to(Stage.READY, video_url="https://example.com/a.mp4"))
    async with tools() as agent:
        assert (await agent.wait("a", 50))["stage"] == "saved"
    assert len(service.accepted) == 1


async def test_what_is_left_of_a_limit_has_the_digits_in_which_it_differs_from_a_price(
    tools: Tools, service: FakeService
) -> None:
    service.price = 0.0385
    async with tools(0.0381) as agent:
        with pytest.raises(OverBudget, match=r"costs 0.0385 USD and 0.0381 USD are left of the limit of 0.0381 USD"):
            await agent.submit(MODEL, PARAMS, "a")
