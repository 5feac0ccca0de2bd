"""What people do to a folder beside runs: rebuild its journal, reconcile it, take in what was bought elsewhere."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from aimlvideo.cli.commands.adopt import adopt_generations
from aimlvideo.cli.commands.recover import recover_journal
from aimlvideo.cli.commands.resolve import settle_job
from aimlvideo.cli.commands.resume import carry_on
from aimlvideo.cli.reconciliation import reconcile_jobs
from aimlvideo.cli.run_options import RunOptions
from aimlvideo.cli.terminal import Terminal
from aimlvideo.core.jobs.progress import Record
from aimlvideo.core.jobs.request_ids import id_prefix
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.errors import UsageError
from aimlvideo.shell.journal.sqlite_reader import read_journal
from tests.fakes import MODEL, LoggedRequest
from tests.promise.world import CENT, OTHER_FOLDER, BrokenPromise, Journal, PromisedGateway, World

DOUBTFUL = (Stage.SUBMITTING, Stage.IN_DOUBT)
JOURNAL_FILES = "journal.sqlite3*"


class Listener(Terminal):
    """Keeps what a command says for a program, in place of a terminal."""

    def __init__(self) -> None:
        super().__init__(json=True, quiet=True)
        self.values: list[Mapping[str, Any]] = []
        self.problems: list[str] = []

    def problem(self, text: str) -> None:
        self.problems.append(text)

    def value(self, value: Mapping[str, Any]) -> None:
        self.values.append(value)

    def say(self, text: str) -> None:
        pass

    def table(self, headings: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> None:
        list(rows)


def can_recover(world: World, key: str) -> bool:
    """Tell whether a journal may be lost now: recovery relies on the results, and on a log that lists our ids."""
    rows = bought_into_folder(world)
    is_listed = not world.gateway and not world.service.spoilt_ids and all(row.key == key for row in rows)
    # Where the log has nothing of ours at all, it may be another key's.
    is_listed = is_listed and any(row.request_id and row.key == key for row in world.service.log)
    return is_listed and "" in world.journals and (world.folder / "results.jsonl").exists()


def bought_into_folder(world: World) -> list[LoggedRequest]:
    """Return the generations that were bought into the folder."""
    return [row for row in world.service.log if not world.place_of[row.generation_id]]


def recover(world: World, *, lines_lost: int, **how: Any) -> None:
    """Lose the journal, and the last lines of the results, and rebuild it once all has ended: `aimlvideo recover`."""
    rows = bought_into_folder(world)
    world.now = max([world.now, *(row.listed_at for row in world.service.log)]) + 1
    for file in world.folder.glob(JOURNAL_FILES):
        file.unlink()
    results = world.folder / "results.jsonl"
    lines = results.read_text().splitlines(keepends=True)
    results.write_text("".join(lines[: len(lines) - lines_lost]))
    world.journals.pop("", None)
    world.denials.clear()
    world.recovered |= {row.generation_id for row in rows}

    listener = Listener()

    def command(settings: dict[str, Any], _: Terminal) -> int:
        recover_journal(world.folder, settings, listener)
        # Of two folders' generations for one id the newest is taken, and the others are named.
        words = {word.strip(",") for text in listener.problems for word in text.split()}
        world.named |= {row.generation_id for row in rows} & words
        return 0

    world.is_lost = True
    world.process(command, {}, {}, **how)
    if "" not in world.journals:
        world.process(command, {}, {}, **{**how, "kill_at": None})
    if "" not in world.journals:
        raise BrokenPromise("the journal cannot be rebuilt")
    world.is_lost = False
    journal = world.journal_of()
    ids = {record.progress.generation_id for record in journal.records.values()}
    world.uncounted |= {row.generation_id for row in rows} - ids


def reconcile(world: World, **how: Any) -> None:
    """Hold the folder's jobs against the service's ledger: `aimlvideo reconcile`."""
    listener, service = Listener(), world.service
    code: int | None = None

    def command(settings: dict[str, Any], _: Terminal) -> int:
        nonlocal code
        with read_journal(world.folder / "journal.sqlite3") as journal:
            code = reconcile_jobs(journal, settings, listener)
        return code

    world.process(command, {}, {}, **how)
    if code is None or world.dates_were_wrong:
        return
    (said,) = listener.values
    attempts = world.journal_of().attempts.values()
    owned = {attempt.generation_id for tried in attempts for attempt in tried}
    charged = [row for row in service.log if service.is_charged(row)]
    total = sum(row.price for row in charged if row.generation_id in owned)
    if abs(said["total_usd"] - total) > CENT:
        raise BrokenPromise(f"the jobs cost {total:.2f} USD, and reconcile says {said['total_usd']:.2f}: {said}")
    words = " ".join(said["findings"])
    for row in charged:
        is_ours = not world.place_of[row.generation_id] and row.generation_id not in world.uncounted
        if is_ours and row.generation_id not in owned and row.generation_id not in words:
            raise BrokenPromise(f"{row.generation_id} was charged, no job has it, and reconcile does not name it")
    is_listed = not service.spoilt_ids and all(
        row.listed_at <= world.now and row.key == how["key"] and row.request_id for row in charged
    )
    # By its words alone, a clip of a file and one of the folder are of one id.
    names = world.journal_of().records.keys()
    is_shared = any(
        world.place_of[row.generation_id] and world.name_of(row) in names for row in charged if row.request_id
    )
    has_two_owners = is_shared or "one generation for two jobs" in words
    is_known = all(row.generation_id in owned | world.uncounted or world.place_of[row.generation_id] for row in charged)
    has_failed = "a failed job was charged" in words and bool(service.billed | service.repaired)
    if is_listed and is_known and not has_two_owners and not has_failed and code != 0:
        raise BrokenPromise(f"everything matches, and reconcile finds {words}")


def lost_generations(world: World) -> list[str]:
    """Return what was bought into the folder and is no job's: the answer was lost, and the dashboard shows it."""
    attempts = world.journal_of().attempts.values()
    owned = {attempt.generation_id for tried in attempts for attempt in tried}
    return [row.generation_id for row in bought_into_folder(world) if row.generation_id not in owned]


def generations_beside(world: World) -> list[str]:
    """Return what was bought into the other folder, whose jobs have the same ids."""
    return [row.generation_id for row in world.service.log if world.place_of[row.generation_id] == OTHER_FOLDER]


def adopt(world: World, names: Sequence[str], *, has_model: bool, **how: Any) -> None:
    """Take generations into the folder: `aimlvideo adopt`."""
    model = MODEL if has_model else ""

    def command(settings: dict[str, Any], _: Terminal) -> int:
        adopt_generations(str(world.folder), names, model, world.service_name)
        return 0

    world.process(command, {}, {}, **how)


def wait(world: World, names: Sequence[str], **how: Any) -> None:
    """Wait for generations by their ids, and for nothing else that the folder has: `aimlvideo wait`."""
    options = RunOptions(output=world.folder)

    def command(settings: dict[str, Any], terminal: Terminal) -> int:
        run, _ = adopt_generations(str(world.folder), names, "", world.service_name)
        return carry_on(settings, options, terminal, run)

    world.process(command, {}, {}, **how)


def resolve(world: World, *, mistakes: int, key: str, **how: Any) -> None:
    """Settle by hand what is in doubt, as the service's dashboard shows it: `aimlvideo resolve`.

    Before that, so many `mistakes` for each job: ids of other generations, and that a job was not accepted that was.
    """
    bought = {row.request_id: row.generation_id for row in bought_into_folder(world)}
    doubts = [record for record in world.journal_of().records.values() if record.progress.stage in DOUBTFUL]

    def settle(record: Record, generation: str | None, settings: dict[str, Any]) -> bool:
        try:
            access = {name: settings[name] for name in ("base_url", "api_key")}
            settle_job(world.folder, record.job.id, generation, Terminal(quiet=True), **access)
        except UsageError:
            return False
        return True

    def command(settings: dict[str, Any], _: Terminal) -> int:
        for record in doubts:
            for wrong in surely_wrong(world, record, key)[-mistakes:] if mistakes else ():
                if settle(record, wrong, settings):
                    raise BrokenPromise(f"job {record.job.id} was settled as {wrong}, which is not its own")
            own = bought.get(record.progress.request_id or "")
            if settle(record, own, settings) and own is None:
                # Whoever has looked into the dashboard knows more than two lost answers say.
                del world.denials[world.place, record.job.id]
        return 3

    if doubts:
        world.process(command, {}, {}, key=key, **how)


def surely_wrong(world: World, record: Record, key: str) -> list[str | None]:
    """Return what a doubt cannot be settled as, by the journal or by what the service says to this key.

    None among them: it was accepted.
    """
    owners = {
        attempt.generation_id: attempt.request_id
        for tried in world.journal_of().attempts.values()
        for attempt in tried
        if attempt.request_id is not None
    }
    job, wrong = record.job, list[str | None]()
    # Of another folder's job of the same id, none is among those that were sent.
    attempts = world.journal_of().attempts[world.names.get(job.id, job.id)]
    sent = {attempt.request_id for attempt in attempts if str(attempt.request_id).startswith(id_prefix(job))}
    for row in world.service.log:
        is_own = row.request_id == record.progress.request_id
        is_others = bool(row.request_id) and row.request_id not in sent and not is_own
        is_shown = row.key == key and is_readable(world, row)
        has_owner = owners.get(row.generation_id, record.progress.request_id) != record.progress.request_id
        if is_own and is_shown and row.request_id and not world.service.has_no_clip(row):
            wrong.append(None)
        elif has_owner or (is_shown and is_others) or row.key != key:
            wrong.append(row.generation_id)
    return wrong


def is_readable(world: World, row: LoggedRequest) -> bool:
    """Tell whether the service says of a request now under which id it was sent."""
    service = world.service
    if isinstance(service, PromisedGateway):
        return service.finds_ids
    is_listed = not service.spoilt_ids and row.listed_at <= world.now and row.request_id != ""
    return is_listed and not world.dates_were_wrong and service.says_date and not service.rows_offset


def repair(world: World) -> None:
    """Let the service complete what had failed, before its job is tried again."""
    for record in (record for place in world.journals for record in world.journal_of(place).records.values()):
        name = record.progress.generation_id or ""
        has_its_own_words = world.prompts.get(name) == record.job.params.get("prompt")
        if record.progress.stage is Stage.FAILED and name in world.service.broken and has_its_own_words:
            del world.service.broken[name]
            world.service.billed.discard(name)
            world.service.repaired.add(name)
            for row in world.service.log:
                row.failed &= row.generation_id != name


def remove_files(world: World, count: int, *, results: bool) -> None:
    """Remove clips, and the results: what is paid is fetched again."""
    saved = [record.progress for record in world.journal_of().records.values() if record.progress.stage is Stage.SAVED]
    for progress in saved[:count]:
        (world.folder / (progress.file or "")).unlink(missing_ok=True)
        world.removed.add(progress.file or "")
    if results:
        (world.folder / "results.jsonl").unlink(missing_ok=True)
        world.has_no_results = True


class JournalCopy(NamedTuple):
    """The files of a journal as they were once, and what was so at that time."""

    files: Mapping[str, bytes]
    journal: Journal
    denials: Counter[tuple[str, str]]


def copy_journal(world: World) -> JournalCopy:
    """Keep a copy of the folder's journal."""
    files = {file.name: file.read_bytes() for file in world.folder.glob(JOURNAL_FILES)}
    return JournalCopy(files, world.journal_of(), world.denials.copy())


def put_back(world: World, copy: JournalCopy) -> None:
    """Put the files of a copy in the place of the folder's journal."""
    for file in world.folder.glob(JOURNAL_FILES):
        file.unlink()
    for name, content in copy.files.items():
        (world.folder / name).write_bytes(content)
    world.journals[""], world.denials = copy.journal, copy.denials.copy()


def can_be_told(world: World, copy: JournalCopy) -> bool:
    """Tell whether a copy knows of all that was bought, or can be known for an older one by the results."""
    path = world.folder / "results.jsonl"
    rows = map(json.loads, path.read_text().splitlines()) if path.exists() else ()
    paid = {row["generation_id"] for row in rows if row["stage"] != "failed"}
    attempts = {attempt for tried in copy.journal.attempts.values() for attempt in tried}
    owned = {attempt.generation_id for attempt in attempts}
    doubted = {
        record.progress.request_id
        for record in copy.journal.records.values()
        if record.progress.stage in (Stage.SUBMITTING, Stage.IN_DOUBT)
    }
    bought = [row for row in bought_into_folder(world) if not world.service.has_failed(row)]
    return all(row.generation_id in paid | owned or row.request_id in doubted for row in bought)


def run_with_an_older_journal(world: World, copy: JournalCopy, run: Callable[[], None]) -> None:
    """Put an older copy in the place of the journal and run; where nothing was bought, put the newest one back."""
    newest, count = copy_journal(world), len(world.service.log)
    path = world.folder / "results.jsonl"
    results = path.read_bytes() if path.exists() else None
    put_back(world, copy)
    attempts = copy.journal.attempts
    owned = {
        row.generation_id
        for row in bought_into_folder(world)
        if any(row.generation_id == attempt.generation_id for attempt in attempts.get(world.name_of(row), ()))
    }
    # Their request ids are forgotten: what was denied since, or has failed, or was found under an older one.
    failed = {row.generation_id for row in bought_into_folder(world) if world.service.has_failed(row)}
    before, world.recovered = set(world.recovered), world.recovered | owned | failed
    world.is_older = True
    try:
        run()
    finally:
        world.is_older = False
    if len(world.service.log) == count:
        world.recovered = before
        put_back(world, newest)
        # They go with the journal: a clip that was removed is looked for again, and has no line until it is there.
        if results is not None:
            path.write_bytes(results)


def use_another_service(world: World, jobs: dict[str, str], by: str, **how: Any) -> None:
    """Try a folder with another service, where its submissions would not be found: nothing comes of it."""
    before, bought = str(world.journal_of()), len(world.service.log)
    file = {"file": "jobs.jsonl", "own_ids": False, "chained": False}
    ways: Mapping[str, Callable[[], None]] = {
        "run": lambda: world.run_file(jobs, agreed=True, limit=None, retry_failed=True, **file, **how),
        "resume": lambda: world.resume(agreed=True, limit=None, retry_failed=True, **how),
        "Python": lambda: world.read_some(jobs, 3, most=3, limit=None, **how),
        "agent": lambda: world.let_an_agent_buy(jobs, limit=9.0, stays=0.0, **how),
    }
    world.other_service = True
    try:
        ways[by]()
    finally:
        world.other_service = False
    if len(world.service.log) > bought or str(world.journal_of()) != before:
        raise BrokenPromise(f"a folder was taken for another service's by {by}")
