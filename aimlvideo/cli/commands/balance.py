"""`aimlvideo balance`: what the account has left."""

from __future__ import annotations

import asyncio

from aimlvideo.cli.options import ApiKey, BaseUrl, Service, exit_codes, settings_of
from aimlvideo.cli.terminal import Terminal
from aimlvideo.cli.typer_app import command_app
from aimlvideo.client import VideoClient
from aimlvideo.core.services import service_of
from aimlvideo.errors import UsageError

app = command_app()


@app.command()
def balance(service: Service = "aimlapi", base_url: BaseUrl = None, api_key: ApiKey = None) -> None:
    """Say what the account has left."""
    terminal = Terminal()
    with exit_codes(terminal):
        settings = settings_of(service, base_url, api_key, "1")
        account, question = service_of(service), service_of(service).balance
        if question is None:
            raise UsageError(f"{account.title} has no balance to ask for: look at {account.key_url}")

        async def ask() -> float:
            async with VideoClient(**settings) as client:
                return question.read(await client.send(question.request))

        terminal.say(f"{asyncio.run(ask()):.2f} USD")
