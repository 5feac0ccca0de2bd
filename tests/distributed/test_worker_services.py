"""What a service says and gives reaches workers, too: models that are gone, several clips of one generation."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import anyio
import pytest

from aimlvideo.cli.job_reader import ReaderOptions
from aimlvideo.cli.options import ServiceOptions
from aimlvideo.cli.service_facts import ServiceFacts
from aimlvideo.cli.shared_jobs import Consent, SharedJobs
from aimlvideo.cli.terminal import Terminal
from aimlvideo.client import VideoClient
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.distributed.open_worker import open_worker
from aimlvideo.distributed.shared_account import AccountLimits
from aimlvideo.errors import UsageError
from aimlvideo.sandbox import Behaviour, Sandbox
from aimlvideo.shell.journal.postgres_sync import open_sync_journal

pytestmark = [pytest.mark.long, pytest.mark.real_time]

OMNI, GONE = "klingai/video-v3-omni-720p-text-to-video", "minimax/hailuo-02"
WITHDRAWN = {"id": GONE, "status": "withdrawn", "shutdown_at": "2026-08-10", "replaced_by": "minimax/hailuo-2.3"}
QUIET = Terminal(quiet=True)


async def test_a_worker_saves_all_clips_of_a_generation_and_buys_none_of_a_model_that_is_gone(
    dsn: str, tmp_path: Path
) -> None:
    lines = [
        {"id": "walk", "model": OMNI, "prompt": "a walk", "duration": 3},
        {"id": "x", "model": GONE, "prompt": "p"},
    ]
    jobs = tmp_path / "jobs.jsonl"
    jobs.write_text("".join(json.dumps(line) + "\n" for line in lines))
    queue = partial(SharedJobs(dsn, QUIET).queue, str(jobs), ReaderOptions(), retry_failed=False)
    await anyio.to_thread.run_sync(queue)
    out = tmp_path / "out"
    behaviour = Behaviour(seconds=0.1, video="tiny", several_clips=1.0, deprecations=(WITHDRAWN,))
    async with Sandbox(behaviour) as sandbox:
        told = {"service": "aimlapi", "base_url": sandbox.url, "api_key": "k", "poll": "every:0.1"}
        limits = AccountLimits(10, 200, 100, 2.0, None)
        async with open_worker(dsn, str(out), told, limits, until_empty=True) as worker:
            await worker.run()
        assert sandbox.stats()["posts"] == 1
        with open_sync_journal(dsn) as journal:
            walk, gone = journal.find("walk"), journal.find("x")
        assert walk is not None
        assert gone is not None
        assert [clip.file for clip in walk.progress.files] == ["walk.mp4", "walk-2.mp4"]
        assert {path.name for path in out.glob("*.mp4")} == {"walk.mp4", "walk-2.mp4"}
        assert gone.progress.stage is Stage.FAILED
        assert "withdrawn since 10 August 2026: use minimax/hailuo-2.3" in str(gone.progress.error)

        settings = ServiceOptions(base_url=sandbox.url, api_key="k").client_options()
        async with VideoClient("k", sandbox.url) as client:
            facts = await ServiceFacts.of(client)
        jobs.write_text(json.dumps({**lines[1], "id": "y"}))
        with pytest.raises(UsageError, match="is withdrawn since 10 August 2026"):
            await anyio.to_thread.run_sync(partial(queue, consent=Consent(lambda: facts, settings)))
        with open_sync_journal(dsn) as journal:
            assert journal.find("y") is None
