"""The queue that shares out the jobs: each is one worker's at a time, for as long as that one says that it lives."""

from __future__ import annotations

from uuid import uuid4

import pytest

from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.distributed.queue import CLIPS, JobQueue, enqueue_jobs
from aimlvideo.shell.journal.postgres_schema import init_tables
from aimlvideo.shell.journal.postgres_sync import open_sync_journal
from tests.distributed.test_fencing import plan

pytestmark = pytest.mark.real_time

NAMES = ["a", "b"]


@pytest.fixture
def two_jobs(dsn: str) -> str:
    """Give a list with two jobs in its queue."""
    plan(dsn, *(VideoJob("m", id=name) for name in NAMES))
    with open_sync_journal(dsn) as journal:
        enqueue_jobs(journal.db, NAMES)
    return dsn


async def let_time_pass(queue: JobQueue, seconds: float) -> None:
    """Make all heartbeats older."""
    await queue.connection.execute("UPDATE pgqueuer SET heartbeat = heartbeat - make_interval(secs => %s)", (seconds,))


async def test_tables_that_an_older_engine_has_made_get_what_they_lack(empty_database: str) -> None:
    init_tables(empty_database)
    async with JobQueue.open(empty_database, uuid4()) as queue:
        await queue.install()
        await queue.connection.execute("ALTER TABLE pgqueuer DROP COLUMN dedupe_key")
        await queue.install()
        plan(empty_database, VideoJob("m", id="a"))
        with open_sync_journal(empty_database) as journal:
            assert [enqueue_jobs(journal.db, ["a"]) for _ in range(2)] == [1, 0]


async def test_a_job_is_one_worker_s_until_that_one_is_silent_for_a_heartbeat(two_jobs: str) -> None:
    async with JobQueue.open(two_jobs, uuid4(), 30.0) as ours, JobQueue.open(two_jobs, uuid4(), 30.0) as theirs:
        places = [*(await ours.take(9)).values()]
        assert await theirs.take(9) == {}
        await let_time_pass(ours, 20)
        assert await theirs.take_over(9) == {}
        assert await ours.heartbeat_for(places) == set()
        await let_time_pass(ours, 20)
        assert await theirs.take_over(9) == {}, "it said that it lives 20 s ago"
        await let_time_pass(ours, 20)
        taken = await theirs.take_over(9)
        assert sorted(taken) == NAMES
        assert await ours.take_over(9) == {}


async def test_a_queue_counts_as_empty_where_all_that_is_left_waits_for_what_only_a_person_can_settle(
    two_jobs: str,
) -> None:
    async with JobQueue.open(two_jobs, uuid4(), 30.0) as ours, JobQueue.open(two_jobs, uuid4(), 30.0) as theirs:
        await ours.connection.execute("UPDATE aimlvideo_jobs SET parents = '{a}' WHERE id = 'b'")
        places = await ours.take(9)
        parent, child = places["a"], places["b"]
        await ours.postpone([child])
        assert not await theirs.is_empty(), "another worker has the job that this one waits for"
        await ours.done([parent], succeeded=False)  # it is in doubt, and nobody can be asked
        assert await theirs.is_empty()
        await ours.wake_children(["a"])
        assert not await theirs.is_empty()


async def test_what_a_worker_gives_back_is_for_whoever_takes_it_next_and_the_rest_stays_its_own(two_jobs: str) -> None:
    async with JobQueue.open(two_jobs, uuid4(), 30.0) as ours, JobQueue.open(two_jobs, uuid4(), 30.0) as theirs:
        places = await ours.take(9)
        await ours.give_back([places["a"]])
        assert list(await theirs.take(9)) == ["a"]


async def test_a_worker_changes_nothing_of_the_places_that_are_another_s_now(two_jobs: str) -> None:
    async with JobQueue.open(two_jobs, uuid4(), 30.0) as ours, JobQueue.open(two_jobs, uuid4(), 30.0) as theirs:
        places = [*(await ours.take(9)).values()]
        await ours.leave(places)
        taken = await theirs.take_over(9)
        assert sorted(taken) == NAMES
        for change in (ours.give_back, ours.leave, ours.postpone):
            await change(places)
            assert await theirs.heartbeat_for([*taken.values()]) == set()
        assert await ours.heartbeat_for(places) == {place.id for place in places}
        await ours.release()
        assert await theirs.heartbeat_for([*taken.values()]) == set()


async def test_what_an_application_has_in_the_same_queue_is_neither_waited_for_nor_taken_away(dsn: str) -> None:
    theirs = (
        "INSERT INTO pgqueuer (priority, entrypoint, status, execute_after) VALUES (0, 'their mail', 'queued', now())"
    )
    log = "INSERT INTO pgqueuer_log (job_id, status, entrypoint, priority) VALUES (1, 'successful', %s, 0)"
    async with JobQueue.open(dsn, uuid4()) as queue:
        await queue.connection.execute(theirs)
        assert await queue.is_empty()
        for entrypoint in ("their mail", CLIPS):
            await queue.connection.execute(log, (entrypoint,))
        await queue.compact_log()
        left = await (await queue.connection.execute("SELECT entrypoint FROM pgqueuer_log")).fetchall()
        assert left == [("their mail",)]
