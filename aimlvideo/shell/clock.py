"""The two clocks that runs and pages go by, read in this one place: tests let both run in virtual time.

What needs a clock that nobody can set, and no virtual time (the pace of a download, a lease), reads `time.monotonic`.
"""

from __future__ import annotations

import time


def wall() -> float:
    """Return the seconds since 1970: what is written down, and compared with what others wrote down."""
    return time.time()


def loop() -> float:
    """Return the running event loop's seconds: what is waited for. At a tenth of the cost of `anyio.current_time`."""
    import asyncio  # noqa: PLC0415 - a sixth of the start of a command that has no loop, and reads the wall clock alone

    return asyncio.get_running_loop().time()
