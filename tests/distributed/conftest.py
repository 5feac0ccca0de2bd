"""One PostgreSQL for all tests of this folder, emptied for each."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from aimlvideo.shell.journal.postgres_schema import init_tables
from tests.distributed.server import Server, postgres


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """Give a server that several tests share; one that restarts its server brings its own."""
    with postgres() as one:
        yield one


@pytest.fixture
def dsn(server: Server) -> str:
    """Give a database with our tables and nothing in them."""
    with psycopg.connect(server.dsn, autocommit=True) as db:
        db.execute("DROP SCHEMA public CASCADE")
        db.execute("CREATE SCHEMA public")
    init_tables(server.dsn)
    return server.dsn
