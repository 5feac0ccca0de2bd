"""The tables in PostgreSQL that many machines share: made, migrated, checked.

`aimlvideo_account` is one row with everything that is true of the whole list: the limits, and how many jobs stand in
which stage and for how much money. A trigger keeps it in the transaction of each step, so nobody counts the jobs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg

from aimlvideo.errors import JournalError
from aimlvideo.shell.journal.postgres_connection import Connection, connected, postgres_errors

ACCOUNT = """
    ALTER TABLE aimlvideo_jobs ADD COLUMN price double precision;
    CREATE INDEX aimlvideo_jobs_begun ON aimlvideo_jobs (seq)
        WHERE stage IN ('submitting', 'in_doubt', 'rendering', 'ready');
    CREATE INDEX aimlvideo_jobs_failed ON aimlvideo_jobs (seq) WHERE stage = 'failed';
    CREATE INDEX aimlvideo_jobs_generation ON aimlvideo_jobs (generation_id) WHERE generation_id IS NOT NULL;
    ALTER TABLE aimlvideo_workers ADD COLUMN since timestamptz NOT NULL DEFAULT now();

    -- The limits of the account (max_outstanding NULL: as many as the service takes; max_spend NULL: no limit), the
    -- room that the service was found to have, and the sums over all jobs. Money is in USD.
    CREATE TABLE aimlvideo_account (
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        max_outstanding integer DEFAULT 100 CHECK (max_outstanding > 0),
        rate double precision NOT NULL DEFAULT 5 CHECK (rate > 0),
        poll_rate double precision NOT NULL DEFAULT 50 CHECK (poll_rate > 0),
        heartbeat double precision NOT NULL DEFAULT 30 CHECK (heartbeat >= 1),
        max_spend double precision CHECK (max_spend >= 0),
        room double precision NOT NULL DEFAULT 100,
        narrowed_at timestamptz,
        drained_at timestamptz,
        output_token text,
        planned bigint NOT NULL DEFAULT 0, submitting bigint NOT NULL DEFAULT 0, in_doubt bigint NOT NULL DEFAULT 0,
        rendering bigint NOT NULL DEFAULT 0, ready bigint NOT NULL DEFAULT 0, saved bigint NOT NULL DEFAULT 0,
        failed bigint NOT NULL DEFAULT 0,
        outstanding bigint NOT NULL DEFAULT 0,
        spent double precision NOT NULL DEFAULT 0, assumed double precision NOT NULL DEFAULT 0,
        unknown_costs bigint NOT NULL DEFAULT 0, committed double precision NOT NULL DEFAULT 0
    ) WITH (fillfactor = 10);
    -- When the next submission of the whole account may start.
    CREATE TABLE aimlvideo_rate (one boolean PRIMARY KEY DEFAULT true CHECK (one), due timestamptz NOT NULL)
        WITH (fillfactor = 10);
    INSERT INTO aimlvideo_rate (due) VALUES (now());

    -- What one job adds to the sums. A job in doubt that no worker follows any more (owner NULL) is left to a person,
    -- and holds no place: its generation ended long ago, if there ever was one.
    CREATE FUNCTION aimlvideo_sums(
        stage text, owner text, price float8, cost float8,
        OUT outstanding int, OUT spent float8, OUT assumed float8, OUT unknown int, OUT committed float8
    ) LANGUAGE sql IMMUTABLE AS $$ SELECT
        (stage IN ('submitting', 'rendering') OR (stage = 'in_doubt' AND owner IS NOT NULL))::int,
        coalesce(cost, 0),
        CASE WHEN cost IS NULL AND stage IN ('ready', 'saved') THEN coalesce(price, 0) ELSE 0 END,
        (cost IS NULL AND stage IN ('ready', 'saved'))::int,
        CASE WHEN cost IS NULL AND stage IN ('submitting', 'in_doubt', 'rendering') THEN coalesce(price, 0) ELSE 0 END
    $$;

    INSERT INTO aimlvideo_account (
        planned, submitting, in_doubt, rendering, ready, saved, failed,
        outstanding, spent, assumed, unknown_costs, committed
    ) SELECT
        count(*) FILTER (WHERE stage = 'planned'), count(*) FILTER (WHERE stage = 'submitting'),
        count(*) FILTER (WHERE stage = 'in_doubt'), count(*) FILTER (WHERE stage = 'rendering'),
        count(*) FILTER (WHERE stage = 'ready'), count(*) FILTER (WHERE stage = 'saved'),
        count(*) FILTER (WHERE stage = 'failed'),
        coalesce(sum(s.outstanding), 0), coalesce(sum(s.spent), 0), coalesce(sum(s.assumed), 0),
        coalesce(sum(s.unknown), 0), coalesce(sum(s.committed), 0)
    FROM aimlvideo_jobs, aimlvideo_sums(stage, owner, price, cost_usd) s;

    -- Which of these planned jobs may be bought now. What is admitted takes its place, and its price from the budget,
    -- in the same transaction: the row of the account stays locked until the intent is committed.
    CREATE FUNCTION aimlvideo_admit(names text[], prices float8[], worker text)
    RETURNS TABLE (id text, verdict text) LANGUAGE plpgsql AS $$
    #variable_conflict use_column
    DECLARE limits aimlvideo_account; places bigint; money float8; job record;
    BEGIN
        SELECT * INTO limits FROM aimlvideo_account FOR UPDATE;
        places := floor(least(limits.room, limits.max_outstanding)) - limits.outstanding;
        money := limits.max_spend - limits.spent - limits.assumed - limits.committed + 1e-9;
        FOR job IN
            SELECT known.id, known.stage, coalesce(new.price, known.price) AS price
            FROM unnest(names, prices) WITH ORDINALITY AS new(id, price, position)
            JOIN aimlvideo_jobs known ON known.id = new.id AND known.owner = worker ORDER BY new.position
        LOOP
            id := job.id;
            verdict := CASE
                WHEN job.stage <> 'planned' THEN 'admitted'
                WHEN places <= 0 THEN 'full'
                WHEN money IS NOT NULL AND job.price IS NULL THEN 'unpriced'
                WHEN job.price > money THEN 'over budget'
                ELSE 'admitted'
            END;
            IF verdict = 'admitted' AND job.stage = 'planned' THEN
                places := places - 1;
                money := money - coalesce(job.price, 0);
            END IF;
            RETURN NEXT;
        END LOOP;
    END $$;
"""
STAGE_COLUMNS = ("planned", "submitting", "in_doubt", "rendering", "ready", "saved", "failed")
SUMS = {
    "outstanding": "outstanding", "spent": "spent", "assumed": "assumed", "unknown_costs": "unknown",
    "committed": "committed",
}  # fmt: skip


def _trigger(event: str, moved: str, tables: str, accepted: str) -> str:
    """Return what keeps the sums of the account when jobs are inserted, updated or deleted."""
    changes = {name: f"sum(sign) FILTER (WHERE stage = '{name}')" for name in STAGE_COLUMNS}
    changes |= {name: f"sum(sign * s.{column})" for name, column in SUMS.items()}
    columns = ", ".join(f"coalesce({change}, 0) AS {name}" for name, change in changes.items())
    updates = ", ".join(f"{name} = {name} + change.{name}" for name in changes)
    nothing = " AND ".join(f"change.{name} = 0" for name in changes)
    # The room widens as that of a single process does: by one for each acceptance, slowly after a refusal.
    return f"""
    CREATE FUNCTION aimlvideo_count_{event}() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE change record; accepted bigint;
    BEGIN
        SELECT {columns} INTO change FROM ({moved}) job, aimlvideo_sums(stage, owner, price, cost_usd) s;
        IF {nothing} THEN RETURN NULL; END IF;
        accepted := ({accepted});
        UPDATE aimlvideo_account SET {updates}, room = CASE WHEN accepted > 0 AND outstanding >= floor(room) THEN
            least(max_outstanding, room + accepted * CASE WHEN narrowed_at IS NULL THEN 1 ELSE
                least(greatest(extract(epoch FROM clock_timestamp() - narrowed_at) / 60, 1) / room, 1) END)
            ELSE room END;
        RETURN NULL;
    END $$;
    CREATE TRIGGER aimlvideo_count_{event} AFTER {event.upper()} ON aimlvideo_jobs REFERENCING {tables}
        FOR EACH STATEMENT EXECUTE FUNCTION aimlvideo_count_{event}();
    """


BEFORE, AFTER = "SELECT -1 AS sign, * FROM old_jobs", "SELECT 1 AS sign, * FROM new_jobs"
ACCEPTED = (
    "SELECT count(*) FROM old_jobs before JOIN new_jobs after USING (seq) "
    "WHERE before.stage = 'submitting' AND after.stage = 'rendering'"
)
TRIGGERS = (
    _trigger("insert", AFTER, "NEW TABLE AS new_jobs", "SELECT 0")
    + _trigger("delete", BEFORE, "OLD TABLE AS old_jobs", "SELECT 0")
    + _trigger("update", f"{BEFORE} UNION ALL {AFTER}", "OLD TABLE AS old_jobs NEW TABLE AS new_jobs", ACCEPTED)
)
MIGRATIONS = (
    """
    CREATE TABLE IF NOT EXISTS aimlvideo_facts (name text PRIMARY KEY, value text NOT NULL);
    CREATE TABLE aimlvideo_jobs (
        seq bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, id text NOT NULL UNIQUE, folder text,
        asked text NOT NULL, owner text, stage text NOT NULL DEFAULT 'planned', request_id text, generation_id text,
        video_url text, error text, cost_usd double precision, polls integer NOT NULL DEFAULT 0,
        submitted_at double precision, completed_at double precision, saved_at double precision,
        file text, bytes bigint, sha256 bytea, looks bytea
    ) WITH (fillfactor = 70);
    CREATE TABLE aimlvideo_workers (
        id text PRIMARY KEY, name text NOT NULL, began double precision NOT NULL, seen_at timestamptz NOT NULL,
        said jsonb NOT NULL DEFAULT '{}'
    );
    CREATE TABLE aimlvideo_knowledge (key text PRIMARY KEY, state jsonb NOT NULL);
    """,
    # A trigger keeps the ids that a step replaces, so that no code can forget to; most jobs never need it. What a
    # writer has kept of the same attempt already knows more: its stage is not one that the database never saw.
    """
    ALTER TABLE aimlvideo_jobs RENAME COLUMN looks TO poll_ages;
    ALTER TABLE aimlvideo_jobs ADD COLUMN video_urls text, ADD COLUMN files text, ADD COLUMN account text,
        ADD COLUMN service_time double precision, ADD COLUMN cost_units double precision;
    CREATE TABLE aimlvideo_attempts (
        seq bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, job text NOT NULL, request_id text, generation_id text,
        account text, submitted_at double precision, service_time double precision, stage text NOT NULL
    );
    CREATE UNIQUE INDEX aimlvideo_attempts_once ON aimlvideo_attempts
        (job, coalesce(request_id, ''), coalesce(generation_id, ''));
    CREATE FUNCTION aimlvideo_keep_attempt() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO aimlvideo_attempts (job, request_id, generation_id, account, submitted_at, service_time, stage)
        SELECT OLD.id, OLD.request_id, OLD.generation_id, OLD.account, OLD.submitted_at, OLD.service_time, OLD.stage
        WHERE NOT EXISTS (
            SELECT 1 FROM aimlvideo_attempts WHERE job = OLD.id AND request_id = OLD.request_id
            AND (OLD.generation_id IS NULL OR generation_id = OLD.generation_id)
        )
        ON CONFLICT DO NOTHING;
        RETURN NULL;
    END $$;
    CREATE TRIGGER aimlvideo_keep_attempt AFTER UPDATE ON aimlvideo_jobs FOR EACH ROW
    WHEN ((OLD.request_id IS NOT NULL OR OLD.generation_id IS NOT NULL) AND (
        OLD.request_id IS DISTINCT FROM NEW.request_id
        OR (OLD.generation_id IS NOT NULL AND OLD.generation_id IS DISTINCT FROM NEW.generation_id)
    ))
    EXECUTE FUNCTION aimlvideo_keep_attempt();
    """,
    ACCOUNT + TRIGGERS,
    """
    ALTER TABLE aimlvideo_jobs ADD COLUMN status text, ADD COLUMN status_at double precision,
        ADD COLUMN file_sizes text;
    """,
    # The jobs that a job takes clips from, so that whoever saves one finds those that wait for it.
    """
    ALTER TABLE aimlvideo_jobs ADD COLUMN parents text[];
    CREATE INDEX aimlvideo_jobs_parents ON aimlvideo_jobs USING gin (parents) WHERE parents IS NOT NULL;
    """,
)
"""The statements that bring a database from each version of our tables to the next."""
LOCK = "SELECT pg_advisory_lock(16706379)"
FOUND = "SELECT value FROM aimlvideo_facts WHERE name = 'schema'"
NEWER = "the tables in this database are of a newer version of aimlvideo: update with pip"


def init_tables(dsn: str, also: Callable[[str], None] = lambda dsn: None) -> None:
    """Make the tables, or bring those of an earlier version up to date; then what `also` makes.

    Raises JournalError where the tables are of a later release, DatabaseAway where there is no connection.
    """
    with connected(dsn) as db, postgres_errors():
        # One at a time, until the connection is closed: whoever comes second finds what the first has made.
        db.execute(LOCK)
        with db.transaction():
            version = _version(db)
            if version > len(MIGRATIONS):
                raise JournalError(NEWER)
            for script in MIGRATIONS[version:]:
                db.execute(script)
            db.execute("DELETE FROM aimlvideo_facts WHERE name = 'schema'")
            db.execute("INSERT INTO aimlvideo_facts VALUES ('schema', %s)", (str(len(MIGRATIONS)),))
        also(dsn)


def _version(db: psycopg.Connection[Any]) -> int:
    """Return the version of our tables in a database, 0 where there are none."""
    if db.execute("SELECT to_regclass('aimlvideo_facts')").fetchone() == (None,):
        return 0
    row = db.execute(FOUND).fetchone()
    return int(row[0]) if row else 0


def checked(db: psycopg.Connection[Any]) -> None:
    """Refuse a database without our tables, or with those of another version. Raises JournalError."""
    with postgres_errors():
        version = _version(db)
    _check(version)


async def checked_version(connection: Connection) -> None:
    """Refuse a database without our tables, or with those of another version. Raises JournalError."""
    row = await (await connection.execute("SELECT to_regclass('aimlvideo_facts')")).fetchone()
    noted = None if row == (None,) else await (await connection.execute(FOUND)).fetchone()
    _check(int(noted[0]) if noted else 0)


def _check(version: int) -> None:
    if version == 0:
        raise JournalError("this database has no tables of aimlvideo yet: run `aimlvideo db init`")
    if version > len(MIGRATIONS):
        raise JournalError(NEWER)
    if version < len(MIGRATIONS):
        raise JournalError(
            f"the tables in this database have version {version}, expected {len(MIGRATIONS)}: stop the workers, "
            "run `aimlvideo db init`, then start them again"
        )
