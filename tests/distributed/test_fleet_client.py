"""The client of a worker: what a single process decides by itself is decided in the database."""

from __future__ import annotations

from uuid import uuid4

import pytest

from aimlvideo.client import VideoClient
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.distributed.fleet_client import FleetClient, _SharedRecords
from aimlvideo.distributed.registry import WorkerRegistry
from aimlvideo.shell.journal.postgres import open_postgres_journal
from aimlvideo.shell.journal.postgres_connection import Database
from tests.distributed.test_fencing import plan


def test_each_step_that_a_worker_takes_in_its_own_way_is_one_that_the_client_takes() -> None:
    own = [name for name, what in vars(FleetClient).items() if name[0] == "_" != name[1] and callable(what)]
    assert len(own) >= 5
    assert [name for name in own if not hasattr(VideoClient, name)] == []


@pytest.mark.real_time
async def test_files_that_a_living_worker_or_another_one_s_generation_may_need_are_known_to_be_needed(dsn: str) -> None:
    plan(dsn, VideoJob("m", id="ours"), VideoJob("m", id="theirs"))
    other = WorkerRegistry(uuid4(), "other")
    async with Database(dsn).connection() as connection, open_postgres_journal(dsn, "a") as journal:
        records = _SharedRecords(journal)
        assert not await records.is_alive(str(other.worker))
        await other.appear(connection, {}, 30.0)
        assert await records.is_alive(str(other.worker))
        await connection.execute("UPDATE aimlvideo_workers SET seen_at = now() - interval '61 s'")
        assert not await records.is_alive(str(other.worker))
        for name, others_outstanding in (("ours", False), ("theirs", True)):
            rendering = "stage = 'rendering', request_id = 'av-' || id, generation_id = 'gen-' || id"
            await connection.execute(f"UPDATE aimlvideo_jobs SET {rendering} WHERE id = %s", (name,))
            assert await records.outstanding({"ours"}) == ({"ours"}, others_outstanding)
