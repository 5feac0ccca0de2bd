"""A worker begins only where it belongs: at a list of its service, in a database with the tables of this release."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from aimlvideo.distributed.open_worker import open_worker
from aimlvideo.distributed.shared_account import AccountLimits
from aimlvideo.errors import JournalError, SettingsError
from tests.cases import for_each

pytestmark = pytest.mark.real_time


@for_each(
    ("fact", "value", "words"),
    [
        ("service", "kling", "queued with --service kling"),
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
