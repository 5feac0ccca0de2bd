"""A worker begins only where it belongs: where the list's service, tables and folder are its own."""

from __future__ import annotations

import os
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import anyio
import psycopg
import pytest

from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.distributed import open_worker as opening
from aimlvideo.distributed.open_worker import _check_key, _check_output, _noting, open_worker
from aimlvideo.distributed.registry import WorkerRegistry
from aimlvideo.distributed.shared_account import AccountLimits
from aimlvideo.distributed.worker import Worker
from aimlvideo.errors import (
    Busy,
    JournalError,
    Refused,
    Rejected,
    ServiceError,
    SettingsError,
    Unavailable,
    Unclear,
)
from aimlvideo.shell.files.object_stores import ARRIVING, open_worker_store
from aimlvideo.shell.http import retrying
from aimlvideo.shell.journal.postgres_connection import Database
from tests.cases import for_each
from tests.fakes import JOB, FakeService, FakeTransport
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.real_time


@for_each(
    ("fact", "value", "words"),
    [
        ("service", "kling", "were started with service 'kling'"),
        ("schema", "1", "stop the workers, run `aimlvideo db init`"),
    ],
)
async def test_a_worker_is_refused_by_a_list_of_another_service_and_by_tables_of_an_earlier_release(
    dsn: str, tmp_path: Path, fact: str, value: str, words: str
) -> None:
    note = "INSERT INTO aimlvideo_facts VALUES (%s, %s) ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value"
    with psycopg.connect(dsn) as db:
        db.execute(note, (fact, value))
    with pytest.raises((SettingsError, JournalError), match=words):
        async with open_worker(dsn, str(tmp_path), {"service": "aimlapi"}, AccountLimits()):
            pass


async def test_a_worker_whose_service_cannot_be_reached_leaves_an_empty_list_to_whichever_comes_first(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrying, "_retry_delays", partial(retrying._retry_delays, 0.0, 0.0))
    settings = {"service": "kling", "api_key": "k", "base_url": "http://127.0.0.1:9"}
    with pytest.raises(Unavailable):
        async with open_worker(dsn, str(tmp_path), settings, AccountLimits()):
            pass
    with psycopg.connect(dsn) as db:
        assert db.execute("SELECT value FROM aimlvideo_facts WHERE name = 'service'").fetchall() == []


async def test_a_worker_that_begins_forgets_no_other_one_whose_heartbeats_are_slow(dsn: str, tmp_path: Path) -> None:
    other = WorkerRegistry(uuid4(), "other")
    settings: dict[str, Any] = {"service": "aimlapi", "api_key": "k"}
    settings["transport"] = FakeTransport(FakeService(), "k")
    async with Database(dsn).connection() as connection:
        await AccountLimits(heartbeat=600.0).set(connection)
        await other.appear(connection, {}, 600.0)
        await connection.execute("UPDATE aimlvideo_workers SET seen_at = now() - make_interval(secs => 500)")
        async with open_worker(dsn, str(tmp_path), settings, AccountLimits()):
            assert str(other.worker) in await WorkerRegistry.ids(connection)


async def test_of_several_refusals_the_other_workers_hear_the_longest_pause() -> None:
    refusals: list[tuple[str, float | None]] = []
    note = _noting(refusals)
    for kind, seconds in (("polls", None), ("submissions", 2.0), ("submissions", 60.0), ("submissions", 5.0)):
        note(kind, seconds)
    assert refusals == [("polls", None), ("submissions", 60.0)]
    heard: list[tuple[str, float | None]] = []

    async def broadcast(connection: Any, kind: str, seconds: float | None) -> None:
        heard.append((kind, seconds))
        if len(heard) == 1:
            note("polls", 7.0)  # while the first one is on its way

    worker: Any = SimpleNamespace(refusals_to_broadcast=refusals, registry=SimpleNamespace(broadcast=broadcast))
    queue: Any = SimpleNamespace(connection=None)
    await Worker._broadcast_refusals(worker, queue)
    assert heard == [("polls", None), ("polls", 7.0), ("submissions", 60.0)]
    assert refusals == []


async def test_a_worker_removes_what_killed_ones_have_left_half_fetched(dsn: str, tmp_path: Path) -> None:
    abandoned = tmp_path / f"{ARRIVING}killed00"
    abandoned.mkdir()
    os.utime(abandoned, (0, 0))
    settings = {"service": "aimlapi", "api_key": "k", "transport": FakeTransport(FakeService(), "k")}
    async with open_worker(dsn, str(tmp_path), settings, AccountLimits()):
        assert not abandoned.exists(), "each kill would leave a part of a clip on the disk for ever"


async def test_a_worker_that_lives_on_prices_its_jobs_by_the_list_of_the_day(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aimlvideo.distributed.open_worker.GOOD_FOR", 0.01)
    service, job = FakeService(), VideoJob(**JOB)
    settings = {"service": "aimlapi", "api_key": "k", "transport": FakeTransport(service, "k")}
    async with open_worker(dsn, str(tmp_path), settings, AccountLimits(max_spend=1.0)) as worker:
        assert worker.journal.price_of(job) == 0.25
        service.price = 0.5
        await until(lambda: worker.journal.price_of(job) == 0.5)


async def test_a_worker_is_refused_whose_clips_would_go_elsewhere_and_leaves_nothing_there(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aimlvideo.distributed.open_worker.PAUSE", 0)
    here, there = tmp_path / "here", tmp_path / "there"
    async with Database(dsn).connection() as connection:
        with open_worker_store(str(here), "a") as store:
            token = await _check_output(connection, store)
            assert await _check_output(connection, store) == token
        refused = pytest.raises(SettingsError, match="is not where the clips of this job list go")
        with open_worker_store(str(there), "b") as store, refused:
            await _check_output(connection, store)
    assert list(there.iterdir()) == []


async def test_of_two_workers_that_begin_in_one_folder_at_once_both_go_by_the_token_that_has_stayed_there(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Database(dsn).connection() as connection:
        with open_worker_store(str(tmp_path / "out"), "a") as store:
            write = store.write_text

            async def overtaken(name: str, text: str) -> None:
                await write(name, "theirs")
                await write(name, text)

            monkeypatch.setattr(store, "write_text", overtaken)
            assert await _check_output(connection, store) == "theirs"


@pytest.mark.parametrize(
    ("error", "ends_it"),
    [
        (Unavailable("no connection"), True),
        (Unclear("the answer was lost"), True),
        (Unclear("a proxy's page", status=502), True),
        (Unclear("a proxy's page", status=504), True),
        (Refused("wrong key", status=401), True),
        (Unclear("an odd page", status=500), False),
        (Busy("too many", status=429), False),
        (Rejected("no such generation", status=404), False),
    ],
)
async def test_a_worker_begins_where_the_service_answers_and_takes_its_key(
    monkeypatch: pytest.MonkeyPatch, error: ServiceError, ends_it: bool
) -> None:
    monkeypatch.setattr(retrying, "_retry_delays", partial(retrying._retry_delays, 0.0, 0.0))

    async def status(generation_id: str) -> None:
        raise error

    client: Any = SimpleNamespace(service=SimpleNamespace(balance=None), status=status)
    with pytest.raises(type(error)) if ends_it else nullcontext():
        await _check_key(client)


async def test_a_worker_ends_also_where_nobody_hears_that_it_leaves(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unheard(*_: object) -> None:
        await anyio.sleep_forever()

    monkeypatch.setattr(WorkerRegistry, "leave", unheard)
    monkeypatch.setattr(opening, "LEAVING", 0.05)
    settings = {"service": "aimlapi", "api_key": "k", "transport": FakeTransport(FakeService(), "k")}
    with anyio.fail_after(PATIENCE):
        async with open_worker(dsn, str(tmp_path), settings, AccountLimits()):
            pass
