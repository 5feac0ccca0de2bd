"""Time that runs faster: every clock, and every wait for one, of the process that installs it.

Two processes that are started with the same origin have the same time, so a service and its callers agree on it.
"""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable

steps: list[float] = [0.0]
"""Seconds by which the wall clock is set wrong; monotonic clocks never are."""


def install(speed: float, origin: float) -> None:
    """Run the clocks of this process `speed` times as fast, since `origin` (seconds since 1970).

    It has to be called before anything imports a clock by name.
    """
    wall, monotonic, sleep = time.time, time.monotonic, time.sleep
    began = monotonic() - (wall() - origin)

    def fast_monotonic() -> float:
        return (monotonic() - began) * speed

    def fast_wall() -> float:
        return origin + fast_monotonic() + steps[0]

    def fast_sleep(seconds: float) -> None:
        sleep(seconds / speed)

    time.time, time.monotonic, time.sleep = fast_wall, fast_monotonic, fast_sleep
    for kind in {selectors.DefaultSelector, selectors.SelectSelector}:
        kind.select = _quicker(kind.select, speed)  # type: ignore[method-assign]


def _quicker(select: Callable[..., object], speed: float) -> Callable[..., object]:
    def quick(self: object, timeout: float | None = None) -> object:
        return select(self, timeout / speed if timeout and timeout > 0 else timeout)

    return quick
