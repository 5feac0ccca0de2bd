"""The workers that are alive, what they have learned of durations, and what each tells all of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from aimlvideo.core.polling.hazard import AgeHistogram
from aimlvideo.distributed.shared_account import LIVE, NARROW, PAUSE
from aimlvideo.shell.journal.postgres_connection import Connection
from aimlvideo.shell.state.learned_durations import LearnedDurations

NEWS = "aimlvideo_news"
"""The channel on which refusals are told."""

APPEAR = """
    INSERT INTO aimlvideo_workers (id, name, began, since, seen_at, said)
    VALUES (%s, %s, 0, coalesce(%s, clock_timestamp()), now(), %s)
    ON CONFLICT (id) DO UPDATE SET seen_at = now(), said = EXCLUDED.said RETURNING since
"""
FORGET = "DELETE FROM aimlvideo_workers WHERE seen_at < now() - make_interval(secs => %s)"
FORGET_AFTER = 60.0
"""Seconds of silence, and at least three heartbeats, after which a dead worker is forgotten."""


class WorkerRegistry:
    """One worker's row among all workers. All moments are on the database's clock."""

    def __init__(self, worker: UUID, name: str) -> None:
        self.worker, self.name = worker, name
        self._since: datetime | None = None

    async def appear(self, connection: Connection, status: Mapping[str, Any], heartbeat: float) -> int:
        """Say that we are here; return how many were within a heartbeat, and forget those that died long ago."""
        values = (str(self.worker), self.name, self._since, json.dumps(status))
        row = await (await connection.execute(APPEAR, values)).fetchone()
        assert row is not None
        self._since = row[0]
        await connection.execute(FORGET, (max(3 * heartbeat, FORGET_AFTER),))
        present = await (await connection.execute(LIVE, (heartbeat,))).fetchone()
        assert present is not None
        return max(int(present[0]), 1)

    def is_drained(self, drained_at: datetime | None) -> bool:
        """Tell whether the workers of our age are among those that were told to drain at this moment."""
        return drained_at is not None and self._since is not None and drained_at >= self._since

    @staticmethod
    async def ids(connection: Connection) -> list[str]:
        """Return the ids of the workers that were heard of, or have not been forgotten yet."""
        return [name for (name,) in await (await connection.execute("SELECT id FROM aimlvideo_workers")).fetchall()]

    async def leave(self, connection: Connection) -> None:
        """Take our row off."""
        await connection.execute("DELETE FROM aimlvideo_workers WHERE id = %s", (str(self.worker),))

    async def broadcast(self, connection: Connection, kind: str, seconds: float | None) -> None:
        """Pass a refusal on to all workers: what they share in the database narrows once, the rest by the news."""
        if kind == "outstanding":
            await connection.execute(NARROW)
        elif kind == "submissions":
            await connection.execute(PAUSE, (1.0 if seconds is None else seconds,))
        news = json.dumps({"from": str(self.worker), "kind": kind, "seconds": seconds})
        await connection.execute("SELECT pg_notify(%s, %s)", (NEWS, news))

    def refusal_of(self, payload: str) -> tuple[str, float | None] | None:
        """Return the refusal that another worker met; None for one of our own, and for what no worker has sent."""
        try:
            news = json.loads(payload)
            sender, kind, seconds = news["from"], str(news["kind"]), news["seconds"]
            refusal = kind, None if seconds is None else float(seconds)
        except (ValueError, TypeError, KeyError, RecursionError):
            # Whoever may connect to the database may notify as well.
            return None
        # PostgreSQL notifies whoever listens, the sender too: counted twice, one refusal would narrow us twice.
        return None if sender == str(self.worker) else refusal


class SharedDurations(LearnedDurations):
    """What all workers have learned of durations. It is kept in the database, never in a file."""

    def save(self) -> None:
        """Write no file."""

    @staticmethod
    async def read(connection: Connection) -> dict[str, Any]:
        """Return what all workers have learned so far, by `knowledge_key`."""
        rows = await (await connection.execute("SELECT key, state FROM aimlvideo_knowledge")).fetchall()
        return dict(rows)

    async def share(self, connection: Connection) -> None:
        """Add what was learned here to what all know, and go on from there."""
        empty = json.dumps(AgeHistogram().to_state())
        async with connection.transaction():
            # In one order for all workers: two that lock rows in different orders wait for each other for ever.
            for key, policy in sorted(self._policies.items()):
                insert = "INSERT INTO aimlvideo_knowledge VALUES (%s, %s) ON CONFLICT DO NOTHING"
                await connection.execute(insert, (key, empty))
                select = "SELECT state FROM aimlvideo_knowledge WHERE key = %s FOR UPDATE"
                row = await (await connection.execute(select, (key,))).fetchone()
                assert row is not None
                state = policy.latency.merged_state(row[0])
                update = "UPDATE aimlvideo_knowledge SET state = %s WHERE key = %s"
                await connection.execute(update, (json.dumps(state), key))
                policy.latency.restart_from(state)
