"""Progress while a run goes on: a block that stays in place, or, on a pipe, a line at sensible moments."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import anyio

from aimlvideo.core.jobs.stages import Stage
from aimlvideo.pipeline.run import Run
from aimlvideo.views.console import Screen
from aimlvideo.views.sentences import line
from aimlvideo.views.snapshot import RunSnapshot, RunWatcher

REDRAW_SECONDS = 0.25
"""Seconds between two drawings at least."""
SHARE = 0.005
"""The share of a core that drawing may cost: what is dear to draw is drawn more rarely."""
FIRST_LINE, LAST_GAP = 5.0, 60.0
"""Seconds until the first plain line, and between two at most; the gaps double in between."""


@contextmanager
def live_progress(lookout: RunWatcher, screen: Screen, *, is_interactive: bool) -> Iterator[None]:
    """Show how a run comes along until the block is left."""
    run, scope = lookout.run, anyio.CancelScope()
    try:
        if is_interactive:
            with screen.block() as draw:
                run.tasks.start_soon(_redraw, lookout, draw, scope)
                yield
        else:
            run.tasks.start_soon(_lines, lookout, screen, scope)
            yield
    finally:
        scope.cancel()


def watcher_of(run: Run, *, retried: bool = False) -> RunWatcher:
    """Return a lookout over a run that carries on with the jobs of its journal: all of them are known."""
    before, planned, tally = run.spec.journal.counts(), run.spec.journal.planned_models(), run.stats
    if retried:
        before["planned"] = before.get("planned", 0) + before.pop("failed", 0)
    began = {stage: before.get(stage, 0) - tally.stages[stage] + tally.arrived[stage] for stage in Stage}
    for model, known in tally.models.items():
        planned[model] = planned.get(model, 0) + known.came - known.planned
    return RunWatcher(run, began, planned, known=True)


async def _redraw(lookout: RunWatcher, draw: Callable[[RunSnapshot], None], scope: anyio.CancelScope) -> None:
    with scope:
        while True:
            began = time.thread_time()
            draw(lookout.look())
            await anyio.sleep(max(REDRAW_SECONDS, (time.thread_time() - began) / SHARE))


async def _lines(lookout: RunWatcher, screen: Screen, scope: anyio.CancelScope) -> None:
    with scope:
        gap, last = FIRST_LINE, dict(lookout.look().stages)
        while True:
            await anyio.sleep(gap)
            now = lookout.look()
            if now.stages != last:
                screen.line(f"{time.strftime('%H:%M:%S')} {line(now)}")
            gap, last = min(2 * gap, LAST_GAP), dict(now.stages)
