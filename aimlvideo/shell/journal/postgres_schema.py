"""The tables in PostgreSQL that many machines share: made, migrated, checked.

`aimlvideo_account` is one row with everything that is true of the whole list: the limits, and how many jobs stand in
which stage and for how much money. A trigger keeps it in the transaction of each step, so nobody counts the jobs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import psycopg

from aimlvideo.core.money.budget import ROUNDING
from aimlvideo.errors import JournalError
from aimlvideo.shell.journal.postgres_connection import Database, postgres_errors

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
MORE_SUMS = {**SUMS, "settling": "settling", "unpriced": "unpriced"}


def _counting(event: str, moved: str, accepted: str, sums: str, names: Mapping[str, str]) -> str:
    """Return the function that keeps the sums of the account when jobs are inserted, updated or deleted."""
    changes = {name: f"sum(sign) FILTER (WHERE stage = '{name}')" for name in STAGE_COLUMNS}
    changes |= {name: f"sum(sign * s.{column})" for name, column in names.items()}
    columns = ", ".join(f"coalesce({change}, 0) AS {name}" for name, change in changes.items())
    updates = ", ".join(f"{name} = {name} + change.{name}" for name in changes)
    nothing = " AND ".join(f"change.{name} = 0" for name in changes)
    # The room widens as that of a single process does: by one for each acceptance, slowly after a refusal.
    return f"""
    CREATE OR REPLACE FUNCTION aimlvideo_count_{event}() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE change record; accepted bigint;
    BEGIN
        SELECT {columns} INTO change FROM ({moved}) job, {sums} s;
        IF {nothing} THEN RETURN NULL; END IF;
        accepted := ({accepted});
        UPDATE aimlvideo_account SET {updates}, room = CASE WHEN accepted > 0 AND outstanding >= floor(room) THEN
            least(max_outstanding, room + accepted * CASE WHEN narrowed_at IS NULL THEN 1 ELSE
                least(greatest(extract(epoch FROM clock_timestamp() - narrowed_at) / 60, 1) / room, 1) END)
            ELSE room END;
        RETURN NULL;
    END $$;
    """


def _trigger(event: str, tables: str) -> str:
    return f"""
    CREATE TRIGGER aimlvideo_count_{event} AFTER {event.upper()} ON aimlvideo_jobs REFERENCING {tables}
        FOR EACH STATEMENT EXECUTE FUNCTION aimlvideo_count_{event}();
    """


def _all_counting(sums: str, names: Mapping[str, str]) -> str:
    return (
        _counting("insert", AFTER, "SELECT 0", sums, names)
        + _counting("delete", BEFORE, "SELECT 0", sums, names)
        + _counting("update", f"{BEFORE} UNION ALL {AFTER}", ACCEPTED, sums, names)
    )


BEFORE, AFTER = "SELECT -1 AS sign, * FROM old_jobs", "SELECT 1 AS sign, * FROM new_jobs"
ACCEPTED = (
    "SELECT count(*) FROM old_jobs before JOIN new_jobs after USING (seq) "
    "WHERE before.stage = 'submitting' AND after.stage = 'rendering'"
)
TRIGGERS = (
    _all_counting("aimlvideo_sums(stage, owner, price, cost_usd)", SUMS)
    + _trigger("insert", "NEW TABLE AS new_jobs")
    + _trigger("delete", "OLD TABLE AS old_jobs")
    + _trigger("update", "OLD TABLE AS old_jobs NEW TABLE AS new_jobs")
)
MONEY_SUMS = "aimlvideo_sums(stage, owner, counts, price, likely_price, cost_usd)"
ONE_SET_OF_RULES = (
    """
    -- `counts` is as what a job's price counts, as `counts_as` of the package says: the database only adds. Where a job
    -- has no price, `likely_price` is the highest that was seen of its model.
    ALTER TABLE aimlvideo_jobs ADD COLUMN counts text, ADD COLUMN likely_price double precision;
    ALTER TABLE aimlvideo_attempts ADD COLUMN cost_usd double precision;
    -- `settling` is what of `committed` is promised to jobs that a worker follows, `unpriced` how many outstanding jobs
    -- may cost anything.
    ALTER TABLE aimlvideo_account ADD COLUMN settling double precision NOT NULL DEFAULT 0,
        ADD COLUMN unpriced bigint NOT NULL DEFAULT 0;
    CREATE TABLE aimlvideo_model_prices (model text PRIMARY KEY, highest double precision NOT NULL);
    CREATE INDEX aimlvideo_jobs_unpriced ON aimlvideo_jobs (seq)
        WHERE price IS NULL AND cost_usd IS NULL AND counts IS NOT NULL;

    UPDATE aimlvideo_jobs SET counts = CASE
        WHEN stage IN ('ready', 'saved') OR cost_usd IS NOT NULL OR error ~ '^(DownloadFailed|LinkDead|DiskFailed):'
            THEN 'spent'
        WHEN stage IN ('submitting', 'in_doubt', 'rendering') THEN 'committed' END
    WHERE stage <> 'planned';
    INSERT INTO aimlvideo_model_prices SELECT asked::json ->> 0, max(cost_usd) FROM aimlvideo_jobs
        WHERE cost_usd > 0 GROUP BY 1;
    UPDATE aimlvideo_jobs SET likely_price = highest FROM aimlvideo_model_prices
        WHERE price IS NULL AND cost_usd IS NULL AND counts IS NOT NULL AND model = asked::json ->> 0;

    DROP FUNCTION aimlvideo_sums; -- the next step makes it anew, and adds up
    """
    + _all_counting(MONEY_SUMS, MORE_SUMS)
    + f"""
    -- What a submission was charged stays spent when the job is tried again.
    CREATE FUNCTION aimlvideo_keep_cost() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        UPDATE aimlvideo_account SET spent = spent + NEW.cost_usd;
        RETURN NULL;
    END $$;
    CREATE TRIGGER aimlvideo_keep_cost AFTER INSERT ON aimlvideo_attempts FOR EACH ROW
        WHEN (NEW.cost_usd IS NOT NULL) EXECUTE FUNCTION aimlvideo_keep_cost();

    CREATE FUNCTION aimlvideo_likely_price() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        NEW.likely_price := (SELECT highest FROM aimlvideo_model_prices WHERE model = NEW.asked::json ->> 0);
        RETURN NEW;
    END $$;
    CREATE TRIGGER aimlvideo_likely_price BEFORE UPDATE ON aimlvideo_jobs FOR EACH ROW
        WHEN (NEW.counts IS NOT NULL AND NEW.price IS NULL AND NEW.cost_usd IS NULL AND NEW.likely_price IS NULL)
        EXECUTE FUNCTION aimlvideo_likely_price();
    -- A price of a model was seen: what has none, and was bought, counts as the highest.
    CREATE FUNCTION aimlvideo_see_price(seen_model text, dollars float8) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO aimlvideo_model_prices AS known VALUES (seen_model, dollars)
            ON CONFLICT (model) DO UPDATE SET highest = EXCLUDED.highest WHERE known.highest < EXCLUDED.highest;
        IF FOUND THEN
            UPDATE aimlvideo_jobs SET likely_price = dollars
            WHERE price IS NULL AND cost_usd IS NULL AND counts IS NOT NULL AND asked::json ->> 0 = seen_model;
        END IF;
    END $$;

    -- Which of these planned jobs may be bought now, as `verdict` of the package decides it for a single process. What
    -- is admitted takes its place, and its price from the budget, in the same transaction: the row of the account stays
    -- locked until the intent is committed. `full` is no word of `verdict`: there is no place under the cap.
    DROP FUNCTION aimlvideo_admit;
    CREATE FUNCTION aimlvideo_admit(names text[], prices float8[], worker text) RETURNS TABLE (
        id text, verdict text, price float8, expected float8, spent float8, committed float8
    ) LANGUAGE plpgsql AS $$
    #variable_conflict use_column
    DECLARE
        limits aimlvideo_account; job record; places bigint; room float8; settling float8; followed bigint;
    BEGIN
        SELECT * INTO limits FROM aimlvideo_account FOR UPDATE;
        places := floor(least(limits.room, limits.max_outstanding)) - limits.outstanding;
        spent := limits.spent + limits.assumed;
        committed := limits.committed;
        settling := limits.settling;
        followed := limits.outstanding;
        FOR job IN
            SELECT known.id, known.stage, coalesce(new.price, known.price) AS price,
                CASE WHEN coalesce(new.price, known.price) IS NULL THEN (
                    SELECT highest FROM aimlvideo_model_prices WHERE model = known.asked::json ->> 0
                ) END AS highest
            FROM unnest(names, prices) WITH ORDINALITY AS new(id, price, position)
            JOIN aimlvideo_jobs known ON known.id = new.id AND known.owner = worker ORDER BY new.position
        LOOP
            id := job.id;
            price := job.price;
            expected := coalesce(job.price, job.highest);
            room := limits.max_spend + {ROUNDING} - spent - committed;
            verdict := CASE
                WHEN job.stage <> 'planned' THEN 'admitted'
                WHEN places <= 0 THEN 'full'
                WHEN limits.max_spend IS NULL THEN 'admitted'
                WHEN expected IS NULL THEN 'unpriced'
                WHEN limits.unpriced = 0 AND expected <= room THEN 'admitted'
                WHEN followed > 0 AND expected <= room + settling THEN 'wait'
                WHEN limits.unpriced > 0 THEN 'unknown'
                ELSE 'over budget'
            END;
            IF verdict = 'admitted' AND job.stage = 'planned' THEN
                places := places - 1;
                followed := followed + 1;
                limits.unpriced := limits.unpriced + (expected IS NULL)::int;
                committed := committed + coalesce(expected, 0);
                settling := settling + coalesce(expected, 0);
            END IF;
            RETURN NEXT;
        END LOOP;
    END $$;
    """
)
RETRIES = f"""
    ALTER TABLE aimlvideo_jobs ADD COLUMN retry_of text;
    ALTER TABLE aimlvideo_attempts ADD COLUMN cost_units double precision;
    CREATE INDEX aimlvideo_attempts_units ON aimlvideo_attempts (cost_units)
        WHERE cost_units IS NOT NULL AND cost_usd IS NULL;

    CREATE OR REPLACE FUNCTION aimlvideo_sums(
        stage text, owner text, counts text, price float8, likely_price float8, cost float8,
        OUT outstanding int, OUT spent float8, OUT assumed float8, OUT unknown int, OUT committed float8,
        OUT settling float8, OUT unpriced int
    ) LANGUAGE sql IMMUTABLE AS $$
        SELECT o, coalesce(cost, 0), CASE WHEN counts = 'spent' THEN p ELSE 0 END,
            coalesce(cost IS NULL AND counts = 'spent', false)::int,
            CASE WHEN counts = 'committed' THEN p ELSE 0 END, CASE WHEN counts = 'committed' THEN p * o ELSE 0 END,
            coalesce(cost IS NULL AND counts = 'committed' AND coalesce(price, likely_price) IS NULL, false)::int
        FROM (SELECT
            (stage IN ('submitting', 'rendering') OR (stage = 'in_doubt' AND owner IS NOT NULL))::int AS o,
            CASE WHEN cost IS NULL THEN coalesce(price, likely_price, 0) ELSE 0 END AS p
        ) parts
    $$;
    UPDATE aimlvideo_account SET (spent, assumed, unknown_costs, committed, settling, unpriced) = (
        SELECT coalesce(sum(s.spent), 0) + (SELECT coalesce(sum(cost_usd), 0) FROM aimlvideo_attempts),
            coalesce(sum(s.assumed), 0), coalesce(sum(s.unknown), 0),
            coalesce(sum(s.committed), 0), coalesce(sum(s.settling), 0), coalesce(sum(s.unpriced), 0)
        FROM aimlvideo_jobs, {MONEY_SUMS} s
    );

    CREATE OR REPLACE FUNCTION aimlvideo_keep_attempt() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO aimlvideo_attempts (
            job, request_id, generation_id, account, submitted_at, service_time, stage, cost_usd, cost_units
        ) SELECT OLD.id, OLD.request_id, OLD.generation_id, OLD.account, OLD.submitted_at, OLD.service_time, OLD.stage,
            OLD.cost_usd, OLD.cost_units
        WHERE NOT EXISTS (
            SELECT 1 FROM aimlvideo_attempts WHERE job = OLD.id AND request_id = OLD.request_id
            AND (OLD.generation_id IS NULL OR generation_id = OLD.generation_id)
        )
        ON CONFLICT DO NOTHING;
        RETURN NULL;
    END $$;
    -- One that is its job's again, as the service has completed it since it failed, is no earlier one any more.
    CREATE FUNCTION aimlvideo_take_back_attempt() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE charged float8;
    BEGIN
        WITH taken AS (
            DELETE FROM aimlvideo_attempts WHERE job = NEW.id AND generation_id = NEW.generation_id RETURNING cost_usd
        ) SELECT sum(cost_usd) INTO charged FROM taken;
        UPDATE aimlvideo_account SET spent = spent - charged WHERE charged IS NOT NULL;
        RETURN NULL;
    END $$;
    CREATE TRIGGER aimlvideo_take_back_attempt AFTER UPDATE ON aimlvideo_jobs FOR EACH ROW
        WHEN (OLD.generation_id IS NULL AND NEW.generation_id = OLD.retry_of)
        EXECUTE FUNCTION aimlvideo_take_back_attempt();
"""
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
    CREATE INDEX aimlvideo_jobs_units ON aimlvideo_jobs (cost_units) WHERE cost_units IS NOT NULL AND cost_usd IS NULL;
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
    ONE_SET_OF_RULES,
    RETRIES,
)
"""The statements that bring a database from each version of our tables to the next. What others have had stays."""


def catch_up(**columns: str) -> bytes:
    """Return the statement that brings on the numbers of tables, each with their column, where they lag behind.

    Logical replication, as of a provider's blue/green switch-over, carries rows and not their sequences: new rows would
    have the numbers of others.
    """
    tables = " UNION ALL ".join(
        f"SELECT pg_get_serial_sequence('{table}', '{column}')::regclass, (SELECT max({column}) FROM {table})"
        for table, column in columns.items()
    )
    behind = "newest > coalesce(pg_sequence_last_value(numbers), 0)"
    return f"SELECT setval(numbers, newest) FROM ({tables}) AS tables (numbers, newest) WHERE {behind}".encode()


ORDER_CHANGED = """
    SELECT quote_ident(datname), datcollversion, pg_database_collation_actual_version(oid) FROM pg_database
    WHERE datname = current_database() AND datcollversion <> pg_database_collation_actual_version(oid)
"""
NOTES_ORDER = 150000
"""The first version of PostgreSQL that notes by which library a database sorts text."""
CATCH_UP = catch_up(aimlvideo_jobs="seq", aimlvideo_attempts="seq")
LOCK = "SELECT pg_advisory_lock(16706379)"
FOUND = "SELECT value FROM aimlvideo_facts WHERE name = 'schema'"
# What a service says may be in any language, and would end each worker that writes it down.
IN_UTF8 = "Make another one by CREATE DATABASE clips TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'"
AT_WORK = "SELECT 1 FROM aimlvideo_workers WHERE seen_at > now() - interval '1 minute' LIMIT 1"
# What they buy on newer tables would count for nothing under the limit of all.
IN_USE = (
    "workers of an earlier release are at work on these tables, or were a minute ago: expected none. Stop them "
    "(`aimlvideo drain` of that release), then run `aimlvideo db init` again"
)
NEWER = "the tables in this database are of a newer version of aimlvideo: update with pip"


def init_tables(dsn: str, also: Callable[[str], None] = lambda dsn: None) -> None:
    """Make the tables, or bring those of an earlier version up to date; then what `also` makes.

    Raises JournalError where the tables are of a later release, or of an earlier one whose workers are alive, or the
    database cannot hold all text, DatabaseAway where there is no connection.
    """
    with Database(dsn).sync_connection() as db, postgres_errors():
        # One at a time, until the connection is closed: whoever comes second finds what the first has made.
        db.execute(LOCK)
        with db.transaction():
            version = _version(db)
            if version > len(MIGRATIONS):
                raise JournalError(NEWER)
            if version == 0 and (encoding := db.info.parameter_status("server_encoding")) != "UTF8":
                raise JournalError(f"the database keeps text as {encoding}: expected UTF8. {IN_UTF8}")
            if 0 < version < len(MIGRATIONS) and db.execute(AT_WORK).fetchone():
                raise JournalError(IN_USE)
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


def refuse_changed_order(db: psycopg.Connection[Any]) -> None:
    """Refuse a database whose indexes may not find a job, which would be bought again. Raises JournalError."""
    changed = db.execute(ORDER_CHANGED).fetchone() if db.info.server_version >= NOTES_ORDER else None
    if changed is not None:
        name, expected, found = changed
        raise JournalError(
            f"the library that sorts the text of this database is another one, as after an upgrade of its system or "
            f"image: expected version {expected}, found {found}. Its indexes may not find jobs that are there, which "
            f"would be bought again: run REINDEX DATABASE {name}, then ALTER DATABASE {name} REFRESH COLLATION VERSION"
        )


def check_tables(db: psycopg.Connection[Any]) -> None:
    """Refuse a database without our tables, or with those of another version. Raises JournalError."""
    with postgres_errors():
        version = _version(db)
    if version == 0:
        raise JournalError("this database has no tables of aimlvideo yet: run `aimlvideo db init`")
    if version > len(MIGRATIONS):
        raise JournalError(NEWER)
    if version < len(MIGRATIONS):
        raise JournalError(
            f"the tables in this database have version {version}, expected {len(MIGRATIONS)}: stop the workers, "
            "run `aimlvideo db init`, then start them again"
        )
    with postgres_errors(), suppress(psycopg.errors.InsufficientPrivilege):  # who may only look has nothing to number
        db.execute(CATCH_UP)
