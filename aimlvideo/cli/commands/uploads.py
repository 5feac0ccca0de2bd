"""`aimlvideo uploads`: what runs with --upload have put into an object store."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from aimlvideo.cli.exit_codes import exit_codes
from aimlvideo.cli.options import JsonObject
from aimlvideo.cli.signals import in_loop
from aimlvideo.cli.terminal import Terminal
from aimlvideo.cli.typer_app import CommandApp
from aimlvideo.core.formatting import pluralize
from aimlvideo.core.jobs.file_names import JOURNAL
from aimlvideo.core.jobs.stages import OUTSTANDING
from aimlvideo.errors import UploadFailed, UsageError
from aimlvideo.shell import clock
from aimlvideo.shell.files.object_stores import is_remote
from aimlvideo.shell.files.uploads import FOLDER_FACT, UploadStore
from aimlvideo.shell.journal.base import Journal, JournalReader
from aimlvideo.shell.journal.sqlite import open_journal
from aimlvideo.shell.journal.sqlite_reader import read_journal

app = CommandApp()


@app.command(epilog="Example: aimlvideo uploads s3://bucket/prefix --remove")
def uploads(
    place: Annotated[
        str, typer.Argument(metavar="URL|DIR", help="The URL of --upload, or the output folder of a run.")
    ],
    remove: Annotated[
        bool,
        typer.Option(
            "--remove",
            help="Below a URL, remove the files whose links have expired; of a run all, once nothing is outstanding.",
        ),
    ] = False,
    json: JsonObject = False,
) -> None:
    """Show the local files that were put behind links, and remove what nobody needs."""
    with exit_codes(json=json) as terminal:
        show = _below_url if is_remote(place) else _of_run
        value = show(place, terminal, remove=remove)
        if not value["folders"]:
            terminal.say(f"no uploaded files are left in {place}")
        if json:
            terminal.value(value)


def _below_url(url: str, terminal: Terminal, *, remove: bool) -> dict[str, Any]:
    """Show what lies below a URL; return the same for a program."""
    store, removed, folders = UploadStore(url), 0, []
    try:
        if remove:
            removed = store.remove_expired(clock.wall())
            terminal.say(f"{pluralize(removed, 'expired folder')} removed")
        for folder in store.names():
            if (until := UploadStore.valid_until(folder)) is not None:
                count = len(store.names(folder))
                terminal.say(f"{url}/{folder}: {pluralize(count, 'file')}, links valid until {_minute(until)}")
                folders.append({"url": f"{url}/{folder}", "files": count, "valid_until": _iso(until)})
    except Exception as error:
        # Each store has its own exceptions.
        raise UploadFailed(f"{url} cannot be read or changed: {error}") from error
    return {"folders": folders, "removed": removed}


def _of_run(folder: str, terminal: Terminal, *, remove: bool) -> dict[str, Any]:
    """Show what a run has put somewhere; return the same for a program."""
    path, count, folders = Path(folder) / JOURNAL, 0, []
    if not path.exists():
        raise UsageError(
            f"there is no journal in {folder}: expected the output folder of a run, or the URL of --upload"
        )
    if remove:

        async def removed() -> int:
            async with open_journal(path) as journal:
                return _remove_of_journal(journal)

        count = in_loop(removed())
        terminal.say(f"{pluralize(count, 'folder')} removed")
    with read_journal(path) as journal:
        for url, name in _upload_folders_of(journal):
            until = UploadStore.valid_until(name)
            terminal.say(f"{url}/{name}: links valid until {_minute(until or 0)}")
            folders.append({"url": f"{url}/{name}", "valid_until": _iso(until or 0)})
    return {"folders": folders, "removed": count}


def _minute(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _upload_folders_of(journal: JournalReader) -> list[tuple[str, str]]:
    """Return the folders of uploads that a journal knows, each with the URL that it is below."""
    places = (name.removeprefix(FOLDER_FACT).rpartition("/") for name in journal.facts(FOLDER_FACT))
    return [(url, folder) for url, _, folder in places]


def _remove_of_journal(journal: Journal) -> int:
    """Remove the uploads that a journal knows of; return how many folders there were.

    Raises UsageError while a generation is outstanding, SettingsError or UploadFailed where they cannot be removed.
    """
    if waiting := sum(journal.counts().get(stage.value, 0) for stage in OUTSTANDING):
        raise UsageError(
            f"{pluralize(waiting, 'generation')} outstanding may still fetch these files: finish the run first"
        )
    folders = _upload_folders_of(journal)
    for url, folder in folders:
        store = UploadStore(url)
        try:
            store.remove(folder, store.names(folder))
        except Exception as error:
            raise UploadFailed(f"uploaded files could not be removed from {url}: {error}") from error
        journal.forget(f"{FOLDER_FACT}{url}/{folder}")
    return len(folders)
