"""A sandbox in a thread of its own, for commands and examples that bring their own event loop."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from aimlvideo.sandbox import Behaviour, Sandbox, sandbox_in_thread

QUICK: dict[str, Any] = {"seconds": 0.05, "video": "tiny"}


def sandbox_thread(**settings: Any) -> AbstractContextManager[Sandbox]:
    """Give a running sandbox; it ends with the block."""
    return sandbox_in_thread(Behaviour(**{**QUICK, **settings}))
