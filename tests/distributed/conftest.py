"""One PostgreSQL for all tests of this folder, an empty database for each."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import psycopg
import pytest

from aimlvideo.shell.postgres_tables import init_tables
from tests.distributed.server import Server, postgres

NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """Give a server that several tests share; one that restarts its server brings its own."""
    with postgres() as one:
        yield one


@pytest.fixture
def dsn(server: Server) -> str:
    """Give a database with our tables and nothing in them."""
    name = f"test{next(NUMBERS)}"
    with psycopg.connect(server.dsn, autocommit=True) as db:
        db.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
    where = server.dsn.rpartition("/")[0] + f"/{name}"
    init_tables(where)
    return where
