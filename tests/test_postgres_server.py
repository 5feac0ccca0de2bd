"""The database that tests borrow one after the other is as it was made for each of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from typing import Any

import psycopg
import pytest

from tests.postgres_server import Lender

TABLES = """
CREATE TABLE queue (seq serial PRIMARY KEY, name text);
CREATE TABLE facts (name text);
INSERT INTO facts VALUES ('it''s "first"');
"""


@pytest.fixture
def lender(server: Any, empty_database: str) -> Iterator[Lender]:
    with psycopg.connect(empty_database) as db:
        db.execute(TABLES)
    with closing(Lender(server, empty_database.rpartition("/")[2])) as lender:
        yield lender


def in_turn(lender: Lender, *statements: str) -> list[tuple[str, list[Any]]]:
    """Return in which database each statement met which rows, each on a database that it borrowed and left so."""
    seen = []
    for statement in statements:
        with lender.database() as address, psycopg.connect(address, autocommit=True) as db:
            name = db.execute("INSERT INTO queue (name) VALUES ('mine') RETURNING seq").fetchall()
            rows = db.execute("SELECT seq, name FROM queue UNION ALL SELECT 0, name FROM facts").fetchall()
            seen.append((address, [*name, *rows]))
            db.execute(statement.encode())
    return seen


def test_what_one_changes_the_next_does_not_see(lender: Lender) -> None:
    changes = (
        "DELETE FROM facts", "UPDATE facts SET name = 'other'", "DROP TABLE facts",
        "ALTER TABLE queue ADD COLUMN more text", "CREATE TABLE facts_of_mine (name text)",
        "INSERT INTO queue (name) SELECT repeat('x', 1500) FROM generate_series(1, 4000)", "SELECT 1",
    )  # fmt: skip
    seen = in_turn(lender, *changes)
    assert [rows for _, rows in seen] == [[(1,), (1, "mine"), (0, 'it\'s "first"')]] * len(changes)
    changed_tables = [before != after for (before, _), (after, _) in pairwise(seen)]
    assert changed_tables == [False, False, True, True, True, True]
