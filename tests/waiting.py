"""Waits that end: with what was waited for, or with a word about what never came and what a process said meanwhile."""

from __future__ import annotations

import inspect
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio

PATIENCE = 60.0
"""Seconds of the wall after which a wait is given up: far more than any of them takes."""


def wait_until(condition: Callable[[], object], what: str = "", process: subprocess.Popen[Any] | None = None) -> None:
    """Return once something is true that another process or thread brings about."""
    for pause in _pauses(condition, what, process, None):
        time.sleep(pause)


async def until(
    condition: Callable[[], object],
    what: str = "",
    process: subprocess.Popen[Any] | None = None,
    log: Path | None = None,
) -> None:
    """Return once something is true, while the loop goes on; `log` is where the process writes."""
    for pause in _pauses(condition, what, process, log):
        await anyio.sleep(pause)


def assert_alive(process: subprocess.Popen[Any], what: str, log: Path | None = None) -> None:
    """Fail where a process has ended that was to bring something about."""
    if process.poll() is not None:
        words = log.read_text(errors="replace") if log else output_of(process)
        raise AssertionError(f"waited for {what}, but the process ended with {process.returncode}:\n{words[-4000:]}")


def output_of(process: subprocess.Popen[Any]) -> str:
    """Return what an ended process wrote into its pipes."""
    written = [part for part in process.communicate() if part]
    return "\n".join(part.decode(errors="replace") if isinstance(part, bytes) else part for part in written)


def _pauses(
    condition: Callable[[], object], what: str, process: subprocess.Popen[Any] | None, log: Path | None
) -> Iterator[float]:
    give_up = time.monotonic() + PATIENCE
    what = what or inspect.getsource(condition).strip()
    while not condition():
        if process is not None:
            assert_alive(process, what, log)
        if time.monotonic() > give_up:
            raise AssertionError(f"waited {PATIENCE:g} s for {what}, and it did not come")
        yield 0.02
