"""`aimlvideo run`: every clip of a job file; the same command again carries on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import typer

from aimlvideo.cli.commands.check import check_file
from aimlvideo.cli.cost_estimate import Tally
from aimlvideo.cli.exit_codes import exit_codes
from aimlvideo.cli.job_reader import JobReader
from aimlvideo.cli.options import (
    ClientOptions,
    JobFileOptions,
    JobsArgument,
    OutputOrStore,
    Service,
    UseSandbox,
)
from aimlvideo.cli.run_folder import LEGACY_URLS, NAMING, PLAIN_CLIPS, STORE, RunFolder
from aimlvideo.cli.run_options import RunOptions, SharedRunOptions
from aimlvideo.cli.service_facts import ServiceFacts
from aimlvideo.cli.session import RunSession, client_of
from aimlvideo.cli.signals import interrupts_raised
from aimlvideo.cli.terminal import Terminal
from aimlvideo.cli.typer_app import CommandApp
from aimlvideo.client import VideoClient
from aimlvideo.core.catalog.catalog import Catalog
from aimlvideo.core.jobs.file_names import JOURNAL, RESULTS, NameTemplate
from aimlvideo.core.jobs.templates import MATRIX
from aimlvideo.core.services import DEFAULT_SERVICE
from aimlvideo.errors import InvalidJobs, SettingsError, UsageError, VideoError
from aimlvideo.pipeline.retries import may_be_bought
from aimlvideo.settings import resolve_key
from aimlvideo.shell.files.job_files import JobFile
from aimlvideo.shell.files.json_jobs import Line
from aimlvideo.shell.files.object_stores import ObjectStore, is_remote, journal_folder
from aimlvideo.shell.files.output_folders import checked_folder, open_folder_journal
from aimlvideo.shell.journal.base import UPLOAD, Journal
from aimlvideo.shell.journal.sqlite import SqliteJournal
from aimlvideo.shell.journal.sqlite_file import JournalFile
from aimlvideo.shell.journal.sqlite_reader import read_journal
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
        bool, typer.Option("--dry-run", help="Validate and price only, as `check` does: nothing is bought.")
    ] = False,
) -> None:
    """Make every clip of a job file. The same command again carries on where it stopped."""
    with exit_codes(json=shared.json, quiet=shared.quiet) as terminal:
        settings = shared.client_options(service, terminal, strict=file.strict)
        settings["local_files"] = not file.no_local_files
        if dry_run:
            raise typer.Exit(check_file(jobs, settings, terminal, file, sandbox=sandbox))
        store = output if is_remote(output) else None
        options = shared.run_options(journal_folder(output), store=store)
        raise typer.Exit(run_jobs(jobs, settings, options, terminal, file, sandbox=sandbox))


def run_jobs(
    name: str,
    settings: ClientOptions,
    options: RunOptions,
    terminal: Terminal,
    file: JobFileOptions,
    *,
    sandbox: bool,
) -> int:
    """Make every clip of a job file; return the exit code."""
    planner = Planner(JobFile(name), settings, options, terminal, file, sandbox=sandbox)
    if not sandbox:
        planner.require_key()
    planner.refuse_mistakes()
    session = RunSession(options, terminal, whole_folder=False)

    async def work() -> VideoError | None:
        if options.store is not None:
            await ObjectStore.opened(options.store)  # before a job is planned that no clip could be saved of
        async with client_of(settings, sandbox=sandbox) as client:
            facts = await ServiceFacts.of(client, terminal.remark)
            async with planner.planned(client, facts) as journal:
                session.run = journal.run
                # What is planned was held against the service's own words a moment ago.
                client.skip_preflight()
                return await session.process(client, journal)

    return session.to_the_end(work)


@dataclass(frozen=True, slots=True)
class Planner:
    """Writes all jobs of a file into the journal of a run's folder.

    Nothing is written where anything is wrong, the balance is too low, or a person does not agree to the price.
    """

    file: JobFile
    settings: ClientOptions
    options: RunOptions
    terminal: Terminal
    reading: JobFileOptions = field(default_factory=JobFileOptions)
    sandbox: bool = False

    def require_key(self) -> None:
        """Raise SettingsError where there is no key; where the file is wrong too, say so, and raise InvalidJobs."""
        try:
            resolve_key(self.settings["api_key"], self.settings["service"])
        except SettingsError as error:
            reader = self.reader(known_catalog())
            reader.read_all(self.file, self.reading.defaults())
            if reader.problems:
                self.terminal.problem(str(error))
                raise InvalidJobs(reader.problems) from None
            raise

    def refuse_mistakes(self) -> None:
        """Raise InvalidJobs for what is wrong with a file by itself, before the service is asked for anything.

        A large file is not read twice for that: what is wrong with it is said after the service's free answers.
        """
        reader = self.reader(known_catalog())
        if reader.finds_mistakes(self.file, self.reading.defaults()):
            reader.say_remarks(self.terminal.remark)
            raise InvalidJobs(reader.problems)

    @asynccontextmanager
    async def planned(self, client: VideoClient, facts: ServiceFacts) -> AsyncIterator[SqliteJournal]:
        """Give the journal of the run's folder, with all jobs written down; leave no trace of a failure to do so."""
        folder = self.options.output
        folder_was_there, is_new, is_planned = folder.exists(), False, False
        checked_folder(folder)
        try:
            async with open_folder_journal(folder) as journal:
                is_new = journal.is_empty  # only now: another run may have begun it a moment ago
                await self._plan_or_learn(journal, client, facts)
                is_planned = True
                yield journal
        finally:
            if is_new and not is_planned:
                JournalFile(folder / JOURNAL).remove(lambda: _is_needless(folder / JOURNAL))
            if not (folder_was_there or is_planned):
                with suppress(OSError):  # something is in it
                    folder.rmdir()

    async def _plan_or_learn(self, journal: Journal, client: VideoClient, facts: ServiceFacts) -> None:
        """Write all jobs down.

        The service is asked for models that the catalogue does not know, and the file read once more.
        """
        while True:
            reader = self.reader(client.catalog)
            try:
                self.plan(journal, reader, facts)
                return
            except InvalidJobs:
                if not self.file.can_be_read_again or not await client.learn_models(reader.unknown_models):
                    reader.say_remarks(self.terminal.remark)
                    raise

    def reader(self, catalog: Catalog) -> JobReader:
        """Return what reads the file's jobs, by this catalogue."""
        return JobReader(catalog, self.file.folder, self.reading.reader_options(self.settings))

    def plan(self, journal: Journal, reader: JobReader, facts: ServiceFacts) -> None:
        """Write all jobs of the file down, and agree on their price; or write nothing."""
        options = self.options
        with ExitStack() as stack:
            with interrupts_raised():  # a pipe is read for as long as its writer takes, and the event loop waits
                lines = stack.enter_context(self.file.lines(reader.catalog, self.reading.defaults()))
            stack.enter_context(journal.planning())
            self._note_options(journal)
            with interrupts_raised():
                tally = self._plan_lines(lines, reader, journal, facts)
            tally.keep_prices(journal)
            reader.say_remarks(self.terminal.remark)
            tally.summary(self.settings, facts).agree(
                facts, self.terminal, max_spend=options.max_spend, above=options.confirm_above, anyway=options.anyway
            )

    def _note_options(self, journal: Journal) -> None:
        """Note whose clips the folder has, and what later commands need to know of the run."""
        folder = RunFolder(self.options.output)
        folder.claim(journal, sandbox=self.sandbox)
        folder.claim_service(journal, self.settings["service"])
        if self.reading.matrix:
            journal.note(MATRIX, "yes")
        journal.note(NAMING, self.options.name)
        journal.note(PLAIN_CLIPS, "" if self.settings.get("metadata", True) else "yes")
        journal.note(LEGACY_URLS, "yes" if self.settings.get("legacy") else "")
        journal.note(UPLOAD, self.settings.get("upload") or "")
        journal.note(STORE, self.options.store or "")

    def _plan_lines(self, lines: Iterator[Line], reader: JobReader, journal: Journal, facts: ServiceFacts) -> Tally:
        """Write every job down as planned; return what those that may be bought will cost.

        Raises InvalidJobs with all problems, and UsageError where `--name` has a field that no job has.
        """
        tally, template = Tally(reader.catalog, facts.prices), self.options.name
        reader.records = journal.all_jobs
        fields: set[str] = set()
        for where, job, params in reader.jobs(lines, self.file.title):
            if template:
                fields.update(params, reader.params_of(job))
            try:
                planned = journal.plan(job, distinct=True)
            except InvalidJobs as error:
                reader.problems += (replace(problem, where=where) for problem in error.problems)
            else:
                if may_be_bought(planned, retry_failed=self.options.retry_failed):
                    tally.add(job.model, params)
        # After all lines: a job may refer to one that stands below it.
        reader.check_chains(lambda name: journal.find(name) is not None)
        if reader.problems:
            raise InvalidJobs(reader.problems)
        if template and (problem := NameTemplate(template).problem(fields)):
            raise UsageError(f"--name: {problem}")
        return tally


def _is_needless(path: Path) -> bool:
    """Tell whether a journal has nothing: another run may have begun it a moment ago.

    Results without a journal would be taken for the rest of a run whose journal was lost.
    """
    if not path.exists():
        return True
    if path.with_name(RESULTS).exists():
        return False
    with read_journal(path) as journal:
        return journal.is_empty
