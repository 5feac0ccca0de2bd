"""`aimlvideo resolve`: settle by hand a job whose answer was lost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aimlvideo.cli.distributed_options import DatabaseOptions
from aimlvideo.cli.exit_codes import exit_codes
from aimlvideo.cli.generation_check import Settlement
from aimlvideo.cli.options import ApiKey, BaseUrl, ServiceOptions, folder_of
from aimlvideo.cli.run_folder import RunFolder
from aimlvideo.cli.signals import in_loop
from aimlvideo.cli.terminal import Terminal
from aimlvideo.cli.typer_app import CommandApp
from aimlvideo.core.jobs.file_names import JOURNAL
from aimlvideo.core.jobs.progress import Progress, Record
from aimlvideo.errors import UsageError
from aimlvideo.shell.files.output_folders import open_folder_journal
from aimlvideo.shell.journal.base import JournalReader
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

    The service is asked first: for whom that generation was bought, or whether it did accept the job after all.
    """
    with exit_codes() as terminal:
        if bool(generation) == not_accepted:
            raise UsageError("pass either --generation ID or --not-accepted")
        *folders, job = words
        if len(folders) > 1:
            raise UsageError("pass FOLDER JOB, or JOB --dsn ...")
        run = database.folder_or_shared_jobs(folder_of(folders[0]) if folders else None, terminal)
        if not isinstance(run, Path):
            run.settle(job, generation, base_url=base_url, api_key=api_key)
        else:
            settle_job(run, job, generation, terminal, base_url=base_url, api_key=api_key)
        terminal.say(f"job {job!r} " + (f"is generation {generation}" if generation else "is planned again"))


def settle_job(
    folder: Path,
    job_id: str,
    generation: str | None,
    terminal: Terminal,
    *,
    base_url: str | None = None,
    api_key: str | None = None,
) -> None:
    """Settle a doubt in a folder: the job has become `generation`, or (None) was never accepted.

    Raises UsageError where the journal or the service says otherwise; nothing is changed then.
    """
    run = RunFolder(folder)
    settings = ServiceOptions(service=run.service(), base_url=base_url, api_key=api_key).client_options()
    # Only read so far: an answer may take its time, and another command may want the journal.
    with read_journal(folder / JOURNAL) as journal:
        settlement = Settlement.of(journal, _found(journal, folder, job_id), generation)
    # Nobody can ask an embedded sandbox that is gone.
    progress = settlement.checked(None if run.is_sandbox else settings, terminal)
    in_loop(_write(folder, settlement.record, progress))


async def _write(folder: Path, before: Record, progress: Progress) -> None:
    async with open_folder_journal(folder) as journal:
        record = _found(journal, folder, before.job.id)
        if not record.progress.is_unmoved_since(before.progress):
            raise UsageError(f"job {before.job.id!r} has just moved on: check again with `aimlvideo status`")
        journal.step(record.job, progress)


def _found(journal: JournalReader, folder: Path, job_id: str) -> Record:
    record = journal.find(job_id)
    if record is None:
        raise UsageError(f"there is no job {job_id!r} in {folder}")
    return record
