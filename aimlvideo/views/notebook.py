"""How results look in a notebook: a clip plays, a run is a small table that updates in place.

The one place that knows `IPython`, which need not be installed; nothing here matters outside a notebook.
"""

from __future__ import annotations

import base64
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import repeat, takewhile
from typing import Any

from aimlvideo.core.formatting import format_spent, redact_for_display
from aimlvideo.core.jobs.result import Result
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.pipeline.run import Run
from aimlvideo.views.snapshot import COLOURS, ORDER, RunSnapshot, RunWatcher

MAX_EMBED_BYTES = 8_000_000
"""Bytes of the largest clip that becomes part of the notebook itself."""
REFRESH_SECONDS = 0.5
"""Seconds between two updates of a table."""
log = logging.getLogger("aimlvideo")


def _in_notebook() -> bool:
    """Tell whether this runs in a notebook's kernel (Jupyter, VS Code and their like)."""
    # Not imported for this: where nobody has loaded IPython, this is no notebook, and loading it takes half a second.
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell is not None and hasattr(shell, "kernel")


def _escaped(text: str) -> str:
    from html import escape  # noqa: PLC0415 - it brings a table of all entities along

    return escape(text)


def _result_html(result: Result) -> str:
    """Return a result as HTML: its clip, embedded where it is small, or by its link; else what became of it."""
    is_said = result.cost_usd is not None or result.cost_units is not None
    cost = f" · {format_spent(result.cost_usd or 0.0, result.cost_units)}" if is_said else ""
    about = f"<b>{_escaped(result.job.id)}</b> · {_escaped(result.job.model)} · {result.stage.value}{cost}"
    reason = (
        f'<br><span style="color:{COLOURS[Stage.FAILED][1]}">{_escaped(redact_for_display(str(result.error)))}</span>'
        if result.error
        else ""
    )
    return f'<div style="max-width:40rem">{_film(result)}<div>{about}{reason}</div></div>'


def _film(result: Result) -> str:
    source = ""
    if result.path is not None and result.path.is_file():
        # A clip in the notebook's own file is seen wherever the notebook is opened; a large one would make it unusable.
        if result.path.stat().st_size <= MAX_EMBED_BYTES:
            source = "data:video/mp4;base64," + base64.b64encode(result.path.read_bytes()).decode()
        else:
            name = _escaped(str(result.path))
            return f'<a href="{name}">{name}</a>'
    elif result.ok and (result.video_url or "").startswith(("https://", "http://")):
        source = _escaped(result.video_url or "")
    style = "max-width:100%;max-height:24rem"
    return f'<video src="{source}" controls loop muted style="{style}"></video>' if source else ""


def _table_html(snapshot: RunSnapshot) -> str:
    """Return a snapshot of a run as HTML: a stacked bar, the counts, and when it ends."""
    total = snapshot.total or sum(snapshot.stages.values())
    present = [stage for stage in ORDER if snapshot.stages.get(stage)]
    bar = "".join(
        f'<span style="width:{100 * snapshot.stages[stage] / total:.2f}%;background:{COLOURS[stage][1]}"></span>'
        for stage in present
    )
    heads = "".join(f"<th>{stage.replace('_', ' ')}</th>" for stage in present)
    cells = "".join(f"<td>{snapshot.stages[stage]:,}</td>" for stage in present)
    failures = "".join(
        f"<li><b>{_escaped(name)}</b>: {_escaped(redact_for_display(why))}</li>" for name, why in snapshot.failures
    )
    return (
        f'<div style="max-width:46rem"><div style="display:flex;height:8px;border-radius:4px;overflow:hidden">{bar}'
        f"</div><table><thead><tr><th>clips</th>{heads}</tr></thead>"
        f"<tbody><tr><td>{snapshot.counts()}</td>{cells}</tr></tbody></table>"
        f"<div>{_escaped(snapshot.brief())}</div>" + (f"<ul>{failures}</ul>" if failures else "") + "</div>"
    )


def _show_run(run: Run) -> None:
    """Show a run as a table that updates in place until the run is left."""
    from IPython.display import HTML, display  # noqa: PLC0415 - only in a notebook

    watcher = RunWatcher(run)
    handle: Any = display(HTML(_table_html(watcher.snapshot())), display_id=True)  # type: ignore[no-untyped-call]
    if not run.closed:
        run.tasks.start_soon(_update, watcher, lambda text: handle.update(HTML(text)))  # type: ignore[no-untyped-call]


async def _update(watcher: RunWatcher, show: Callable[[str], None]) -> None:
    run = watcher.run
    going_on = takewhile(lambda _: not run.input_exhausted or run.entries, repeat(REFRESH_SECONDS))
    try:
        try:
            await watcher.watch(lambda snapshot: show(_table_html(snapshot)), going_on)
        finally:
            show(_table_html(watcher.snapshot()))
    except Exception:
        # The channel to the page may be closed, and the clips are paid.
        log.exception("unexpected error while progress was shown: the run goes on without it")


@contextmanager
def progress(run: Run) -> Iterator[None]:
    """Show the progress of a run: a table in a notebook, a block in a terminal, lines elsewhere."""
    if _in_notebook():
        _show_run(run)
        yield
        return
    from aimlvideo.views.console import Screen  # noqa: PLC0415 - as above
    from aimlvideo.views.live_progress import live_progress  # noqa: PLC0415 - `rich` only where it is used

    screen = Screen(stderr=True)
    with live_progress(RunWatcher(run), screen, is_interactive=screen.is_interactive):
        yield


Result.html = _result_html
Run.display = _show_run
