"""`aimlvideo resolve`: settle by hand a job whose answer was lost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aimlvideo.cli.distributed_options import DatabaseOptions
from aimlvideo.cli.exit_codes import exit_codes
from aimlvideo.cli.generation_check import check_generation, settled_sentence
from aimlvideo.cli.options import ApiKey, BaseUrl, ServiceOptions, folder_of
from aimlvideo.cli.run_folder import RunFolder
from aimlvideo.cli.signals import in_loop
from aimlvideo.cli.terminal import Terminal
from aimlvideo.cli.typer_app import CommandApp
from aimlvideo.core.jobs.file_names import JOURNAL
from aimlvideo.core.jobs.job import Progress, Record
from aimlvideo.core.lost_submissions import settled_by_hand
from aimlvideo.errors import UsageError
from aimlvideo.shell.journal.base import JournalReader
from aimlvideo.shell.journal.sqlite import open_journal
from aimlvideo.shell.journal.sqlite_reader import read_journal

app = CommandApp()


@app.command(epilog="Example: aimlvideo resolve clips ballerina --not-accepted")
def resolve(
    words: Annotated[
        list[str],
        typer.Argument(metavar="FOLDER JOB", help="The folder, and the job in doubt; with --dsn only the job."),
    ],
    database: DatabaseOptions,
    generation: Annotated[str | None, typer.Option(help="The generation that the job has become.")] = None,
    not_accepted: Annotated[bool, typer.Option("--not-accepted", help="The service never accepted it.")] = False,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Settle by hand a job whose answer was lost, after a look at the service's dashboard.

    With --generation, the service is asked first whether it knows that generation, and for whom it was bought.
    """
    with exit_codes(Terminal()) as terminal:
        if bool(generation) == not_accepted:
            raise UsageError("pass either --generation ID or --not-accepted")
        *folders, job = words
        if len(folders) > 1:
            raise UsageError("pass FOLDER JOB, or JOB --dsn ...")
        run = database.folder_or_shared_jobs(folder_of(folders[0]) if folders else None, terminal)
        if not isinstance(run, Path):
            raise typer.Exit(run.settle(job, generation, base_url=base_url, api_key=api_key))
        _check(run, job, generation, base_url, api_key, terminal)
        in_loop(_settle(run, job, generation))
        terminal.say(settled_sentence(job, generation))


def _check(
    folder: Path, job_id: str, generation: str | None, base_url: str | None, api_key: str | None, terminal: Terminal
) -> None:
    """Raise UsageError where a job cannot be settled so. The journal is only read: an answer may take its time."""
    run = RunFolder(folder)
    service = run.service()
    with read_journal(folder / JOURNAL) as journal:
        record, _ = _settled(journal, folder, job_id, generation)
    # Nobody can ask an embedded sandbox that is gone.
    if generation and not run.is_sandbox:
        settings = ServiceOptions(service=service, base_url=base_url, api_key=api_key).client_options()
        check_generation(record, generation, settings, terminal)


async def _settle(folder: Path, job_id: str, generation: str | None) -> None:
    async with open_journal(folder / JOURNAL) as journal:
        record, progress = _settled(journal, folder, job_id, generation)
        journal.step(record.job, progress)


def _settled(journal: JournalReader, folder: Path, job_id: str, generation: str | None) -> tuple[Record, Progress]:
    record = journal.find(job_id)
    if record is None:
        raise UsageError(f"there is no job {job_id!r} in {folder}")
    owner = journal.by_generation(generation) if generation else None
    return record, settled_by_hand(record, generation, owner)
