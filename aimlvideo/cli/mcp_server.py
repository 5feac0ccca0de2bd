"""The tools of a folder of clips over the Model Context Protocol (the one place that knows the library `mcp`)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from threading import Thread
from typing import Annotated, Any

import anyio
from mcp.server.mcpserver import Context, Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import WithJsonSchema

from aimlvideo import __version__
from aimlvideo.cli.agent_tools import MAX_WAIT, AgentTools
from aimlvideo.core.formatting import preview
from aimlvideo.errors import VideoError
from aimlvideo.shell.task_groups import task_group

INSTRUCTIONS = f"""\
Makes video clips with hosted models. Every clip costs real money; a clip takes 10 seconds to 9 minutes.
1. `models`, then `model` for the parameters, then `price` before you buy.
2. `submit` buys one clip and returns its job id at once. Submit again with the same id and parameters after a lost
   answer: it is bought once only. Another id buys another clip.
3. `wait` at most {MAX_WAIT:.0f} seconds a call, as often as needed, also in a later session: jobs outlive this process.
4. `result` shows a picture of the clip and names its file.
5. A picture is a link, or a file below the folder that this server was started in. A clip may begin with a frame of
   another one: {{"image_url": {{"from": "JOB ID", "frame": "last"}}}}; submit both at once, it waits for the other.
The spending limit was set by a person, for the whole folder. Do not try to get around it. A clip whose content was
refused is refused again: change the prompt or the pictures, under a new id."""

OptionalText = Annotated[str | None, WithJsonSchema({"type": "string"})]
"""A text that may be left out: some clients send an empty one or null then, and take no text that may be null."""
READS = ToolAnnotations(read_only_hint=True)
BUYS = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=True)


async def serve(tools: AgentTools) -> None:
    """Speak the protocol on standard input and output until the caller hangs up, or this is cancelled."""
    with _input_that_can_end() as caller:
        async with task_group(wait=True) as tasks:

            async def speak() -> None:
                await _server_of(tools).run_stdio_async()
                tasks.cancel_scope.cancel()

            tasks.start_soon(speak)
            tasks.start_soon(_hang_up_when_cancelled, caller)


@contextmanager
def _input_that_can_end() -> Iterator[FileIO]:
    """Have standard input come through a pipe, and give the pipe's writing end: closing it is the end of the input.

    The library reads in a thread that it waits for, so that a signal would end nothing while a caller says nothing.
    """
    caller, (reader, writer) = os.dup(0), os.pipe()
    os.dup2(reader, 0)
    os.close(reader)
    with FileIO(writer, "wb") as pipe:
        # Nobody waits for this one, and it holds no lock while it reads: it ends with the process.
        Thread(target=_pass_on, args=(caller, pipe), daemon=True).start()
        yield pipe


def _pass_on(caller: int, pipe: FileIO) -> None:
    """Copy what a caller says into a pipe, until it hangs up or the pipe is closed."""
    with suppress(OSError, ValueError), pipe:
        while said := os.read(caller, 65536):
            pipe.write(said)


async def _hang_up_when_cancelled(pipe: FileIO) -> None:
    try:
        await anyio.sleep_forever()
    finally:
        pipe.close()


class _Server(MCPServer[Any]):
    """A server that takes no parameter of a job beside `params`: its library leaves it out, and the clip is bought."""

    async def call_tool(self, name: str, arguments: dict[str, Any], context: Context[Any] | None = None) -> Any:
        """Return what a tool answers. Raises ToolError."""
        called = (tool.input_schema for tool in await self.list_tools() if tool.name == name)
        expected = [parameter for schema in called for parameter in schema["properties"]]
        # What else is left out changes nothing; some clients send a word of their own to a tool that takes none.
        if "params" in expected and (others := arguments.keys() - {*expected}):
            got, names = ", ".join(map(preview, sorted(others))), ", ".join(expected)
            raise ToolError(f"{name}: expected {names}; got {got} beside them. A model's parameters stand in `params`")
        return await super().call_tool(name, arguments, context)


def _server_of(tools: AgentTools) -> MCPServer[Any]:
    """Return the server of these tools."""
    server = _Server(
        "aimlvideo", instructions=INSTRUCTIONS, version=__version__, log_level="ERROR", subscriptions=False
    )
    _add_what_is_free(server, tools)
    _add_what_concerns_a_job(server, tools)
    return server


def _add_what_is_free(server: MCPServer[Any], tools: AgentTools) -> None:
    """Add the tools that need no job: the models, the prices, the money."""

    @server.tool(annotations=READS)
    async def models(words: OptionalText = "") -> dict[str, Any]:
        """List the models: all, or those that fit some words ("image sound")."""
        with _errors_as_tool_errors():
            return tools.models(words or "")

    @server.tool(annotations=READS)
    async def model(name: str) -> dict[str, Any]:
        """Show which parameters one model accepts, and an example of a job."""
        with _errors_as_tool_errors():
            return tools.model(name)

    @server.tool(annotations=READS)
    async def price(model: str, params: dict[str, Any]) -> dict[str, Any]:
        """Check a job and say what it costs in USD, without buying it. `usd` is null where the price is not known."""
        with _errors_as_tool_errors():
            return tools.price(model, params)

    @server.tool(annotations=READS)
    async def spent() -> dict[str, Any]:
        """Say what was spent and committed in this folder, the limit, and what is left of it, in USD."""
        with _errors_as_tool_errors():
            return tools.spent()


def _add_what_concerns_a_job(server: MCPServer[Any], tools: AgentTools) -> None:
    """Add the tools that buy one clip, wait for it and show it."""

    @server.tool(annotations=BUYS)
    async def submit(model: str, params: dict[str, Any], id: OptionalText = "") -> dict[str, Any]:  # noqa: A002
        """Buy one clip and return its job id at once. COSTS MONEY. The same id and parameters are bought once only."""
        with _errors_as_tool_errors():
            return await tools.submit(model, params, id or None)

    @server.tool(annotations=READS)
    async def status(id: OptionalText = "") -> dict[str, Any]:  # noqa: A002
        """Say where one job stands; without an id, all jobs of the folder and the money."""
        with _errors_as_tool_errors():
            return tools.status(id) if id else tools.overview()

    @server.tool(annotations=READS)
    async def wait(id: str, seconds: float = 30.0) -> dict[str, Any]:  # noqa: A002
        """Wait a little for a job to end, and say where it stands. Call it again while the stage is `rendering`."""
        with _errors_as_tool_errors():
            return await tools.wait(id, seconds)

    @server.tool(annotations=READS, structured_output=False)
    async def result(id: str) -> list[Any]:  # noqa: A002
        """Show a small picture of a saved clip, with its file, cost and generation id."""
        with _errors_as_tool_errors():
            picture = await tools.picture(id)
            facts = json.dumps(tools.status(id), ensure_ascii=False)
            return [facts, *([Image(data=picture, format="jpeg")] if picture else [])]


@contextmanager
def _errors_as_tool_errors() -> Iterator[None]:
    """Let a caller read our own errors; the library hides every other one."""
    try:
        yield
    except VideoError as error:
        raise ToolError(str(error)) from error
