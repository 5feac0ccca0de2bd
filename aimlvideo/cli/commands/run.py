"""`aimlvideo run`: every clip of a job file; the same command again carries on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from aimlvideo.cli.commands.check import check_file
from aimlvideo.cli.cost_estimate import Tally
from aimlvideo.cli.exit_codes import exit_codes
from aimlvideo.cli.options import (
    ClientOptions,
    JobFileOptions,
    JobsArgument,
    OutputOrStore,
    Service,
    UseSandbox,
)
from aimlvideo.cli.plan import JobReader, may_be_bought
from aimlvideo.cli.run_options import (
    LEGACY_URLS,
    NAMING,
    PLAIN_CLIPS,
    RunOptions,
    SharedRunOptions,
    claim_folder,
    same_service,
)
from aimlvideo.cli.service_facts import ServiceFacts
from aimlvideo.cli.session import CommandRun, client_of
from aimlvideo.cli.terminal import Terminal
from aimlvideo.cli.typer_app import CommandApp
from aimlvideo.client import VideoClient
from aimlvideo.core.catalog.catalog import Catalog
from aimlvideo.core.jobs.file_names import JOURNAL, unknown_fields_problem
from aimlvideo.core.jobs.templates import MATRIX
from aimlvideo.core.money.pricing import PRICES, prices_from_json, prices_to_json
from aimlvideo.core.services import DEFAULT_SERVICE
from aimlvideo.errors import InvalidJobs, SettingsError, UsageError, VideoError
from aimlvideo.pipeline.prices import keep_prices
from aimlvideo.settings import resolve_key
from aimlvideo.shell.files.job_files import NO_DEFAULTS, JobDefaults, JobFile, Line
from aimlvideo.shell.files.object_stores import is_remote, journal_folder
from aimlvideo.shell.files.output_folders import checked_folder
from aimlvideo.shell.journal.base import UPLOAD, Journal
from aimlvideo.shell.journal.sqlite import open_journal
from aimlvideo.shell.state.catalog_cache import known_catalog

app = CommandApp()


@app.command(epilog="Example: aimlvideo run jobs.jsonl -o clips --max-spend 20")
def run(
    jobs: JobsArgument,
    output: OutputOrStore,
    *,
    file: JobFileOptions,
    service: Service = DEFAULT_SERVICE,
    shared: SharedRunOptions,
    sandbox: UseSandbox = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Validate and price only, as `check` does: nothing is sent.")
    ] = False,
) -> None:
    """Make every clip of a job file. The same command again carries on where it stopped."""
    terminal = shared.terminal()
    with exit_codes(terminal):
        settings = shared.client(service, strict=file.strict)
        settings["local_files"] = not file.no_local_files
        if dry_run:
            raise typer.Exit(check_file(jobs, settings, terminal, file, sandbox=sandbox))
        store = output if is_remote(output) else None
        options = shared.run(journal_folder(output), service, store=store, strict=file.strict, matrix=file.matrix)
        raise typer.Exit(run_jobs(jobs, settings, options, terminal, file.defaults(), sandbox=sandbox))


def run_jobs(
    name: str,
    settings: ClientOptions,
    options: RunOptions,
    terminal: Terminal,
    defaults: JobDefaults = NO_DEFAULTS,
    *,
    sandbox: bool,
) -> int:
    """Make every clip of a job file; return the exit code."""
    if not sandbox:
        _require_key(JobFile(name), settings, options, defaults, terminal)
    command = CommandRun(options, terminal, whole_folder=False)

    async def work() -> VideoError | None:
        async with client_of(settings, sandbox=sandbox) as client:
            facts = await ServiceFacts.of(client)
            command.run = await plan(name, settings, options, terminal, facts, defaults, client, sandbox=sandbox)
            # What is planned was held against the service's own words a moment ago.
            client.skip_preflight()
            return await command.process(client)

    return command.to_the_end(work)


async def plan(
    name: str,
    settings: ClientOptions,
    options: RunOptions,
    terminal: Terminal,
    facts: ServiceFacts,
    defaults: JobDefaults,
    client: VideoClient | None = None,
    *,
    sandbox: bool = False,
) -> int:
    """Write all jobs of a file into the journal and return the number of their run.

    Nothing is written where anything is wrong, the balance is too low, or a person does not agree to the price. With a
    `client`, the service is asked for models that the catalogue does not know, and the file read once more.
    """
    file, catalog = JobFile(name), known_catalog() if client is None else client.catalog
    reader = _reader(file, settings, options, catalog)
    try:
        return await _plan_once(reader, file, settings, options, terminal, facts, defaults, sandbox=sandbox)
    except InvalidJobs:
        if client is None or not file.can_be_read_again or not await client.learn_models(reader.unknown_models):
            reader.say_remarks(terminal.remark)
            raise
    return await plan(name, settings, options, terminal, facts, defaults, client, sandbox=sandbox)


async def _plan_once(
    reader: JobReader,
    file: JobFile,
    settings: ClientOptions,
    options: RunOptions,
    terminal: Terminal,
    facts: ServiceFacts,
    defaults: JobDefaults,
    *,
    sandbox: bool,
) -> int:
    """Write all jobs of a file into the journal and return the number of their run; leave no trace of a failure."""
    tally = Tally(reader.catalog, facts.prices)
    folder_was_there, is_new = options.output.exists(), False
    checked_folder(options.output)
    try:
        with file.lines(reader.catalog, defaults) as lines:
            async with open_journal(options.output / JOURNAL) as journal:
                is_new = not journal.counts()  # only now: another run may have begun it a moment ago
                with journal.planning():
                    claim_folder(options.output, journal, sandbox=sandbox)
                    journal.note("service", same_service(options.output, journal.fact("service"), options.service))
                    if options.matrix:
                        journal.note(MATRIX, "yes")
                    _note_options(journal, settings, options)
                    _plan_file(journal, reader, lines, tally, name=options.name, retry_failed=options.retry_failed)
                    _keep_prices(journal, facts)
                    reader.say_remarks(terminal.remark)
                    summary = tally.summary_for(settings, facts)
                    stated = summary.obstacles(facts, max_spend=options.max_spend)
                    stated.refuse(terminal, anyway=options.anyway)
                    summary.confirm(terminal, above=options.confirm_above, anyway=options.anyway)
                return journal.run
    except (UsageError, KeyboardInterrupt):
        if is_new:
            _remove_journal(options.output)
        if not folder_was_there and not any(options.output.iterdir()):
            options.output.rmdir()
        raise


def _reader(file: JobFile, settings: ClientOptions, options: RunOptions, catalog: Catalog) -> JobReader:
    reader = JobReader(catalog, options.service, file.folder, options.strict, options.matrix, options.legacy)
    reader.uploads, reader.local_files = bool(settings.get("upload")), settings.get("local_files", True)
    return reader


def _require_key(
    file: JobFile, settings: ClientOptions, options: RunOptions, defaults: JobDefaults, terminal: Terminal
) -> None:
    """Raise SettingsError where there is no key; where the file is wrong too, say so, and raise InvalidJobs."""
    try:
        resolve_key(settings["api_key"], settings["service"])
    except SettingsError as error:
        reader = _reader(file, settings, options, known_catalog())
        reader.read_all(file, defaults)
        if reader.problems:
            terminal.problem(str(error))
            raise InvalidJobs(reader.problems) from None
        raise


def _keep_prices(journal: Journal, facts: ServiceFacts) -> None:
    """Keep the prices of what is planned, for `status` and for the next run."""
    if facts.prices:
        priced = facts.prices.keys() & journal.planned_models().keys()
        prices = prices_from_json(journal.fact(PRICES)) | {model: facts.prices[model] for model in sorted(priced)}
        keep_prices(journal, prices_to_json(prices))


def _remove_journal(folder: Path) -> None:
    """Leave no trace of a run that never began."""
    for name in (JOURNAL, f"{JOURNAL}-wal", f"{JOURNAL}-shm", f"{JOURNAL}.lock"):
        (folder / name).unlink(missing_ok=True)


def _plan_file(
    journal: Journal,
    reader: JobReader,
    lines: Iterator[Line],
    tally: Tally,
    *,
    name: str = "",
    retry_failed: bool = False,
) -> None:
    """Write every job of a file down as planned, inside `planning`, and count those that may be bought in `tally`.

    Raises InvalidJobs with all problems, and UsageError where `name`, a template, has a field that no job has.
    """
    reader.records = lambda: chain(journal.ended_jobs(), journal.open_jobs())
    fields: set[str] = set()
    for where, job, params in reader.jobs(lines):
        if name:
            fields.update(params, reader.params_of(job))
        try:
            planned = journal.plan(job, distinct=job.derived)
        except InvalidJobs as error:
            reader.problems += (replace(problem, where=where) for problem in error.problems)
        else:
            if may_be_bought(planned, retry_failed=retry_failed):
                tally.add(job.model, params)
    # After all lines: a job may refer to one that stands below it.
    reader.check_chains(lambda name: journal.find(name) is not None)
    if reader.problems:
        raise InvalidJobs(reader.problems)
    if problem := name and unknown_fields_problem(name, fields):
        raise UsageError(f"--name: {problem}")


def _note_options(journal: Journal, settings: ClientOptions, options: RunOptions) -> None:
    """Keep what a run was told of its clips and of where they are made, for `resume`."""
    journal.note(NAMING, options.name)
    journal.note(PLAIN_CLIPS, "" if settings.get("metadata", True) else "yes")
    journal.note(LEGACY_URLS, "yes" if options.legacy else "")
    journal.note(UPLOAD, settings.get("upload") or "")
