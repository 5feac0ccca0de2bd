"""The sandbox as a command: its settings."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Command


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--set", "port=1"], "the port is given by --port"),
        (["--port", "99999"], "expected a free port"),
        (["--set", "host=1"], "no setting 'host'"),
        (["--seconds", "nan"], "seconds is a number"),
        (["--set", "x"], "--set is 'x': expected NAME=VALUE"),
        (["--set", f"hostile_at={'[' * 5000}"], "hostile_at: should be a valid tuple"),
    ],
)
def test_what_is_no_setting_of_the_sandbox_is_said(command: Command, words: list[str], reason: str) -> None:
    refused = command("sandbox", "--port", 0, *words)
    assert refused.exit_code == 2
    assert reason in refused.output
    assert len(refused.output) < 1000
