"""`aimlvideo join`: the clips of a run as one film."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from aimlvideo.cli.distributed_options import DatabaseOptions
from aimlvideo.cli.exit_codes import exit_codes
from aimlvideo.cli.options import Folder, JsonObject, file_of
from aimlvideo.cli.typer_app import CommandApp
from aimlvideo.core.formatting import command_line, format_seconds, pluralize
from aimlvideo.core.jobs.file_names import JOURNAL
from aimlvideo.core.jobs.progress import Progress
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.errors import UsageError
from aimlvideo.shell.files.video import join_clips
from aimlvideo.shell.journal.sqlite_reader import read_journal

app = CommandApp()


@app.command(epilog="Example: aimlvideo join clips -o film.mp4 --fade 0.5")
def join(
    folder: Folder,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="The file of the film.", parser=file_of)
    ],
    database: DatabaseOptions,
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="JOB", help="Jobs in the order of the film. Without any: all.")
    ] = None,
    fade: Annotated[float, typer.Option(help="Seconds of cross-fade at each seam; 0 cuts.", min=0)] = 0.0,
    json: JsonObject = False,
) -> None:
    """Join a run's clips to one film, in the order of the job file. Sound is kept, a frame shown twice is dropped.

    With --dsn (or AIMLVIDEO_DSN) the jobs are those of many workers; the folder is where their clips are.
    """
    with exit_codes(json=json) as terminal:
        shared_jobs = database.shared_jobs_of_page(folder, terminal)
        with shared_jobs.journal() if shared_jobs else read_journal(folder / JOURNAL) as journal:
            records = {job.id: progress for job, progress in journal.all_jobs()}
        clips = _saved_clips(folder, records, ids or [])
        film = join_clips(clips, output, fade=fade)
        how = "copied as they are" if film.copied else "encoded anew"
        terminal.say(f"{film.path}: {format_seconds(film.seconds)}, {how}")
        if json:
            names = [str(clip) for clip in clips]
            terminal.value({"film": str(film.path), "seconds": film.seconds, "copied": film.copied, "clips": names})


def _saved_clips(folder: Path, records: Mapping[str, Progress], ids: list[str]) -> list[Path]:
    """Return the clips of these jobs in this order, of all in the run's order without ids. Raises UsageError."""
    unknown = [name for name in ids if name not in records]
    if unknown:
        raise UsageError(f"{folder} has no job {unknown[0]!r}: `{command_line('status', folder)}` shows what it has")
    chosen = {name: records[name] for name in ids} if ids else records
    missing = [name for name, progress in chosen.items() if progress.stage is not Stage.SAVED]
    if missing and ids:
        raise UsageError(f"{pluralize(len(missing), 'clip')} not saved yet: {', '.join(missing[:10])}")
    return [folder / str(progress.file) for progress in chosen.values() if progress.stage is Stage.SAVED]
