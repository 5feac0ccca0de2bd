"""Make a history small that broke the promise: `python -m tests.promise.shrink FILE`, with what a run printed in FILE.

That is `python -m tests.promise --no-shrink > FILE`: Hypothesis draws every number anew, and is slow at it.
"""

from __future__ import annotations

import ast
import logging
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from math import inf
from pathlib import Path
from typing import Any

from tests.promise.__main__ import USER_FOLDERS
from tests.promise.machine import NO_EVENTS, Promise

History = list[tuple[str, dict[str, Any]]]
"""Rules and their arguments; the first one begins."""
Breaks = Callable[[History], bool]
SIZES = (8, 4, 2, 1)
"""How many steps are left out at once."""


def read(printed: str) -> History:
    """Return the history that a run has printed."""
    calls = printed[printed.index("state.begin(") : printed.index("state.teardown()")]
    history: History = []
    for statement in ast.parse(calls).body:
        assert isinstance(statement, ast.Expr)
        assert isinstance(statement.value, ast.Call)
        assert isinstance(statement.value.func, ast.Attribute)
        values = {str(word.arg): eval(ast.unparse(word.value), {"inf": inf}) for word in statement.value.keywords}
        history.append((statement.value.func.attr, values))
    return history


def broken_by(history: History) -> str:
    """Return how a history breaks the promise, without ids and numbers; empty where it does not."""
    promise = Promise()
    try:
        for name, how in history:
            getattr(promise, name)(**how)
    except Exception as error:
        return re.sub(r"av-[\w-]+|[\w-]*\d[\w.-]*|job \w+|\[.*?\]", "#", f"{type(error).__name__}: {error}")
    finally:
        promise.teardown()
    return ""


def shrunk(history: History, breaks: Breaks) -> History:
    """Return the smallest history that is found by leaving out steps, and events of those that stay."""
    while (smaller := _with_simpler_steps(_with_fewer_steps(history, breaks), breaks)) != history:
        history = smaller
    return history


def _with_fewer_steps(history: History, breaks: Breaks) -> History:
    for size in SIZES:
        at = 1
        while at < len(history):
            fewer = history[:at] + history[at + size :]
            if breaks(fewer):
                history = fewer
            else:
                at += 1
    return history


def _with_simpler_steps(history: History, breaks: Breaks) -> History:
    for at in range(len(history)):
        simpler: History | None = history
        while simpler is not None:
            history = simpler
            name, how = history[at]
            candidates = ([*history[:at], (name, values), *history[at + 1 :]] for values in _simpler_values(how))
            simpler = next(filter(breaks, candidates), None)
    return history


def _simpler_values(how: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Give arguments with one that is simpler: without an event, with a job less, with a smaller number."""
    for name, value in how.items():
        for simpler in _simpler(name, value):
            yield {**how, name: simpler}


def _simpler(name: str, value: Any) -> Iterator[Any]:
    if value == NO_EVENTS.get(name, ...):
        return
    if name in NO_EVENTS:
        yield NO_EVENTS[name]
    if isinstance(value, list):
        yield from (value[:at] + value[at + 1 :] for at in range(len(value)))
    elif isinstance(value, dict):
        # Jobs by their ids; the events of a second process have all their names.
        if not value.keys() & NO_EVENTS.keys() and len(value) > 1:
            yield from ({other: value[other] for other in value if other != one} for one in value)
        yield from _simpler_values(value)
    elif value is True:
        yield False
    elif isinstance(value, int | float) and value > 1:
        yield value // 2
        yield value - 1


def main() -> None:
    """Read a history, make it small, and print it."""
    logging.disable(logging.CRITICAL)
    history = read(Path(sys.argv[1]).read_text())
    with tempfile.TemporaryDirectory() as home:
        os.environ |= dict.fromkeys(USER_FOLDERS, home)
        if not (found := broken_by(history)):
            sys.exit("this history breaks no promise: expected one that a run of this code has printed")
        for name, how in shrunk(history, lambda smaller: broken_by(smaller) == found):
            events = {key: value for key, value in how.items() if value != NO_EVENTS.get(key, ...)}
            given = f"{{**NO_EVENTS, **{events}}}" if events != how else f"{how}"
            sys.stdout.write(f"history.{name}(**{given})\n")
    sys.stdout.write(f"{found}\n")


if __name__ == "__main__":
    main()
