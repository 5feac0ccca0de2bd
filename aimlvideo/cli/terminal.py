"""What a person sees in the terminal."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from aimlvideo.cli.signals import interrupts_raised
from aimlvideo.core.formatting import printable, without_passwords
from aimlvideo.core.jobs.result import Result

if TYPE_CHECKING:
    from aimlvideo.pipeline.run import Run
    from aimlvideo.views.console import Screen


class Terminal:
    """Says things to a person. With `json`, stdout has nothing but results, and all else goes to stderr."""

    def __init__(self, *, json: bool = False, quiet: bool = False) -> None:
        _make_writable(utf8=json)
        self.json = json
        self.quiet = quiet
        self._out = _Lines(stderr=json)
        self._errors = _Lines(stderr=True)

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
        from aimlvideo.views.live_progress import live_progress  # noqa: PLC0415 - for runs alone
        from aimlvideo.views.snapshot import RunWatcher  # noqa: PLC0415 - for runs alone

        screen = self._out.screen
        disturbed = (self.json and sys.stdout.isatty()) or logging.getLogger("aimlvideo").isEnabledFor(logging.INFO)
        with live_progress(
            RunWatcher.of_journal(run, retried=retried), screen, is_interactive=screen.is_interactive and not disturbed
        ):
            yield

    def problem(self, text: str) -> None:
        """Say what is wrong."""
        self._errors.line(without_passwords(text), "error:", "red")

    def remark(self, text: str) -> None:
        """Say what is odd."""
        if not self.quiet:
            self._errors.line(without_passwords(text), "note:", "yellow")

    def confirm(self, question: str) -> bool:
        """Ask a person at a terminal; where there is none, the answer is yes: the flag was given knowingly."""
        if not sys.stdin.isatty():
            return True
        with interrupts_raised():
            return self._errors.screen.confirm(question)

    def table(self, headings: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> None:
        """Print a table."""
        self._out.screen.table(headings, rows, title)


class _Lines:
    """Lines of text on one of the two streams. For all that is more there is a screen, made when it is needed.

    What draws on a screen takes a sixth of a short command's start.
    """

    def __init__(self, *, stderr: bool) -> None:
        self._stderr = stderr

    @cached_property
    def screen(self) -> Screen:
        from aimlvideo.views.console import Screen  # noqa: PLC0415 - see above

        return Screen(stderr=self._stderr)

    def line(self, text: str, label: str = "", colour: str = "") -> None:
        """Print a line of text, after a label, which has a colour on a terminal."""
        stream = sys.stderr if self._stderr else sys.stdout
        # Once there is a screen, a block may stand on it, above which lines have to be put.
        if "screen" in vars(self) or (label and stream.isatty()):
            self.screen.line(text, label, colour)
            return
        stream.write(f"{label} {printable(text)}\n" if label else f"{printable(text)}\n")
        stream.flush()


def _make_writable(*, utf8: bool) -> None:
    """Let every text be written: JSON in UTF-8 whatever the code page, and `?` for what a terminal cannot show."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        if utf8:
            sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
        else:
            sys.stdout.reconfigure(errors="replace")
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(errors="replace")
