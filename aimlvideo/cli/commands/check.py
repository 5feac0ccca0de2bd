"""`aimlvideo check`: what a job file will cost and take, before anything is sent."""

from __future__ import annotations

from typing import NoReturn

import typer

from aimlvideo.cli.cost_estimate import CheckSummary, Tally
from aimlvideo.cli.exit_codes import WRONG_USAGE, exit_codes
from aimlvideo.cli.job_reader import JobReader
from aimlvideo.cli.options import (
    ClientOptions,
    JobFileOptions,
    JobsArgument,
    JsonObject,
    Legacy,
    MaxOutstanding,
    Rate,
    ServiceOptions,
    Upload,
    UseSandbox,
    count_or_auto,
)
from aimlvideo.cli.service_facts import NO_FACTS, ServiceFacts, learn_without_a_run
from aimlvideo.cli.terminal import Terminal
from aimlvideo.cli.typer_app import CommandApp
from aimlvideo.core.formatting import pluralize
from aimlvideo.errors import InvalidJobs
from aimlvideo.shell.files.job_files import JobFile
from aimlvideo.shell.state.catalog_cache import known_catalog

app = CommandApp()


@app.command(epilog="Example: aimlvideo check jobs.jsonl")
def check_jobs(
    jobs: JobsArgument,
    file: JobFileOptions,
    access: ServiceOptions,
    max_outstanding: MaxOutstanding = "20",
    rate: Rate = 5.0,
    legacy: Legacy = False,
    upload: Upload = None,
    sandbox: UseSandbox = False,
    json: JsonObject = False,
) -> None:
    """Validate and price a job file; nothing is sent that costs anything."""
    with exit_codes(json=json) as terminal:
        settings = access.client_options(
            max_outstanding=count_or_auto("--max-outstanding", max_outstanding), rate=rate, legacy=legacy, upload=upload
        )
        raise typer.Exit(check_file(jobs, settings, terminal, file, sandbox=sandbox))


def check_file(
    name: str,
    settings: ClientOptions,
    terminal: Terminal,
    file: JobFileOptions,
    *,
    sandbox: bool = False,
    may_ask: bool = True,
) -> int:
    """Validate and price a job file, sending nothing that is paid; return the exit code.

    With `may_ask`, the service is asked for models that the catalogue does not know, and the file read once more.
    """
    catalog, defaults, jobs = known_catalog(), file.defaults(), JobFile(name)
    options = file.reader_options(settings)
    reader = JobReader(catalog, jobs.folder, options)
    facts, tally, unnamed = NO_FACTS, Tally(catalog), 0
    is_wrong = JobReader(catalog, jobs.folder, options).finds_mistakes(jobs, defaults)
    with jobs.lines(catalog, defaults) as lines:
        for _, job, params in reader.jobs(lines, jobs.title):
            # Not before: what is wrong with a file of which no job can be sent is said at once, and off line too.
            if facts is NO_FACTS and not is_wrong:
                facts = ServiceFacts.asked(settings, terminal.remark, sandbox=sandbox)
                tally = Tally(catalog, facts.prices)
            tally.add(job.model, params)
            unnamed += job.derived
    reader.check_chains()
    if reader.problems:
        again = may_ask and jobs.can_be_read_again
        if again and learn_without_a_run(settings, reader.unknown_models, sandbox=sandbox):
            return check_file(name, settings, terminal, file, sandbox=sandbox, may_ask=False)
        _refuse(reader, terminal)
    reader.say_remarks(terminal.remark)
    summary = tally.summary(settings, facts)
    _show(summary, facts, terminal)
    if unnamed:
        terminal.remark(
            f"{pluralize(unnamed, 'job')} without an id, named by the content: a reworded job is a new clip, and "
            "two identical ones are two clips (a column or field `id` names them)"
        )
    return _show_obstacles(summary, facts, terminal)


def _refuse(reader: JobReader, terminal: Terminal) -> NoReturn:
    """Say what is wrong with a file. Raises InvalidJobs."""
    reader.say_remarks(terminal.remark)
    if terminal.json:
        terminal.value({"problems": [str(problem) for problem in reader.problems]})
    raise InvalidJobs(reader.problems)


def _show(summary: CheckSummary, facts: ServiceFacts, terminal: Terminal) -> None:
    """Say what a file will cost and take."""
    terminal.table(("model", "jobs", "USD", "without a price"), summary.rows())
    terminal.say(summary.price_line())
    likely, late = (_roughly(seconds) for seconds in (summary.estimate.likely, summary.estimate.late))
    guessed = f"; no timing data for {', '.join(summary.estimate.guessed)}" if summary.estimate.guessed else ""
    terminal.say(f"about {likely} (up to {late}){guessed}")
    if summary.balance is not None:
        verdict = {True: "sufficient", False: "not sufficient", None: "unknown: some prices are missing"}
        terminal.say(f"balance: {summary.balance:.2f} USD, {verdict[summary.enough]}")
    if summary.unquoted and facts.why_no_prices:
        terminal.remark(f"price unknown: {facts.why_no_prices}")


def _show_obstacles(summary: CheckSummary, facts: ServiceFacts, terminal: Terminal) -> int:
    """Say what stands in the way of a run; return the exit code."""
    obstacles = summary.obstacles(facts)
    if terminal.json:
        terminal.value({**summary.as_json(), "problems": obstacles.problems})
    for remark in obstacles.remarks:
        terminal.remark(remark)
    for problem in obstacles.problems:
        terminal.problem(problem)
    return WRONG_USAGE if obstacles.problems else 0


def _roughly(seconds: float) -> str:
    """Return a time span as an estimate is said: in one unit."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds > 3 * 86400:
        return f"{seconds / 86400:.0f} days"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
