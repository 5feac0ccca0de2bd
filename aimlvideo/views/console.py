"""Text, tables and the progress block on a terminal (the one place that knows `rich`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from aimlvideo.core.formatting import printable, redact_for_display
from aimlvideo.views.snapshot import COLOURS, ORDER, RunSnapshot

WIDEST = 110
WIDEST_TABLE = 200
REASON = 160
"""Letters of a failure's reason that are shown while the run goes on."""
ROOM = 24
"""Columns of a table that are left for the others beside one whose cells stay in one piece."""
WHOLE = ("model", "parameter", "job", "generation")
"""Headings of columns whose cells people copy: they are not broken where there is any room."""


class _Stream(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to the command how it ends: rich itself would end it, with a code that says "some failed"."""
        raise  # noqa: PLE0704 - called while the error is handled


class Screen:
    """One of the two streams of a terminal, or whatever stands in for it."""

    def __init__(self, *, stderr: bool = False) -> None:
        self._console = _Stream(stderr=stderr, highlight=False, soft_wrap=True)
        if not self._is_terminal:
            self._console.width = WIDEST_TABLE

    @property
    def _is_terminal(self) -> bool:
        # With FORCE_COLOR, as many a CI has it, rich takes any stream for a terminal.
        return self._console.is_terminal and self._console.file.isatty()

    @property
    def is_interactive(self) -> bool:
        """Whether a block may stay in place here: a real terminal, and colours are welcome."""
        console = self._console
        return self._is_terminal and not console.is_dumb_terminal and not console.no_color

    def line(self, text: str, label: str = "", colour: str = "") -> None:
        """Print a line of text, after a coloured label."""
        shown = f"[{colour}]{escape(label)}[/{colour}] " if label else ""
        self._console.print(shown + escape(printable(text)))

    def confirm(self, question: str) -> bool:
        """Ask yes or no; no is the default."""
        try:
            answer = self._console.input(escape(f"{question} [y/N] "))
        except EOFError:
            return False
        return answer.strip().lower() in ("y", "yes")

    def table(self, headings: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> None:
        """Print a table."""
        table = Table(*headings, title=escape(title) or None, title_justify="left", box=None, pad_edge=False)
        cells = [[str(cell) for cell in row] for row in rows]
        for number, column in enumerate(table.columns):
            column.overflow = "fold"
            longest = max((len(row[number]) for row in cells), default=0)
            column.no_wrap = column.header in WHOLE and longest <= self._console.width - ROOM
        for row in cells:
            table.add_row(*(escape(printable(cell)) for cell in row))
        self._console.print(table, soft_wrap=False)

    @contextmanager
    def block(self) -> Iterator[Callable[[RunSnapshot], None]]:
        """Give a way to draw the progress block; it stays in place and is gone when the block is left."""
        console = self._console
        with Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False) as live:
            plain = not _has_letters(console.encoding)
            yield lambda snapshot: live.update(
                _run_panel(snapshot, min(console.width, WIDEST), plain=plain), refresh=True
            )


BAR, SQUARE, CROSS = "━■✗"
IN_ASCII = {ord(BAR): "=", ord(SQUARE): "#", ord(CROSS): "x", ord("·"): "-"}
"""What stands for the block's own letters where a terminal's code page lacks them."""


def _has_letters(encoding: str) -> bool:
    """Tell whether a terminal can show the letters of the block."""
    try:
        return bool((BAR + SQUARE + CROSS).encode(encoding))
    except (UnicodeEncodeError, LookupError):
        return False


def _run_panel(snapshot: RunSnapshot, width: int, *, plain: bool = False) -> Group:
    """Return the block that shows a run: a bar, the counts, money and time, what it waits for, the last failures.

    With `plain`, its own letters are of ASCII.
    """
    lines = [_bar(snapshot, width), _legend(snapshot)]
    money_and_time = " · ".join(part for part in (snapshot.money(), snapshot.pace_and_eta()) if part)
    lines += [Text(text) for text in (money_and_time, snapshot.waiting_for)]
    lines += [
        Text.assemble((f"{CROSS} ", "red"), (printable(name), "bold"), f": {redact_for_display(reason, REASON)}")
        for name, reason in snapshot.failures
    ]
    if plain:
        for text in lines:
            text.plain = text.plain.translate(IN_ASCII)
    return Group(*(line for line in lines if line.plain))


def _bar(snapshot: RunSnapshot, width: int) -> Text:
    progress = snapshot.counts()
    cells = snapshot.shares(max(10, width - len(progress) - 2))
    bar = Text(no_wrap=True)
    for stage, count in cells.items():
        bar.append(BAR * count, COLOURS[stage][0])
    return bar.append(f"  {progress}", "bold")


def _legend(snapshot: RunSnapshot) -> Text:
    legend = Text()
    for stage in ORDER:
        if count := snapshot.stages.get(stage, 0):
            legend.append(f"{SQUARE} ", COLOURS[stage][0]).append(f"{stage.replace('_', ' ')} {count:,}   ")
    return legend
