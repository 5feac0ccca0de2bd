"""The two clocks that runs and pages go by, read in this one place: tests let both run in virtual time.

What needs a clock that nobody can set, and no virtual time (the pace of a download, a lease), reads `time.monotonic`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

TICK = 0.001
"""Seconds that a moment of the event loop may be ahead and count as come. The clock of some loops (uvloop) stands still
for so long, and their timers ring early by half of it: whoever went by it to the letter would be woken over and over.
"""

STOOD_STILL = 5.0
"""Seconds after its moment from which on a timer shows that nothing ran here (Ctrl-Z, a paused container): that uses up
nobody's patience."""


def wall() -> float:
    """Return the seconds since 1970: what is written down, and compared with what others wrote down."""
    return time.time()


def loop() -> float:
    """Return the running event loop's seconds: what is waited for. At a tenth of the cost of `anyio.current_time`."""
    return _running_loop()().time()


@cache
def _running_loop() -> Callable[[], AbstractEventLoop]:
    from asyncio import get_running_loop  # noqa: PLC0415 - a sixth of the start of a command that has no loop

    return get_running_loop
