"""Progress while a run goes on: a block that stays in place, or, on a pipe, a line at sensible moments."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import repeat

import anyio

from aimlvideo.core.jobs.stages import Stage
from aimlvideo.views.console import Screen
from aimlvideo.views.snapshot import RunSnapshot, RunWatcher

REDRAW_SECONDS = 0.25
"""Seconds between two drawings at least."""
log = logging.getLogger("aimlvideo")
FIRST_LINE, LAST_GAP = 5.0, 60.0
"""Seconds until the first plain line, and between two at most; the gaps double in between."""


@contextmanager
def live_progress(watcher: RunWatcher, screen: Screen, *, is_interactive: bool) -> Iterator[None]:
    """Show the progress of a run until the block is left: in place, or, on a pipe, in lines."""
    scope = anyio.CancelScope()

    async def until_left(display: Callable[[RunSnapshot], None], every: Iterable[float]) -> None:
        with scope:
            try:
                await watcher.watch(display, every)
            except OSError:  # nobody reads on, which ends the run
                raise
            except Exception:
                log.exception("unexpected error while progress was shown: the run goes on without it")

    start = watcher.run.tasks.start_soon
    try:
        if is_interactive:
            with screen.block() as draw:
                start(until_left, draw, repeat(REDRAW_SECONDS))
                yield
        else:
            start(until_left, _line_printer(screen), _doubling_gaps())
            yield
    finally:
        scope.cancel()


def _doubling_gaps() -> Iterator[float]:
    gap = FIRST_LINE
    while True:
        yield gap
        gap = min(2 * gap, LAST_GAP)


def _line_printer(screen: Screen) -> Callable[[RunSnapshot], None]:
    """Return what prints a line for each snapshot that differs from the one before."""
    last: dict[Stage, int] | None = None

    def show(snapshot: RunSnapshot) -> None:
        nonlocal last
        if last is not None and snapshot.stages != last:
            screen.line(f"{time.strftime('%H:%M:%S')} {snapshot.line()}")
        last = dict(snapshot.stages)

    return show
