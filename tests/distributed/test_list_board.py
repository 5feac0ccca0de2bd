"""The board of a whole list: what workers do is seen on the page, however many of them there are."""

from __future__ import annotations

from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from aiohttp import ClientSession

from aimlvideo.distributed.list_board import _ListWatch, open_list_board
from aimlvideo.distributed.shared_account import Account
from aimlvideo.views.report.board import ChangeLog
from tests.distributed.test_exit_codes import command
from tests.distributed.test_shared_account import ask
from tests.distributed.test_worker import job, queue, queued

__all__ = ["queued"]

pytestmark = [pytest.mark.long, pytest.mark.real_time]


RENDERING = "UPDATE aimlvideo_jobs SET stage = 'rendering', generation_id = 'gen-' || id"


def changed(watch: _ListWatch) -> dict[str, str]:
    """Return the jobs that have changed since the last time, with their stages."""
    return {record.job.id: record.progress.stage.value for record in watch.read()}


def test_what_workers_do_and_what_is_queued_is_noticed(queued: str, tmp_path: Path) -> None:
    changes = ChangeLog()
    watch = _ListWatch(queued, changes)
    assert changed(watch) == {}
    ask(
        queued,
        f"{RENDERING} WHERE id IN ('job1', 'job2') RETURNING 1",
    )
    assert changed(watch) == {"job1": "rendering", "job2": "rendering"}
    ask(queued, "UPDATE aimlvideo_jobs SET stage = 'saved', file = 'a.mp4' WHERE id = 'job1' RETURNING 1")
    queue(queued, tmp_path, [job(20)])
    assert changed(watch) == {"job1": "saved", "job20": "planned"}
    assert changed(watch) == {}
    assert changes.since(0) == []
    assert watch.account is not None
    assert watch.account.jobs == {"planned": 19, "rendering": 1, "saved": 1}


def test_what_ended_between_two_reads_has_the_page_loaded_again(queued: str) -> None:
    changes = ChangeLog()
    watch = _ListWatch(queued, changes)
    watch.read()
    ask(queued, "UPDATE aimlvideo_jobs SET stage = 'failed', error = 'Rejected: no' WHERE id = 'job3' RETURNING 1")
    watch.read()
    assert changes.since(0) is None
    assert changes.since(changes.number) == []


async def test_the_page_has_all_jobs_and_then_what_happens(queued: str, tmp_path: Path) -> None:
    def told(account: Account) -> str:
        return f"{sum(account.jobs.values())} to do"

    opening = open_list_board(queued, tmp_path, told, host="127.0.0.1", port=0)
    async with opening as url, ClientSession() as browser:
        async with browser.get(url) as answer:
            page = await answer.text()
        assert all(f'"id":"job{number}"' in page for number in range(20))
        moved = f"{RENDERING} WHERE id = 'job7' RETURNING 1"
        await anyio.to_thread.run_sync(ask, queued, moved)
        async with browser.get(f"{url}events") as events:
            with anyio.fail_after(10):
                seen = b""
                while b'"id":"job7"' not in seen:
                    seen += await events.content.readline()
        assert b"20 to do" in seen
        async with browser.get(f"{url}clips/none.mp4") as missing:
            assert missing.status == 404


def test_a_board_of_a_folder_is_served_by_its_run(dsn: str, tmp_path: Path) -> None:
    code, words = command("report", str(tmp_path), "--board", "0", dsn="")
    assert (code, "use `aimlvideo run --board`" in words) == (2, True), words
