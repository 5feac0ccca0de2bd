"""Time for the sandbox's tests: its clocks are set forward, in place of waiting for them."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from aimlvideo.sandbox import account, aimlapi, callbacks, kling, middleware, state, submissions

CLOCKED = (account, aimlapi, callbacks, kling, middleware, state, submissions)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Give what sets all clocks of the sandbox forward by so many seconds, however busy the machine is."""
    ahead, wall, monotonic = 0.0, time.time, time.monotonic

    def set_forward(seconds: float) -> None:
        nonlocal ahead
        ahead += seconds

    monkeypatch.setattr(time, "time", lambda: wall() + ahead)
    for module in CLOCKED:
        monkeypatch.setattr(module, "monotonic", lambda: monotonic() + ahead)
    return set_forward
