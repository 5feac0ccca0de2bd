"""Signals while a person is asked."""

from __future__ import annotations

import signal

import pytest

from aimlvideo.cli.signals import NAMES, interrupts_raised
from tests.cases import for_each


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
