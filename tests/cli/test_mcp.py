"""Agents at a folder of clips: the protocol library's own client, over standard input and output."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from aimlvideo import VideoClient
from aimlvideo.sandbox import Sandbox
from aimlvideo.shell.journal.sqlite_reader import read_journal
from tests.shell.files.test_media import picture
from tests.waiting import until

pytestmark = [pytest.mark.real_time, pytest.mark.long]
MODEL = "kling-video/v1.6/pro/image-to-video"
PARAMS = {"prompt": "waves", "image_url": "https://example.com/a.png", "duration": 5}
TOOLS = {"models", "model", "price", "submit", "status", "wait", "result", "spent"}

Agent = Callable[..., AbstractAsyncContextManager[Any]]


@pytest.fixture
def mcp() -> Any:
    """Return the library: a second that only the worker with these tests needs."""
    return pytest.importorskip("mcp")


@pytest.fixture
def agent(mcp: Any, sandbox: Sandbox, tmp_path: Path) -> Agent:
    """Return a way to begin a session with a server of its own process over the same folder."""

    @asynccontextmanager
    async def session(max_spend: float = 5.0) -> AsyncIterator[Any]:
        words = ["-m", "aimlvideo", "mcp", "-o", str(tmp_path / "clips"), "--max-spend", str(max_spend)]
        env = {
            "AIMLAPI_BASE_URL": sandbox.url, "AIMLAPI_API_KEY": "key-that-nobody-may-see",
            "PYTHONPATH": os.pathsep.join(sys.path),
            **{name: value for name, value in os.environ.items() if name.startswith("XDG_")},
        }  # fmt: skip
        server = mcp.StdioServerParameters(
            command=sys.executable, args=[*words, "--poll", "every:0.1"], env=env, cwd=tmp_path
        )
        async with mcp.Client(server) as client:
            yield client

    return session


@pytest.fixture
def agent_here(mcp: Any, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Agent:
    """Return a way to begin a session with a server in this process over the same folder."""
    from aimlvideo.cli.agent_tools import AgentTools
    from aimlvideo.cli.mcp_server import _server_of

    monkeypatch.chdir(tmp_path)

    @asynccontextmanager
    async def session(max_spend: float = 5.0) -> AsyncIterator[Any]:
        async with (
            VideoClient("key-that-nobody-may-see", sandbox.url, poll="every:0.1") as buyer,
            AgentTools.open(buyer, tmp_path / "clips", max_spend) as tools,
            mcp.Client(_server_of(tools)) as client,
        ):
            yield client

    return session


async def call(client: Any, tool: str, **arguments: Any) -> dict[str, Any]:
    answer = await client.call_tool(tool, arguments)
    assert not answer.is_error, answer.content
    return dict(answer.structured_content)


async def refusal(client: Any, tool: str, **arguments: Any) -> str:
    answer = await client.call_tool(tool, arguments)
    assert answer.is_error
    return str(answer.content[0].text)


async def test_an_agent_makes_a_clip_and_sees_it(agent_here: Agent, sandbox: Sandbox, tmp_path: Path) -> None:
    async with agent_here() as client:
        tools = (await client.list_tools()).tools
        assert {tool.name: tool.annotations.read_only_hint for tool in tools} == {
            name: name != "submit" for name in TOOLS
        }
        assert any(row["model"] == MODEL for row in (await call(client, "models", words="kling"))["models"])
        assert any(row["name"] == "image_url" for row in (await call(client, "model", name=MODEL))["parameters"])
        price = (await call(client, "price", model=MODEL, params=PARAMS))["usd"]
        before = sandbox.stats()["posts"]
        job = await call(client, "submit", model=MODEL, params=PARAMS, id="one")
        again = await call(client, "submit", model=MODEL, params=PARAMS, id="one")
        assert job["generation_id"] == again["generation_id"]
        while (state := await call(client, "wait", id="one", seconds=5))["stage"] != "saved":
            assert state["stage"] in ("rendering", "ready")
        assert Path(state["file"]).read_bytes()[4:8] == b"ftyp"
        facts, picture = (await client.call_tool("result", {"id": "one"})).content
        assert json.loads(facts.text)["cost_usd"] == pytest.approx(price)
        assert picture.mime_type == "image/jpeg"
        assert (await call(client, "spent"))["spent_usd"] == pytest.approx(price)
        assert sandbox.stats()["posts"] - before == 1
        assert "one of 5, 10, got 7" in await refusal(client, "price", model=MODEL, params={**PARAMS, "duration": 7})
        assert "no job 'two'" in await refusal(client, "wait", id="two")
    assert b"key-that-nobody" not in (tmp_path / "clips" / "journal.sqlite3").read_bytes()


@pytest.mark.parametrize("left_out", ["", None])
async def test_what_a_client_leaves_out_may_be_empty_or_null_and_is_described_as_one_type(
    agent_here: Agent, left_out: str | None
) -> None:
    async with agent_here() as client:
        tools = (await client.list_tools()).tools
        # Clients refuse a text where several types are allowed.
        assert all("type" in one for tool in tools for one in tool.input_schema["properties"].values())
        assert (await call(client, "status", id=left_out))["jobs"] == {}
        assert (await call(client, "models", words=left_out)) == (await call(client, "models"))


async def test_a_parameter_beside_the_others_is_refused_and_not_left_out_of_what_is_bought(
    agent_here: Agent, sandbox: Sandbox
) -> None:
    async with agent_here() as client:
        before, job = sandbox.stats()["posts"], {"model": MODEL, "params": PARAMS, "duration": 10}
        for tool in ("submit", "price"):
            assert "got 'duration' beside them" in await refusal(client, tool, **job)
        assert (await call(client, "spent", random_string="x"))["spent_usd"] == 0
        assert sandbox.stats()["posts"] == before


async def test_a_render_outlives_the_call_and_the_process(agent: Agent, sandbox: Sandbox, tmp_path: Path) -> None:
    before, behaviour = sandbox.stats()["posts"], sandbox.behaviour
    sandbox.set(seconds=2.0)
    async with agent() as client:
        job = await call(client, "submit", model=MODEL, params=PARAMS, id="long")
        with read_journal(tmp_path / "clips" / "journal.sqlite3") as journal:
            assert journal.find("long") is not None
        _kill_server(tmp_path)
    async with agent(max_spend=0.01) as client:
        while (state := await call(client, "wait", id="long", seconds=5))["stage"] != "saved":
            assert state["generation_id"] == job["generation_id"]
        assert "left of the limit" in await refusal(client, "submit", model=MODEL, params=PARAMS, id="another")
    assert sandbox.stats()["posts"] - before == 1
    sandbox.behaviour = behaviour


async def test_no_caller_passes_the_limit_in_one_session_or_the_next(agent_here: Agent, sandbox: Sandbox) -> None:
    before = sandbox.stats()["posts"]
    async with agent_here() as client:
        price = (await call(client, "price", model=MODEL, params=PARAMS))["usd"]
    answers: list[Any] = []

    async def buy(client: Any, job_id: str) -> None:
        answers.append(await client.call_tool("submit", {"model": MODEL, "params": PARAMS, "id": job_id}))

    async with agent_here(max_spend=1.5 * price) as client, anyio.create_task_group() as tasks:
        for job_id in ("a", "b", "c"):
            tasks.start_soon(buy, client, job_id)
    assert sorted(answer.is_error for answer in answers) == [False, True, True]
    async with agent_here(max_spend=1.5 * price) as client:
        assert "left of the limit" in await refusal(client, "submit", model=MODEL, params=PARAMS, id="d")
        higher = {"model": MODEL, "params": PARAMS, "id": "e", "max_spend": 100.0}
        assert (await client.call_tool("submit", higher)).is_error
    assert sandbox.stats()["posts"] - before == 1


@pytest.fixture
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder beside the agent's, with a picture in it."""
    folder = tmp_path_factory.mktemp("secrets")
    (folder / "private.png").write_bytes(picture())
    return folder


async def test_an_agent_sends_files_of_its_folder_and_no_others_by_whatever_name(
    agent_here: Agent, sandbox: Sandbox, tmp_path: Path, secrets: Path
) -> None:
    (tmp_path / "mine.png").write_bytes(picture())
    (tmp_path / "link.png").symlink_to(secrets / "private.png")
    before = sandbox.stats()["posts"]
    outside = (
        secrets / "private.png", Path("..") / secrets.name / "private.png", "link.png", "~/private.png", "/etc/hostname"
    )  # fmt: skip
    async with agent_here() as client:
        for name in outside:
            params = {**PARAMS, "image_url": str(name)}
            for tool in ("price", "submit"):
                assert f"a link, or a file below {tmp_path}" in await refusal(client, tool, model=MODEL, params=params)
        missing = {**PARAMS, "image_url": "nothing.png"}
        assert "nothing.png cannot be read" in await refusal(client, "submit", model=MODEL, params=missing)
        params = {**PARAMS, "image_url": "mine.png"}
        assert (await call(client, "submit", model=MODEL, params=params, id="mine"))["stage"] == "rendering"
    assert sandbox.stats()["posts"] - before == 1


async def test_a_signal_ends_a_server_whose_caller_says_nothing(agent: Agent, tmp_path: Path) -> None:
    async with agent() as client:
        assert (await call(client, "spent"))["spent_usd"] == 0
        _kill_server(tmp_path, signal.SIGTERM)
        await until(lambda: not list(_servers_of(tmp_path)), "the server's end")


def _kill_server(folder: Path, number: int = signal.SIGKILL) -> None:
    """End the server of a folder, at once, as a crash does, or by another signal."""
    for server in _servers_of(folder):
        os.kill(server, number)


def _servers_of(folder: Path) -> Iterator[int]:
    """Give the processes that serve a folder."""
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                words = (process / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"mcp" in words and str(folder / "clips").encode() in words:
                yield int(process.name)
