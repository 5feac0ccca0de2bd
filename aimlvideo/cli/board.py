"""The live board of a run, from the command."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aimlvideo.cli.address import Address
from aimlvideo.cli.terminal import Terminal
from aimlvideo.pipeline.batch import Batch
from aimlvideo.settings import LOOPBACK
from aimlvideo.views.live_progress import watcher_of
from aimlvideo.views.report.board import open_board
from aimlvideo.views.sentences import brief


@asynccontextmanager
async def served(batch: Batch, at: Address | None, terminal: Terminal, *, retried: bool) -> AsyncIterator[None]:
    """Serve the board of a run, where one was asked for; beyond this machine behind a token of its own."""
    if at is None:
        yield
        return
    (host, port), lookout = at, watcher_of(batch, retried=retried)
    token = "" if host in LOOPBACK else secrets.token_urlsafe(18)
    async with open_board(batch, lambda: brief(lookout.look()), host=host, port=port, token=token) as url:
        terminal.say(f"the board is at {url}")
        yield
