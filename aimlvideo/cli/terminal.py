"""What a person sees in the terminal."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from aimlvideo.core.jobs.job import Result
from aimlvideo.views.console import Screen
from aimlvideo.views.live_progress import live_progress, watcher_of

if TYPE_CHECKING:
    from aimlvideo.pipeline.run import Run


class Terminal:
    """Says things to a person. With `json`, stdout has nothing but results, and all else goes to stderr."""

    def __init__(self, *, json: bool = False, quiet: bool = False) -> None:
        _make_writable(utf8=json)
        self.json = json
        self.quiet = quiet
        self._out = Screen(stderr=json)
        self._errors = Screen(stderr=True)

    def say(self, text: str) -> None:
        """Say something that may be left out."""
        if not self.quiet:
            self._out.line(text)

    def result(self, result: Result) -> None:
        """Print a result as a line of JSON, where that was asked for."""
        if self.json:
            self.value(result.row())

    def value(self, value: Mapping[str, Any]) -> None:
        """Print a line of JSON on stdout."""
        sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
        sys.stdout.flush()

    @contextmanager
    def progress(self, run: Run, *, retried: int = 0) -> Iterator[None]:
        """Show the progress of a run; `retried` jobs that had failed are tried again."""
        if self.quiet:
            yield
            return
        disturbed = (self.json and sys.stdout.isatty()) or logging.getLogger("aimlvideo").isEnabledFor(logging.INFO)
        with live_progress(
            watcher_of(run, retried=retried), self._out, is_interactive=self._out.is_interactive and not disturbed
        ):
            yield

    def problem(self, text: str) -> None:
        """Say what is wrong."""
        self._errors.line(text, "error:", "red")

    def remark(self, text: str) -> None:
        """Say what is odd."""
        if not self.quiet:
            self._errors.line(text, "note:", "yellow")

    def confirm(self, question: str) -> bool:
        """Ask a person at a terminal; where there is none, the answer is yes: the flag was given knowingly."""
        return not sys.stdin.isatty() or self._errors.confirm(question)

    def table(self, headings: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> None:
        """Print a table."""
        self._out.table(headings, rows, title)


def _make_writable(*, utf8: bool) -> None:
    """Let every text be written: JSON in UTF-8 whatever the code page, and `?` for what a terminal cannot show."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        if utf8:
            sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
        else:
            sys.stdout.reconfigure(errors="replace")
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(errors="replace")
