"""The demo, where it does not come to its end."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from aimlvideo.cli.commands import demo
from aimlvideo.sandbox.film import scenes
from tests.cli.conftest import Command


def test_a_demo_that_is_interrupted_before_its_first_job_says_so_and_nothing_else(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    @asynccontextmanager
    async def interrupted(**_: Any) -> AsyncIterator[str]:
        raise KeyboardInterrupt
        yield ""

    monkeypatch.setattr(demo, "sandbox_here", interrupted)
    monkeypatch.setattr(scenes, "sample_picture", str.encode)  # to draw them takes longer than all else
    done = command("demo", "-o", "clips")
    assert (done.exit_code, done.output) == (3, "interrupted\n")


def test_the_demo_takes_its_own_pictures_away_and_nobody_elses(tmp_path: Path) -> None:
    def draw(name: str) -> bytes:
        return name.encode()

    for left in ([], ["dunes.png"], ["mine.png"]):
        (tmp_path / "pictures").mkdir()
        for name in left:
            (tmp_path / "pictures" / name).write_text("mine")
        demo._remove_pictures(demo._pictures_for(tmp_path / "pictures", draw), draw)
        assert [path.name for path in tmp_path.glob("pictures/*")] == left
        assert (tmp_path / "pictures").exists() == bool(left)
        shutil.rmtree(tmp_path / "pictures", ignore_errors=True)
