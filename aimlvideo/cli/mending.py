"""What a person settles by hand: doubts, generations from elsewhere, a journal that is gone."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from aimlvideo.cli.account import read_log
from aimlvideo.cli.terminal import Terminal
from aimlvideo.client import VideoClient
from aimlvideo.core.formatting import pluralize
from aimlvideo.core.jobs.file_names import file_name
from aimlvideo.core.jobs.job import Progress, Record, VideoJob
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.services import service_of
from aimlvideo.errors import UsageError
from aimlvideo.shell import clock
from aimlvideo.shell.files.output_folders import JOURNAL, RESULTS, checked_folder
from aimlvideo.shell.files.results_file import read_results
from aimlvideo.shell.journal.sqlite import open_journal


def resolve(folder: Path, job_id: str, generation: str | None, terminal: Terminal) -> int:
    """Settle a job in doubt: it has become `generation`, or (None) it was never accepted. Returns the exit code."""

    async def work() -> None:
        async with open_journal(_there(folder)) as journal:
            record = journal.find(job_id)
            if record is None:
                raise UsageError(f"there is no job {job_id!r} in {folder}")
            journal.step(record.job, settled(record, generation))

    asyncio.run(work())
    terminal.say(said_of(job_id, generation))
    return 0


def settled(record: Record, generation: str | None) -> Progress:
    """Return a doubtful job's progress as a person has settled it. Raises UsageError where it is not in doubt."""
    job, known = record
    if known.stage not in (Stage.SUBMITTING, Stage.IN_DOUBT):
        raise UsageError(f"job {job.id!r} is not in doubt: it is {known.stage}")
    if known.stage is Stage.SUBMITTING:
        known = known.to(Stage.IN_DOUBT)
    return known.to(Stage.RENDERING, generation_id=generation) if generation else known.to(Stage.PLANNED)


def said_of(job_id: str, generation: str | None) -> str:
    """Say how a job was settled."""
    return f"job {job_id!r} " + (f"is generation {generation}" if generation else "is planned again")


def adopt(folder: Path, generations: list[str], model: str, service: str, terminal: Terminal) -> int:
    """Take generations that were submitted elsewhere into a folder's journal; returns the exit code."""

    async def work() -> None:
        async with open_journal(checked_folder(folder) / JOURNAL) as journal:
            journal.note("service", journal.fact("service") or service)
            for name in generations:
                job = VideoJob(model, id=file_name(name, ""))
                journal.adopt(job, Progress(Stage.RENDERING, generation_id=name, submitted_at=clock.wall()))

    asyncio.run(work())
    terminal.say(f"{len(generations)} adopted; to fetch them: aimlvideo wait -o {folder}")
    return 0


def recover(folder: Path, settings: dict[str, Any], terminal: Terminal) -> int:
    """Make a journal again from results.jsonl and the service's log; returns the exit code."""
    if (folder / JOURNAL).exists():
        raise UsageError(f"{folder / JOURNAL} is still there: move it away first (and keep it)")
    rows = list(read_results(folder / RESULTS)) if (folder / RESULTS).exists() else []

    request_log = service_of(settings["service"]).log

    async def work() -> int:
        async with VideoClient(**settings) as client:
            logged = await read_log(client, request_log) if request_log else []
        known = {row.get("generation_id") for row in rows}
        fresh = [row for row in logged if row.succeeded and row.generation_id not in known]
        found = {row.request_id: row.generation_id for row in fresh}
        async with open_journal(folder / JOURNAL, anew=True) as journal:
            journal.note("service", settings["service"])
            with journal.planning():
                for row in rows:
                    journal.recover(row)
                return journal.remember_found(found)

    found = asyncio.run(work())
    more = pluralize(found, "more generation")
    terminal.say(f"{pluralize(len(rows), 'job')} from {RESULTS}, {more} from the service's log")
    terminal.say(
        "the log lists a generation when it has ended: wait until all that were under way have ended (10 minutes, or "
        "3 times what the model takes), recover again, and only then give the run's command again"
    )
    return 0


def _there(folder: Path) -> Path:
    if not (folder / JOURNAL).is_file():
        raise UsageError(f"there is no journal in {folder}: is this the output folder of a run?")
    return folder / JOURNAL
