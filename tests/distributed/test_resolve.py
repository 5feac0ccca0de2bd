"""A job of the workers whose answer was lost is settled by hand, after the service was asked."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.sandbox import Sandbox
from aimlvideo.shell.journal.postgres_sync import open_sync_journal
from tests.distributed.test_exit_codes import command
from tests.servers import sandbox_thread

pytestmark = [pytest.mark.long, pytest.mark.real_time]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with sandbox_thread() as served:
        yield served


@pytest.fixture
def in_doubt(dsn: str) -> str:
    """Give a database with a job whose answer was lost."""
    with open_sync_journal(dsn) as journal:
        journal.plan(VideoJob("alibaba/wan-2-6-t2v", id="a", prompt="Waves"))
    with psycopg.connect(dsn, autocommit=True) as db:
        db.execute("UPDATE aimlvideo_jobs SET stage='in_doubt', request_id='av-1', submitted_at=1 WHERE id='a'")
    return dsn


def stage_of(dsn: str) -> tuple[str, str | None]:
    with open_sync_journal(dsn) as journal:
        record = journal.find("a")
    assert record is not None
    return record.progress.stage.value, record.progress.generation_id


def test_a_generation_that_the_service_does_not_know_settles_nothing(in_doubt: str, sandbox: Sandbox) -> None:
    access = ("--base-url", sandbox.url, "--api-key", "k")
    code, output = command("resolve", "a", "--generation", "g-nobody-has", *access, dsn=in_doubt)
    assert (code, "does not know generation g-nobody-has" in output) == (2, True), output
    assert stage_of(in_doubt) == ("in_doubt", None)


def test_a_generation_is_taken_where_the_service_cannot_be_asked(in_doubt: str) -> None:
    access = ("--base-url", "http://127.0.0.1:9", "--api-key", "k")
    code, output = command("resolve", "a", "--generation", "g-1", *access, dsn=in_doubt)
    assert (code, "is taken as it was given" in output) == (0, True), output
    assert stage_of(in_doubt) == ("rendering", "g-1")
