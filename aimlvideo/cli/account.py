"""What the account says: its balance."""

from __future__ import annotations

import asyncio
from typing import Any

from aimlvideo.cli.terminal import Terminal
from aimlvideo.client import VideoClient
from aimlvideo.core.wires.account import BALANCE, balance_of
from aimlvideo.errors import UsageError


def balance(settings: dict[str, Any], terminal: Terminal) -> int:
    """Say what the account has left; return the exit code."""
    if settings["service"] != "aimlapi":
        raise UsageError("a Kling gateway does not tell a balance: look at its dashboard")

    async def asked() -> float:
        async with VideoClient(**settings) as client:
            return balance_of(await client.send(BALANCE))

    terminal.say(f"{asyncio.run(asked()):.2f} USD")
    return 0
