"""The tables of a journal in SQLite: made, migrated, and checked for what no run writes."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Callable, Mapping

from aimlvideo.core.jobs.columns import COLUMN_KINDS, MOST
from aimlvideo.core.jobs.stages import WITHOUT_GENERATION, Stage
from aimlvideo.core.money.pricing import EARLIER_PRICES, PRICES, Prices
from aimlvideo.core.service_clock import CLOCK_OFFSET, offset_from_text

APPLICATION = 0x41494D56
"""SQLite's `application_id` of our files: the letters AIMV."""

MIGRATIONS = (
    """
    CREATE TABLE jobs (
        seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, run INTEGER NOT NULL, folder INTEGER,
        asked TEXT NOT NULL, stage TEXT NOT NULL, request_id TEXT, generation_id TEXT, video_url TEXT, error TEXT,
        cost_usd REAL, polls INTEGER NOT NULL, submitted_at REAL, completed_at REAL, saved_at REAL,
        file TEXT, bytes INTEGER, sha256 BLOB, looks BLOB
    );
    CREATE TABLE folders (path TEXT UNIQUE NOT NULL);
    CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
    CREATE TABLE found (mark TEXT PRIMARY KEY, generation_id TEXT NOT NULL) WITHOUT ROWID;
    """,
    # The first release left the usual file name out and worked it out from the id again: now each name is stored. A
    # trigger keeps the ids that a step replaces, so that no code can forget to; most jobs never need it.
    """
    ALTER TABLE jobs RENAME COLUMN looks TO poll_ages;
    ALTER TABLE jobs ADD COLUMN video_urls TEXT;
    ALTER TABLE jobs ADD COLUMN files TEXT;
    ALTER TABLE jobs ADD COLUMN account TEXT;
    ALTER TABLE jobs ADD COLUMN service_time REAL;
    ALTER TABLE jobs ADD COLUMN cost_units REAL;
    UPDATE jobs SET file = first_release_file_name(id) WHERE file = '';
    CREATE TABLE attempts (
        job INTEGER NOT NULL, request_id TEXT, generation_id TEXT, account TEXT, submitted_at REAL, service_time REAL,
        stage TEXT NOT NULL
    );
    CREATE INDEX attempts_by_job ON attempts (job);
    CREATE TRIGGER keep_attempt AFTER UPDATE OF request_id, generation_id ON jobs
    WHEN (OLD.request_id IS NOT NULL OR OLD.generation_id IS NOT NULL) AND (
        OLD.request_id IS NOT NEW.request_id
        OR (OLD.generation_id IS NOT NULL AND OLD.generation_id IS NOT NEW.generation_id)
    )
    BEGIN
        INSERT INTO attempts VALUES (
            OLD.seq, OLD.request_id, OLD.generation_id, OLD.account, OLD.submitted_at, OLD.service_time, OLD.stage
        );
    END;
    """,
    """
    ALTER TABLE jobs ADD COLUMN status TEXT;
    ALTER TABLE jobs ADD COLUMN status_at REAL;
    ALTER TABLE jobs ADD COLUMN file_sizes TEXT;
    """,
    # A failed generation may be charged: what the submissions cost that a job had before counts as spent.
    """
    ALTER TABLE attempts ADD COLUMN cost_usd REAL;
    """,
    # An attempt that is its job's again, as the service has completed it since it failed, is no earlier one any more.
    """
    ALTER TABLE attempts ADD COLUMN cost_units REAL;
    ALTER TABLE jobs ADD COLUMN retry_of TEXT;
    DROP TRIGGER keep_attempt;
    CREATE TRIGGER keep_attempt AFTER UPDATE OF request_id, generation_id ON jobs
    WHEN (OLD.request_id IS NOT NULL OR OLD.generation_id IS NOT NULL) AND (
        OLD.request_id IS NOT NEW.request_id
        OR (OLD.generation_id IS NOT NULL AND OLD.generation_id IS NOT NEW.generation_id)
    )
    BEGIN
        INSERT INTO attempts VALUES (
            OLD.seq, OLD.request_id, OLD.generation_id, OLD.account, OLD.submitted_at, OLD.service_time, OLD.stage,
            OLD.cost_usd, OLD.cost_units
        );
    END;
    CREATE TRIGGER take_back_attempt AFTER UPDATE OF generation_id ON jobs
    WHEN OLD.generation_id IS NULL AND NEW.generation_id = OLD.retry_of
    BEGIN
        DELETE FROM attempts WHERE job = NEW.seq AND generation_id = NEW.generation_id;
    END;
    """,
)
"""The statements that bring a journal from each version to the next: whatever is new is a new one at the end.

What others have had never changes: there are journals that have taken it.
"""
VERSION = len(MIGRATIONS)
"""SQLite's `user_version` of a journal as this release writes it."""

_STAGES = ", ".join(f"'{stage.value}'" for stage in Stage)
_NUMBER = "{0} IS NOT NULL AND (typeof({0}) NOT IN ('real', 'integer') OR {0} NOT BETWEEN 0 AND {1})"
_COUNT = "{0} IS NOT NULL AND (typeof({0}) != 'integer' OR {0} NOT BETWEEN 0 AND {1})"
_WITHOUT_GENERATION = ", ".join(f"'{stage.value}'" for stage in WITHOUT_GENERATION)
_TEXTS = tuple(name for name, kind in COLUMN_KINDS.items() if kind == "text" and name != "stage")
_COUNTS = tuple(name for name, kind in COLUMN_KINDS.items() if kind in ("integer", "count"))
_VALUES = {
    "id": "typeof(id) != 'text'",
    "stage": f"typeof(stage) != 'text' OR stage NOT IN ({_STAGES})",
    "content": "typeof(asked) != 'text'",
    "run": "typeof(run) != 'integer'",
    "folder": "folder IS NOT NULL AND folder NOT IN (SELECT rowid FROM folders)",
    **{name: (_COUNT if name in _COUNTS else _NUMBER).format(name, most) for name, most in MOST.items()},
    "polls ": "polls IS NULL",
    "generation_id": "CASE WHEN generation_id IS NULL THEN stage = 'rendering' "
    f"ELSE stage IN ({_WITHOUT_GENERATION}) END",
    "sha256": "sha256 IS NOT NULL AND (typeof(sha256) != 'blob' OR length(sha256) NOT IN (0, 32))",
    "poll_ages": "poll_ages IS NOT NULL AND (typeof(poll_ages) != 'blob')",
    **{f"{name} ": f"{name} IS NOT NULL AND typeof({name}) != 'text'" for name in _TEXTS},
}
"""What no run writes, by the column in which it stands."""
_CASES = " ".join(f"WHEN {wrong} THEN '{name.strip()}'" for name, wrong in _VALUES.items())
_WRONG_JOB = f"SELECT id, CASE {_CASES} END AS wrong FROM jobs WHERE wrong IS NOT NULL LIMIT 1"
_ANY_WRONG_JOB = f"SELECT 1 FROM jobs WHERE {' OR '.join(f'({wrong})' for wrong in _VALUES.values())} LIMIT 1"
"""Whether there is one: SQLite compiles it, at each opening, in half the time."""
_WRONG_FACT = (
    "SELECT name, 'value' FROM facts WHERE value IS NOT NULL AND typeof(value) != 'text' "
    "OR (name = 'run' AND (value IS NULL OR value GLOB '*[^0-9]*' OR length(value) NOT BETWEEN 1 AND 15)) LIMIT 1"
)
_WRONG_FOLDER = "SELECT path, 'path' FROM folders WHERE typeof(path) != 'text' LIMIT 1"
_WRONG_ATTEMPT = (
    f"SELECT generation_id, 'attempt' FROM attempts WHERE stage NOT IN ({_STAGES}) "
    f"OR ({_NUMBER.format('submitted_at', MOST['submitted_at'])}) LIMIT 1"
)

FACT_READERS: Mapping[str, Callable[[str | None], object]] = {
    PRICES: Prices.of_text,
    EARLIER_PRICES: Prices.earlier,
    CLOCK_OFFSET: offset_from_text,
}
"""Facts that are more than text, and what reads them."""


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a journal of any earlier version, also an empty file, to this release's tables."""
    connection.create_function("first_release_file_name", 1, _first_release_file_name, deterministic=True)
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        connection.executescript(
            f"BEGIN; {script} PRAGMA application_id={APPLICATION}; PRAGMA user_version={number}; COMMIT;"
        )


def _first_release_file_name(job_id: str) -> str:
    """Return the name that the first release gave a clip: for its journals alone, so it must never change."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "_", job_id).strip("._")[:120]
    if safe and safe == job_id and not re.match(r"(?i)^(con|prn|aux|nul|com\d|lpt\d)(\.|$)", safe):
        return f"{safe}.mp4"
    digest = hashlib.sha256(job_id.encode(errors="surrogatepass")).hexdigest()[:10]
    return f"{safe or 'clip'}-{digest}.mp4"


def wrong_value(connection: sqlite3.Connection) -> str | None:
    """Return what a journal has that no run writes, or None: SQLite keeps whatever another tool puts into a column."""
    is_job_wrong = connection.execute(_ANY_WRONG_JOB).fetchone() is not None
    for query in (*([_WRONG_JOB] if is_job_wrong else []), _WRONG_FACT, _WRONG_FOLDER, _WRONG_ATTEMPT):
        if (wrong := connection.execute(query).fetchone()) is not None:
            return f"{wrong[0]!r:.60} has a wrong {wrong[1]}"
    marks = ", ".join("?" * len(FACT_READERS))
    for name, value in connection.execute(f"SELECT name, value FROM facts WHERE name IN ({marks})", (*FACT_READERS,)):
        try:
            FACT_READERS[name](value)
        except ValueError as error:
            return f"the fact {name!r}: {error!s:.100}"
    return None
