"""`aimlvideo run`: every clip of a job file; the same command again carries on."""

from __future__ import annotations

from math import inf
from pathlib import Path
from typing import Annotated

import typer

from aimlvideo.cli.commands.check import check_file
from aimlvideo.cli.cost_estimate import Tally, confirm_cost, obstacles, refuse_obstacles, summary_of
from aimlvideo.cli.options import (
    Anyway,
    ApiKey,
    BaseUrl,
    Board,
    Callback,
    CallbackSecret,
    CallbackUrl,
    ClientOptions,
    ConfirmAbove,
    DefaultModel,
    Downloads,
    JobFile,
    Json,
    Legacy,
    Matrix,
    MaxOutstanding,
    MaxSpend,
    Metrics,
    Name,
    NoMetadata,
    OutputOrStore,
    PollRate,
    Polls,
    Quiet,
    Rate,
    RetryFailed,
    Service,
    SetParams,
    Settle,
    Strict,
    Timeout,
    Upload,
    UseSandbox,
    board_address,
    callback_address,
    client_options,
    count_or_auto,
    exit_codes,
    job_defaults,
)
from aimlvideo.cli.plan import JobReader, plan_file
from aimlvideo.cli.service_facts import ServiceFacts, ask_service
from aimlvideo.cli.session import RunOptions, RunScope, client_of, note_options, process, same_service, to_the_end
from aimlvideo.cli.terminal import Terminal
from aimlvideo.cli.typer_app import command_app
from aimlvideo.client import VideoClient
from aimlvideo.core.jobs.file_names import JOURNAL
from aimlvideo.core.jobs.templates import MATRIX
from aimlvideo.core.money.pricing import EARLIER_PRICES, PRICES, prices_from_json, prices_to_json, with_earlier
from aimlvideo.core.services import DEFAULT_SERVICE
from aimlvideo.errors import InvalidJobs, UsageError, VideoError
from aimlvideo.shell.files.job_files import NO_DEFAULTS, JobDefaults, base_folder, can_be_read_again, job_lines
from aimlvideo.shell.files.object_stores import is_remote, journal_folder
from aimlvideo.shell.files.output_folders import checked_folder
from aimlvideo.shell.journal.base import Journal
from aimlvideo.shell.journal.sqlite import open_journal
from aimlvideo.shell.state.catalog_cache import known_catalog

DryRun = Annotated[bool, typer.Option("--dry-run", help="Validate and price only, as `check` does: nothing is sent.")]

app = command_app()


@app.command(epilog="Example: aimlvideo run jobs.jsonl -o clips --max-spend 20")
def run(
    jobs: JobFile,
    output: OutputOrStore,
    model: DefaultModel = "",
    set_: SetParams = None,
    service: Service = DEFAULT_SERVICE,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
    max_outstanding: MaxOutstanding = "20",
    rate: Rate = 5.0,
    timeout: Timeout = 1800.0,
    max_spend: MaxSpend = None,
    poll: Polls = "learned",
    poll_rate: PollRate = 50.0,
    downloads: Downloads = "auto",
    settle: Settle = None,
    retry_failed: RetryFailed = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Check saved clips by their SHA-256, not only their length.")
    ] = False,
    strict: Strict = False,
    matrix: Matrix = False,
    anyway: Anyway = False,
    confirm_above: ConfirmAbove = None,
    legacy: Legacy = False,
    callback: Callback = None,
    callback_url: CallbackUrl = None,
    callback_secret: CallbackSecret = None,
    name: Name = "",
    upload: Upload = None,
    no_metadata: NoMetadata = False,
    board: Board = None,
    metrics: Metrics = None,
    sandbox: UseSandbox = False,
    dry_run: DryRun = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make every clip of a job file. The same command again carries on where it stopped."""
    terminal = Terminal(json=json, quiet=quiet)
    with exit_codes(terminal):
        settings = client_options(
            service, base_url, api_key, max_outstanding, rate=rate, timeout=timeout, poll=poll, poll_rate=poll_rate,
            settle=settle, strict=strict, legacy=legacy, callback=callback_address(callback), callback_url=callback_url,
            callback_secret=callback_secret, downloads=count_or_auto("--downloads", downloads),
            metadata=not no_metadata, upload=upload,
        )  # fmt: skip
        if dry_run:
            defaults = job_defaults(model, set_)
            raise typer.Exit(
                check_file(jobs, settings, terminal, defaults, strict=strict, matrix=matrix, sandbox=sandbox)
            )
        options = RunOptions(
            output=journal_folder(output), store=output if is_remote(output) else None, service=service, strict=strict,
            legacy=legacy, matrix=matrix, retry_failed=retry_failed, verify=verify, max_spend=max_spend, anyway=anyway,
            name=name, confirm_above=inf if confirm_above is None else confirm_above, board=board_address(board),
            metrics=metrics,
        )  # fmt: skip
        raise typer.Exit(run_jobs(jobs, settings, options, terminal, job_defaults(model, set_), sandbox=sandbox))


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

    scope = RunScope(whole_folder=False)

    async def work() -> VideoError | None:
        async with client_of(settings, sandbox=sandbox) as client:
            facts = await ask_service(client)
            scope.run = await plan(name, settings, options, terminal, facts, defaults, client)
            # What is planned was held against the service's own words a moment ago.
            client.skip_preflight()
            return await process(client, options, terminal, scope)

    return to_the_end(work, options, terminal, scope)


async def plan(
    name: str,
    settings: ClientOptions,
    options: RunOptions,
    terminal: Terminal,
    facts: ServiceFacts,
    defaults: JobDefaults,
    client: VideoClient | None = None,
) -> int:
    """Write all jobs of a file into the journal and return the number of their run.

    Nothing is written where anything is wrong, the balance is too low, or a person does not agree to the price. With a
    `client`, the service is asked for models that the catalogue does not know, and the file read once more.
    """
    catalog = known_catalog() if client is None else client.catalog
    reader = JobReader(catalog, options.service, base_folder(name), options.strict, options.matrix, options.legacy)
    reader.uploads = bool(settings.get("upload"))
    tally = Tally(catalog, facts.prices)
    folder_was_there, is_new = options.output.exists(), False
    checked_folder(options.output)
    try:
        with job_lines(name, catalog, defaults) as lines:
            async with open_journal(options.output / JOURNAL) as journal:
                is_new = not journal.counts()  # only now: another run may have begun it a moment ago
                with journal.planning():
                    journal.note("service", same_service(options.output, journal.fact("service"), options.service))
                    if options.matrix:
                        journal.note(MATRIX, "yes")
                    note_options(journal, settings, options)
                    plan_file(journal, reader, lines, tally, retry_failed=options.retry_failed)
                    _keep_prices(journal, facts)
                    reader.say_remarks(terminal.remark)
                    summary = summary_of(tally, settings, facts)
                    stated = obstacles(summary, facts, max_spend=options.max_spend)
                    refuse_obstacles(stated, terminal, anyway=options.anyway)
                    confirm_cost(summary, terminal, above=options.confirm_above, anyway=options.anyway)
                return journal.run
    except (UsageError, KeyboardInterrupt) as error:
        if is_new:
            _remove_journal(options.output)
        if not folder_was_there and not any(options.output.iterdir()):
            options.output.rmdir()
        read_again = client is not None and can_be_read_again(name) and isinstance(error, InvalidJobs)
        if client is None or not read_again or not await client.learn_models(reader.unknown_models):
            raise
    return await plan(name, settings, options, terminal, facts, defaults, client)


def _keep_prices(journal: Journal, facts: ServiceFacts) -> None:
    """Keep the prices of what is planned, for `status` and for the next run."""
    if facts.prices:
        priced = facts.prices.keys() & journal.planned_models().keys()
        prices = prices_from_json(journal.fact(PRICES)) | {model: facts.prices[model] for model in sorted(priced)}
        text = prices_to_json(prices)
        journal.note(EARLIER_PRICES, with_earlier(journal.fact(EARLIER_PRICES), journal.fact(PRICES), text))
        journal.note(PRICES, text)


def _remove_journal(folder: Path) -> None:
    """Leave no trace of a run that never began."""
    for name in (JOURNAL, f"{JOURNAL}-wal", f"{JOURNAL}-shm", f"{JOURNAL}.lock"):
        (folder / name).unlink(missing_ok=True)
