"""What the commands that see jobs through have in common: the open client, the run, its live pages, how it ended."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from math import ceil
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any, TypeVar

from aimlvideo.cli.embedded_sandbox import sandbox_here
from aimlvideo.cli.exit_codes import ALL_SAVED, UNFINISHED
from aimlvideo.cli.options import Address, ClientOptions, import_metrics
from aimlvideo.cli.run_folder import SANDBOX
from aimlvideo.cli.run_options import RunOptions
from aimlvideo.cli.run_summary import RunSummary, dollars_to_go_on, not_retried
from aimlvideo.cli.signals import in_loop, silence_output
from aimlvideo.cli.terminal import Terminal
from aimlvideo.client import VideoClient
from aimlvideo.core.formatting import command_line, pluralize
from aimlvideo.core.jobs.file_names import JOURNAL, REPORT, RESULTS
from aimlvideo.core.jobs.progress import Record
from aimlvideo.core.jobs.result import Result
from aimlvideo.core.jobs.stages import ENDED, Stage
from aimlvideo.core.money.pricing import PRICES, Prices
from aimlvideo.core.service_clock import CLOCK_OFFSET, offset_remark
from aimlvideo.errors import DiskFailed, InDoubt, JournalError, OverBudget, Refused, UsageError, VideoError
from aimlvideo.pipeline.retries import is_still_refused, may_be_bought
from aimlvideo.pipeline.run import Run
from aimlvideo.shell.journal.base import Journal, JournalReader
from aimlvideo.shell.journal.sqlite import SqliteJournal
from aimlvideo.shell.journal.sqlite_reader import read_journal
from aimlvideo.views.snapshot import RunWatcher

if TYPE_CHECKING:
    from aimlvideo.views.metrics import Reading


T = TypeVar("T")
READ_AHEAD = 64
"""Clips that may be on their way to the disk beside those outstanding: a command takes every result at once."""
SECRETS = ("--api-key", "--callback-secret", "--dsn")
REASONS_SHOWN = 5
"""Reasons for which jobs are unfinished that are said; the jobs of others are counted."""
_NUMBERS = re.compile(r"(\d[\d.,]*( (s|min|h)\b)? ?)+")
"""Counts, sizes and how long something took: what differs between jobs that wait for the same thing."""


class _How(Enum):
    """How the work of a run came to its end."""

    THROUGH = auto()
    INTERRUPTED = auto()
    UNREAD = auto()
    """Nobody reads on: `| head -1`."""
    CUT_SHORT = auto()
    """By an error of ours: what else the command was to do is missing."""


@dataclass(slots=True)
class _UnfinishedReasons:
    """Why a command left jobs unfinished: how many for one reason, and the first of them."""

    by_reason: dict[str, tuple[int, Result]] = field(default_factory=dict)
    others: int = 0
    """How many for further reasons, of which each would be a line of its own."""

    def add(self, result: Result) -> None:
        """Count an unfinished job to those whose reason differs in ids and numbers alone."""
        text, generation_id = str(result.error), result.generation_id
        reason = _NUMBERS.sub("#", text.replace(generation_id, "#") if generation_id else text)
        count, first = self.by_reason.get(reason, (0, result))
        if count or len(self.by_reason) < REASONS_SHOWN:
            self.by_reason[reason] = count + 1, first
        else:
            self.others += 1

    def lines(self) -> Iterator[str]:
        """Say each reason in one line."""
        for count, first in self.by_reason.values():
            others = f" and {pluralize(count - 1, 'more job')}" if count > 1 else ""
            yield f"  unfinished: {first.job.id}{others}: {shorten(str(first.error), 200, placeholder=' ...')}"
        if self.others:
            yield f"  and {self.others:,} more unfinished: all reasons are in {RESULTS}"


@dataclass(slots=True)
class RunSession:
    """A command at work on jobs of its folder: those planned in one run, or, where that is None, all of them."""

    options: RunOptions
    terminal: Terminal
    run: int | None = None
    whole_folder: bool = True
    begun: bool = False
    """Whether jobs were set on their way: from then on no error means that nothing was sent."""
    reasons: _UnfinishedReasons = field(default_factory=_UnfinishedReasons)

    def _note(self, result: Result, halted: VideoError | None) -> None:
        """Keep why a job was left unfinished, where that is neither why the run `halted` nor a doubt of its own."""
        error = result.error
        if error is None or error is halted or isinstance(error, InDoubt) or result.stage in ENDED:
            return
        self.reasons.add(result)

    def to_the_end(self, work: Callable[[], Coroutine[Any, Any, VideoError | None]]) -> int:
        """See the work of the run through, and say how it ended; return the exit code."""
        how, error = _ending_of(work)
        if how is _How.UNREAD:
            silence_output()
        if how is _How.INTERRUPTED:
            self.terminal.say("interrupted")
        if how is _How.CUT_SHORT and error is not None and not self.begun and self._nothing_was_sent(error):
            raise error
        if how in (_How.UNREAD, _How.INTERRUPTED) and not self._is_planned:
            return UNFINISHED
        try:
            code = self.finish(error, hurried=how in (_How.UNREAD, _How.INTERRUPTED))
        except JournalError as unreadable:
            if not self.begun and error is None:
                raise
            # What was sent is sent: this is no mistake in the command.
            self.terminal.problem(str(unreadable) if error is None else f"{error}. And then: {unreadable}")
            return UNFINISHED
        if code == ALL_SAVED and (how is _How.CUT_SHORT or isinstance(error, DiskFailed)):
            # The journal has every clip as saved; what else the command was to do, or the results' lines, are missing.
            self.terminal.problem(str(error))
            return UNFINISHED
        return UNFINISHED if how is _How.UNREAD else code

    @property
    def _is_planned(self) -> bool:
        """Whether the folder's journal has the jobs: of a file that was not planned to its end it has none."""
        return (self.run is not None or self.whole_folder) and (self.options.output / JOURNAL).exists()

    def _nothing_was_sent(self, error: VideoError) -> bool:
        return isinstance(error, UsageError) or not self._is_planned

    async def process(self, client: VideoClient, journal: SqliteJournal) -> VideoError | None:
        """Carry on with the jobs in scope of the folder's journal; return why submission was halted, if it was.

        Raises UsageError where the service refuses the key before it has accepted anything of this run.
        """
        retried = self._retried(journal) if self.options.retry_failed else 0
        client.use_prices(Prices.of_text(journal.fact(PRICES)))
        client.use_journal(self.options.output, journal)
        async with client.resume(
            self.options.store or self.options.output,
            retry_failed=self.options.retry_failed,
            verify=self.options.verify,
            max_spend=self.options.max_spend,
            name=self.options.name,
            run=self.run,
        ) as results:
            if self.terminal.json:
                # Before anything is awaited: a job that ends from here on has its line from the results.
                for result in self._ended_before(journal):
                    self.terminal.result(result)
            with serve_metrics(lambda: _figures(results), self.options.metrics, self.terminal):
                async with _serve_board(results, self.options.board, self.terminal, retried=retried):
                    with self.terminal.progress(results, retried=retried):
                        self.begun = True
                        async for result in results:
                            self._note(result, results.halted)
                            self.terminal.result(result)
            if (remark := offset_remark(client.clock_offset)) is not None:
                self.terminal.remark(remark)
            journal.note(CLOCK_OFFSET, str(client.clock_offset or 0.0))
        halted = results.halted
        # A wrong key at the very start is a mistake in the command (exit code 2); later it is one that was revoked, and
        # what was bought goes on (exit code 3).
        if isinstance(halted, Refused) and halted.status == 401 and not results.stats.accepted:
            self.begun = False
            raise UsageError(f"{halted}. Then: {command_again()}")
        return halted

    def _ended_before(self, journal: Journal) -> Iterator[Result]:
        """Give the jobs in scope that have ended and are not gone on with: a program reads a line for them, too."""
        for record in journal.ended_jobs(run=self.run):
            is_saved = record.progress.stage is Stage.SAVED
            if is_saved or not self.options.retry_failed or is_still_refused(record):
                yield Result.of(*record, self.options.output)

    def _retried(self, journal: Journal) -> int:
        """Return how many failed jobs are tried again; say how many are not: moderation refused what they still are."""
        failed = [record for record in journal.ended_jobs(run=self.run) if record.progress.stage is Stage.FAILED]
        refused = sum(is_still_refused(record) for record in failed)
        if refused:
            self.terminal.say(not_retried(refused))
        return len(failed) - refused

    def _to_buy(self, journal: JournalReader) -> Iterator[Record]:
        """Give the jobs in scope that the same command may still buy, but for those whose answer was lost."""
        retry_failed = self.options.retry_failed
        for record in journal.open_jobs(retry_failed=retry_failed, run=self.run):
            is_at_rest = record.progress.stage in (Stage.PLANNED, Stage.FAILED)
            if is_at_rest and may_be_bought(record, retry_failed=retry_failed):
                yield record

    def finish(self, halted: VideoError | None, *, hurried: bool = False) -> int:
        """Say how the run ended and what to do next; return the exit code, which speaks of the jobs in question."""
        with read_journal(self.options.output / JOURNAL) as journal:
            summary = RunSummary.of(journal, self.options.output, run=self.run)
            going_on = _command_to_go_on(halted, dollars_to_go_on(journal, self._to_buy(journal)))
            is_sandbox = bool(journal.fact(SANDBOX))
        for line in (*summary.lines(), *self.reasons.lines()):
            self.terminal.say(line)
        if is_sandbox:
            self.terminal.say("made by the embedded sandbox: test pictures, and nothing was paid")
        if self.options.store is None:
            _leave_page(self.options.output, self.terminal, hurried=hurried)
        if advice := summary.advice(halted, going_on, _retry_command(going_on, self.options.output)):
            self.terminal.say(advice)
        elif self.options.store is not None:
            self.terminal.say(f"the clips are in {self.options.store}")
        return summary.exit_code


def _ending_of(work: Callable[[], Coroutine[Any, Any, VideoError | None]]) -> tuple[_How, VideoError | None]:
    """Do the work; return how it ended, and what halted it or cut it short."""
    try:
        return _How.THROUGH, in_loop(work())
    except BrokenPipeError:
        return _How.UNREAD, None
    except KeyboardInterrupt:
        return _How.INTERRUPTED, None
    except VideoError as error:
        return _How.CUT_SHORT, error


@asynccontextmanager
async def client_of(settings: ClientOptions, *, sandbox: bool = False) -> AsyncIterator[VideoClient]:
    """Give an open client; with `sandbox`, one that talks to an embedded sandbox of its own."""
    if not sandbox:
        async with VideoClient(**settings, buy_ahead=READ_AHEAD) as client:
            yield client
        return
    async with sandbox_here() as url:
        options: ClientOptions = {**settings, "api_key": "sandbox", "base_url": url}
        if options.get("poll", "learned") == "learned":
            options["poll"] = "every:0.25"
        async with VideoClient(**options) as client:
            yield client


def command_again() -> str:
    """Return this command as it can be typed again; without its secrets."""
    words: list[str] = []
    for word in sys.argv[1:]:
        if words and words[-1] in SECRETS:
            words.append("...")
        elif word.startswith(tuple(f"{flag}=" for flag in SECRETS)):
            words.append(f"{word.partition('=')[0]}=...")
        elif word != "--retry-failed":
            words.append(word)
    return command_line(*words)


def _retry_command(going_on: str, folder: Path) -> str:
    """Return a command that tries failed jobs again: this one, where it can, else the one for a whole folder."""
    with_retries = going_on.split()[1:2] in (["run"], ["resume"])
    return f"{going_on if with_retries else command_line('resume', folder)} --retry-failed"


def _command_to_go_on(halted: VideoError | None, dollars: float | None) -> str:
    """Return a command that goes on: after a spending stop, with a limit of these `dollars` (None: without one)."""
    command = command_again()
    if not isinstance(halted, OverBudget):
        return command
    limit = "" if dollars is None else f" --max-spend {ceil(dollars * 100 - 1e-6) / 100:.2f}"
    # Rounded up to the cent: a suggestion that is a fraction too low would stop at the same place again.
    return re.sub(r" --max-spend[ =]\S+", "", command) + limit


def _figures(results: Run) -> Iterable[Reading]:
    from aimlvideo.views.metrics import run_metrics  # noqa: PLC0415 - an extra

    return run_metrics(results)


def _leave_page(folder: Path, terminal: Terminal, *, hurried: bool) -> None:
    """Write the page at the end of a run; in a hurry without new posters. A page that fails fails no run."""
    try:
        from aimlvideo.views.report.report_file import write_report  # noqa: PLC0415 - templates, at the end of a run only

        write_report(folder, patience=0.0) if hurried else write_report(folder)
    except DiskFailed as error:
        terminal.remark(str(error))
    else:
        terminal.say(f"report: {folder / REPORT}")


@asynccontextmanager
async def _serve_board(run: Run, at: Address | None, terminal: Terminal, *, retried: int) -> AsyncIterator[None]:
    """Serve the board of a run, where one was asked for."""
    if at is None:
        yield
        return
    from aimlvideo.views.report.board import Board  # noqa: PLC0415 - a web server and templates that few runs need

    (host, port), watcher = at, RunWatcher.of_journal(run, retried=retried)
    async with Board.serve(run, lambda: watcher.snapshot().brief(), host=host, port=port) as url:
        terminal.say(f"the board is at {url}")
        yield


@contextmanager
def serve_metrics(read: Callable[[], Iterable[Reading]], port: int | None, terminal: Terminal) -> Iterator[None]:
    """Serve figures on a port of this machine while the block goes on, where one was asked for. Raises UsageError."""
    if port is None:
        yield
        return
    with import_metrics().metrics_page(read, port) as opened:
        terminal.say(f"the metrics are at http://127.0.0.1:{opened}/metrics")
        yield
