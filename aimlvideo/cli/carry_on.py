"""Carrying on with all that a folder has: priced and agreed to like the file of a new run."""

from __future__ import annotations

from aimlvideo.cli.cost_estimate import Tally, confirm_cost, obstacles, refuse_obstacles, summary_of
from aimlvideo.cli.options import ClientOptions
from aimlvideo.cli.plan import may_be_bought
from aimlvideo.cli.run_options import RunOptions, is_sandbox_folder, note_sandbox
from aimlvideo.cli.service_facts import ServiceFacts, ask_service
from aimlvideo.cli.session import RunScope, client_of, process, to_the_end
from aimlvideo.cli.terminal import Terminal
from aimlvideo.core.jobs.file_names import JOURNAL
from aimlvideo.errors import ServiceError, UsageError, VideoError
from aimlvideo.shell.journal.sqlite import open_journal, read_journal
from aimlvideo.shell.state.catalog_cache import known_catalog


def carry_on(settings: ClientOptions, options: RunOptions, terminal: Terminal) -> int:
    """Carry on with all that a folder has; return the exit code."""
    sandbox = is_sandbox_folder(options.output)

    async def work() -> VideoError | None:
        if sandbox:
            async with open_journal(options.output / JOURNAL) as journal:
                note_sandbox(options.output, journal, sandbox=True)
        async with client_of(settings, sandbox=sandbox) as client:
            try:
                facts = await ask_service(client)
            except ServiceError as error:  # a wrong key would only make every poll fail
                raise UsageError(str(error)) from error
            _agree(settings, options, facts, terminal)
            return await process(client, options, terminal, scope)

    scope = RunScope()
    return to_the_end(work, options, terminal, scope)


def _agree(settings: ClientOptions, options: RunOptions, facts: ServiceFacts, terminal: Terminal) -> None:
    """Say what is still to be bought of a folder, and ask where that was wanted. Raises UsageError on a no."""
    tally = Tally(known_catalog(), facts.prices)
    with read_journal(options.output / JOURNAL) as journal:
        for record in journal.open_jobs(retry_failed=options.retry_failed):
            if may_be_bought(record, retry_failed=options.retry_failed):
                tally.add(record.job.model, record.job.params)
    summary = summary_of(tally, settings, facts)
    refuse_obstacles(obstacles(summary, facts, max_spend=options.max_spend), terminal, anyway=options.anyway)
    confirm_cost(summary, terminal, above=options.confirm_above, anyway=options.anyway)
