"""The pages that a run serves while it goes on: the board, and the figures for Prometheus."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from aimlvideo.cli.options import Address
from aimlvideo.cli.terminal import Terminal
from aimlvideo.core.links import LOOPBACK
from aimlvideo.errors import UsageError
from aimlvideo.pipeline.run import Run
from aimlvideo.views.live_progress import watcher_of
from aimlvideo.views.sentences import brief

if TYPE_CHECKING:
    from aimlvideo.views.metrics import Reading


@asynccontextmanager
async def serve_board(run: Run, at: Address | None, terminal: Terminal, *, retried: int) -> AsyncIterator[None]:
    """Serve the board of a run, where one was asked for; beyond this machine behind a token of its own."""
    if at is None:
        yield
        return
    from aimlvideo.views.report.board import open_board  # noqa: PLC0415 - a web server and templates that few runs need

    (host, port), watcher = at, watcher_of(run, retried=retried)
    token = "" if host in LOOPBACK else secrets.token_urlsafe(18)
    async with open_board(run, lambda: brief(watcher.snapshot()), host=host, port=port, token=token) as url:
        terminal.say(f"the board is at {url}")
        yield


@contextmanager
def serve_metrics(read: Callable[[], Iterable[Reading]], port: int | None, terminal: Terminal) -> Iterator[None]:
    """Serve figures on a port of this machine while the block goes on, where one was asked for. Raises UsageError."""
    if port is None:
        yield
        return
    try:
        from aimlvideo.views.metrics import metrics_page  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise UsageError(f"--metrics: {error}: pip install 'aimlvideo[metrics]'") from error
    with metrics_page(read, port) as opened:
        terminal.say(f"the metrics are at http://127.0.0.1:{opened}/metrics")
        yield
