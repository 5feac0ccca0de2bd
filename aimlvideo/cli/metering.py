"""The page of a run's figures, from the command."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from aimlvideo.cli.terminal import Terminal
from aimlvideo.errors import UsageError
from aimlvideo.views.metrics import Reading


@contextmanager
def metered(read: Callable[[], Iterable[Reading]], port: int | None, terminal: Terminal) -> Iterator[None]:
    """Serve figures on a port of this machine while the block goes on, where one was asked for. Raises UsageError."""
    if port is None:
        yield
        return
    try:
        from aimlvideo.views.metrics import metrics_page  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise UsageError(f"--metrics: {error}: pip install 'aimlvideo[metrics]'") from error
    with metrics_page(read, port) as opened:
        terminal.say(f"the figures are at http://127.0.0.1:{opened}/metrics")
        yield
