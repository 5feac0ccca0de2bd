"""`aimlvideo mcp`: tools for agents, over the Model Context Protocol, within a spending limit."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from aimlvideo.cli.exit_codes import exit_codes
from aimlvideo.cli.options import Polls, ServiceOptions, Timeout, Upload
from aimlvideo.cli.session import client_of
from aimlvideo.cli.signals import in_loop
from aimlvideo.cli.typer_app import CommandApp
from aimlvideo.core.money.budget import checked_limit
from aimlvideo.errors import SettingsError

app = CommandApp()


@app.command(epilog="Example: aimlvideo mcp -o clips --max-spend 5")
def mcp(
    output: Annotated[Path, typer.Option("-o", "--output", help="The folder of the clips and of their journal.")],
    max_spend: Annotated[
        float, typer.Option(help="USD: the most that may ever be spent in this folder. No caller can raise it.")
    ],
    access: ServiceOptions,
    timeout: Timeout = 1800.0,
    poll: Polls = "learned",
    upload: Upload = None,
) -> None:
    """Serve tools for agents on standard input and output, within a spending limit."""
    with exit_codes(json=True):
        checked_limit(max_spend, "--max-spend")
        if find_spec("mcp") is None:
            raise SettingsError("`aimlvideo mcp` needs the extra `mcp`: pip install 'aimlvideo[mcp]'")
        from aimlvideo.cli.agent_tools import AgentTools
        from aimlvideo.cli.mcp_server import serve

        async def work() -> None:
            settings = access.client_options(max_outstanding=20, timeout=timeout, poll=poll, upload=upload)
            async with client_of(settings) as client, AgentTools.open(client, output, max_spend) as tools:
                await serve(tools)

        in_loop(work())
