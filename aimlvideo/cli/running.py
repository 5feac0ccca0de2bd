"""A run from the command: plan the file, see the jobs through, say how it ended."""

from __future__ import annotations

import asyncio
import shlex
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any, TypeVar

from aimlvideo.cli.address import Address
from aimlvideo.cli.board import served
from aimlvideo.cli.catalog import Told, ask_service, price_line, summary_of
from aimlvideo.cli.check_summary import CheckSummary, Tally
from aimlvideo.cli.embedded import sandbox_here
from aimlvideo.cli.jobfile import job_lines
from aimlvideo.cli.metering import metered
from aimlvideo.cli.pages import leave_page
from aimlvideo.cli.planning import JobReader, folder_of, plan_file
from aimlvideo.cli.summary import PRICES, Standing, advice, standing
from aimlvideo.cli.terminal import Terminal
from aimlvideo.client import VideoClient, known_catalog
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.money.pricing import prices_from_json, prices_to_json
from aimlvideo.errors import Refused, UsageError, VideoError
from aimlvideo.shell.files.output_folders import JOURNAL, checked_folder
from aimlvideo.shell.journal.sqlite import Journal, open_journal, read_journal
from aimlvideo.views.metrics import run_metrics

T = TypeVar("T")
SECRETS = ("--api-key", "--callback-secret", "--dsn")


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What `aimlvideo run` was told, beside the client's settings."""

    output: Path
    service: str
    strict: bool = False
    retry_failed: bool = False
    verify: bool = False
    max_spend: float | None = None
    matrix: bool = False
    anyway: bool = False
    confirm_above: float = inf
    board: Address | None = None
    metrics: int | None = None
    store: str | None = None
    """The URL of the object store that clips go to; `output` then is only where the run has its journal."""


def run_jobs(name: str, settings: dict[str, Any], options: RunOptions, terminal: Terminal, *, sandbox: bool) -> int:
    """Make every clip of a job file; return the exit code."""

    async def work() -> VideoError | None:
        async with client_of(settings, sandbox=sandbox) as client:
            told = await ask_service(client)
            tally = await plan(name, options, terminal, told)
            _agreed(summary_of(tally, settings, told), options, terminal)
            return await see_through(client, options, terminal)

    return _to_its_end(work, options, terminal)


def carry_on(settings: dict[str, Any], options: RunOptions, terminal: Terminal) -> int:
    """Carry on with all that a folder has; return the exit code."""
    if not (options.output / JOURNAL).exists():
        raise UsageError(f"there is no journal in {options.output}: is this the output folder of a run?")

    async def work() -> VideoError | None:
        async with client_of(settings) as client:
            return await see_through(client, options, terminal)

    return _to_its_end(work, options, terminal)


def _to_its_end(
    work: Callable[[], Coroutine[Any, Any, VideoError | None]], options: RunOptions, terminal: Terminal
) -> int:
    halted: VideoError | None = None
    hurried = False
    try:
        halted = in_loop(work())
    except KeyboardInterrupt:
        hurried = True
        terminal.say("interrupted")
        if not (options.output / JOURNAL).exists():
            return 3
    except VideoError as error:
        if isinstance(error, UsageError):
            raise
        halted = error
    return closing(options, halted, terminal, hurried=hurried)


async def plan(name: str, options: RunOptions, terminal: Terminal, told: Told) -> Tally:
    """Write all jobs of a file into the journal, nothing where anything is wrong; return what is to be bought."""
    catalog = known_catalog()
    reader = JobReader(catalog, options.service, folder_of(name), options.strict, options.matrix)
    tally = Tally(catalog, told.prices)
    made = not (options.output / JOURNAL).exists()
    checked_folder(options.output)
    try:
        with job_lines(name, catalog) as lines:
            async with open_journal(options.output / JOURNAL) as journal:
                _same_service(journal, options.service)
                plan_file(journal, reader, lines, tally)
                if told.prices:
                    priced = told.prices.keys() & journal.planned_models().keys()
                    known = prices_from_json(journal.fact(PRICES)) | {
                        model: told.prices[model] for model in sorted(priced)
                    }
                    journal.note(PRICES, prices_to_json(known))
    except UsageError:
        if made:
            _take_away(options.output)
        raise
    reader.say_remarks(terminal.remark)
    return tally


def _agreed(summary: CheckSummary, options: RunOptions, terminal: Terminal) -> None:
    """Say the price first; raise UsageError where the balance surely will not do, or a person says no."""
    if not summary.jobs:
        return
    terminal.say(price_line(summary))
    if summary.enough is False and not options.anyway:
        short = f"the balance of {summary.balance:.2f} USD will not do for {summary.dollars:.2f} USD"
        raise UsageError(f"{short}: top up, or say --anyway. The jobs are planned, nothing was sent")
    above = summary.dollars is None or summary.dollars > options.confirm_above
    if above and options.confirm_above < inf and not terminal.agreed("go on?"):
        raise UsageError("not agreed: the jobs are planned, nothing was sent")


async def see_through(client: VideoClient, options: RunOptions, terminal: Terminal) -> VideoError | None:
    """Carry on with every job of the folder; return why submission was halted, if it was."""
    async with client.resume(
        options.store or options.output,
        retry_failed=options.retry_failed,
        verify=options.verify,
        max_spend=options.max_spend,
    ) as results:
        retried = options.retry_failed
        with metered(lambda: run_metrics(results), options.metrics, terminal):
            async with served(results, options.board, terminal, retried=retried):
                with terminal.progress(results, retried=retried):
                    async for result in results:
                        terminal.result(result)
    return results.halted


def closing(options: RunOptions, halted: VideoError | None, terminal: Terminal, *, hurried: bool = False) -> int:
    """Say how the run ended and what to do next; return the exit code."""
    with read_journal(options.output / JOURNAL) as journal:
        now = standing(journal, options.output)
    place = options.store or str(options.output)
    for line in now.lines():
        terminal.say(line)
    if isinstance(halted, Refused) and halted.status == 401 and _nothing_accepted(now):
        terminal.problem(advice(now, halted, _again(), place))
        return 2
    if options.store is None:
        leave_page(options.output, terminal, hurried=hurried)
    terminal.say(advice(now, halted, _again(), place))
    return now.exit_code


def where_it_stands(folder: Path, terminal: Terminal) -> None:
    """Say where a run stands, from its journal alone."""
    with read_journal(folder / JOURNAL) as journal:
        for line in standing(journal, folder).lines():
            terminal.say(line)


@asynccontextmanager
async def client_of(settings: dict[str, Any], *, sandbox: bool = False) -> AsyncIterator[VideoClient]:
    """Give an open client; with `sandbox`, one that talks to an embedded sandbox of its own."""
    if not sandbox:
        async with VideoClient(**settings) as client:
            yield client
        return
    here = {"api_key": "sandbox"} | ({"poll": "every:0.25"} if settings["poll"] == "learned" else {})
    async with sandbox_here() as url, VideoClient(**settings | here | {"base_url": url}) as client:
        yield client


def in_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run one coroutine to its end. SIGTERM ends it as Ctrl-C does."""

    async def run() -> T:
        task = asyncio.current_task()
        if sys.platform != "win32" and task is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await work

    try:
        return asyncio.run(run())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def _again() -> str:
    """Return the command that was given, to be given again; without its secrets."""
    kept: list[str] = []
    for word in sys.argv[1:]:
        if kept and kept[-1] in SECRETS:
            kept.append("...")
        elif word.startswith(tuple(f"{flag}=" for flag in SECRETS)):
            kept.append(f"{word.partition('=')[0]}=...")
        elif word != "--retry-failed":
            kept.append(word)
    return shlex.join(["aimlvideo", *kept])


def _same_service(journal: Journal, service: str) -> None:
    """Keep a folder to one service: its generation ids mean nothing to another."""
    if (before := journal.fact("service") or service) != service:
        raise UsageError(f"{journal.path.parent} was begun with --service {before}: use that, or another folder")
    journal.note("service", service)


def _nothing_accepted(now: Standing) -> bool:
    return not any(count for stage, count in now.counts.items() if stage != Stage.PLANNED)


def _take_away(folder: Path) -> None:
    """Leave no trace of a run that never began."""
    for name in (JOURNAL, f"{JOURNAL}-wal", f"{JOURNAL}-shm", f"{JOURNAL}.lock"):
        (folder / name).unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()
