"""Time passes in one place: what is written down ages with what is waited for."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

import aimlvideo
from aimlvideo.shell import clock
from tests.fakes import MODEL, FakeClient, FakeService

PARAMS = {"prompt": "waves", "image_url": "https://example.com/a.png"}


async def test_an_hour_of_the_loop_is_an_hour_of_the_wall_clock() -> None:
    wall, loop = clock.wall(), clock.loop()
    await anyio.sleep(3600)
    assert clock.loop() - loop == pytest.approx(3600, abs=1)
    assert clock.wall() - wall == pytest.approx(3600, abs=1)


async def test_a_clip_says_how_long_it_took_in_the_time_that_passed() -> None:
    async with FakeClient(FakeService(seconds=100), poll="every:10") as client:
        video = await client.generate(MODEL, **PARAMS)
    assert (video.completed_at - video.submitted_at).total_seconds() == pytest.approx(100, abs=1)


def test_no_stage_of_a_job_reads_a_clock_of_its_own() -> None:
    modules = list((Path(aimlvideo.__file__).parent / "pipeline").glob("*.py"))
    readers = [path.name for path in modules if "import time" in path.read_text() or "loop().time" in path.read_text()]
    assert modules
    assert readers == []
