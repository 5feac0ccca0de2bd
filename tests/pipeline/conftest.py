"""Fixtures of the tests of a job's stages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what a journal leaves to a thread be done at once: virtual time would pass while one is waited for."""

    async def at_once(work: Callable[..., Any], *args: Any, **_: Any) -> Any:
        return work(*args)

    monkeypatch.setattr(anyio.to_thread, "run_sync", at_once)
