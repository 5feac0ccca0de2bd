"""Who works on the list at present, what they have learned of durations, and what is told to all of them."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg

from aimlvideo.core.polling.hazard import AgeHistogram
from aimlvideo.shell.state.learned_durations import LearnedDurations

NEWS = "aimlvideo_news"
"""The channel on which refusals are told."""

APPEAR = """
    INSERT INTO aimlvideo_workers (id, name, began, seen_at, said) VALUES (%s, %s, %s, now(), %s)
    ON CONFLICT (id) DO UPDATE SET seen_at = now(), said = EXCLUDED.said
"""
PRESENT = """
    SELECT count(*), (SELECT value FROM aimlvideo_facts WHERE name = 'drain') FROM aimlvideo_workers
    WHERE seen_at > now() - make_interval(secs => %s)
"""

Connection = psycopg.AsyncConnection[Any]


@dataclass(frozen=True, slots=True)
class Presence:
    """How many workers were heard of lately, and when (seconds since 1970) those of that time were told to drain."""

    workers: int
    drain: float | None


class WorkerRegistry:
    """One worker's line on the roll."""

    def __init__(self, worker: UUID, name: str) -> None:
        self.worker, self.name, self.began = worker, name, time.time()

    async def appear(self, connection: Connection, said: Mapping[str, Any], lately: float) -> Presence:
        """Say that we are here; return who else was within so many seconds."""
        row = (str(self.worker), self.name, self.began, json.dumps(said))
        await connection.execute(APPEAR, row)
        found = await (await connection.execute(PRESENT, (lately,))).fetchone()
        assert found is not None
        return Presence(max(found[0], 1), float(found[1]) if found[1] else None)

    async def leave(self, connection: Connection) -> None:
        """Take our line off."""
        await connection.execute("DELETE FROM aimlvideo_workers WHERE id = %s", (str(self.worker),))

    async def tell(self, connection: Connection, kind: str, seconds: float | None) -> None:
        """Tell all workers of a refusal."""
        told = json.dumps({"from": str(self.worker), "kind": kind, "seconds": seconds})
        await connection.execute("SELECT pg_notify(%s, %s)", (NEWS, told))

    def heard(self, payload: str) -> tuple[str, float | None] | None:
        """Return what another worker told; None for what we told ourselves."""
        told = json.loads(payload)
        return None if told["from"] == str(self.worker) else (told["kind"], told["seconds"])


class SharedDurations(LearnedDurations):
    """What all workers have learned of durations. It is kept in the database, never in a file."""

    def save(self) -> None:
        """Write no file."""

    async def share(self, connection: Connection) -> None:
        """Add what was learned here to what all know, and go on from there."""
        empty = json.dumps(AgeHistogram().to_state())
        async with connection.transaction():
            for key, policy in sorted(self._policies.items()):
                new = "INSERT INTO aimlvideo_knowledge VALUES (%s, %s) ON CONFLICT DO NOTHING"
                await connection.execute(new, (key, empty))
                mine = "SELECT state FROM aimlvideo_knowledge WHERE key = %s FOR UPDATE"
                found = await (await connection.execute(mine, (key,))).fetchone()
                assert found is not None
                state = policy.latency.merged_state(found[0])
                kept = "UPDATE aimlvideo_knowledge SET state = %s WHERE key = %s"
                await connection.execute(kept, (json.dumps(state), key))
                policy.latency.restart_from(state)


async def read_durations(connection: Connection) -> dict[str, Any]:
    """Return what all workers have learned so far, by `knowledge_key`."""
    rows = await (await connection.execute("SELECT key, state FROM aimlvideo_knowledge")).fetchall()
    return dict(rows)
