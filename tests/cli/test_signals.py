"""Signals while a person is asked, and while the event loop of a run is closed."""

from __future__ import annotations

import asyncio
import signal
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from aimlvideo.cli import shared_jobs
from aimlvideo.cli.signals import NAMES, in_loop, interrupts_raised
from aimlvideo.cli.terminal import Terminal
from aimlvideo.distributed.worker import Stopped
from aimlvideo.shell.task_groups import task_group
from tests.cases import for_each
from tests.waiting import PATIENCE


@pytest.mark.real_time
@for_each("name", [name for name in NAMES if hasattr(signal, name)])
def test_a_question_that_nobody_answers_is_ended_by_every_signal_that_ends_a_run(name: str) -> None:
    number = getattr(signal, name)
    heard: list[int] = []
    before = signal.signal(number, lambda *_: heard.append(number))
    try:
        with pytest.raises(KeyboardInterrupt), interrupts_raised():
            signal.raise_signal(number)
        signal.raise_signal(number)
    finally:
        signal.signal(number, before)
    assert heard == [number], "afterwards it does what it did before"


@for_each("name", [name for name in NAMES if hasattr(signal, name)])
def test_a_signal_that_comes_when_the_run_has_ended_lets_what_still_cleans_up_do_so(name: str) -> None:
    number = getattr(signal, name)
    cleaned_up = []

    async def linger() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            signal.raise_signal(number)
            await asyncio.sleep(0)
            cleaned_up.append(number)

    async def run() -> str:
        beside = asyncio.ensure_future(linger())
        await asyncio.sleep(0)
        assert not beside.done()
        return "12 clips"

    before = signal.signal(number, signal.default_int_handler)
    try:
        assert in_loop(run()) == "12 clips"
    finally:
        signal.signal(number, before)
    assert cleaned_up == [number]


def test_a_worker_that_was_drained_winds_down_at_the_first_signal_also_where_a_launcher_passes_it_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[str] = []

    async def stop() -> None:
        done.append("stopped in order")

    worker: Any = SimpleNamespace(stop=stop, results=SimpleNamespace(halted=Stopped("drained")))

    async def run() -> None:
        async with task_group() as tasks:
            tasks.start_soon(shared_jobs._obey_signals, worker, Terminal(quiet=True))
            for together in (PATIENCE, PATIENCE, -1.0):
                await anyio.sleep(0.01)
                monkeypatch.setattr(shared_jobs, "TOGETHER", together)
                done.append("a signal")
                signal.raise_signal(signal.SIGTERM)
            await anyio.sleep(PATIENCE)

    with pytest.raises(KeyboardInterrupt):
        in_loop(run())
    assert done == ["a signal", "stopped in order", "a signal", "a signal"]


def test_a_signal_that_comes_while_the_event_loop_is_made_cancels_the_run_at_its_first_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps = []
    new_event_loop = asyncio.new_event_loop

    def interrupted() -> asyncio.AbstractEventLoop:
        signal.raise_signal(signal.SIGTERM)
        return new_event_loop()

    async def run() -> None:
        steps.append("begun")
        await asyncio.sleep(0)
        steps.append("gone on")

    monkeypatch.setattr(asyncio.events, "new_event_loop", interrupted)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            in_loop(run())
    finally:
        signal.signal(signal.SIGTERM, before)
    assert steps == ["begun"]
