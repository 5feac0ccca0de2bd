"""`aimlvideo recover`: a lost journal, rebuilt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from aimlvideo.cli.exit_codes import exit_codes
from aimlvideo.cli.options import ClientOptions, RunPlace, ServiceOptions, folder_of
from aimlvideo.cli.run_folder import STORE
from aimlvideo.cli.signals import in_loop
from aimlvideo.cli.terminal import Terminal
from aimlvideo.cli.typer_app import CommandApp
from aimlvideo.client import VideoClient
from aimlvideo.core.formatting import command_line, pluralize
from aimlvideo.core.jobs.file_names import JOURNAL, RESULTS
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.request_ids import NAMESPACE, id_prefix, job_mark
from aimlvideo.core.money.account import LogRow
from aimlvideo.core.services import service_of
from aimlvideo.core.services.base import Service
from aimlvideo.errors import UsageError
from aimlvideo.shell.files.object_stores import is_remote
from aimlvideo.shell.files.results_file import ResultsFile
from aimlvideo.shell.journal.base import SERVICE
from aimlvideo.shell.journal.sqlite import open_journal
from aimlvideo.shell.state.catalog_cache import known_catalog

app = CommandApp()

MOST_NAMED = 20
"""Generations that one message names at most."""


@app.command(epilog="Example: aimlvideo recover clips")
def recover(place: RunPlace, access: ServiceOptions) -> None:
    """Rebuild a lost journal from results.jsonl and the service's log, or its lists of tasks."""
    with exit_codes() as terminal:
        folder = folder_of(place)
        if not folder.is_dir():
            raise UsageError(f"there is no folder {folder}: expected the output folder of a run that lost its journal")
        recover_journal(folder, access.client_options(), terminal, place if is_remote(place) else None)


def recover_journal(folder: Path, settings: ClientOptions, terminal: Terminal, store: str | None = None) -> None:
    """Rebuild a journal from results.jsonl and the service's log; `store` is where its clips go, if not to the folder.

    Raises UsageError where that cannot be relied on.
    """
    if (folder / JOURNAL).exists():
        raise UsageError(f"{folder / JOURNAL} is still there: move it away first (and keep it)")
    rows, service = _recorded_rows(folder, terminal), service_of(settings["service"])
    has_log = service.log is not None or service.tasks is not None

    async def work() -> int:
        found = await _found_in_log(rows, settings, terminal) if has_log else {}
        # Under another name until it is whole: with half a journal, or an empty one, the other half would be bought
        # again.
        part = folder / f"{JOURNAL}.recovering"
        part.unlink(missing_ok=True)
        async with open_journal(part, create=True) as journal:
            journal.note(SERVICE, service.name)
            journal.note(STORE, store or "")
            with journal.planning():
                for row in rows:
                    journal.recover(row)
                remembered = journal.remember_found(found, service.id_field if service.tasks else "")
        part.replace(folder / JOURNAL)
        part.with_name(f"{part.name}.lock").unlink(missing_ok=True)
        return remembered

    remembered = in_loop(work())
    _say_rebuilt(folder, len(rows), remembered if has_log else None, service, terminal)


def _say_rebuilt(folder: Path, recorded: int, remembered: int | None, service: Service, terminal: Terminal) -> None:
    """Say what a journal was rebuilt of, and what to do before the next run; `remembered` is None without a log."""
    jobs = f"{pluralize(recorded, 'job')} from {RESULTS}"
    if remembered is None:
        terminal.say(jobs)
        terminal.problem(
            f"service {service.name} keeps no log of requests: what was in flight when the journal was lost, and has "
            f"no line in {RESULTS}, the original command would buy again. Look into the service's dashboard before "
            "you give it: of what is there already, leave the job out, and fetch it by "
            f"`{command_line('adopt', folder, 'GENERATION', '--service', service.name)}`"
        )
        return
    source = "log" if service.tasks is None else "lists of tasks"
    terminal.say(f"{jobs}, {pluralize(remembered, 'more generation')} from the service's {source}")
    if remembered:
        terminal.say("those of jobs that this folder does not have do no harm: each is taken only for a job of its id")
    if service.tasks is not None:
        without_ids = " or ".join(place for place, shows_ids in service.tasks.places().items() if not shows_ids)
        terminal.remark(
            f"a task of {without_ids} carries no id of ours, so nobody can tell whose it "
            f"is: where one was in flight and has no line in {RESULTS}, the original command would buy it again. All "
            "others are found: if one was sent just now, wait a minute and run `recover` again, then re-run the "
            "original command"
        )
        return
    terminal.say(
        "the log lists a generation only after it has ended. Wait until everything in flight has ended (10 minutes, or "
        "3 times what the model takes), run `recover` again, then re-run the original command"
    )


def _recorded_rows(folder: Path, terminal: Terminal) -> list[dict[str, Any]]:
    """Return the lines of the results; say how many cannot be read."""
    rows = list(ResultsFile.read(folder / RESULTS)) if (folder / RESULTS).exists() else []
    lines, _ = ResultsFile.count_lines(folder / RESULTS)
    if (passed_over := lines - len(rows)) > 0:
        terminal.remark(
            f"{pluralize(passed_over, 'line')} of {RESULTS} cannot be read, as after a crash: a generation that only "
            "such a line names may be paid, and is not in the journal. Look there, and at the service's dashboard"
        )
    return rows


async def _found_in_log(
    rows: Sequence[Mapping[str, Any]], settings: ClientOptions, terminal: Terminal
) -> dict[str, str]:
    """Return the generations that the service's log has and the results have not, by our request ids.

    Of several for one job the newest alone: the others are named.
    """
    async with VideoClient(**settings) as client:
        reading = await client.read_log(thorough=True)
    # By the job that each line names: a generation whose line was changed to another job is remembered under its own
    # too, else that one would be bought again.
    recorded = {str(row["generation_id"]): _prefix(row) for row in rows if row.get("generation_id")}
    _check_log(set(recorded), reading.rows, complete=reading.complete)
    # A task is told our id wherever it is listed: one without it is another program's, once ids are seen to be shown.
    lists_tasks = service_of(settings["service"]).tasks is not None
    if not lists_tasks or not any(map(_mark, reading.rows)):
        _name_nameless(rows, set(recorded), reading.rows, terminal)
    last_recorded = _newest_recorded(recorded, reading.rows)
    # Only what succeeded: one that failed has no clip, and its job may be sent again.
    mark = partial(_mark, own_ids=lists_tasks)
    fresh = [row for row in reading.rows if row.succeeded and mark(row) and not _is_recorded(row, recorded)]
    fresh = [row for row in fresh if row.created_at >= last_recorded.get(mark(row), 0.0)]
    fresh.sort(key=lambda row: row.created_at)
    newest = {mark(row): row for row in fresh}
    _name_earlier([row for row in fresh if row is not newest[mark(row)]], terminal)
    return {row.request_id: row.generation_id for row in newest.values() if row.request_id and row.generation_id}


def _mark(row: LogRow, *, own_ids: bool = False) -> str:
    return job_mark(row.request_id or "", own_ids=own_ids)


def _name_earlier(rows: Sequence[LogRow], terminal: Terminal) -> None:
    """Name the generations of jobs for which the log has a newer one: they are paid, and in no file."""
    if rows:
        terminal.problem(
            "the service's log has several generations of one job, tried again or of a folder whose jobs have the same "
            f"ids. The newest is taken, and these are not: {_names(row.generation_id for row in rows)} "
            "(`aimlvideo adopt FOLDER GENERATION` fetches one)"
        )


def _names(generation_ids: Iterable[str | None]) -> str:
    """Return the names of generations for a message: the first ones, where they are many."""
    names = [name or "one without an id" for name in generation_ids]
    return ", ".join(names[:MOST_NAMED]) + (", ..." if len(names) > MOST_NAMED else "")


def _prefix(row: Mapping[str, Any]) -> str:
    """Return how the request ids of a line's job begin."""
    return id_prefix(VideoJob(str(row.get("model") or ""), id=str(row.get("id"))))


def _is_recorded(logged: LogRow, recorded: Mapping[str, str]) -> bool:
    """Tell whether the results name a generation of the log, and no other job for it than its request id does."""
    prefix = recorded.get(logged.generation_id or "")
    request_id = logged.request_id or ""
    return prefix is not None and (not request_id.startswith(NAMESPACE) or request_id.startswith(prefix))


def _newest_recorded(recorded: Mapping[str, str], logged: Iterable[LogRow]) -> dict[str, float]:
    """Return when the last generation was logged that the results have of a job, by how its request ids begin.

    An earlier one is another folder's, by a job of the same id: it is not what became of this one's next try.
    """
    newest: dict[str, float] = {}
    for row in logged:
        if (prefix := recorded.get(row.generation_id or "")) is not None:
            newest[prefix] = max(row.created_at, newest.get(prefix, 0.0))
    return newest


def _name_nameless(
    rows: Iterable[Mapping[str, Any]], recorded: set[str], logged: Iterable[LogRow], terminal: Terminal
) -> None:
    """Name the generations whose rows have no client's id, and that may be this folder's: the next run buys them anew.

    Other programs under the same key leave rows without one, too: of other models, or of these.
    """
    models, catalog = {str(row.get("model")).casefold() for row in rows}, known_catalog()
    nameless = [row for row in logged if row.succeeded and not row.request_id and row.generation_id not in recorded]
    names = [
        row.generation_id
        for row in nameless
        if not row.model or (row.model.casefold() in models if models else catalog.find(row.model))
    ]
    if names:
        terminal.problem(
            f"the service's log has {pluralize(len(names), 'generation')} without the client's id, so nobody can tell "
            f"whose each is: {_names(names)}. Look into its dashboard before you run again: one of this folder would "
            "be bought again (`aimlvideo adopt FOLDER GENERATION` fetches it)"
        )


def _check_log(recorded: set[str], logged: Iterable[LogRow], *, complete: bool) -> None:
    """Raise UsageError where a log cannot be the one that lists this folder's generations, to its end."""
    listed = {row.generation_id for row in logged}
    lists_ours = any(map(_mark, logged))
    if not complete:
        raise UsageError("the service's log could not be read to its end, so clips may be missing: recover again later")
    if recorded and not recorded & listed:
        raise UsageError(
            f"the service's log lists none of the {pluralize(len(recorded), 'generation')} of {RESULTS}: it lists the "
            "requests of the key that asks only. Recover with the key and the base URL of that run"
        )
    if not recorded and not lists_ours:
        raise UsageError(
            f"neither {RESULTS} nor the service's log has any generation of ours: it lists requests of the key "
            "that asks only. Recover with the key and the base URL of that run; if nothing was bought, remove "
            f"{RESULTS} and run again"
        )
