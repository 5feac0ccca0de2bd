"""`aimlvideo adopt`: generations from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from aimlvideo.cli.exit_codes import exit_codes
from aimlvideo.cli.options import RunPlace, Service, folder_of
from aimlvideo.cli.run_folder import SANDBOX, STORE, RunFolder
from aimlvideo.cli.signals import in_loop
from aimlvideo.cli.typer_app import CommandApp
from aimlvideo.core.formatting import command_line
from aimlvideo.core.jobs.file_names import file_name
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.services import DEFAULT_SERVICE, service_of
from aimlvideo.errors import UsageError
from aimlvideo.pipeline.job_sources import adopt_generation, check_generation_id
from aimlvideo.shell import clock
from aimlvideo.shell.files.object_stores import is_remote
from aimlvideo.shell.files.output_folders import checked_folder, open_folder_journal

app = CommandApp()


@app.command(epilog="Example: aimlvideo adopt clips GENERATION_ID --model alibaba/wan-2-6-t2v")
def adopt(
    place: RunPlace,
    generations: Annotated[list[str], typer.Argument(metavar="GENERATION", help="Ids of generations from elsewhere.")],
    model: Annotated[str, typer.Option(help="Their model, if you know it.")] = "",
    service: Service = DEFAULT_SERVICE,
) -> None:
    """Take generations from elsewhere into a folder; `aimlvideo resume DIR` fetches them."""
    with exit_codes() as terminal:
        _, adopted = adopt_generations(place, generations, model, service)
        here_before = len({*generations}) - adopted
        more = f", {here_before} here before" if here_before else ""
        going_on = command_line("resume", place if is_remote(place) else folder_of(place))
        terminal.say(f"{adopted} adopted{more}; to fetch them: {going_on}")


def adopt_generations(place: str, generations: Sequence[str], model: str, service: str) -> tuple[int, int]:
    """Take generations that were submitted elsewhere into a folder's journal, all of them or, where one is wrong, none.

    One that the journal has stays its job's.

    Returns the number of the run that their jobs are of now, and how many are new.
    """
    for name in generations:
        check_generation_id(name)
    service_of(service)  # a name that no service has would be noted, and refuse the right one from then on
    folder = folder_of(place)

    async def work() -> tuple[int, int]:
        async with open_folder_journal(checked_folder(folder)) as journal:
            if journal.fact(SANDBOX):
                # What is begun there is begun anew: the ids would be dropped.
                raise UsageError(f"the clips in {folder} are the embedded sandbox's: use another folder")
            jobs_before = sum(journal.counts().values())
            with journal.planning():
                # Asked at another service, they would be unknown there, and count as failed.
                RunFolder(folder).claim_service(journal, service)
                if is_remote(place):
                    journal.note(STORE, place)
                for name in dict.fromkeys(generations):
                    safe_name = file_name(name, "")
                    job = VideoJob(model, id=name if safe_name == name else file_name(name, "", hashed_id=name))
                    rendering = Progress(Stage.RENDERING, generation_id=name, submitted_at=clock.wall())
                    journal.step(*adopt_generation(journal, job, rendering))
            return journal.run, sum(journal.counts().values()) - jobs_before

    return in_loop(work())
