"""What a person sees in the terminal (the one place that knows `rich`)."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from aimlvideo.core.job import Result
from aimlvideo.stations.batch import Batch


class Terminal:
    """Says things to a person. With `json`, stdout has nothing but results, and all else goes to stderr."""

    def __init__(self, *, json: bool = False, quiet: bool = False) -> None:
        self.json = json
        self.quiet = quiet
        self._out = Console(stderr=json, highlight=False, soft_wrap=True)
        self._errors = Console(stderr=True, highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """Say something that may be left out."""
        if not self.quiet:
            self._out.print(escape(text))

    def result(self, result: Result) -> None:
        """Print a result as a line of JSON, where that was asked for."""
        if self.json:
            sys.stdout.write(json.dumps(result.row(), ensure_ascii=False) + "\n")
            sys.stdout.flush()

    @contextmanager
    def progress(self, batch: Batch) -> Iterator[None]:
        """Show how a run comes along."""
        yield

    def problem(self, text: str) -> None:
        """Say what is wrong."""
        self._errors.print(f"[red]error:[/red] {escape(text)}")

    def remark(self, text: str) -> None:
        """Say what is odd."""
        if not self.quiet:
            self._errors.print(f"[yellow]note:[/yellow] {escape(text)}")

    def table(self, headings: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> None:
        """Print a table."""
        table = Table(*headings, title=escape(title) or None, title_justify="left", box=None, pad_edge=False)
        for row in rows:
            table.add_row(*(escape(str(cell)) for cell in row))
        self._out.print(table)
