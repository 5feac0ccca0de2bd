"""`aimlvideo resume`: carry on with everything that a folder has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from aimlvideo.cli.cost_estimate import Tally
from aimlvideo.cli.exit_codes import exit_codes
from aimlvideo.cli.options import ClientOptions, RunPlace, folder_of
from aimlvideo.cli.run_folder import NAMING, SANDBOX, RunFolder
from aimlvideo.cli.run_options import RunOptions, SharedRunOptions
from aimlvideo.cli.service_facts import ServiceFacts
from aimlvideo.cli.session import RunSession, client_of
from aimlvideo.cli.terminal import Terminal
from aimlvideo.cli.typer_app import CommandApp
from aimlvideo.core.jobs.file_names import NameTemplate
from aimlvideo.core.jobs.progress import Record
from aimlvideo.errors import ServiceError, UsageError, VideoError
from aimlvideo.pipeline.retries import may_be_bought
from aimlvideo.shell.files.output_folders import open_folder_journal
from aimlvideo.shell.state.catalog_cache import known_catalog

app = CommandApp()


@app.command(epilog="Example: aimlvideo resume clips --max-spend 20")
def resume(
    place: RunPlace,
    *,
    service: Annotated[
        str | None, typer.Option(help="The service. Without it: the one that the folder was started with.")
    ] = None,
    shared: SharedRunOptions,
) -> None:
    """Carry on with all unfinished jobs of a folder.

    The service, --name, --upload, --legacy and --no-metadata are those of its last run, where they are not given here.
    """
    with exit_codes(json=shared.json, quiet=shared.quiet) as terminal:
        folder = RunFolder(folder_of(place))
        begun_with = folder.service(service)
        options = shared.as_begun(folder)
        run_options = options.run_options(folder.path, store=folder.store(place))
        raise typer.Exit(carry_on(options.client_options(begun_with, terminal), run_options, terminal))


def carry_on(settings: ClientOptions, options: RunOptions, terminal: Terminal, run: int | None = None) -> int:
    """Carry on with all that a folder has, or with the jobs of one `run` of it; return the exit code."""
    folder = RunFolder(options.output)

    async def work() -> VideoError | None:
        async with open_folder_journal(folder.path) as journal:
            sandbox = bool(journal.fact(SANDBOX))
            if sandbox:
                folder.claim(journal, sandbox=True)
            if options.name and options.name != journal.fact(NAMING):
                _check_name(options.name, journal.open_jobs(run=run))
            async with client_of(settings, sandbox=sandbox) as client:
                try:
                    facts = await ServiceFacts.of(client, terminal.remark)
                except ServiceError as error:  # a wrong key would only make every poll fail
                    raise UsageError(str(error)) from error
                tally = Tally(known_catalog(), facts.prices)
                for record in journal.open_jobs(retry_failed=options.retry_failed, run=run):
                    if may_be_bought(record, retry_failed=options.retry_failed):
                        tally.add(record.job.model, record.job.params)
                tally.summary(settings, facts).agree(
                    facts, terminal, max_spend=options.max_spend, above=options.confirm_above, anyway=options.anyway
                )
                tally.keep_prices(journal)
                return await session.process(client, journal)

    session = RunSession(options, terminal, run, whole_folder=run is None)
    return session.to_the_end(work)


def _check_name(template: str, records: Iterator[Record]) -> None:
    """Raise UsageError where a template of clips' names has a field that no job has: all would be named alike."""
    fields: set[str] = set()
    names: set[str] = set()
    for job, _ in records:
        fields.update(job.params)
        names.add(job.model)
    for model in map(known_catalog().find, names):
        fields.update(model.params if model else ())
    if names and (problem := NameTemplate(template).problem(fields)):
        raise UsageError(f"--name: {problem}")
