"""What applications get for their own tests."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.work import lines_run

pytest.importorskip("aimlvideo.sandbox", reason="the sandbox is an extra")

APPLICATION = """
import asyncio, os, pytest
from aimlvideo import VideoClient
from aimlvideo.errors import InDoubt

MODEL = "alibaba/wan-2-6-t2v"

async def clip(**settings):
    async with VideoClient(poll="every:0.05", **settings) as client:
        return await client.generate(MODEL, prompt="Waves", duration=5)

def test_forty_requests_are_forty_clips(aimlvideo_sandbox):
    async def requests():
        async with VideoClient(max_outstanding=40, rate=1000, poll="every:0.05") as client:
            return await asyncio.gather(*(client.generate(MODEL, prompt=f"{n}", duration=5) for n in range(40)))
    assert len({result.generation_id for result in asyncio.run(requests())}) == 40

def test_a_fault_by_name(aimlvideo_sandbox):
    aimlvideo_sandbox.set(moderation=1.0)
    with pytest.raises(Exception, match="(?i)polic|moderat|content"):
        asyncio.run(clip())

def test_every_service_finds_its_keys(aimlvideo_sandbox):
    for service in ("aimlapi", "kling", "kling-official"):
        VideoClient(service=service)

def test_the_next_test_has_none(aimlvideo_sandbox):
    assert aimlvideo_sandbox.behaviour.moderation == 0
    assert asyncio.run(clip()).ok

def test_a_wrong_name_is_told(aimlvideo_sandbox):
    with pytest.raises(ValueError, match="did you mean dropped"):
        aimlvideo_sandbox.set(droped=1.0)

def test_without_the_fixture_the_environment_is_as_it_was():
    assert "AIMLAPI_API_KEY" not in os.environ
"""


@pytest.mark.long
@pytest.mark.real_time
def test_an_applications_tests_run_on_the_sandbox(tmp_path: Path) -> None:
    (tmp_path / "test_application.py").write_text(APPLICATION)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AIML", "PYTEST"))}
    environment |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "aimlvideo.testing.pytest_plugin", "-p", "no:cacheprovider"]
    # In a place of its own: a session closes the common folder of all sessions to other accounts, and the one of a
    # database that is being tested may be in it.
    command += ["--basetemp", str(tmp_path / "inner")]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=90, check=False
    )
    assert "6 passed" in done.stdout, done.stdout + done.stderr


def test_loading_the_plugin_loads_no_sandbox() -> None:
    code = "import aimlvideo.testing.pytest_plugin, sys; print({'av', 'numpy', 'aiohttp'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "set()"


def test_a_sandbox_for_each_test_is_not_made_anew_from_all_its_paths() -> None:
    from aimlvideo.sandbox import Sandbox

    async def begin_and_end() -> None:
        async with Sandbox():
            pass

    asyncio.run(begin_and_end())
    assert lines_run(lambda: asyncio.run(begin_and_end())) < 15_000
