"""The demo, where it does not come to its end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from aimlvideo.cli.commands import demo
from tests.cli.conftest import Command


def test_a_demo_that_is_interrupted_before_its_first_job_says_so_and_nothing_else(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    @asynccontextmanager
    async def interrupted(**_: Any) -> AsyncIterator[str]:
        raise KeyboardInterrupt
        yield ""

    monkeypatch.setattr(demo, "sandbox_here", interrupted)
    done = command("demo", "-o", "clips")
    assert (done.exit_code, done.output) == (3, "interrupted\n")
